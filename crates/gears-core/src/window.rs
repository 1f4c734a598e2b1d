//! How times were spread over the last minutes: percentiles that forget.
//!
//! Percentiles over the life of a process say little once it has run for a week. So times are counted
//! in slices of a minute each; the oldest slice is forgotten when a new one begins. What is told is
//! that of the last five minutes, and of the minute at hand.

use std::time::Duration;

use crate::histogram::{Histogram, HistogramView};

/// Length of a slice in milliseconds.
const SLICE_MS: u64 = 60_000;
/// Slices that are kept: five whole ones, and the one at hand.
const SLICES: usize = 6;

/// The times of one slice.
#[derive(Clone, Debug, Default)]
struct Slice {
    /// Which slice since the clock began.
    number: u64,
    times: Histogram,
}

/// Times over the last minutes. Each slice that was ever used takes up to three kilobytes.
#[derive(Clone, Debug, Default)]
pub struct Window {
    slices: [Slice; SLICES],
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
        self.record_us(now_ms, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// The same, of a time in microseconds.
    #[inline]
    pub fn record_us(&mut self, now_ms: u64, us: u64) {
        let number = now_ms / SLICE_MS;
        let slice = &mut self.slices[(number % SLICES as u64) as usize];
        if slice.number != number {
            slice.number = number;
            slice.times.clear();
        }
        slice.times.record(us);
    }

    /// What was seen in the last five minutes, and in the minute at hand.
    #[must_use]
    pub fn summary(&self, now_ms: u64) -> WindowSummary {
        let number = now_ms / SLICE_MS;
        let is_recent = |slice: &&Slice| {
            number.saturating_sub(slice.number) < SLICES as u64
                && slice.number <= number
                && !slice.times.is_empty()
        };
        let mut recent = self.slices.iter().filter(is_recent).peekable();
        if recent.peek().is_none() {
            return WindowSummary::default();
        }
        let seen = HistogramView::of(recent.map(|slice| &slice.times));
        WindowSummary {
            count: seen.count,
            p50_ms: seen.percentile_ms(50),
            p99_ms: seen.percentile_ms(99),
            max_ms: seen.max_ms(),
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
