//! How callbacks end, and what must become of their entries.

use gears_core::delivery::{End, EntryId, Failure, OnFailure, Policy, Tried};

use crate::driver::text;

/// How a callback ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Well,
    Throws,
    /// It names these entries as failed, by their places.
    Partly(u8),
    /// It names an entry that it was not given.
    Stranger,
    Fatal,
    RetryAfter(u64),
}

impl Outcome {
    pub(crate) fn end(self, ids: &[EntryId]) -> End {
        let failure = |retry_after_ms, fatal| {
            End::Failed(Failure {
                error: text("it threw"),
                retry_after_ms,
                fatal,
            })
        };
        match self {
            Self::Well => End::Done,
            Self::Throws => failure(None, false),
            Self::Fatal => failure(None, true),
            Self::RetryAfter(ms) => failure(Some(ms), false),
            Self::Partly(places) => End::Partly {
                failed: (ids.iter().enumerate())
                    .filter(|(place, _)| places & (1 << place) != 0)
                    .map(|(_, id)| *id)
                    .collect(),
                error: text("partly"),
            },
            Self::Stranger => End::Partly {
                failed: vec![ids[0], EntryId::MAX],
                error: text("partly"),
            },
        }
    }
}

/// The entries that failed, and what was said of that.
pub(crate) fn failed(end: &End, ids: &[EntryId]) -> Option<(Vec<EntryId>, Failure)> {
    match end {
        End::Done => None,
        End::Failed(failure) => Some((ids.to_vec(), failure.clone())),
        End::Partly { failed, .. } if failed.is_empty() => None,
        End::Partly { failed, error } if failed.iter().all(|id| ids.contains(id)) => {
            Some((failed.clone(), Failure::new(error.clone())))
        }
        End::Partly { failed, .. } => {
            let foreign = failed.iter().find(|id| !ids.contains(id));
            let id = foreign.expect("else they were all given");
            let error = format!("the callback reported {id} as failed, which is not of its batch");
            Some((ids.to_vec(), Failure::new(text(&error))))
        }
    }
}

/// What must become of entries that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Again(u64),
    Halves(u64),
    Stop,
    Over,
}

/// With the attempt at hand counted.
pub(crate) fn fate(
    policy: &Policy,
    count: usize,
    tried: Tried,
    failure: &Failure,
    now_ms: u64,
) -> Fate {
    if failure.fatal || policy.on_failure == OnFailure::Continue {
        return Fate::Over;
    }
    if policy.on_failure == OnFailure::Abort {
        return Fate::Stop;
    }
    let mut delay_ms = policy.backoff.initial_ms;
    for _ in 1..tried.attempts {
        // The factors of this model are one and two.
        if policy.backoff.factor > 1.5 {
            delay_ms = (delay_ms * 2).min(policy.backoff.max_ms);
        }
    }
    let delay_ms = failure.retry_after_ms.unwrap_or(delay_ms);
    if policy.bisect && count > 1 {
        return Fate::Halves(delay_ms);
    }
    let is_last = policy
        .max_attempts
        .is_some_and(|most| tried.attempts >= most);
    let is_old = policy
        .max_age_ms
        .is_some_and(|most| now_ms - tried.first_ms >= most);
    if is_last || is_old {
        Fate::Over
    } else {
        Fate::Again(delay_ms)
    }
}
