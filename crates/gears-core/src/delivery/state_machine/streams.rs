//! Streams come into sight, change their names, and go.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::event::{ControlMessage, KeyRef};
use super::super::id::EntryId;
use super::super::names::swapped;
use super::super::subscription::{Recall, Subscription};
use super::super::{StreamKey, SubscriptionKey};
use super::{Delivery, TrackedStream, Trimmed};

impl Delivery {
    /// A stream was touched, and `appended` entries were added to it.
    pub(super) fn touched(&mut self, key: KeyRef<'_>, appended: u64) {
        let stream = match self.names.get(key, &self.streams) {
            Some(stream) => stream,
            None if self.prefixes.matches(key.name) => self.track(key),
            None => return,
        };
        self.refresh(stream);
        // By index: scheduling needs the whole core, and the list does not change meanwhile.
        for at in 0..self.streams[stream].subs.len() {
            let sub = self.streams[stream].subs[at];
            let state = &mut self.subs[sub];
            let policy = self.consumers[state.consumer].spec.policy.as_deref();
            state.note_added(appended, policy, self.now_ms);
            let is_batched = state.feed.is_batched();
            if appended > 0 && self.is_sync(sub) {
                if self.is_runnable(sub) {
                    self.urgent.push(sub, appended);
                }
            } else if appended > 0 && !is_batched {
                let consumer = self.subs[sub].consumer;
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
        let Some(stream) = self.names.get(from, &self.streams) else {
            self.touched(to, 0);
            return;
        };
        self.names.remove(from, stream);
        let name: Arc<[u8]> = to.name.into();
        let state = &mut self.streams[stream];
        state.db = to.db;
        state.name = Arc::clone(&name);
        // Consumers that match only the new name join when it is matched again.
        state.matched_at = 0;
        let mut leave = Vec::new();
        state.subs.retain(|sub| {
            let stays = self.consumers[self.subs[*sub].consumer].spec.matches(&name);
            if !stays {
                leave.push(*sub);
            }
            stays
        });
        self.names.insert(stream, &self.streams);
        for sub in leave {
            self.drop_subscription(sub);
        }
        for sub in &self.streams[stream].subs {
            let state = &self.subs[*sub];
            if state.has_delivered() {
                self.control_messages.push_back(ControlMessage::Moved {
                    consumer: state.consumer,
                    sub: *sub,
                });
            }
        }
        self.touched(to, 0);
        if self.streams[stream].subs.is_empty() {
            self.untrack(stream);
        } else {
            self.queue_trim(stream);
        }
    }

    /// The last ID of a stream was set back.
    pub(super) fn rewound(&mut self, key: KeyRef<'_>, last: EntryId) {
        let Some(stream) = self.names.get(key, &self.streams) else {
            return;
        };
        self.streams[stream].trimmed = Trimmed::NOTHING;
        for at in 0..self.streams[stream].subs.len() {
            let sub = self.streams[stream].subs[at];
            if self.subs[sub].cursor.read() <= last {
                continue;
            }
            // What waits beside the callback may be of IDs that come again.
            self.recall(sub, Recall::Demotion);
            self.subs[sub].rewind(last);
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
        for sub in self.subs.keys().collect::<Vec<_>>() {
            if self.subs[sub].feed.is_batched()
                && let Some(batcher) = self.subs[sub].feed.batcher_mut()
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

    pub(super) fn track(&mut self, key: KeyRef<'_>) -> StreamKey {
        let name: Arc<[u8]> = key.name.into();
        let stream = self.streams.insert(TrackedStream {
            db: key.db,
            name,
            subs: SmallVec::new(),
            matched_at: 0,
            trimmed: Trimmed::NOTHING,
            trim_queued: false,
        });
        self.names.insert(stream, &self.streams);
        stream
    }

    /// Subscribes the consumers that match a stream and do not know it yet.
    pub(super) fn refresh(&mut self, key: StreamKey) {
        let stream = &mut self.streams[key];
        if stream.matched_at == self.epoch {
            return;
        }
        stream.matched_at = self.epoch;
        let name = Arc::clone(&stream.name);
        for consumer in self.prefixes.matching(&name) {
            let known = stream
                .subs
                .iter()
                .any(|sub| self.subs[*sub].consumer == consumer);
            if !known {
                self.discovered += 1;
                let spec = &self.consumers[consumer].spec;
                let sub = Subscription::new(consumer, key, self.discovered, spec);
                let sub = self.subs.insert(sub);
                if self.subs[sub].is_start_unresolved() {
                    self.start_unresolved.push(sub);
                }
                stream.subs.push(sub);
                self.consumers[consumer].subs.insert(self.discovered, sub);
            }
        }
        for at in 0..self.streams[key].subs.len() {
            self.schedule(self.streams[key].subs[at]);
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
        for sub in std::mem::take(&mut self.streams[stream].subs) {
            self.drop_subscription(sub);
        }
        self.untrack(stream);
    }

    pub(super) fn drop_subscription(&mut self, sub: SubscriptionKey) {
        if let Some(state) = self.subs.remove(sub) {
            let consumer = &mut self.consumers[state.consumer];
            consumer.subs.remove(state.discovered);
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
    }

    /// Gives a subscription another name, so that reports about what it had with callbacks find
    /// nothing. Its counters and its place in the list stay.
    pub(super) fn renew(&mut self, old: SubscriptionKey) -> SubscriptionKey {
        let state = &self.subs[old];
        let (consumer, stream, discovered) = (state.consumer, state.stream, state.discovered);
        let spec = &self.consumers[consumer].spec;
        let mut unread_new = Subscription::new(consumer, stream, discovered, spec);
        unread_new.tally = state.tally.clone();
        self.drop_subscription(old);
        let sub = self.subs.insert(unread_new);
        self.consumers[consumer].subs.insert(discovered, sub);
        self.consumers[consumer].recent.rename(old, sub);
        let list = &mut self.streams[stream].subs;
        if let Some(at) = list.iter().position(|one| *one == old) {
            list[at] = sub;
        }
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
