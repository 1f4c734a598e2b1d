//! What must be delivered to sync consumers before the writers of this tick get their replies, in about
//! the order in which it was added.
//!
//! A *run* is a number of entries of one subscription that are dispatched together: going from one
//! callback to another costs more than most callbacks. So what is added joins an earlier run of its
//! subscription, as long as that has fewer than [`SHARE`] entries, or is the last one: of what was
//! added by then to other streams it gets ahead by less than that.
//!
//! Invariants: a subscription is listed in `subs` as long as a run of it counts; the runs that
//! count are those from its `first` on.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::{SHARE, SubscriptionKey};

/// Entries of one subscription.
#[derive(Clone, Copy, Debug)]
struct UrgentRun {
    sub: SubscriptionKey,
    /// Entries that are left.
    count: u64,
    /// Entries that it had.
    added: u64,
}

/// Which runs are those of a subscription, by their numbers.
#[derive(Clone, Copy, Debug)]
struct Listed {
    first: u64,
    last: u64,
    /// Entries of these runs that were dispatched before their run came, or that nobody wants.
    done: u64,
}

/// The entries whose writers wait in this tick, as runs in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Urgent {
    runs: VecDeque<UrgentRun>,
    /// The number of the first run.
    first: u64,
    subs: HashMap<SubscriptionKey, Listed>,
    /// What is left of the run that was taken last.
    taken: Option<UrgentRun>,
}

impl Urgent {
    /// Entries were added.
    pub(super) fn push(&mut self, sub: SubscriptionKey, count: u64) {
        let next = self.first + self.runs.len() as u64;
        if let Some(listed) = self.subs.get_mut(&sub) {
            let at = usize::try_from(listed.last - self.first).unwrap_or(usize::MAX);
            let is_last = listed.last + 1 == next;
            if let Some(run) = self.runs.get_mut(at)
                && (is_last || run.added < SHARE as u64)
            {
                run.count += count;
                run.added += count;
                return;
            }
            listed.last = next;
        } else {
            let listed = Listed {
                first: next,
                last: next,
                done: 0,
            };
            self.subs.insert(sub, listed);
        }
        let added = count;
        self.runs.push_back(UrgentRun { sub, count, added });
    }

    /// Takes the next run: a subscription, and how many of its entries are to be dispatched. None
    /// may be left of its last run.
    pub(super) fn pop(&mut self) -> Option<(SubscriptionKey, u64)> {
        while let Some(run) = self.runs.pop_front() {
            let number = self.first;
            self.first += 1;
            let Some(listed) = self.subs.get_mut(&run.sub) else {
                continue;
            };
            if number < listed.first {
                continue;
            }
            let done = listed.done.min(run.count);
            listed.done -= done;
            let is_last = listed.last == number;
            if is_last {
                self.subs.remove(&run.sub);
            }
            let count = run.count - done;
            if is_last || count > 0 {
                self.taken = Some(UrgentRun { count, ..run });
                return Some((run.sub, count));
            }
        }
        self.taken = None;
        None
    }

    /// An entry was dispatched. It is one of the run that was taken last, or comes before its tick.
    pub(super) fn note_started(&mut self, sub: SubscriptionKey) {
        match &mut self.taken {
            Some(run) if run.sub == sub && run.count > 0 => run.count -= 1,
            _ => self.spend(sub, 1),
        }
    }

    /// Puts back what is left of the run that was taken last.
    pub(super) fn put_back(&mut self, sub: SubscriptionKey, count: u64) {
        self.first -= 1;
        let taken = self.taken.filter(|run| run.sub == sub);
        let added = taken.map_or(count, |run| run.added);
        self.runs.push_front(UrgentRun { sub, count, added });
        let first = self.first;
        let listed = self.subs.entry(sub).or_insert(Listed {
            first,
            last: first,
            done: 0,
        });
        listed.first = first;
    }

    /// Entries of a subscription need not be dispatched any more.
    pub(super) fn spend(&mut self, sub: SubscriptionKey, count: u64) {
        if !self.subs.is_empty()
            && let Some(listed) = self.subs.get_mut(&sub)
        {
            listed.done += count;
        }
    }

    /// Nothing of a subscription has to be dispatched any more.
    pub(super) fn forget(&mut self, sub: SubscriptionKey) {
        self.subs.remove(&sub);
    }

    /// Whether anything of a subscription has to be dispatched.
    pub(super) fn contains(&self, sub: SubscriptionKey) -> bool {
        !self.subs.is_empty() && self.subs.contains_key(&sub)
    }

