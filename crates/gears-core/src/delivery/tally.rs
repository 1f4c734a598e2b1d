//! What is counted for one subscription, in little memory: there are as many of these as
//! subscriptions, and most of them have counted little.
//!
//! A counter has 32 bits here; what goes beyond that, and what most streams never have, is in
//! [`More`], which is made when it is needed first. A sum is what is here and what is there.

use std::sync::Arc;
use std::time::Duration;

use super::id::EntryId;
use super::rare::{Absent, Rare};
use super::stats::Stats;

/// How many of the latest entries the latency estimate follows, as a power of two.
const LATENCY_SHIFT: u32 = 3;

/// The counters of one subscription.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    more: Rare<More>,
    finished: u32,
    attempts: u32,
    total_processed_ms: u32,
    total_lag_ms: u32,
    /// `u32::MAX` where it is in [`More`].
    last_lag_ms: u32,
    last_processed_ms: u32,
    latency_us: u32,
}

/// What most subscriptions have none of: failures, and counts beyond 32 bits.
#[derive(Clone, Debug, Default)]
struct More {
    finished: u64,
    attempts: u64,
    total_processed_ms: u64,
    total_lag_ms: u64,
    last_lag_ms: u64,
    failures: u64,
    given_up: u64,
    dead_letters: u64,
    filtered: u64,
    last_error: Option<Arc<str>>,
    failing: bool,
}

impl Absent for More {
    const ABSENT: &'static Self = &Self {
        finished: 0,
        attempts: 0,
        total_processed_ms: 0,
        total_lag_ms: 0,
        last_lag_ms: 0,
        failures: 0,
        given_up: 0,
        dead_letters: 0,
        filtered: 0,
        last_error: None,
        failing: false,
    };

    fn is_absent(&self) -> bool {
        // Counters never get less.
        false
    }
}

/// Adds to a counter; what does not fit goes to the part of it that is in [`More`].
fn add(here: &mut u32, more: &mut Rare<More>, there: fn(&mut More) -> &mut u64, by: u64) {
    let sum = u64::from(*here).saturating_add(by);
    if let Ok(sum) = u32::try_from(sum) {
        *here = sum;
    } else {
        *here = 0;
        let there = there(more);
        *there = there.saturating_add(sum);
    }
}

