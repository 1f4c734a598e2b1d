//! Streams come into sight, change their names, and go.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::event::{ControlMessage, KeyRef};
use super::super::id::EntryId;
use super::super::names::swapped;
use super::super::subscription::{Recall, Subscription};
use super::super::subscriptions::Subscriptions;
use super::super::tracked::{TrackedStream, Trimmed};
use super::super::{ConsumerKey, StreamKey, SubscriptionKey};
use super::Delivery;

impl Delivery {
    /// A stream was touched, and `appended` entries were added to it.
    pub(super) fn touched(&mut self, key: KeyRef<'_>, appended: u64) {
        let stream = match self.current_stream(key) {
            Some(stream) => stream,
            None if self.prefixes.matches(key.name) => self.track(key),
            None => return,
        };
        let mut next = self.subs.first(self.streams[stream].subs);
        while let Some(sub) = next {
            next = self.subs.next(sub);
            let state = self.subs.at_mut(sub);
            let policy = self.consumers[state.consumer].spec.policy.as_deref();
            state.note_added(appended, policy, self.now_ms);
            let is_batched = state.feed.is_batched();
            if appended > 0 && self.is_sync(sub) {
                if self.is_runnable(sub) {
                    self.urgent.push(sub, appended);
                }
            } else if appended > 0 && !is_batched {
                let consumer = self.subs.consumer_of(sub);
                if let Some(other) = self.consumers[consumer].order.push(sub, appended) {
                    self.note_open(consumer, other);
                }
            }
            self.schedule(sub);
        }
    }

    pub(super) fn moved(&mut self, from: KeyRef<'_>, to: KeyRef<'_>) {
        if from == to {
            return;
        }
        self.drop_named(to);
        let Some(stream) = self.current_stream(from) else {
            self.touched(to, 0);
            return;
        };
        self.names.remove(from, stream);
        let name: Arc<[u8]> = to.name.into();
        let state = &mut self.streams[stream];
        state.db = to.db;
        state.name = Arc::clone(&name);
        self.names.insert(stream, &self.streams);
        for sub in self.subs_to(stream) {
            let consumer = self.subs.consumer_of(sub);
            if !self.consumers[consumer].spec.matches(&name) {
                self.drop_subscription(sub);
            } else if self.subs.at(sub).has_delivered() {
                self.control_messages
                    .push_back(ControlMessage::Moved { consumer, sub });
            }
        }
        // Consumers that match only the new name join.
        self.subscribe_matching(stream);
        self.touched(to, 0);
        if self.streams[stream].subs.is_empty() {
            self.untrack(stream);
        } else {
            self.queue_trim(stream);
        }
    }

    /// The last ID of a stream was set back.
    pub(super) fn rewound(&mut self, key: KeyRef<'_>, last: EntryId) {
        let Some(stream) = self.current_stream(key) else {
            return;
        };
        self.streams[stream].trimmed = Trimmed::NOTHING;
        for sub in self.subs_to(stream) {
            if self.subs.at(sub).cursor.read() <= last {
                continue;
            }
            // What waits beside the callback may be of IDs that come again.
            self.recall(sub, Recall::Demotion);
            self.subs.at_mut(sub).rewind(last);
            self.schedule(sub);
        }
    }

    pub(super) fn swapped(&mut self, a: i32, b: i32) {
        self.names.swap(a, b);
        for db in [a, b] {
            for stream in self.names.of_database(db) {
                self.streams[stream].db = db;
            }
        }
        for deletions in &mut self.deletions {
            deletions.db = swapped(deletions.db, a, b);
        }
        // Nothing of one that is packed is in a database, nor of one on whose way nothing is.
        for sub in self.subs.whole().collect::<Vec<_>>() {
            if !self.subs.at(sub).feed.is_idle()
                && let Some(batcher) = self.subs.at_mut(sub).feed.batcher_mut()
            {
                batcher.swapped(a, b);
            }
        }
    }

    pub(super) fn flushed(&mut self, db: Option<i32>) {
        let streams: Vec<_> = match db {
            Some(db) => self.names.of_database(db),
            None => self.streams.keys().collect(),
        };
        for stream in streams {
            self.drop_stream(stream);
        }
    }

    /// Tracks a stream that some consumer wants.
    pub(super) fn track(&mut self, key: KeyRef<'_>) -> StreamKey {
        let name: Arc<[u8]> = key.name.into();
        let stream = self.streams.insert(TrackedStream::new(key.db, name));
        self.names.insert(stream, &self.streams);
        self.refresh(stream);
        stream
    }

