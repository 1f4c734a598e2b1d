//! Streams that are blocked: the owner of their consumer may not have them now, a callback has had an
//! entry of theirs for so long that it may never settle, or their dead letters cannot be written.
//!
//! Of what is refused nothing is dispatched, and it is tried again a little later. It stays noted while
//! it is tried, so that nobody sees it go and come back. A callback that has not settled keeps only its
//! place in the window.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::super::id::EntryId;
use super::super::{ConsumerKey, SubscriptionKey};
use super::{Delivery, RegisteredConsumer};
use crate::quoted;

/// A call of a callback that began long ago, and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StalledCall {
    /// The subscription.
    pub sub: SubscriptionKey,
    /// The entry, or the first of several.
    pub id: EntryId,
    /// When it began, Unix milliseconds.
    pub since_ms: u64,
}

/// What blocks a stream.
#[derive(Clone, Debug)]
pub(super) enum Obstacle {
    /// The owner may not have it, or its dead letter was not written: what was said.
    Said(Arc<str>),
    /// A callback has not settled.
    Stalled {
        /// The entry, or the first of several.
        id: EntryId,
        /// When it began, Unix milliseconds.
        since_ms: u64,
    },
}

impl Obstacle {
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Said(_))
    }

    /// What blocks the stream of that name, for people to read.
    pub(super) fn reason(&self, stream: &[u8], now_ms: u64) -> Arc<str> {
        match self {
            Self::Said(error) => Arc::clone(error),
            Self::Stalled { id, since_ms } => {
                let seconds = now_ms.saturating_sub(*since_ms) / 1000;
                let key = quoted(stream);
                format!("callback has not settled for {seconds} s: key {key}, entry {id}").into()
            }
        }
    }
}

impl RegisteredConsumer {
    /// What is against a stream, if something is.
    pub(super) fn obstacle(&self, sub: SubscriptionKey) -> Option<&Obstacle> {
        self.blocked.get(&sub).or_else(|| self.unlettered.get(&sub))
    }

    /// Whether something is against any.
    pub(super) fn has_obstacles(&self) -> bool {
        !self.blocked.is_empty() || !self.unlettered.is_empty()
    }

    /// What is against the first, of those that nothing is dispatched of if there are such.
    fn first_obstacle(&self) -> Option<(&SubscriptionKey, &Obstacle)> {
        self.blocked.iter().chain(&self.unlettered).next()
    }

    /// How many streams something is against.
    pub(super) fn obstacles(&self) -> usize {
        let more = self.unlettered.keys();
        let more = more.filter(|sub| !self.blocked.contains_key(sub));
        self.blocked.len() + more.count()
    }

    /// A stream is paused, or stopped: that holds it up, whatever else is against it.
    pub(super) fn forget_obstacle(&mut self, sub: SubscriptionKey) {
        self.blocked.remove(&sub);
        self.unlettered.remove(&sub);
    }
}

impl Delivery {
    /// The owner may not have the stream.
    pub(super) fn refused_to_owner(&mut self, sub: SubscriptionKey, error: &Arc<str>) {
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        let consumer = &mut self.consumers[state.consumer];
        consumer.totals.note_error(Arc::clone(error));
        let obstacle = Obstacle::Said(Arc::clone(error));
        let before = consumer.blocked.insert(sub, obstacle);
        state.tally.note_error(Arc::clone(error));
        state.refuse();
        // It is tried again several times a second: that is one error for as long as it lasts.
        let is_known = matches!(&before, Some(Obstacle::Said(before)) if before == error);
        self.note_error(sub, None, error, self.now_ms, !is_known);
        self.urgent.forget(sub);
        self.schedule_next_in_order(sub);
    }

    /// The owner may have the stream.
    pub(super) fn authorized(&mut self, sub: SubscriptionKey) {
        if self.subs.contains_key(sub) {
            let consumer = self.subs.consumer_of(sub);
            let blocked = &mut self.consumers[consumer].blocked;
            if blocked.get(&sub).is_some_and(Obstacle::is_refusal) {
                blocked.remove(&sub);
            }
        }
    }

    /// A run ended, or what was refused may be tried again.
    pub(super) fn yielded(&mut self, sub: SubscriptionKey) {
        if let Some(state) = self.subs.get_mut(sub) {
            state.end_refusal();
            // Where there is nothing to do now, nobody asks for the stream, and nobody is refused it.
            let noted = !self.consumers[state.consumer].blocked.is_empty();
            if noted && !self.is_runnable(sub) {
                self.authorized(sub);
            }
        }
        self.schedule(sub);
    }

