//! How times were spread: how many there were of each length.
//!
//! A time is counted in a *bucket*: there are sixteen between a power of two and the next, so what is
//! told of a time is exact to a sixteenth. The longest one is kept as it is.

/// Buckets between a power of two and the next, as a power of two.
const SHIFT: u32 = 4;
/// Microseconds from which on times are not told apart: about a year.
const LONGEST_US: u64 = 1 << 45;
pub(crate) const BUCKETS: usize = bucket(LONGEST_US) + 1;

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

/// Times that were counted. It has memory for the buckets up to that of the longest time: three
/// kilobytes at most.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    longest_us: u64,
}

impl Histogram {
    /// Counts a time in microseconds.
    #[inline]
    pub(crate) fn record(&mut self, us: u64) {
        self.longest_us = self.longest_us.max(us);
        let bucket = bucket(us);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
        } else {
            self.record_first(bucket);
        }
    }

    #[cold]
    fn record_first(&mut self, bucket: usize) {
        self.counts.resize(bucket + 1, 0);
        self.counts[bucket] = 1;
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.counts.clear();
        self.longest_us = 0;
    }

    /// What was counted.
    pub(crate) fn view(&self) -> HistogramView {
        HistogramView::of(std::iter::once(self))
    }
}

/// What some histograms have counted together.
#[derive(Clone, Debug)]
pub(crate) struct HistogramView {
    counts: [u64; BUCKETS],
    /// How many times there were.
    pub(crate) count: u64,
    longest_us: u64,
}

impl HistogramView {
    pub(crate) fn of<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Self {
        let mut view = Self {
            counts: [0; BUCKETS],
            count: 0,
            longest_us: 0,
        };
        for Histogram { counts, longest_us } in histograms {
            view.longest_us = view.longest_us.max(*longest_us);
            for (sum, count) in view.counts.iter_mut().zip(counts) {
                *sum += u64::from(*count);
                view.count += u64::from(*count);
            }
        }
        view
    }

    /// Milliseconds that so many hundredths of the times were not longer than; 0 where there were
    /// none.
    pub(crate) fn percentile_ms(&self, hundredths: u64) -> f64 {
        let wanted = (self.count * hundredths).div_ceil(100);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted && seen > 0
        });
        milliseconds(found.map_or(0, |bucket| longest_in(bucket).min(self.longest_us)))
    }

    /// The longest, in milliseconds.
    pub(crate) fn max_ms(&self) -> f64 {
        milliseconds(self.longest_us)
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
            let mut histograms = [Histogram::default(), Histogram::default()];
            for (place, us) in times.iter().enumerate() {
                histograms[place % 2].record(*us);
            }
            times.sort_unstable();
            let seen = HistogramView::of(histograms.iter());
            prop_assert_eq!(seen.count, times.len() as u64);
            for (part, hundredths) in [(50, 50), (99, 99)] {
                let at = (times.len() * part).div_ceil(100).max(1) - 1;
                let (wanted, found) = (milliseconds(times[at]), seen.percentile_ms(hundredths));
                prop_assert!(found >= wanted && found <= wanted * 17.0 / 16.0, "{part}: {found} {wanted}");
            }
        }
    }

    #[test]
    fn what_is_forgotten_is_not_counted() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX);
        assert!(histogram.view().max_ms() > 1e12);
        histogram.clear();
        histogram.record(7);
        let seen = histogram.view();
        assert!((seen.count, seen.max_ms()) == (1, 0.007), "{seen:?}");
    }
}
