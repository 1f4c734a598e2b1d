//! What a consumer asked for beyond a prefix and a window: how entries are put together, which of
//! them it wants, and what becomes of those that its callback fails with.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::filter::Filter;
use super::id::EntryId;

/// The options of a consumer that ask for batches, order, filters or a way to treat failures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Entries that the callback gets at once; `None` where it gets them one by one.
    pub batch: Option<usize>,
    /// Milliseconds after which a batch that is not full is dispatched all the same, from when
    /// its first entry was seen; 0 for never.
    pub duration_ms: u64,
    /// What becomes of entries that the callback failed with.
    pub on_failure: OnFailure,
    /// How long a retry waits.
    pub backoff: Backoff,
    /// Failed attempts after which entries are given up.
    pub max_attempts: Option<u32>,
    /// Milliseconds from the beginning of the first attempt after which a failure is the last.
    pub max_age_ms: Option<u64>,
    /// The stream for entries that are given up.
    pub dead_letter: Option<Arc<[u8]>>,
    /// Whether a batch that failed is halved.
    pub bisect: bool,
    /// What waits for a retry, or stops.
    pub scope: Scope,
    /// Milliseconds after which a call whose promise is not settled fails. The core has no clock for
    /// that: whoever follows the promise reports the failure.
    pub timeout_ms: Option<u32>,
    /// The field whose equal values are dispatched one after another.
    pub order_by: Option<Arc<[u8]>>,
    /// Which entries it wants; the others are done at once.
    pub filter: Option<Filter>,
}

/// What holds for a consumer without one; also for its batches, until none is left, where it had one
/// before.
pub(super) static NO_POLICY: Policy = Policy {
    batch: None,
    duration_ms: 0,
    on_failure: OnFailure::Continue,
    backoff: Backoff {
        initial_ms: 0,
        factor: 1.0,
        max_ms: 0,
        jitter: 0.0,
    },
    max_attempts: None,
    max_age_ms: None,
    dead_letter: None,
    bisect: false,
    scope: Scope::Stream,
    timeout_ms: None,
    order_by: None,
    filter: None,
};

/// What becomes of entries that the callback failed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// They are given up at once.
    #[default]
    Continue,
    /// They are redelivered.
    Retry,
    /// Nothing is dispatched any more.
    Abort,
}

/// How far a failure reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The stream of the failure.
    #[default]
    Stream,
    /// All streams of the consumer.
    Consumer,
}

/// How long retries wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Milliseconds before the first.
    pub initial_ms: u64,
    /// How much longer each waits than the one before.
    pub factor: f64,
    /// Milliseconds that none exceeds.
    pub max_ms: u64,
    /// The part of the time that chance may take off, from 0 to 1.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::every(1000)
    }
}

impl Backoff {
    /// The same time before each.
    #[must_use]
    pub fn every(ms: u64) -> Self {
        Self {
            initial_ms: ms,
            factor: 1.0,
            max_ms: ms,
            jitter: 0.0,
        }
    }

    /// Milliseconds to wait after `attempts` failed attempts with entries from `first` on. Chance
    /// comes of these two: the core decides the same from the same context.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "times far below the limits; what is beyond them is cut to the maximum"
    )]
    pub(super) fn delay_ms(&self, attempts: u32, first: EntryId) -> u64 {
        let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
        let full = self.initial_ms as f64 * self.factor.powi(exponent);
        let full = full.min(self.max_ms as f64);
        let mut hasher = DefaultHasher::new();
        (attempts, first).hash(&mut hasher);
        let chance = (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64;
        (full * (1.0 - self.jitter * chance)).round() as u64
    }
}

/// Where a consumer begins with streams that it sees for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With their first entry.
    #[default]
    Earliest,
    /// With the first entry that is added after that.
    Latest,
    /// With the entry of this ID, or the next behind.
    At(EntryId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_retry_waits_longer_up_to_the_maximum() {
        let backoff = Backoff {
            initial_ms: 100,
            factor: 2.0,
            max_ms: 1000,
            jitter: 0.0,
        };
        let delays = [1, 2, 3, 4, 5, u32::MAX].map(|n| backoff.delay_ms(n, EntryId::ZERO));
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn chance_takes_no_more_off_than_it_may_and_differs_from_entry_to_entry() {
        let backoff = Backoff {
            jitter: 0.5,
            ..Backoff::every(1000)
        };
        let delays: Vec<_> = (0..100)
            .map(|n| backoff.delay_ms(1, EntryId::new(n, 0)))
            .collect();
        assert!(delays.iter().all(|delay| (500..=1000).contains(delay)));
        assert!(delays.iter().any(|delay| *delay < 600));
        assert!(delays.iter().any(|delay| *delay > 900));
    }
}