fn cut(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The estimate of the time from dispatch to finish, 0 for none so far, after one more.
fn follow_latency(latency_us: u64, took_us: u64) -> u64 {
    // At least 1 so that "nothing known yet" stays apart from "very fast".
    let sample = took_us.max(1);
    if latency_us == 0 {
        sample
    } else if sample > latency_us {
        latency_us + ((sample - latency_us) >> LATENCY_SHIFT).max(1)
    } else {
        latency_us - ((latency_us - sample) >> LATENCY_SHIFT)
    }
}

impl Tally {
    /// All that was counted. How the times are spread is not known here.
    pub(super) fn stats(&self) -> Stats {
        let more = &*self.more;
        let sum = |here: u32, there: u64| u64::from(here).saturating_add(there);
        Stats {
            finished: sum(self.finished, more.finished),
            last_processed_ms: self.last_processed_ms.into(),
            total_processed_ms: sum(self.total_processed_ms, more.total_processed_ms),
            last_lag_ms: match self.last_lag_ms {
                u32::MAX => more.last_lag_ms,
                here => here.into(),
            },
            total_lag_ms: sum(self.total_lag_ms, more.total_lag_ms),
            last_error: more.last_error.clone(),
            failing: more.failing,
            attempts: sum(self.attempts, more.attempts),
            failures: more.failures,
            given_up: more.given_up,
            dead_letters: more.dead_letters,
            filtered: more.filtered,
        }
    }

    /// What counted this, and estimates that latency.
    pub(super) fn of(stats: Stats, latency_us: u64) -> Self {
        let mut more = Rare::<More>::default();
        let mut here = |sum: u64, there: fn(&mut More) -> &mut u64| {
            u32::try_from(sum).unwrap_or_else(|_| {
                *there(&mut more) = sum;
                0
            })
        };
        let mut tally = Self {
            finished: here(stats.finished, |more| &mut more.finished),
            attempts: here(stats.attempts, |more| &mut more.attempts),
            total_processed_ms: here(stats.total_processed_ms, |more| {
                &mut more.total_processed_ms
            }),
            total_lag_ms: here(stats.total_lag_ms, |more| &mut more.total_lag_ms),
            last_lag_ms: cut(stats.last_lag_ms),
            last_processed_ms: cut(stats.last_processed_ms),
            latency_us: cut(latency_us),
            more,
        };
        let failed = stats.failures | stats.given_up | stats.dead_letters | stats.filtered;
        let has_failed = failed > 0 || stats.failing || stats.last_error.is_some();
        if has_failed || tally.last_lag_ms == u32::MAX {
            let more = &mut *tally.more;
            more.last_lag_ms = stats.last_lag_ms;
            more.failures = stats.failures;
            more.given_up = stats.given_up;
            more.dead_letters = stats.dead_letters;
            more.filtered = stats.filtered;
            more.last_error = stats.last_error;
            more.failing = stats.failing;
        }
        tally
    }

    /// The error of the last callback that failed.
    pub(super) fn last_error(&self) -> Option<&Arc<str>> {
        self.more.last_error.as_ref()
    }

    /// Whether the last thing that happened was an error.
    pub(super) fn is_failing(&self) -> bool {
        self.more.failing
    }

    /// Counts a call of the callback.
    pub(super) fn note_call(&mut self, failed: bool) {
        add(
            &mut self.attempts,
            &mut self.more,
            |more| &mut more.attempts,
            1,
        );
        if failed {
            self.more.failures += 1;
        }
        if failed != self.more.failing {
            self.more.failing = failed;
        }
    }

    /// Something went wrong.
    pub(super) fn note_error(&mut self, error: Arc<str>) {
        self.more.last_error = Some(error);
        self.more.failing = true;
    }

    /// Entries were given up.
    pub(super) fn note_given_up(&mut self, count: u64) {
        self.more.given_up += count;
    }

    /// A dead letter was written.
    pub(super) fn note_dead_letter(&mut self) {
        self.more.dead_letters += 1;
    }

    /// The consumer's filter kept entries from its callback.
    pub(super) fn note_filtered(&mut self, count: u64) {
        if count > 0 {
            self.more.filtered += count;
        }
    }

    /// Counts anew. How long entries take is still known.
    pub(super) fn clear(&mut self) {
        *self = Self {
            latency_us: self.latency_us,
            ..Self::default()
        };
    }

    /// Counts one finished entry; see [`Stats::note_finished`].
    pub(super) fn note_finished(
        &mut self,
        id: EntryId,
        took: Duration,
        now_ms: u64,
        error: Option<Arc<str>>,
    ) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let lag_ms = now_ms.saturating_sub(id.ms);
        let more = &mut self.more;
        add(&mut self.finished, more, |more| &mut more.finished, 1);
        let total = &mut self.total_processed_ms;
        add(
            total,
            more,
            |more| &mut more.total_processed_ms,
            micros / 1000,
        );
        add(
            &mut self.total_lag_ms,
            more,
            |more| &mut more.total_lag_ms,
            lag_ms,
        );
        self.last_processed_ms = cut(micros / 1000);
        self.last_lag_ms = cut(lag_ms);
        if self.last_lag_ms == u32::MAX {
            more.last_lag_ms = lag_ms;
        }
        if error.is_some() {
            more.last_error = error;
        }
        self.latency_us = cut(follow_latency(self.latency_us.into(), micros));
    }

    /// Smoothed time from dispatch to finish in microseconds; `None` before the first.
    pub(super) fn latency_us(&self) -> Option<u64> {
        (self.latency_us > 0).then_some(self.latency_us.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_takes_five_words() {
        assert_eq!(size_of::<Tally>(), 40);
    }

    #[test]
    fn the_latency_estimate_follows_the_samples() {
        let mut tally = Tally::default();
        assert_eq!(tally.latency_us(), None);
        for _ in 0..100 {
            tally.note_finished(EntryId::ZERO, Duration::from_millis(1), 0, None);
        }
        assert_eq!(tally.latency_us(), Some(1000));
        for _ in 0..200 {
            tally.note_finished(EntryId::ZERO, Duration::from_micros(1), 0, None);
        }
        assert!(tally.latency_us().unwrap() < 20);
    }

    proptest! {
        /// However large the numbers are.
        #[test]
        fn it_counts_what_the_stats_of_a_consumer_count(
            entries in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>()), 0..20),
            shift in 0..64,
        ) {
            let (mut tally, mut stats) = (Tally::default(), Stats::default());
            for (ms, took, now_ms, failed) in entries {
                let id = EntryId::new(ms >> shift, 0);
                // The time of one call is cut to 32 bits of milliseconds.
                let took = Duration::from_micros(took.min(u64::from(u32::MAX)) >> (shift / 2));
                let error = failed.then(|| Arc::from("boom"));
                tally.note_call(failed);
                stats.note_call(failed);
                tally.note_finished(id, took, now_ms >> shift, error.clone());
                stats.note_finished(id, took, now_ms >> shift, error);
            }
            let counted = tally.stats();
            let numbers = |stats: &Stats| {
                let ms = (stats.total_processed_ms, stats.total_lag_ms);
                let last = (stats.last_processed_ms, stats.last_lag_ms);
                (stats.finished, stats.attempts, stats.failures, stats.failing, ms, last)
            };
            prop_assert_eq!(numbers(&counted), numbers(&stats));
            prop_assert_eq!(&counted.last_error, &stats.last_error);
            let again = Tally::of(counted, tally.latency_us().unwrap_or(0));
            prop_assert_eq!(numbers(&again.stats()), numbers(&stats));
            prop_assert_eq!(again.stats().last_error, stats.last_error);
            prop_assert_eq!(again.latency_us(), tally.latency_us());
        }
    }
}