    /// Brings a stream up to date: tells its subscriptions what became of their consumers and of the
    /// server, and subscribes the consumers that match it and do not know it yet. False where nobody
    /// wants it any more, and it is forgotten.
    pub(super) fn refresh(&mut self, key: StreamKey) -> bool {
        let stream = &mut self.streams[key];
        let seen = std::mem::replace(&mut stream.matched_at, self.epoch);
        if seen == self.epoch {
            return true;
        }
        if self.is_sweeping() && seen > 0 {
            for sub in self.subs_to(key) {
                self.carry_over(sub, seen);
            }
            if self.streams[key].subs.is_empty() {
                self.untrack(key);
                return false;
            }
        }
        self.subscribe_matching(key);
        for sub in self.subs_to(key) {
            self.schedule(sub);
        }
        true
    }

    /// The stream of this name, brought up to date.
    pub(super) fn current_stream(&mut self, key: KeyRef<'_>) -> Option<StreamKey> {
        let stream = self.names.get(key, &self.streams)?;
        self.refresh(stream).then_some(stream)
    }

    /// Subscribes the consumers that match a stream and do not know it yet.
    fn subscribe_matching(&mut self, key: StreamKey) {
        let stream = &mut self.streams[key];
        let name = Arc::clone(&stream.name);
        // In order: there may be thousands, and each that matches is looked for.
        let known = self.subs.siblings(stream.subs);
        let mut known: SmallVec<[ConsumerKey; 8]> =
            known.map(|sub| self.subs.consumer_of(sub)).collect();
        known.sort_unstable();
        for consumer in self.prefixes.matching(&name) {
            if known.binary_search(&consumer).is_err() {
                let state = &mut self.consumers[consumer];
                let place = state.subs.next();
                let sub = Subscription::new(consumer, key, place, &state.spec);
                let is_start_unresolved = sub.is_start_unresolved();
                let sub = self.subs.insert(sub, &mut stream.subs);
                if is_start_unresolved {
                    self.start_unresolved.push(sub);
                }
                state.subs.insert(place, Subscriptions::place(sub));
            }
        }
    }

    pub(super) fn drop_named(&mut self, key: KeyRef<'_>) {
        if let Some(stream) = self.names.get(key, &self.streams) {
            self.drop_stream(stream);
        }
    }

    /// The streams that are tracked, by database and name, in no order.
    #[must_use]
    pub fn tracked(&self) -> Vec<(i32, Arc<[u8]>)> {
        let streams = self.streams.values();
        streams
            .map(|stream| (stream.db, Arc::clone(&stream.name)))
            .collect()
    }

    pub(super) fn drop_stream(&mut self, stream: StreamKey) {
        for sub in self.subs_to(stream) {
            self.drop_subscription(sub);
        }
        self.untrack(stream);
    }

    pub(super) fn drop_subscription(&mut self, sub: SubscriptionKey) {
        let stream = self.subs.stream_of(sub);
        if let Some(state) = self.subs.remove(sub, &mut self.streams[stream].subs) {
            self.consumers[state.consumer].subs.remove(state.discovered);
            self.end_subscription(sub, &state);
        }
    }

    /// Nothing is to be done any more in the name of a subscription.
    fn end_subscription(&mut self, sub: SubscriptionKey, state: &Subscription) {
        let consumer = &mut self.consumers[state.consumer];
        consumer.standings.remove(sub);
        consumer.order.forget(sub);
        if let Some(first) = consumer.order.first() {
            self.schedule_one(first);
        }
        if state.timer_ms > 0 {
            self.timers.remove(&(state.timer_ms, sub));
        }
        if state.has_delivered() {
            self.control_messages.push_back(ControlMessage::Drop {
                consumer: state.consumer,
                sub,
            });
        }
    }

    /// The subscriptions to a stream, in the order in which they came.
    fn subs_to(&self, stream: StreamKey) -> SmallVec<[SubscriptionKey; 8]> {
        self.subs.siblings(self.streams[stream].subs).collect()
    }

    /// Gives a subscription another name, so that reports about what it had with callbacks find
    /// nothing. Its counters and its place in the list stay.
    pub(super) fn renew(&mut self, old: SubscriptionKey) -> SubscriptionKey {
        let state = self.subs.at(old);
        let (consumer, stream, discovered) = (state.consumer, state.stream, state.discovered);
        let spec = &self.consumers[consumer].spec;
        let mut unread_new = Subscription::new(consumer, stream, discovered, spec);
        unread_new.tally = state.tally.clone();
        let (sub, ended) = self.subs.replace(old, unread_new);
        self.end_subscription(old, &ended);
        self.consumers[consumer].recent.rename(old, sub);
        sub
    }

    pub(super) fn untrack(&mut self, stream: StreamKey) {
        if let Some(state) = self.streams.remove(stream) {
            let name = KeyRef {
                db: state.db,
                name: &state.name,
            };
            self.names.remove(name, stream);
        }
    }
}
