//! How times were spread over the last minutes: percentiles that forget.
//!
//! Percentiles over the life of a process say little once it has run for a week. So times are counted
//! in slices of a minute each; the oldest slice is forgotten when a new one begins. What is told is
//! that of the last five minutes, and of the minute at hand.
//!
//! A slice counts how many times fell into which *bucket*: sixteen buckets between a power of two and
//! the next, so a percentile is exact to a sixteenth. The longest time is kept as it is.

use std::time::Duration;

/// Length of a slice in milliseconds.
const SLICE_MS: u64 = 60_000;
/// Slices that are kept: five whole ones, and the one at hand.
const SLICES: usize = 6;
/// Buckets between a power of two and the next, as a power of two.
const SHIFT: u32 = 4;
/// Microseconds from which on times are not told apart: about a year.
const LONGEST_US: u64 = 1 << 45;
const BUCKETS: usize = bucket(LONGEST_US) + 1;

/// The bucket of a time in microseconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a number of buckets is small"
)]
const fn bucket(us: u64) -> usize {
    let us = if us < LONGEST_US { us } else { LONGEST_US };
    if us < 1 << SHIFT {
        return us as usize;
    }
    let power = us.ilog2() - SHIFT;
    // The leading bit says which power it is and is left out of its place there.
    ((power as usize + 1) << SHIFT) + ((us >> power) as usize - (1 << SHIFT))
}

/// The longest time in microseconds that falls into a bucket.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a number of buckets is small"
)]
const fn longest_in(bucket: usize) -> u64 {
    if bucket < 1 << SHIFT {
        return bucket as u64;
    }
    let power = (bucket >> SHIFT) as u32 - 1;
    let place = (bucket & ((1 << SHIFT) - 1)) as u64 + (1 << SHIFT);
    ((place + 1) << power) - 1
}

/// The times of one slice.
#[derive(Clone, Debug)]
struct Slice {
    /// Which slice since the clock began.
    number: u64,
    longest_us: u64,
    counts: [u32; BUCKETS],
}

impl Slice {
    fn begin(&mut self, number: u64) {
        self.number = number;
        self.longest_us = 0;
        self.counts.fill(0);
    }
}

/// Times over the last minutes. Empty it takes a few words; each slice that was ever used has about
/// three kilobytes.
#[derive(Clone, Debug, Default)]
pub struct Window {
    slices: [Option<Box<Slice>>; SLICES],
}

