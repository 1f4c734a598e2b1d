//! Streams come into sight, change their names, and go.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::arrival_order::ArrivalOrder;
use super::super::databases::swapped;
use super::super::event::{ControlMessage, KeyRef};
use super::super::id::EntryId;
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
            let is_ordered = state.feed.keeps_arrival_order(policy);
            if appended > 0 && self.is_sync(sub) {
                if self.is_runnable(sub) {
                    self.urgent.push(sub, appended);
                }
            } else if appended > 0 && is_ordered {
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
        let home = self.names.home(to.db);
        let name: Arc<[u8]> = to.name.into();
        let state = &mut self.streams[stream];
        self.names.remove(state.home, &state.name, stream);
        state.home = home;
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
        for deletions in &mut self.deletions {
            deletions.db = swapped(deletions.db, a, b);
        }
    }

    pub(super) fn flushed(&mut self, db: Option<i32>) {
        match db {
            Some(db) if !self.names.are_all_in(db) => {
                for stream in self.names.of_database(db) {
                    self.drop_stream(stream);
                }
            }
            _ => self.drop_all_streams(),
        }
    }

    /// Forgets all streams, of which there may be a million: what is known of them is put aside as a
    /// whole, and freed later.
    fn drop_all_streams(&mut self) {
        self.note_all_standings();
        for (consumer, state) in &mut self.consumers {
            let standings = std::mem::take(&mut state.standings);
            for place in standings.out() {
                self.control_messages
                    .extend(state.subs.get(place).map(|at| ControlMessage::Drop {
                        consumer,
                        sub: self.subs.key_at(at),
                    }));
            }
            state.order = ArrivalOrder::default();
            self.discarded.add(std::mem::take(&mut state.blocked));
            self.discarded.add(std::mem::take(&mut state.unlettered));
            state.subs.discard(&mut self.discarded);
            standings.discard(&mut self.discarded);
        }
        self.names.clear();
        self.subs.discard(&mut self.discarded);
        self.streams.discard(&mut self.discarded);
        self.discarded.add(std::mem::take(&mut self.timers));
        self.ready.clear();
        self.progress.clear();
        self.trims.clear();
    }

    /// Tracks a stream that some consumer wants.
    pub(super) fn track(&mut self, key: KeyRef<'_>) -> StreamKey {
        let name: Arc<[u8]> = key.name.into();
        let stream = self
            .streams
            .insert(TrackedStream::new(self.names.home(key.db), name));
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
        let joined = self.subscribe_matching(key);
        // Where nothing else changed than that consumers came, those that were there stay as they are.
        let concerned = if self.is_sweeping() {
            self.subs_to(key)
        } else {
            joined
        };
        for sub in concerned {
            self.schedule(sub);
        }
        true
    }

    /// The stream of this name, brought up to date.
    pub(super) fn current_stream(&mut self, key: KeyRef<'_>) -> Option<StreamKey> {
        let stream = self.names.get(key, &self.streams)?;
        self.refresh(stream).then_some(stream)
    }

    /// Subscribes the consumers that match a stream and do not know it yet; gives what came of it.
    fn subscribe_matching(&mut self, key: StreamKey) -> SmallVec<[SubscriptionKey; 8]> {
        let mut joined = SmallVec::new();
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
                joined.push(sub);
            }
        }
        joined
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
            .map(|stream| (self.names.db(stream.home), Arc::clone(&stream.name)))
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
        consumer.blocked.remove(&sub);
        consumer.unlettered.remove(&sub);
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
            self.names.remove(state.home, &state.name, stream);
        }
    }
}
