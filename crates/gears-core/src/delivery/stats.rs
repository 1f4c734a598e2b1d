//! What is counted for one consumer, of all its streams or of one.
//!
//! Times are whole milliseconds, as users see them.

use std::sync::Arc;
use std::time::Duration;

use super::id::EntryId;

/// Counters of finished entries.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Entries finished, failed ones included.
    pub finished: u64,
    /// Milliseconds from dispatch to finish, of the last one finished.
    pub last_processed_ms: u64,
    /// The same, summed over all.
    pub total_processed_ms: u64,
    /// Milliseconds from the entry's ID to its finish, of the last one finished; never negative.
    pub last_lag_ms: u64,
    /// The same, summed over all.
    pub total_lag_ms: u64,
    /// The error of the last callback that failed.
    pub last_error: Option<Arc<str>>,
    /// Whether the last thing that happened was an error.
    pub failing: bool,
    /// Calls of the callback that ended.
    pub attempts: u64,
    /// Those among them that failed.
    pub failures: u64,
    /// Entries that were given up.
    pub given_up: u64,
    /// Those among them that are in the dead letter stream.
    pub dead_letters: u64,
    /// Entries that the consumer's filter kept from its callback.
    pub filtered: u64,
}

impl Stats {
    /// Counts a call of the callback.
    pub(super) fn note_call(&mut self, failed: bool) {
        self.attempts += 1;
        self.failures += u64::from(failed);
        self.failing = failed;
    }

    /// Something went wrong.
    pub(super) fn note_error(&mut self, error: Arc<str>) {
        self.last_error = Some(error);
        self.failing = true;
    }

    /// Counts anew.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

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
}