/// What a [`Window`] has seen. Times are in milliseconds, 0 where it has seen none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WindowSummary {
    /// How many times there were.
    pub count: u64,
    /// Half of them were not longer.
    pub p50_ms: f64,
    /// 99 of 100 were not longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Window {
    /// Notes a time that something took until `now_ms`: milliseconds of any clock that does not go
    /// back. Where it does, the time is counted in the slice that the clock says.
    pub fn record(&mut self, now_ms: u64, took: Duration) {
        let number = now_ms / SLICE_MS;
        let place = &mut self.slices[(number % SLICES as u64) as usize];
        let slice = place.get_or_insert_with(|| {
            Box::new(Slice {
                number,
                longest_us: 0,
                counts: [0; BUCKETS],
            })
        });
        if slice.number != number {
            slice.begin(number);
        }
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let count = &mut slice.counts[bucket(us)];
        *count = count.saturating_add(1);
        slice.longest_us = slice.longest_us.max(us);
    }

    /// What was seen in the last five minutes, and in the minute at hand.
    #[must_use]
    pub fn summary(&self, now_ms: u64) -> WindowSummary {
        let number = now_ms / SLICE_MS;
        let is_recent = |slice: &&Slice| {
            number.saturating_sub(slice.number) < SLICES as u64 && slice.number <= number
        };
        let recent: Vec<_> = self
            .slices
            .iter()
            .flatten()
            .map(AsRef::as_ref)
            .filter(is_recent)
            .collect();
        if recent.is_empty() {
            return WindowSummary::default();
        }
        let count_in = |bucket: usize| -> u64 {
            let counts = recent.iter().map(|slice| u64::from(slice.counts[bucket]));
            counts.sum()
        };
        let count: u64 = (0..BUCKETS).map(count_in).sum();
        let longest_us = recent.iter().map(|slice| slice.longest_us).max();
        let longest_us = longest_us.unwrap_or(0);
        let below = |hundredths: u64| {
            let wanted = (count * hundredths).div_ceil(100);
            let mut seen = 0;
            let found = (0..BUCKETS).find(|bucket| {
                seen += count_in(*bucket);
                seen >= wanted && seen > 0
            });
            milliseconds(found.map_or(0, |bucket| longest_in(bucket).min(longest_us)))
        };
        WindowSummary {
            count,
            p50_ms: below(50),
            p99_ms: below(99),
            max_ms: milliseconds(longest_us),
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[expect(clippy::cast_precision_loss, reason = "times for people to read")]
fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: u64 = SLICE_MS;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_empty_window_has_seen_nothing() {
        assert_eq!(Window::default().summary(0), WindowSummary::default());
        assert_eq!(
            Window::default().summary(u64::MAX),
            WindowSummary::default()
        );
    }

    #[test]
    fn half_of_the_times_are_below_the_median_and_the_longest_is_exact() {
        let mut window = Window::default();
        for took in 1..=100 {
            window.record(5, ms(took));
        }
        let seen = window.summary(5);
        let about = |found: f64, wanted: f64| (found - wanted).abs() <= wanted / 16.0;
        assert!(
            about(seen.p50_ms, 50.0) && about(seen.p99_ms, 99.0),
            "{seen:?}"
        );
        assert_eq!((seen.count, seen.max_ms.to_bits()), (100, 100f64.to_bits()));
    }

    #[test]
    fn a_time_is_forgotten_after_five_to_six_minutes() {
        let mut window = Window::default();
        window.record(MINUTE - 1, ms(1000));
        window.record(5 * MINUTE, ms(1));
        assert_eq!(window.summary(6 * MINUTE - 1).count, 2);
        let later = window.summary(6 * MINUTE);
        assert_eq!((later.count, later.max_ms.to_bits()), (1, 1f64.to_bits()));
        assert_eq!(window.summary(11 * MINUTE), WindowSummary::default());
        // The first slice's place is used again.
        window.record(6 * MINUTE, ms(3));
        assert_eq!(window.summary(6 * MINUTE).count, 2);
    }

    #[test]
    fn a_clock_that_goes_back_spoils_nothing() {
        let mut window = Window::default();
        window.record(100 * MINUTE, ms(7));
        assert_eq!(window.summary(MINUTE).count, 0);
        window.record(MINUTE, ms(9));
        assert_eq!(window.summary(MINUTE).count, 1);
    }

    proptest! {
        #[test]
        fn each_bucket_holds_times_that_differ_by_a_sixteenth_at_most(us in 0..2 * LONGEST_US) {
            let (us, bucket) = (us.min(LONGEST_US), bucket(us));
            let longest = longest_in(bucket);
            prop_assert!(longest >= us && longest - us <= us / 16, "{us} {bucket} {longest}");
            prop_assert!(bucket == 0 || longest_in(bucket - 1) < us);
        }

        #[test]
        fn percentiles_are_those_of_the_sorted_times_to_a_sixteenth(
            mut times in prop::collection::vec(0u64..10_000_000, 1..200),
        ) {
            let mut window = Window::default();
            for us in &times {
                window.record(0, Duration::from_micros(*us));
            }
            times.sort_unstable();
            let seen = window.summary(0);
            for (part, found) in [(50, seen.p50_ms), (99, seen.p99_ms)] {
                let at = (times.len() * part).div_ceil(100).max(1) - 1;
                let wanted = milliseconds(times[at]);
                prop_assert!(found >= wanted && found <= wanted * 17.0 / 16.0, "{part}: {found} {wanted}");
            }
        }
    }
}