    /// Whether anything of other subscriptions has to be dispatched.
    pub(super) fn has_others(&self, sub: SubscriptionKey) -> bool {
        self.subs.len() > usize::from(self.contains(sub))
    }

    /// Whether nothing has to be dispatched.
    pub(super) fn is_empty(&self) -> bool {
        self.subs.is_empty()
    }

    /// The subscriptions, in the order of their runs.
    pub(super) fn subs(&self) -> impl Iterator<Item = SubscriptionKey> + '_ {
        let subs = self.runs.iter().map(|run| run.sub);
        subs.filter(|sub| self.contains(*sub))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slotmap::SlotMap;

    use super::*;

    fn keys(count: usize) -> Vec<SubscriptionKey> {
        let mut map: SlotMap<SubscriptionKey, ()> = SlotMap::with_key();
        (0..count).map(|_| map.insert(())).collect()
    }

    #[test]
    fn runs_of_one_are_as_long_as_what_was_added() {
        let keys = keys(1);
        let mut urgent = Urgent::default();
        (0..1000).for_each(|_| urgent.push(keys[0], 1));
        assert_eq!(urgent.pop(), Some((keys[0], 1000)));
        assert_eq!(urgent.pop(), None);
        assert!(urgent.is_empty());
    }

    #[test]
    fn what_was_handed_over_before_its_turn_is_left_out() {
        let keys = keys(2);
        let mut urgent = Urgent::default();
        for _ in 0..20 {
            urgent.push(keys[0], 1);
            urgent.push(keys[1], 1);
        }
        let share = SHARE as u64;
        assert_eq!(urgent.pop(), Some((keys[0], share)));
        urgent.spend(keys[0], 20 - share);
        assert_eq!(urgent.pop(), Some((keys[1], share)));
        urgent.put_back(keys[1], 3);
        assert_eq!(urgent.pop(), Some((keys[1], 3)));
        assert_eq!(urgent.pop(), Some((keys[0], 0)));
        assert_eq!(urgent.pop(), Some((keys[1], 20 - share)));
        assert_eq!(urgent.pop(), None);
    }

    #[test]
    fn what_was_forgotten_counts_no_more_and_what_is_added_after_that_does() {
        let keys = keys(2);
        let mut urgent = Urgent::default();
        urgent.push(keys[0], 1);
        urgent.push(keys[1], 1);
        urgent.forget(keys[0]);
        urgent.push(keys[0], 1);
        assert_eq!(urgent.subs().count(), 3);
        assert_eq!(urgent.pop(), Some((keys[1], 1)));
        assert!(!urgent.has_others(keys[0]));
        assert_eq!(urgent.pop(), Some((keys[0], 1)));
        assert_eq!(urgent.pop(), None);
    }

    proptest! {
        /// Entries of two streams may change places, but not by more than a share of the one.
        #[test]
        fn nothing_gets_ahead_of_what_was_added_before_by_a_share(
            added in prop::collection::vec(0_usize..4, 0..600),
        ) {
            let keys = keys(4);
            let mut urgent = Urgent::default();
            for at in &added {
                urgent.push(keys[*at], 1);
            }
            // Of each stream the places of its entries in what was added.
            let mut places = vec![VecDeque::new(); keys.len()];
            for (place, at) in added.iter().enumerate() {
                places[*at].push_back(place);
            }
            let mut left = added.len();
            while let Some((sub, count)) = urgent.pop() {
                let at = keys.iter().position(|key| *key == sub).unwrap();
                for _ in 0..count {
                    let place = places[at].pop_front().unwrap();
                    left -= 1;
                    for (other, waiting) in places.iter().enumerate().filter(|(other, _)| *other != at) {
                        let first = waiting.front().copied().unwrap_or(usize::MAX);
                        let ahead = added[..=place].iter().enumerate();
                        let ahead = ahead.filter(|(before, one)| **one == at && *before > first).count();
                        prop_assert!(ahead < SHARE, "{ahead} entries of {at} before one of {other}");
                    }
                }
            }
            prop_assert_eq!(left, 0);
            prop_assert!(urgent.is_empty());
        }

        /// Where each is dispatched before the next is added, the order is that of adding.
        #[test]
        fn one_at_a_time_is_dispatched_in_order(added in prop::collection::vec(0_usize..4, 0..100)) {
            let keys = keys(4);
            let mut urgent = Urgent::default();
            for at in added {
                urgent.push(keys[at], 1);
                prop_assert_eq!(urgent.pop(), Some((keys[at], 1)));
                prop_assert!(urgent.is_empty());
            }
        }
    }
}
