//! What people ask for: pause, resume, begin elsewhere, try now.

use super::super::checkpoint::Checkpoint;
use super::super::delivery_state::DeliveryState;
use super::super::event::KeyRef;
use super::super::id::EntryId;
use super::super::subscription::Recall;
use super::super::{ConsumerKey, SubscriptionKey};
use super::{Delivery, StreamView};

impl Delivery {
    /// Whether a consumer knows a stream.
    #[must_use]
    pub fn knows(&self, consumer: ConsumerKey, key: KeyRef<'_>) -> bool {
        self.find(consumer, key).is_some()
    }

    /// One stream of a consumer, if it knows that.
    #[must_use]
    pub fn stream(&self, consumer: ConsumerKey, key: KeyRef<'_>) -> Option<StreamView<'_>> {
        self.find(consumer, key).map(|sub| self.view(sub))
    }

    /// A consumer's subscription to a stream, brought up to date.
    pub(super) fn find_current(
        &mut self,
        consumer: ConsumerKey,
        key: KeyRef<'_>,
    ) -> Option<SubscriptionKey> {
        let sub = self.find(consumer, key)?;
        self.catch_up(sub).then_some(sub)
    }

    pub(super) fn find(&self, consumer: ConsumerKey, key: KeyRef<'_>) -> Option<SubscriptionKey> {
        let stream = self.names.get(key, &self.streams)?;
        let mut subs = self.subs.siblings(self.streams[stream].subs);
        subs.find(|sub| self.subs.consumer_of(*sub) == consumer)
    }

    /// Dispatches nothing more of a stream, or of any stream of a consumer. What is with
    /// callbacks ends.
    pub fn pause(&mut self, consumer: ConsumerKey, key: Option<KeyRef<'_>>) {
        self.change_state(consumer, key, |delivery_state| delivery_state.paused = true);
    }

    /// Ends a pause or an abort. Of a consumer as a whole, its streams resume that stopped for a
    /// failure; those that were paused by themselves do not.
    pub fn resume(&mut self, consumer: ConsumerKey, key: Option<KeyRef<'_>>) {
        self.change_state(consumer, key, |delivery_state| {
            delivery_state.paused = false;
            delivery_state.aborted = None;
        });
        if key.is_none() {
            for sub in self.engaged(consumer) {
                if self.subs.at(sub).delivery_state.aborted.is_some() {
                    self.subs.at_mut(sub).delivery_state.aborted = None;
                    self.queue_commit(sub);
                    self.rescan(sub);
                }
            }
        }
    }

    /// Does not wait any longer for the retry of a stream.
    pub fn retry_now(&mut self, consumer: ConsumerKey, key: KeyRef<'_>) {
        self.change_state(consumer, Some(key), |delivery_state| {
            delivery_state.until_ms = 0;
        });
        if self.consumers[consumer].delivery_state.until_ms > 0 {
            self.change_state(consumer, None, |delivery_state| delivery_state.until_ms = 0);
        }
    }

    /// Moves the cursor behind an entry, whatever was done. What is with callbacks ends unheard.
    pub fn seek(&mut self, consumer: ConsumerKey, key: KeyRef<'_>, position: EntryId) {
        let Some(sub) = self.find_current(consumer, key) else {
            return;
        };
        let mut delivery_state = (*self.subs.at(sub).delivery_state).clone();
        delivery_state.until_ms = 0;
        delivery_state.tried.clear();
        let checkpoint = Checkpoint {
            position,
            pending: Vec::new(),
            delivery_state,
        };
        self.resume_from(sub, &checkpoint);
        if let Some(sub) = self.find(consumer, key) {
            self.queue_commit(sub);
        }
    }

    /// Sets why nothing is dispatched of any stream of a consumer, as it was committed.
    pub fn set_consumer_state(&mut self, consumer: ConsumerKey, delivery_state: &DeliveryState) {
        if self.consumers.contains_key(consumer) {
            self.consumers[consumer].delivery_state = delivery_state.resumed(self.now_ms);
            self.schedule_all(consumer);
        }
    }

    pub(super) fn change_state(
        &mut self,
        consumer: ConsumerKey,
        key: Option<KeyRef<'_>>,
        change: impl FnOnce(&mut DeliveryState),
    ) {
        if let Some(key) = key {
            self.change_stream_state(consumer, key, change);
        } else {
            self.change_consumer_state(consumer, change);
        }
    }

    fn change_stream_state(
        &mut self,
        consumer: ConsumerKey,
        key: KeyRef<'_>,
        change: impl FnOnce(&mut DeliveryState),
    ) {
        let Some(sub) = self.find_current(consumer, key) else {
            return;
        };
        let delivery_state = &mut self.subs.at_mut(sub).delivery_state;
        let was_final = delivery_state.is_final();
        change(&mut *delivery_state);
        self.queue_commit(sub);
        let is_final = self.subs.at(sub).delivery_state.is_final()
            || self.consumers[consumer].delivery_state.is_final();
        if is_final {
            if self.subs.at(sub).delivery_state.is_final() {
                self.consumers[consumer].forget_obstacle(sub);
            }
            // Also what waits beside the callback: it will be read again.
            self.recall(sub, Recall::Demotion);
            self.schedule(sub);
        } else if was_final {
            self.rescan(sub);
        } else {
            self.schedule(sub);
        }
    }

    fn change_consumer_state(
        &mut self,
        consumer: ConsumerKey,
        change: impl FnOnce(&mut DeliveryState),
    ) {
        let Some(state) = self.consumers.get_mut(consumer) else {
            return;
        };
        let was_final = state.delivery_state.is_final();
        change(&mut state.delivery_state);
        let is_final = state.delivery_state.is_final();
        self.queue_consumer_state(consumer);
        if is_final {
            // Also what waits beside the callback: it will be read again.
            self.recall_all(consumer, Recall::Demotion);
        } else if was_final {
            self.rescan_all(consumer);
        } else {
            self.schedule_all(consumer);
        }
    }
}
