//! How long the entries of a consumer took over the last minutes.

use super::id::EntryId;
use crate::window::{Window, WindowSummary};

/// Times of the entries that a consumer finished.
#[derive(Clone, Debug, Default)]
pub struct Times {
    processing: Window,
    lag: Window,
}

/// How they were spread over the last minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimesSummary {
    /// From dispatch to finish.
    pub processing: WindowSummary,
    /// From the time in the entry's ID to its finish.
    pub lag: WindowSummary,
}

impl Times {
    /// Notes an entry that was finished at `now_ms`, Unix milliseconds, so many microseconds after
    /// its dispatch. An ID ahead of the clock counts as no lag.
    #[inline]
    pub(super) fn note(&mut self, id: EntryId, took_us: u64, now_ms: u64) {
        self.processing.record_us(now_ms, took_us);
        let lag_ms = now_ms.saturating_sub(id.ms);
        self.lag.record_us(now_ms, lag_ms.saturating_mul(1000));
    }

    /// What was seen in the last minutes before `now_ms`.
    #[must_use]
    pub fn summary(&self, now_ms: u64) -> TimesSummary {
        TimesSummary {
            processing: self.processing.summary(now_ms),
            lag: self.lag.summary(now_ms),
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_from_the_id_and_processing_from_the_dispatch() {
        let mut times = Times::default();
        assert_eq!(times.summary(0), TimesSummary::default());
        for ms in 1..=100 {
            times.note(EntryId::new(900, 0), 2_000, 900 + ms);
        }
        times.note(EntryId::new(u64::MAX, 0), 5_000, 1000);
        let seen = times.summary(1000);
        let about = |found: f64, wanted: f64| (found - wanted).abs() <= wanted / 16.0;
        assert!(about(seen.lag.p50_ms, 50.0), "{seen:?}");
        assert!(about(seen.processing.p50_ms, 2.0), "{seen:?}");
        let longest = (seen.lag.max_ms, seen.processing.max_ms);
        assert!(longest == (100.0, 5.0), "{longest:?}");
        assert_eq!((seen.lag.count, seen.processing.count), (101, 101));
        let later = times.summary(1000 + 7 * 60_000);
        assert_eq!(later, TimesSummary::default());
    }
}
