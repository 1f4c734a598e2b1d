//! Streams that the owner of their consumer may not have now: nothing is dispatched of them, and they are
//! tried again a little later. And streams whose dead letters cannot be written: they go on, but somebody
//! has to see to it.
//!
//! A stream stays noted while it is tried, so that nobody sees it go and come back.

use std::sync::Arc;

use super::super::{ConsumerKey, SubscriptionKey};
use super::{Delivery, RegisteredConsumer};

impl RegisteredConsumer {
    /// What is against a stream, if something is.
    pub(super) fn obstacle(&self, sub: SubscriptionKey) -> Option<&Arc<str>> {
        self.blocked.get(&sub).or_else(|| self.unlettered.get(&sub))
    }

    /// Whether something is against any.
    pub(super) fn has_obstacles(&self) -> bool {
        !self.blocked.is_empty() || !self.unlettered.is_empty()
    }

    /// What is against the first, of those that nothing is dispatched of if there are such.
    pub(super) fn first_obstacle(&self) -> Option<&Arc<str>> {
        let mut all = self.blocked.values().chain(self.unlettered.values());
        all.next()
    }

    /// How many streams something is against.
    pub(super) fn obstacles(&self) -> usize {
        let more = self.unlettered.keys();
        let more = more.filter(|sub| !self.blocked.contains_key(sub));
        self.blocked.len() + more.count()
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
        let before = consumer.blocked.insert(sub, Arc::clone(error));
        state.tally.note_error(Arc::clone(error));
        state.refuse();
        // It is tried again several times a second: that is one error for as long as it lasts.
        let is_new = before.is_none_or(|before| before != *error);
        self.note_error(sub, None, error, self.now_ms, is_new);
        self.urgent.forget(sub);
        self.schedule_next_in_order(sub);
    }

    /// The owner may have the stream.
    pub(super) fn authorized(&mut self, sub: SubscriptionKey) {
        if self.subs.contains_key(sub) {
            let consumer = self.subs.consumer_of(sub);
            self.consumers[consumer].blocked.remove(&sub);
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

    /// How many streams of a consumer its owner may not have now, and what was said of the first.
    #[must_use]
    pub fn blocked_streams(&self, key: ConsumerKey) -> (usize, Option<&Arc<str>>) {
        self.there(key).map_or((0, None), |one| {
            (one.blocked.len(), one.blocked.values().next())
        })
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
}