    /// Takes note of all calls that have not ended for long, the oldest first. Gives those of streams that
    /// were not blocked before.
    pub fn set_stalled(&mut self, calls: &[StalledCall]) -> Vec<StalledCall> {
        let mut before = Vec::new();
        for (_, consumer) in &mut self.consumers {
            consumer.blocked.retain(|sub, obstacle| {
                let stays = obstacle.is_refusal();
                if !stays {
                    before.push(*sub);
                }
                stays
            });
        }
        before.sort_unstable();
        let mut new = Vec::new();
        for call in calls {
            let StalledCall { sub, id, since_ms } = *call;
            let Some(state) = self.subs.get(sub) else {
                continue;
            };
            // Where it is paused or stopped, that holds it up.
            if !self.is_active() || state.delivery_state.is_final() {
                continue;
            }
            if let Entry::Vacant(place) = self.consumers[state.consumer].blocked.entry(sub) {
                place.insert(Obstacle::Stalled { id, since_ms });
                if before.binary_search(&sub).is_err() {
                    new.push(*call);
                }
            }
        }
        new
    }

    /// Whether any stream of a consumer is blocked, other than for its dead letters.
    #[must_use]
    pub fn is_any_blocked(&self, key: ConsumerKey) -> bool {
        self.there(key).is_some_and(|one| !one.blocked.is_empty())
    }

