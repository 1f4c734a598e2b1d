//! What people order: pause, go on, begin elsewhere, try now.

use super::super::cursor::Checkpoint;
use super::super::event::KeyRef;
use super::super::hold::Hold;
use super::super::id::EntryId;
use super::super::record::Item;
use super::super::subscription::Recall;
use super::super::{ConsumerKey, SubscriptionKey};
use super::Delivery;

impl Delivery {
    /// Whether a consumer knows a stream.
    #[must_use]
    pub fn knows(&self, consumer: ConsumerKey, key: KeyRef<'_>) -> bool {
        self.find(consumer, key).is_some()
    }

    fn find(&self, consumer: ConsumerKey, key: KeyRef<'_>) -> Option<SubscriptionKey> {
        let stream = self.names.get(key)?;
        let mut subs = self.streams[stream].subs.iter().copied();
        subs.find(|sub| self.subs[*sub].consumer == consumer)
    }

    /// Hands over nothing more of a stream, or of any stream of a consumer. What is with
    /// callbacks ends.
    pub fn pause(&mut self, consumer: ConsumerKey, key: Option<KeyRef<'_>>) {
        self.change_hold(consumer, key, |hold| hold.paused = true);
    }

    /// Goes on after a pause or an abort. Of a consumer as a whole, its streams go on that stopped
    /// for a failure; those that were paused by themselves do not.
    pub fn go_on(&mut self, consumer: ConsumerKey, key: Option<KeyRef<'_>>) {
        self.change_hold(consumer, key, |hold| {
            hold.paused = false;
            hold.aborted = None;
        });
        if key.is_none() {
            for sub in self.subs_of(consumer) {
                if self.subs[sub].hold.aborted.take().is_some() {
                    self.queue_progress(sub);
                    self.look_again(sub);
                }
            }
        }
    }

    /// Does not wait any longer for the retry of a stream.
    pub fn retry_now(&mut self, consumer: ConsumerKey, key: KeyRef<'_>) {
        self.change_hold(consumer, Some(key), |hold| hold.until_ms = 0);
        if self.consumers[consumer].hold.until_ms > 0 {
            self.change_hold(consumer, None, |hold| hold.until_ms = 0);
        }
    }

    /// Goes on behind an entry, whatever was done. What is with callbacks ends unheard.
    pub fn seek(&mut self, consumer: ConsumerKey, key: KeyRef<'_>, position: EntryId) {
        let Some(sub) = self.find(consumer, key) else {
            return;
        };
        let mut hold = self.subs[sub].hold.clone();
        hold.until_ms = 0;
        hold.tried.clear();
        let checkpoint = Checkpoint {
            position,
            pending: Vec::new(),
            hold,
        };
        self.go_on_from(sub, &checkpoint);
        if let Some(sub) = self.find(consumer, key) {
            self.queue_progress(sub);
        }
    }

    /// Hands entries of dead letters over again; how many that are not on their way already.
    pub fn redrive(
        &mut self,
        consumer: ConsumerKey,
        key: KeyRef<'_>,
        letters: Vec<(EntryId, Item)>,
    ) -> usize {
        let Some(sub) = self.find(consumer, key) else {
            return 0;
        };
        let policy = self.consumers[consumer].spec.policy.clone();
        let db = key.db;
        let (Some(plan), Some(policy)) = (&mut self.subs[sub].plan, policy) else {
            return 0;
        };
        let fresh = letters.into_iter().filter(|(id, _)| !plan.is_redriven(*id));
        let fresh: Vec<_> = fresh.collect();
        let count = fresh.len();
        plan.redrive(fresh.into_iter(), db, &policy);
        self.schedule(sub);
        count
    }

    /// Whether a dead letter is on its way to the callback.
    #[must_use]
    pub fn is_redriven(&self, consumer: ConsumerKey, key: KeyRef<'_>, letter: EntryId) -> bool {
        let state = self.find(consumer, key).and_then(|sub| self.subs.get(sub));
        let plan = state.and_then(|state| state.plan.as_ref());
        plan.is_some_and(|plan| plan.is_redriven(letter))
    }

    /// Sets why nothing is handed over of any stream of a consumer, as it was put on record.
    pub fn hold_consumer(&mut self, consumer: ConsumerKey, hold: &Hold) {
        if self.consumers.contains_key(consumer) {
            self.consumers[consumer].hold = hold.resumed(self.now_ms);
            for sub in self.subs_of(consumer) {
                self.schedule(sub);
            }
        }
    }

    /// The next consumer whose hold is to be put on record.
    pub fn next_hold(&mut self) -> Option<(ConsumerKey, Hold)> {
        while let Some(consumer) = self.holds.pop_front() {
            if let Some(state) = self.consumers.get(consumer)
                && self.is_active()
            {
                return Some((consumer, state.hold.clone().recorded(self.now_ms)));
            }
        }
        None
    }

    /// Has the hold of a consumer put on record.
    pub(super) fn queue_hold(&mut self, consumer: ConsumerKey) {
        if !self.holds.contains(&consumer) {
            self.holds.push_back(consumer);
        }
    }

    pub(super) fn subs_of(&self, consumer: ConsumerKey) -> Vec<SubscriptionKey> {
        let consumer = self.consumers.get(consumer);
        consumer.map_or_else(Vec::new, |one| one.subs.values().copied().collect())
    }

    fn change_hold(
        &mut self,
        consumer: ConsumerKey,
        key: Option<KeyRef<'_>>,
        change: impl FnOnce(&mut Hold),
    ) {
        let (was_final, subs) = if let Some(key) = key {
            let Some(sub) = self.find(consumer, key) else {
                return;
            };
            let hold = &mut self.subs[sub].hold;
            let was_final = hold.is_final();
            change(hold);
            self.queue_progress(sub);
            (was_final, vec![sub])
        } else {
            let Some(state) = self.consumers.get_mut(consumer) else {
                return;
            };
            let was_final = state.hold.is_final();
            change(&mut state.hold);
            self.queue_hold(consumer);
            (was_final, self.subs_of(consumer))
        };
        for sub in subs {
            let state = &self.subs[sub];
            let is_final = state.hold.is_final() || self.consumers[consumer].hold.is_final();
            if is_final {
                // Also what waits beside the callback: it will be read again.
                self.recall(sub, Recall::Demotion);
                self.schedule(sub);
            } else if was_final {
                self.look_again(sub);
            } else {
                self.schedule(sub);
            }
        }
    }
}
