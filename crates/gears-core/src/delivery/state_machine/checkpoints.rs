//! Subscriptions resume from checkpoints.

use super::super::checkpoint::Checkpoint;
use super::super::event::KeyRef;
use super::super::{ConsumerKey, SubscriptionKey};
use super::Delivery;

impl Delivery {
    /// How far a consumer was in a stream. What it did here since is another server's past: its
    /// callbacks that run end unheard.
    pub(super) fn resumed(
        &mut self,
        consumer: ConsumerKey,
        key: KeyRef<'_>,
        checkpoint: &Checkpoint,
    ) {
        if let Some(sub) = self.subscription(consumer, key) {
            self.resume_from(sub, checkpoint);
        }
    }

    /// A consumer's interest in a stream, which need not be known yet; `None` where it does not
    /// want it.
    pub(super) fn subscription(
        &mut self,
        consumer: ConsumerKey,
        key: KeyRef<'_>,
    ) -> Option<SubscriptionKey> {
        if !self.there(consumer)?.spec.matches(key.name) {
            return None;
        }
        let stream = match self.current_stream(key) {
            Some(stream) => stream,
            None => self.track(key),
        };
        let mut subs = self.subs.siblings(self.streams[stream].subs);
        subs.find(|sub| self.subs.consumer_of(*sub) == consumer)
    }

    /// Sets a subscription to a checkpoint. What it has with callbacks ends unheard.
    pub(super) fn resume_from(&mut self, mut sub: SubscriptionKey, checkpoint: &Checkpoint) {
        let state = self.subs.at(sub);
        if state.cursor.unacknowledged() > 0 || state.is_recalling() || !state.feed.is_idle() {
            sub = self.renew(sub);
        }
        self.subs.at_mut(sub).resume(checkpoint, self.now_ms);
        self.rescan(sub);
    }
}
