//! How it stands with the streams of one consumer, so that nobody has to go through all of them.
//!
//! Most streams of a consumer are at rest: everything is done, nothing holds them up. Of these
//! nothing is kept here. The others are counted, and listed by what somebody may ask for.

use std::collections::{BTreeMap, BTreeSet};

use super::SubscriptionKey;
use super::delivery_state::State;
use super::discarded::Discarded;

/// How it stands with one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Entries with the callback.
    pub(super) in_flight: usize,
    /// Since when it is behind, Unix milliseconds; `None` where everything is done.
    pub(super) behind_since_ms: Option<u64>,
    /// Whether only an order can end what holds it up.
    pub(super) stopped: Option<Stopped>,
    /// When a retry comes, Unix milliseconds; what is past holds nothing up.
    pub(super) until_ms: u64,
    /// Whether the last thing that happened was an error.
    pub(super) failing: bool,
    /// Whether entries of it are on their way: read, and not done.
    pub(super) out: bool,
    /// Entries that are not done, as far as they are counted.
    pub(super) backlog: u64,
    /// Whether nobody counted all of those that are not read.
    pub(super) uncounted: bool,
}

impl Standing {
    fn since_ms(&self) -> u64 {
        self.behind_since_ms.unwrap_or(0)
    }
}

/// What only an order can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    Paused,
    Aborted,
}

/// The totals of one consumer, and those of its streams that are not at rest.
#[derive(Debug, Default)]
pub(super) struct Standings {
    /// Those that are not at rest, each with its place in the consumer's list.
    known: BTreeMap<SubscriptionKey, (u64, Standing)>,
    in_flight: usize,
    failing: usize,
    /// Who is behind, the one that is furthest behind first.
    behind: BTreeSet<(u64, SubscriptionKey)>,
    /// When those that wait go on.
    until: BTreeSet<(u64, u64)>,
    /// By their places in the consumer's list.
    waiting: BTreeSet<u64>,
    paused: BTreeSet<u64>,
    aborted: BTreeSet<u64>,
    out: BTreeSet<u64>,
    backlog: u64,
    /// Those whose unread entries nobody counted, the one that is furthest behind first.
    uncounted: BTreeSet<(u64, SubscriptionKey)>,
}

impl Standings {
    /// Takes note of how it stands with a stream now.
    pub(super) fn set(&mut self, sub: SubscriptionKey, place: u64, standing: Standing) {
        if self.get(sub) == standing {
            return;
        }
        self.remove(sub);
        if standing == Standing::default() {
            return;
        }
        self.in_flight += standing.in_flight;
        self.failing += usize::from(standing.failing);
        self.backlog += standing.backlog;
        if let Some(since) = standing.behind_since_ms {
            self.behind.insert((since, sub));
        }
        if standing.uncounted {
            self.uncounted.insert((standing.since_ms(), sub));
        }
        if standing.until_ms > 0 {
            self.until.insert((standing.until_ms, place));
            self.waiting.insert(place);
        }
        match standing.stopped {
            Some(Stopped::Paused) => self.paused.insert(place),
            Some(Stopped::Aborted) => self.aborted.insert(place),
            None => false,
        };
        if standing.out {
            self.out.insert(place);
        }
        self.known.insert(sub, (place, standing));
    }

    /// Forgets a stream: it is at rest, or gone.
    pub(super) fn remove(&mut self, sub: SubscriptionKey) {
        let Some((place, standing)) = self.known.remove(&sub) else {
            return;
        };
        self.in_flight -= standing.in_flight;
        self.failing -= usize::from(standing.failing);
        self.backlog -= standing.backlog;
        if let Some(since) = standing.behind_since_ms {
            self.behind.remove(&(since, sub));
        }
        if standing.uncounted {
            self.uncounted.remove(&(standing.since_ms(), sub));
        }
        self.until.remove(&(standing.until_ms, place));
        self.waiting.remove(&place);
        self.paused.remove(&place);
        self.aborted.remove(&place);
        self.out.remove(&place);
    }

    /// How it stood with a stream when that was last noted.
    pub(super) fn get(&self, sub: SubscriptionKey) -> Standing {
        let known = self.known.get(&sub);
        known.map_or_else(Standing::default, |(_, standing)| *standing)
    }

    /// Entries with the callback, of all streams.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether the last thing that happened to some stream was an error.
    pub(super) fn is_failing(&self) -> bool {
        self.failing > 0
    }

    /// Whatever happened to some stream is not looked at any more.
    pub(super) fn clear_failing(&mut self) {
        self.failing = 0;
        for (_, standing) in self.known.values_mut() {
            standing.failing = false;
        }
    }

    /// How it stands with the stream that is worst off: a pause of single streams does not count.
    pub(super) fn worst(&self, now_ms: u64) -> State {
        if self.aborted.is_empty() {
            let last = self.until.last();
            if last.is_some_and(|(until_ms, _)| *until_ms > now_ms) {
                State::Waiting
            } else {
                State::Running
            }
        } else {
            State::Aborted
        }
    }

    /// Whether some stream is held up by itself.
    pub(super) fn is_any_held(&self, now_ms: u64) -> bool {
        !self.paused.is_empty() || self.worst(now_ms) != State::Running
    }

    /// The place of the stream that stopped for a failure and was discovered last.
    pub(super) fn last_aborted(&self) -> Option<u64> {
        self.aborted.last().copied()
    }

    /// The places below one of the streams that are held up so, or were when it was noted; the
    /// last one first.
    pub(super) fn held(&self, state: State, below: u64) -> impl Iterator<Item = u64> + '_ {
        let places = match state {
            State::Waiting => Some(&self.waiting),
            State::Paused => Some(&self.paused),
            State::Aborted => Some(&self.aborted),
            State::Running | State::Refused | State::Blocked => None,
        };
        let below = places.map(|places| places.range(..below).rev());
        below.into_iter().flatten().copied()
    }

    /// The places of the streams of which entries are on their way, or that wait or stopped for a
    /// failure: all of which something has to be taken back at once when much changes.
    pub(super) fn engaged(&self) -> BTreeSet<u64> {
        let engaged = self.out.iter().chain(&self.waiting).chain(&self.aborted);
        engaged.copied().collect()
    }

    /// The places of the streams of which entries are on their way.
    pub(super) fn out(&self) -> impl Iterator<Item = u64> + '_ {
        self.out.iter().copied()
    }

    /// Forgets all of them.
    pub(super) fn discard(self, discarded: &mut Discarded) {
        discarded.add(self.known);
        discarded.add(self.behind);
        discarded.add(self.uncounted);
        discarded.add(self.until);
        for places in [self.waiting, self.paused, self.aborted, self.out] {
            discarded.add(places);
        }
    }

    /// Entries of all streams that are not done, as far as they are counted.
    pub(super) fn backlog(&self) -> u64 {
        self.backlog
    }

    /// The streams of which nobody counted what is not read, the one that is furthest behind first.
    pub(super) fn uncounted(&self) -> impl Iterator<Item = SubscriptionKey> + '_ {
        self.uncounted.iter().map(|(_, sub)| *sub)
    }

    /// The time of the oldest entry that is not done, of those streams of which it is known.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        // There may be very many of the others, at time 0. The key of no subscription is behind all.
        let known = self.behind.range((0, SubscriptionKey::default())..);
        known.map(|(since, _)| *since).next()
    }

    /// The streams that are behind, the one that is furthest behind first.
    pub(super) fn furthest_behind(&self) -> impl Iterator<Item = SubscriptionKey> + '_ {
        self.behind.iter().map(|(_, sub)| *sub)
    }
}
