//! All subscriptions, and which of them may have changed since somebody looked.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

use slotmap::SlotMap;

use super::SubscriptionKey;
use super::subscription::{List, Subscription};

/// All subscriptions by key, with a list of those that were changed. Whoever gets one to change it is taken at their word.
#[derive(Debug)]
pub(super) struct Subscriptions {
    all: SlotMap<SubscriptionKey, Subscription>,
    /// Each once, and perhaps gone by now.
    changed: VecDeque<SubscriptionKey>,
}

impl Subscriptions {
    pub(super) fn new() -> Self {
        Self {
            all: SlotMap::with_key(),
            changed: VecDeque::new(),
        }
    }

    pub(super) fn insert(&mut self, sub: Subscription) -> SubscriptionKey {
        let key = self.all.insert(sub);
        note(&mut self.changed, key, &mut self.all[key]);
        key
    }

    pub(super) fn remove(&mut self, key: SubscriptionKey) -> Option<Subscription> {
        self.all.remove(key)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn contains_key(&self, key: SubscriptionKey) -> bool {
        self.all.contains_key(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = SubscriptionKey> + '_ {
        self.all.keys()
    }

    pub(super) fn get(&self, key: SubscriptionKey) -> Option<&Subscription> {
        self.all.get(key)
    }

    pub(super) fn get_mut(&mut self, key: SubscriptionKey) -> Option<&mut Subscription> {
        let sub = self.all.get_mut(key)?;
        note(&mut self.changed, key, sub);
        Some(sub)
    }

    /// How many may have changed.
    pub(super) fn changed_count(&self) -> usize {
        self.changed.len()
    }

    /// The one that may have changed first since it was last returned here.
    /// It may be gone by now.
    pub(super) fn pop_changed(&mut self) -> Option<(SubscriptionKey, Option<&Subscription>)> {
        let Some(key) = self.changed.pop_front() else {
            // A change of all of them may have made it large.
            self.changed.shrink_to(CHANGED);
            return None;
        };
        let sub = self.all.get_mut(key).map(|sub| {
            sub.lists.leave(List::Changed);
            &*sub
        });
        Some((key, sub))
    }
}

/// Room that is kept for those that change next.
const CHANGED: usize = 1024;

fn note(changed: &mut VecDeque<SubscriptionKey>, key: SubscriptionKey, sub: &mut Subscription) {
    if sub.lists.enter(List::Changed) {
        changed.push_back(key);
    }
}

impl Index<SubscriptionKey> for Subscriptions {
    type Output = Subscription;

    fn index(&self, key: SubscriptionKey) -> &Subscription {
        &self.all[key]
    }
}

impl IndexMut<SubscriptionKey> for Subscriptions {
    fn index_mut(&mut self, key: SubscriptionKey) -> &mut Subscription {
        let sub = &mut self.all[key];
        note(&mut self.changed, key, sub);
        sub
    }
}
