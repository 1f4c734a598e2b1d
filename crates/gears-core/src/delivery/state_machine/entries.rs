//! What came of entries of consumers without a policy.

use std::sync::Arc;
use std::time::Duration;

use super::super::SubscriptionKey;
use super::super::consumer::Mode;
use super::super::event::ControlMessage;
use super::super::id::EntryId;
use super::super::subscription::Recall;
use super::Delivery;

impl Delivery {
    pub(super) fn read(&mut self, sub: SubscriptionKey, entries: &[(EntryId, usize)], end: bool) {
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        if state.cursor.note_read(entries) {
            // Something of old was redelivered, which says nothing about what is new.
            self.after_redelivery(sub, entries.is_empty());
            return;
        }
        let count = entries.len() as u64;
        state.tail.note_read(count);
        let consumer = &mut self.consumers[state.consumer];
        consumer.order.take(sub, count);
        if end {
            state.tail.note_end();
            consumer.order.forget(sub);
        }
        if consumer.spec.mode == Mode::Async {
            self.schedule(sub);
        }
    }

    /// An entry that was dispatched before was read again, or is gone: then it is done, which
    /// replicas do not see for themselves.
    pub(super) fn after_redelivery(&mut self, sub: SubscriptionKey, is_gone: bool) {
        if is_gone {
            self.queue_commit(sub);
        }
        let state = self.subs.at(sub);
        if state.cursor.unacknowledged() == 0 {
            // What held back a trim may be gone.
            let stream = state.stream;
            self.queue_trim(stream);
        }
        self.schedule(sub);
    }

    /// A callback is done with an entry: how long that took, and when it was.
    pub(super) fn finished(
        &mut self,
        sub: SubscriptionKey,
        id: EntryId,
        (took, now_ms): (Duration, u64),
        error: Option<&Arc<str>>,
        uncommitted: bool,
    ) {
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        if uncommitted {
            state.note_uncommitted(id);
        }
        let is_on_old_code = state.is_on_old_code(id);
        if id > state.cursor.started() {
            self.urgent.note_started(sub);
        }
        if error.is_some() && state.cursor.saw_demotion(id) {
            state.cursor.note_started(id);
            self.abandoned(sub, id);
        } else if state.cursor.note_finished(id) {
            let consumer = &mut self.consumers[state.consumer];
            consumer.totals.note_call(error.is_some());
            state.tally.note_call(error.is_some());
            consumer.note_finished((sub, state), id, took, now_ms, error.cloned());
            if let Some(error) = error {
                self.note_error(sub, Some(id), error, now_ms, true);
            }
            self.after_finish(sub, is_on_old_code);
        }
        self.queue_commit(sub);
    }

    pub(super) fn after_finish(&mut self, sub: SubscriptionKey, is_on_old_code: bool) {
        let stream = self.subs.stream_of(sub);
        if is_on_old_code {
            self.tell_window(sub);
        }
        self.queue_trim(stream);
        self.schedule(sub);
    }

    /// The prefetch queue has another window.
    pub(super) fn tell_window(&mut self, sub: SubscriptionKey) {
        let state = self.subs.at(sub);
        let consumer = state.consumer;
        let window = state.prefetch_window(self.consumers[consumer].spec.window);
        self.control_messages.push_back(ControlMessage::Window {
            consumer,
            sub,
            window,
        });
    }

    /// Whether the subscription is still there, and could give its callback another entry: one that
    /// waits, or is still to be read.
    #[must_use]
    pub fn has_next(&self, sub: SubscriptionKey) -> bool {
        self.subs.contains_key(sub) && self.is_runnable(sub)
    }

    /// A callback does not finish an entry: its code was replaced, or its server became a replica. It
    /// is read again, before what only waits.
    pub(super) fn abandoned(&mut self, sub: SubscriptionKey, id: EntryId) {
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        if state.cursor.lose(id) {
            state.tail.has_unread = true;
            self.recall(sub, Recall::Demotion);
            // Not before that: what waits may not take its place.
            self.tell_window(sub);
            self.schedule(sub);
        }
    }
}
