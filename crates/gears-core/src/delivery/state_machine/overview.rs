//! How it stands with a consumer as a whole, without a look at each of its streams.

use std::sync::Arc;

use super::super::ConsumerKey;
use super::super::consumer::ConsumerSpec;
use super::super::consumer_errors::ConsumerErrors;
use super::super::delivery_state::State;
use super::super::standings::{Standing, Stopped};
use super::super::stats::Stats;
use super::super::subscription::Subscription;
use super::super::times::Times;
use super::Delivery;

/// Subscriptions that may have changed before that is noted. One that is at rest again by then has
/// cost nothing.
const MANY: usize = 128;
/// How many are noted at a fact: more than one fact changes, but for those that change all.
const AT_A_FACT: usize = 2 * MANY;
/// How many are noted each time that the time is told, for those after which no fact comes.
const IN_TIME: usize = 1024;
/// How many are noted before somebody looks. What changes more of them at once, like another role
/// of the server, is seen a little later, so that a look at it holds up nobody.
const AT_A_LOOK: usize = 8192;

/// The entries of a consumer that are not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// How many there are.
    pub entries: u64,
    /// Whether that is exact: of no stream there may be entries that nobody counted.
    pub is_exact: bool,
    /// The time of the oldest, Unix milliseconds, as far as it is known: see [`super::Row`].
    pub oldest_ms: Option<u64>,
}

/// How it stands with a consumer as a whole.
#[derive(Debug)]
pub struct Overview<'a> {
    /// What it asked for.
    pub spec: &'a ConsumerSpec,
    /// As with that of its streams that is worst off.
    pub state: State,
    /// How many of its streams are blocked.
    pub blocked_streams: usize,
    /// Why it is blocked, or what the server says against writes.
    pub reason: Option<Arc<str>>,
    /// Whether the consumer or one of its streams is held up.
    pub is_held: bool,
    /// How many streams it knows.
    pub streams: usize,
    /// Entries with the callback now.
    pub in_flight: usize,
    /// Entries that are not done.
    pub backlog: Backlog,
    /// What was counted of all its streams, those that are gone included.
    pub totals: &'a Stats,
    /// How long entries took over the last minutes; dead letters that were redriven apart.
    pub times: &'a Times,
    /// What went wrong, if anything did.
    pub errors: Option<&'a ConsumerErrors>,
    /// What stopped it, or one of its streams.
    pub aborted: Option<Arc<str>>,
    /// Whether the last thing that happened to some stream was an error.
    pub is_failing: bool,
}

