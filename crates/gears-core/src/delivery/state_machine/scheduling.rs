//! What is runnable, and in which list it waits to be dispatched, trimmed or recalled.

use super::super::event::ControlMessage;
use super::super::subscription::{List, Phase, Recall, Subscription};
use super::super::{ConsumerKey, StreamKey, SubscriptionKey};
use super::Delivery;

impl Delivery {
    /// Whether there is anything to dispatch, to commit, or to trim.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.has_dispatches()
            || (self.is_active() && self.is_sweeping())
            || (self.is_active()
                && !(self.progress.is_empty()
                    && self.consumer_states.is_empty()
                    && !self.has_writes()))
    }

    /// Whether there is anything to write or to trim, and the server takes it.
    pub(super) fn has_writes(&self) -> bool {
        self.has_dead_letters() || (!self.trims.is_empty() && self.may_trim())
    }

    /// Whether there are dead letters to write or to delete, and the server takes that.
    #[must_use]
    pub fn has_dead_letters(&self) -> bool {
        self.refusal.is_none() && !(self.dead_letters.is_empty() && self.deletions.is_empty())
    }

    /// Whether it matters if the server takes writes: something waits for that, or would be
    /// dispatched, written or trimmed.
    #[must_use]
    pub fn wants_to_write(&self) -> bool {
        self.is_active() && (self.refusal.is_some() || self.has_dispatches() || self.has_writes())
    }

    /// Whether there is anything to dispatch.
    #[must_use]
    pub fn has_dispatches(&self) -> bool {
        self.is_active() && !(self.urgent.is_empty() && self.ready.is_empty())
    }

    /// Whether a sync consumer has entries of this tick to process.
    #[must_use]
    pub fn has_urgent(&self) -> bool {
        self.is_active() && !self.urgent.is_empty()
    }

    /// Whether the subscription is still there, and may start entries.
    #[must_use]
    pub fn may_start(&self, sub: SubscriptionKey) -> bool {
        self.is_active()
            && self
                .subs
                .get(sub)
                .is_some_and(|state| !state.is_recalling() && !self.is_blocked(&state))
    }

    /// Whether nothing of a stream can be dispatched now.
    pub(super) fn is_blocked(&self, state: &Subscription) -> bool {
        let consumer = &self.consumers[state.consumer];
        self.refusal.is_some()
            || consumer.leaving
            || state.delivery_state.blocks(self.now_ms)
            || consumer.delivery_state.blocks(self.now_ms)
    }

    pub(super) fn is_runnable(&self, sub: SubscriptionKey) -> bool {
        let state = &*self.subs.at(sub);
        let consumer = &self.consumers[state.consumer];
        if state.is_start_unresolved() {
            // Nothing keeps it from that: what is added from now on is not to be left out.
            return self.is_active() && !consumer.leaving;
        }
        if !self.is_active() || consumer.suspended || self.is_blocked(state) {
            return false;
        }
        state.is_runnable(consumer.feed_context(sub, self.now_ms))
    }

    pub(super) fn schedule(&mut self, sub: SubscriptionKey) {
        if self.subs.contains_key(sub) {
            self.schedule_one(sub);
            self.schedule_next_in_order(sub);
        }
    }

    /// What a stream can do says how far others of its consumer may be read.
    pub(super) fn schedule_next_in_order(&mut self, sub: SubscriptionKey) {
        let consumer = self.subs.consumer_of(sub);
        if self.consumers[consumer].order.is_alone(sub) {
            return;
        }
        if self.consumers[consumer].order.contains(sub) {
            self.note_open(consumer, sub);
        }
        if let Some(first) = self.consumers[consumer].order.first()
            && first != sub
        {
            self.schedule_one(first);
        }
    }

    /// Says in the order of its consumer's streams whether this one is open.
    pub(super) fn note_open(&mut self, consumer: ConsumerKey, sub: SubscriptionKey) {
        let is_open = self.is_open(sub);
        self.consumers[consumer].order.set_open(sub, is_open);
    }

    /// Whether a stream could give the callback an entry, if it had one.
    pub(super) fn is_open(&self, sub: SubscriptionKey) -> bool {
        let state = &*self.subs.at(sub);
        let consumer = &self.consumers[state.consumer];
        !(consumer.suspended || state.phase != Phase::Running || self.is_blocked(state))
            && self.is_active()
            && state.has_place(consumer.feed_context(sub, self.now_ms))
    }

    pub(super) fn schedule_one(&mut self, sub: SubscriptionKey) {
        if self.subs.at(sub).lists.contains(List::Ready) && !self.urgent.contains(sub) {
            // When its turn comes it is looked at in any case: what came of many entries is told one
            // by one before that.
            return;
        }
        if !self.is_runnable(sub) {
            // No writer waits for what cannot be run in its tick.
            self.urgent.forget(sub);
            self.set_timer(sub);
            return;
        }
        let is_urgent = self.urgent.contains(sub);
        let state = self.subs.at_mut(sub);
        if !is_urgent && state.lists.enter(List::Ready) {
            self.ready.push_back(sub);
        }
    }

    /// Nothing is known of what the stream holds behind the cursor.
    pub(super) fn rescan(&mut self, sub: SubscriptionKey) {
        let state = self.subs.at_mut(sub);
        self.consumers[state.consumer].order.forget(sub);
        state.rescan();
        self.queue_trim(self.subs.stream_of(sub));
        self.schedule(sub);
    }

    pub(super) fn queue_trim(&mut self, stream: StreamKey) {
        let state = &mut self.streams[stream];
        if !state.trim_queued {
            state.trim_queued = true;
            self.trims.push_back(stream);
        }
    }

    pub(super) fn recall(&mut self, sub: SubscriptionKey, why: Recall) {
        let state = self.subs.at_mut(sub);
        // What is read again was added before what is counted.
        self.consumers[state.consumer].order.forget(sub);
        if state.is_recalling() {
            // One answer ends both. What is in flight is with the old code if either says so.
            if why == Recall::Upgrade {
                state.phase = Phase::Recalling(why);
            }
            return;
        }
        let is_out = match state.feed.batcher() {
            Some(batcher) => batcher.in_flight_count() > 0,
            None => state.cursor.unacknowledged() > 0,
        };
        state.put_back();
        if is_out {
            state.phase = Phase::Recalling(why);
            self.control_messages.push_back(ControlMessage::Recall {
                consumer: state.consumer,
                sub,
            });
        }
    }
}
