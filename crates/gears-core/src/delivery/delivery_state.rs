//! What keeps a consumer from going on, in one stream or in all.

use std::sync::Arc;

use super::batcher::Tried;
use super::id::EntryId;
use super::rare::{Absent, Rare};

/// Why nothing is dispatched, and what was tried with the entries that wait for that. Outlives
/// the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryState {
    /// Whether somebody paused it.
    pub paused: bool,
    /// The failure after which nothing more was to be dispatched.
    pub aborted: Option<Arc<str>>,
    /// When a retry comes, Unix milliseconds; what is past holds nothing up.
    pub until_ms: u64,
    /// What was tried with entries that are not finished, in their order. Of a consumer as a
    /// whole: nothing.
    pub tried: Vec<(EntryId, Tried)>,
    /// Where it is committed: when it was, Unix milliseconds. Times are those of the server that did;
    /// 0 where that is not known, or there are none.
    pub as_of_ms: u64,
}

impl Absent for DeliveryState {
    const ABSENT: &'static Self = &Self {
        paused: false,
        aborted: None,
        until_ms: 0,
        tried: Vec::new(),
        as_of_ms: 0,
    };

    fn is_absent(&self) -> bool {
        self == Self::ABSENT
    }
}

/// How it stands with a consumer, or with one stream of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Running,
    /// It waits for a retry.
    Waiting,
    /// It waits until the server takes writes again.
    Refused,
    /// Its owner may not have the stream now, or the stream is not served here, and it is tried again;
    /// or a callback has not settled for long.
    Blocked,
    /// Somebody paused it.
    Paused,
    /// It stopped for a failure.
    Aborted,
}

impl DeliveryState {
    /// Whether it keeps entries from being dispatched now.
    #[must_use]
    pub(super) fn blocks(&self, now_ms: u64) -> bool {
        self.state(now_ms) != State::Running
    }

    /// Whether only somebody who asks for it can end it.
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

    /// As it is committed: a pause that is over is none.
    pub(super) fn recorded(mut self, now_ms: u64) -> Self {
        if self.until_ms <= now_ms {
            self.until_ms = 0;
        }
        let is_timed = self.until_ms > 0 || !self.tried.is_empty();
        self.as_of_ms = if is_timed { now_ms } else { 0 };
        self
    }

    /// As it was committed, perhaps by a server whose clock is ahead of this one's: a pause
    /// lasts no longer than was left of it, and nothing was tried in the future.
    pub(super) fn resumed(&self, now_ms: u64) -> Self {
        let ahead = self.as_of_ms.saturating_sub(now_ms);
        let mut delivery_state = self.clone();
        delivery_state.as_of_ms = 0;
        delivery_state.until_ms = delivery_state.until_ms.saturating_sub(ahead);
        for (_, tried) in &mut delivery_state.tried {
            tried.first_ms = tried.first_ms.saturating_sub(ahead).min(now_ms);
        }
        delivery_state.tried.sort_unstable_by_key(|(id, _)| *id);
        delivery_state
    }

    /// Keeps what was tried with an entry.
    pub(super) fn keep_tried(&mut self, id: EntryId, tried: Tried) {
        let at = self.tried.partition_point(|(one, _)| *one < id);
        self.tried.insert(at, (id, tried));
    }

    /// Keeps what was tried with several entries.
    pub(super) fn add_tried(&mut self, tried: impl IntoIterator<Item = (EntryId, Tried)>) {
        self.tried.extend(tried);
        self.tried.sort_unstable_by_key(|(id, _)| *id);
    }

    /// Takes what was tried with an entry.
    pub(super) fn take_tried(&mut self, id: EntryId) -> Tried {
        match self.tried.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => self.tried.remove(at).1,
            Err(_) => Tried::default(),
        }
    }
}

impl Rare<DeliveryState> {
    /// Takes what was tried with an entry, and makes nothing of its own for that.
    pub(super) fn take_tried(&mut self, id: EntryId) -> Tried {
        if self.tried.is_empty() {
            return Tried::default();
        }
        DeliveryState::take_tried(self, id)
    }

    /// No retry is waited for.
    pub(super) fn end_pause(&mut self) {
        if self.until_ms > 0 {
            self.until_ms = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery_state(until_ms: u64, first_ms: u64) -> DeliveryState {
        let tried = Tried {
            attempts: 1,
            first_ms,
        };
        DeliveryState {
            until_ms,
            tried: vec![(EntryId::new(1, 1), tried)],
            ..DeliveryState::default()
        }
    }

    #[test]
    fn a_pause_lasts_as_long_as_was_left_of_it_where_the_clock_is_behind() {
        let recorded = delivery_state(900_500, 899_000).recorded(900_000);
        let resumed = recorded.resumed(300_000);
        assert_eq!(resumed, delivery_state(300_500, 299_000));
        assert_eq!(resumed.state(300_499), State::Waiting);
        assert_eq!(resumed.state(300_500), State::Running);
    }

    #[test]
    fn the_time_that_a_server_was_down_counts() {
        let recorded = delivery_state(900_500, 899_000).recorded(900_000);
        assert_eq!(recorded.resumed(901_000), delivery_state(900_500, 899_000));
    }

    #[test]
    fn a_pause_that_is_over_is_not_committed_and_no_time_is_where_there_is_none() {
        let over = DeliveryState {
            until_ms: 900_500,
            ..DeliveryState::default()
        };
        assert_eq!(over.recorded(900_500), DeliveryState::default());
    }

    #[test]
    fn nothing_was_tried_in_the_future_even_where_nobody_knows_of_what_clock_it_is() {
        assert_eq!(
            delivery_state(0, 899_000).resumed(300_000),
            delivery_state(0, 300_000)
        );
    }
}