impl Delivery {
    /// How it stands with a consumer as a whole.
    pub fn overview(&mut self, key: ConsumerKey) -> Option<Overview<'_>> {
        self.note_standings();
        let consumer = self.there(key)?;
        let standings = &consumer.standings;
        let state = match consumer.delivery_state.state(self.now_ms) {
            State::Running => match standings.worst(self.now_ms) {
                State::Running => self.or_refused(State::Running),
                state => state,
            },
            state => state,
        };
        let state = match state {
            State::Running | State::Waiting if consumer.has_obstacles() => {
                // That the server takes no writes concerns all streams.
                if self.refusal.is_some() {
                    State::Refused
                } else {
                    State::Blocked
                }
            }
            state => state,
        };
        let reason = match state {
            State::Blocked => self.why_blocked(consumer),
            State::Refused => self.refusal.as_ref().map(|one| Arc::clone(&one.error)),
            _ => None,
        };
        let aborted = standings.last_aborted();
        let aborted = aborted.and_then(|place| consumer.subs.get(place));
        let aborted = aborted.map(|at| self.subs.key_at(at));
        let aborted = aborted.and_then(|sub| self.subs.at(sub).delivery_state.aborted.clone());
        Some(Overview {
            spec: &consumer.spec,
            state,
            blocked_streams: consumer.obstacles(),
            reason,
            is_held: state != State::Running || standings.is_any_held(self.now_ms),
            streams: consumer.subs.len(),
            in_flight: standings.in_flight(),
            backlog: Backlog {
                entries: standings.backlog(),
                is_exact: standings.uncounted().next().is_none(),
                oldest_ms: standings.oldest_ms(),
            },
            totals: &consumer.totals,
            times: &consumer.times,
            errors: consumer.errors.as_deref(),
            aborted: consumer.delivery_state.aborted.clone().or(aborted),
            is_failing: standings.is_failing(),
        })
    }

    /// Notes how it stands with what has changed, before that becomes much.
    pub(super) fn note_standings_if_many(&mut self) {
        if self.subs.changed_count() >= MANY {
            self.note_some(AT_A_FACT);
        }
    }

    /// The same, however long no fact comes.
    pub(super) fn note_standings_in_time(&mut self) {
        if self.subs.changed_count() >= MANY {
            self.note_some(IN_TIME);
        }
    }

    /// Notes how it stands with what has changed, for somebody who looks.
    pub(super) fn note_standings(&mut self) {
        self.note_some(AT_A_LOOK);
    }

    /// Notes how it stands with all that has changed.
    pub(super) fn note_all_standings(&mut self) {
        self.note_some(usize::MAX);
    }

    fn note_some(&mut self, most: usize) {
        for _ in 0..most {
            let Some((key, sub)) = self.subs.pop_changed() else {
                return;
            };
            let Some(sub) = sub else {
                continue;
            };
            let Some(consumer) = self.consumers.get_mut(sub.consumer) else {
                continue;
            };
            let before = consumer.standings.get(key);
            let standing = sub.standing(before, self.now_ms);
            consumer.standings.set(key, sub.discovered, standing);
        }
    }
}

impl Subscription {
    /// How it stands, where it stood as it did `before`.
    pub(super) fn standing(&self, before: Standing, now_ms: u64) -> Standing {
        let state = &*self.delivery_state;
        let stopped = if state.aborted.is_some() {
            Some(Stopped::Aborted)
        } else {
            state.paused.then_some(Stopped::Paused)
        };
        Standing {
            in_flight: self.in_flight_count(),
            behind_since_ms: self.behind_since_ms(before.behind_since_ms, now_ms),
            stopped,
            until_ms: if stopped.is_none() { state.until_ms } else { 0 },
            failing: self.tally.is_failing(),
            out: self.has_delivered(),
            backlog: self.backlog(),
            uncounted: self.is_uncounted(),
        }
    }

    /// The time of the oldest entry that is not done. Of one that was not read the ID is not known:
    /// then since when it is known to be there, and at least the time of what is done.
    fn behind_since_ms(&self, before: Option<u64>, now_ms: u64) -> Option<u64> {
        if let Some(oldest) = self.cursor.oldest() {
            return Some(oldest.ms);
        }
        let is_new = self.tail.unread_new > 0;
        let since = before.unwrap_or(if is_new { now_ms } else { 0 });
        let is_behind = self.tail.has_unread && !(self.tail.is_counted && self.unread() == 0);
        is_behind.then_some(since.max(self.cursor.read().ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{ConsumerSpec, Event, KeyRef, Mode};

    #[test]
    fn a_change_of_all_streams_is_noted_a_part_at_a_time_and_in_the_end_all_of_it() {
        let mut core = Delivery::new(true);
        let consumer = core.add_consumer(ConsumerSpec::new(b"s", 1, false, Mode::Async));
        for number in 0..=2 * AT_A_LOOK {
            let name = format!("s{number}").into_bytes();
            core.on(Event::Found(KeyRef { db: 0, name: &name }));
        }
        core.on(Event::RoleChanged { primary: false });
        core.on(Event::RoleChanged { primary: true });
        // As it was where all of them changed at once.
        for sub in core.subs.keys().collect::<Vec<_>>() {
            core.subs.get_mut(sub);
        }
        for looks in 1..=3 {
            core.overview(consumer);
            let left = core.subs.changed_count();
            assert_eq!(left == 0, looks == 3, "{left} after {looks}");
        }
    }
}
