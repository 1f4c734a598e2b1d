//! What keeps a consumer from going on, in one stream or in all.

use std::sync::Arc;

use super::id::EntryId;
use super::plan::Tried;

/// Why nothing is handed over, and what was tried with the entries that wait for that. Outlives
/// the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Whether somebody paused it.
    pub paused: bool,
    /// The failure after which nothing more was to be handed over.
    pub aborted: Option<Arc<str>>,
    /// When a retry comes, Unix milliseconds; what is past holds nothing up.
    pub until_ms: u64,
    /// What was tried with entries that are not finished, in their order. Of a consumer as a
    /// whole: nothing.
    pub tried: Vec<(EntryId, Tried)>,
}

/// How it stands with a consumer, or with one stream of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Running,
    /// It waits for a retry.
    Waiting,
    /// Somebody paused it.
    Paused,
    /// It stopped for a failure.
    Aborted,
}

impl Hold {
    /// Whether nothing can be handed over now.
    #[must_use]
    pub(super) fn holds(&self, now_ms: u64) -> bool {
        self.state(now_ms) != State::Running
    }

    /// Whether only an order can end it.
    #[must_use]
    pub(super) fn is_final(&self) -> bool {
        self.paused || self.aborted.is_some()
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self, now_ms: u64) -> State {
        if self.aborted.is_some() {
            State::Aborted
        } else if self.paused {
            State::Paused
        } else if self.until_ms > now_ms {
            State::Waiting
        } else {
            State::Running
        }
    }

    /// Keeps what was tried with an entry.
    pub(super) fn keep_tried(&mut self, id: EntryId, tried: Tried) {
        let at = self.tried.partition_point(|(one, _)| *one < id);
        self.tried.insert(at, (id, tried));
    }

    /// Takes what was tried with an entry.
    pub(super) fn take_tried(&mut self, id: EntryId) -> Tried {
        match self.tried.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => self.tried.remove(at).1,
            Err(_) => Tried::default(),
        }
    }
}
