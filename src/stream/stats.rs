//! What is counted for one consumer in one stream.
//!
//! Times are whole milliseconds, as users see them; the estimate that governs how far to read
//! ahead is in microseconds.

use std::sync::Arc;
use std::time::Duration;

use super::id::EntryId;

/// How many of the latest entries the latency estimate follows, as a power of two.
const LATENCY_SHIFT: u32 = 3;

/// Counters of finished entries.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Entries finished, failed ones included.
    pub finished: u64,
    /// Milliseconds from hand-over to finish, of the last one finished.
    pub last_processed_ms: u64,
    /// The same, summed over all.
    pub total_processed_ms: u64,
    /// Milliseconds from the entry's ID to its finish, of the last one finished; never negative.
    pub last_lag_ms: u64,
    /// The same, summed over all.
    pub total_lag_ms: u64,
    /// The error of the last callback that failed.
    pub last_error: Option<Arc<str>>,
    latency_us: u64,
}

impl Stats {
    /// Counts one finished entry. `now_ms` is the wall clock at its finish; an ID ahead of the
    /// clock counts as no lag.
    pub(super) fn note_finished(
        &mut self,
        id: EntryId,
        took: Duration,
        now_ms: u64,
        error: Option<Arc<str>>,
    ) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.finished += 1;
        self.last_processed_ms = micros / 1000;
        self.total_processed_ms = self.total_processed_ms.saturating_add(micros / 1000);
        self.last_lag_ms = now_ms.saturating_sub(id.ms);
        self.total_lag_ms = self.total_lag_ms.saturating_add(self.last_lag_ms);
        if error.is_some() {
            self.last_error = error;
        }
        // At least 1 so that "nothing known yet" stays apart from "very fast".
        let sample = micros.max(1);
        self.latency_us = if self.latency_us == 0 {
            sample
        } else if sample > self.latency_us {
            self.latency_us + ((sample - self.latency_us) >> LATENCY_SHIFT).max(1)
        } else {
            self.latency_us - ((self.latency_us - sample) >> LATENCY_SHIFT)
        };
    }

    /// Smoothed time from hand-over to finish in microseconds; `None` before the first.
    #[must_use]
    pub(super) fn latency_us(&self) -> Option<u64> {
        (self.latency_us > 0).then_some(self.latency_us)
    }

    /// Average of `total` over the finished entries; 0 before the first.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an average for people to read")]
    pub fn average(&self, total: u64) -> f64 {
        if self.finished == 0 {
            0.0
        } else {
            total as f64 / self.finished as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_ahead_of_the_clock_has_no_lag_and_spoils_no_average() {
        let mut stats = Stats::default();
        stats.note_finished(EntryId::new(u64::MAX, 0), Duration::from_millis(2), 1, None);
        assert_eq!((stats.last_lag_ms, stats.total_lag_ms), (0, 0));
        assert_eq!(stats.last_processed_ms, 2);
    }

    #[test]
    fn averages_are_zero_before_the_first_entry_and_exact_after() {
        let mut stats = Stats::default();
        assert!((stats.average(stats.total_lag_ms) - 0.0).abs() < f64::EPSILON);
        stats.note_finished(EntryId::new(9, 0), Duration::ZERO, 10, None);
        stats.note_finished(EntryId::new(10, 0), Duration::ZERO, 10, None);
        assert!((stats.average(stats.total_lag_ms) - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn the_last_error_stays_until_the_next_one() {
        let mut stats = Stats::default();
        stats.note_finished(EntryId::new(1, 0), Duration::ZERO, 1, Some("boom".into()));
        stats.note_finished(EntryId::new(2, 0), Duration::ZERO, 2, None);
        assert_eq!(stats.last_error.as_deref(), Some("boom"));
    }

    #[test]
    fn the_latency_estimate_follows_the_samples() {
        let mut stats = Stats::default();
        assert_eq!(stats.latency_us(), None);
        for _ in 0..100 {
            stats.note_finished(EntryId::ZERO, Duration::from_millis(1), 0, None);
        }
        assert_eq!(stats.latency_us(), Some(1000));
        for _ in 0..200 {
            stats.note_finished(EntryId::ZERO, Duration::from_micros(1), 0, None);
        }
        assert!(stats.latency_us().unwrap() < 20);
    }
}