    /// Why a consumer is blocked: of the first of its streams that are.
    pub(super) fn why_blocked(&self, consumer: &RegisteredConsumer) -> Option<Arc<str>> {
        let (sub, obstacle) = consumer.first_obstacle()?;
        let stream = &self.streams[self.subs.stream_of(*sub)];
        Some(obstacle.reason(&stream.name, self.now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{ConsumerSpec, Event, KeyRef, Mode, State};

    fn blocked(core: &mut Delivery, consumer: ConsumerKey) -> (State, usize, Option<String>) {
        let overview = core.overview(consumer).unwrap();
        let reason = overview.reason.map(|reason| reason.to_string());
        (overview.state, overview.blocked_streams, reason)
    }

    #[test]
    fn a_consumer_is_blocked_until_its_owner_may_have_all_of_its_streams_again() {
        let mut core = Delivery::new(true);
        let consumer = core.add_consumer(ConsumerSpec::new(b"s", 1, false, Mode::Async));
        for name in [b"s1", b"s2", b"s3"] {
            core.on(Event::Appended(KeyRef { db: 0, name }));
        }
        let subs: Vec<_> = core.subs.keys().collect();
        for (number, sub) in subs.iter().enumerate() {
            let error = format!("NOPERM {number}").into();
            core.on(Event::Refused { sub: *sub, error });
        }
        let first = |text: &str| Some(text.to_owned());
        assert_eq!(
            blocked(&mut core, consumer),
            (State::Blocked, 3, first("NOPERM 0"))
        );
        // It is tried again: that says nothing yet.
        core.on(Event::Yielded(subs[0]));
        assert_eq!(core.view(subs[0]).state, State::Blocked);
        core.on(Event::Authorized(subs[0]));
        assert_eq!(core.view(subs[0]).state, State::Running);
        assert_eq!(
            blocked(&mut core, consumer),
            (State::Blocked, 2, first("NOPERM 1"))
        );
        let (db, name) = core.stream_of(subs[1]).unwrap();
        core.on(Event::Removed(KeyRef { db, name: &name }));
        assert_eq!(blocked(&mut core, consumer).1, 1);
        core.on(Event::RoleChanged { primary: false });
        assert_eq!(blocked(&mut core, consumer), (State::Running, 0, None));
    }

    /// A consumer that is blocked at its only stream.
    fn blocked_at_one(core: &mut Delivery) -> (ConsumerKey, SubscriptionKey) {
        let consumer = core.add_consumer(ConsumerSpec::new(b"s", 1, false, Mode::Async));
        core.on(Event::Appended(KeyRef { db: 0, name: b"s" }));
        let sub = core.subs.keys().next().unwrap();
        let error = "NOPERM".into();
        core.on(Event::Refused { sub, error });
        assert_eq!(blocked(core, consumer).0, State::Blocked);
        (consumer, sub)
    }

    #[test]
    fn a_stream_that_is_refused_again_and_again_for_one_reason_is_one_error() {
        let mut core = Delivery::new(true);
        core.set_time(1000);
        let (consumer, sub) = blocked_at_one(&mut core);
        let refuse = |core: &mut Delivery, now_ms, error: &str| {
            core.set_time(now_ms);
            let error = error.into();
            core.on(Event::Refused { sub, error });
        };
        refuse(&mut core, 2000, "NOPERM");
        refuse(&mut core, 3000, "NOAUTH gone");
        core.on(Event::Authorized(sub));
        refuse(&mut core, 4000, "NOAUTH gone");
        let errors = core.overview(consumer).unwrap().errors.unwrap();
        let classes: Vec<_> = errors.classes.iter().collect();
        assert_eq!(classes, [("NOAUTH", 2), ("NOPERM", 1)]);
        assert_eq!((errors.last_ms, errors.last_id), (4000, None));
        assert_eq!(*errors.last_stream, *b"s");
    }

    #[test]
    fn a_consumer_whose_streams_are_flushed_is_not_blocked_any_more() {
        for db in [None, Some(0)] {
            let mut core = Delivery::new(true);
            let (consumer, _) = blocked_at_one(&mut core);
            core.on(Event::Flushed(db));
            assert_eq!(blocked(&mut core, consumer), (State::Running, 0, None));
        }
    }

    #[test]
    fn a_stream_that_is_paused_is_blocked_by_nobody_when_it_is_tried_again() {
        let mut core = Delivery::new(true);
        let (consumer, sub) = blocked_at_one(&mut core);
        core.pause(consumer, None);
        core.on(Event::Yielded(sub));
        assert_eq!(blocked(&mut core, consumer).1, 0);
    }

    #[test]
    fn a_stream_that_is_paused_is_blocked_by_nobody_from_then_on() {
        let mut core = Delivery::new(true);
        let (consumer, _) = blocked_at_one(&mut core);
        core.pause(consumer, Some(KeyRef { db: 0, name: b"s" }));
        assert_eq!(blocked(&mut core, consumer).1, 0);
        let view = core.streams_of(consumer).next().unwrap();
        assert_eq!((view.state, view.blocked()), (State::Paused, None));
    }

    fn call(sub: SubscriptionKey, ms: u64, since_ms: u64) -> StalledCall {
        StalledCall {
            sub,
            id: EntryId::new(ms, 1),
            since_ms,
        }
    }

    #[test]
    fn a_stream_is_blocked_while_a_callback_does_not_settle_and_the_oldest_call_is_named() {
        let mut core = Delivery::new(true);
        let consumer = core.add_consumer(ConsumerSpec::new(b"s", 3, false, Mode::Async));
        core.on(Event::Appended(KeyRef { db: 0, name: b"s" }));
        let sub = core.subs.keys().next().unwrap();
        core.set_time(71_999);
        let new = core.set_stalled(&[call(sub, 5, 10_000), call(sub, 7, 12_000)]);
        assert_eq!(new, [call(sub, 5, 10_000)]);
        let reason = "callback has not settled for 61 s: key 's', entry 5-1";
        let expected = (State::Blocked, 1, Some(reason.to_owned()));
        assert_eq!(blocked(&mut core, consumer), expected);
        assert_eq!(core.view(sub).state, State::Blocked);
        assert_eq!(core.view(sub).blocked().as_deref(), Some(reason));
        // Owners are asked all the time.
        core.on(Event::Authorized(sub));
        core.on(Event::Yielded(sub));
        assert_eq!(blocked(&mut core, consumer).1, 1);
        assert_eq!(core.set_stalled(&[call(sub, 5, 10_000)]), []);
        assert!(core.overview(consumer).unwrap().errors.is_none());
        assert_eq!(core.set_stalled(&[]), []);
        assert_eq!(blocked(&mut core, consumer), (State::Running, 0, None));
    }

    #[test]
    fn what_is_paused_or_refused_is_not_said_to_wait_for_a_callback() {
        let mut core = Delivery::new(true);
        let (consumer, sub) = blocked_at_one(&mut core);
        assert_eq!(core.set_stalled(&[call(sub, 5, 0)]), []);
        let reason = blocked(&mut core, consumer).2;
        assert_eq!(reason.as_deref(), Some("NOPERM"));
        core.pause(consumer, Some(KeyRef { db: 0, name: b"s" }));
        assert_eq!(core.set_stalled(&[call(sub, 5, 0)]), []);
        assert_eq!(blocked(&mut core, consumer).1, 0);
    }
}
