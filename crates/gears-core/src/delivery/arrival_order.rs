//! In what order the streams of one async consumer are read, so that their entries start in about
//! the order in which they were added.
//!
//! What is added to a stream joins the *run* that it added to last, as long as that has fewer than
//! [`SHARE`] entries, or nothing was added to another stream since. Runs are numbered, and a stream
//! is read no further than up to the oldest run of another stream that is *open*: whose window has
//! room, so that it could start an entry. So no stream is read further ahead of an entry added
//! before to an open one than by less than a run. One whose window is full does not hold up others.
//!
//! What is said of reading holds for consumers with options when they dispatch: what they read waits in
//! their batcher until then. Those that put entries together, or in groups, have no such order: they would
//! have to wait for what comes later.
//!
//! Only what the core was told of is counted. Where it is not known what a stream holds, its order
//! is forgotten: then it neither waits for others nor has them wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::feed::READ_BATCH;
use super::{SHARE, SubscriptionKey};

/// Runs of one stream that are kept apart; what comes then joins the last.
const RUNS_MAX: usize = 4096;

/// Entries of one stream that were added about at once.
#[derive(Clone, Copy, Debug)]
struct UnreadRun {
    number: u64,
    /// Entries that are not read.
    count: u64,
    /// Entries that it had, read or not.
    added: u64,
}

/// What a stream holds that was not read; never empty.
#[derive(Debug, Default)]
struct Unread {
    runs: VecDeque<UnreadRun>,
    is_open: bool,
}

/// The runs of one async consumer's streams, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct ArrivalOrder {
    /// The number of the last run.
    last: u64,
    unread: BTreeMap<SubscriptionKey, Unread>,
    /// The first run of each stream that is open.
    open: BTreeSet<(u64, SubscriptionKey)>,
}

impl ArrivalOrder {
    /// Entries were added. Gives the stream that was alone until then, if one was: of that it is to
    /// be said anew whether it is open.
    pub(super) fn push(&mut self, sub: SubscriptionKey, count: u64) -> Option<SubscriptionKey> {
        let alone = self.unread.keys().next().filter(|_| self.unread.len() == 1);
        let alone = alone.copied().filter(|one| *one != sub);
        let unread = self.unread.entry(sub).or_default();
        let is_full = unread.runs.len() >= RUNS_MAX;
        let joins =
            |run: &&mut UnreadRun| run.number == self.last || run.added < SHARE as u64 || is_full;
        if let Some(run) = unread.runs.back_mut().filter(joins) {
            run.count += count;
            run.added += count;
        } else {
            self.last += 1;
            let number = self.last;
            let added = count;
            unread.runs.push_back(UnreadRun {
                number,
                count,
                added,
            });
        }
        alone
    }

    /// The first entries of a stream were read.
    pub(super) fn take(&mut self, sub: SubscriptionKey, mut count: u64) {
        let Some(unread) = self.unread.get_mut(&sub) else {
            return;
        };
        let before = unread.runs.front().map(|run| run.number);
        while let Some(run) = unread.runs.front_mut().filter(|_| count > 0) {
            let part = run.count.min(count);
            run.count -= part;
            count -= part;
            if run.count == 0 {
                unread.runs.pop_front();
            }
        }
        let after = unread.runs.front().map(|run| run.number);
        if unread.is_open && before != after {
            if let Some(number) = before {
                self.open.remove(&(number, sub));
            }
            self.open.extend(after.map(|number| (number, sub)));
        }
        if after.is_none() {
            self.unread.remove(&sub);
        }
    }

    /// It is not known any more what a stream holds, or it holds nothing.
    pub(super) fn forget(&mut self, sub: SubscriptionKey) {
        self.set_open(sub, false);
        self.unread.remove(&sub);
    }

    /// Whether anything is known of a stream.
    pub(super) fn contains(&self, sub: SubscriptionKey) -> bool {
        !self.unread.is_empty() && self.unread.contains_key(&sub)
    }

    /// Whether streams may have to wait for one another.
    pub(super) fn is_shared(&self) -> bool {
        self.unread.len() > 1
    }

    /// Whether it is the only stream of which anything is known: then it does not matter whether
    /// it is open.
    pub(super) fn is_alone(&self, sub: SubscriptionKey) -> bool {
        self.unread.len() == 1 && self.unread.contains_key(&sub)
    }

    /// Says whether a stream could start an entry.
    pub(super) fn set_open(&mut self, sub: SubscriptionKey, is_open: bool) {
        if let Some(unread) = self.unread.get_mut(&sub)
            && unread.is_open != is_open
            && let Some(run) = unread.runs.front()
        {
            unread.is_open = is_open;
            if is_open {
                self.open.insert((run.number, sub));
            } else {
                self.open.remove(&(run.number, sub));
            }
        }
    }

    /// The stream that is to be read next.
    pub(super) fn first(&self) -> Option<SubscriptionKey> {
        self.open.first().map(|(_, sub)| *sub)
    }

    /// How many entries of a stream may be read; `None` where its order is not known.
    pub(super) fn allowance(&self, sub: SubscriptionKey) -> Option<u64> {
        let unread = self.unread.get(&sub)?;
        let other = self.open.iter().find(|(_, one)| *one != sub);
        let other = other.map_or(u64::MAX, |(number, _)| *number);
        let before = unread.runs.iter().take_while(|run| run.number < other);
        // More than one read gives is of no use.
        let mut count = 0;
        for run in before {
            count += run.count;
            if count >= READ_BATCH as u64 {
                break;
            }
        }
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    fn keys() -> [SubscriptionKey; 2] {
        let mut map: SlotMap<SubscriptionKey, ()> = SlotMap::with_key();
        [(); 2].map(|()| map.insert(()))
    }

    #[test]
    fn a_stream_is_read_up_to_the_first_entry_of_another_that_could_start_it() {
        let [a, b] = keys();
        let mut order = ArrivalOrder::default();
        assert_eq!(order.push(a, 3), None);
        assert_eq!(order.push(a, 0), None, "it is still alone");
        assert_eq!(order.push(b, 40), Some(a));
        order.set_open(a, true);
        order.set_open(b, true);
        assert_eq!((order.allowance(a), order.allowance(b)), (Some(3), Some(0)));
        order.set_open(a, false);
        assert_eq!(order.allowance(b), Some(40));
        order.set_open(a, true);
        assert_eq!(order.first(), Some(a));
        order.take(a, 3);
        assert_eq!((order.allowance(a), order.allowance(b)), (None, Some(40)));
        assert!(order.is_alone(b));
        assert_eq!(order.first(), Some(b));
        order.forget(b);
        assert_eq!(order.first(), None);
    }

    #[test]
    fn what_is_added_alternately_is_read_in_runs() {
        let [a, b] = keys();
        let mut order = ArrivalOrder::default();
        for _ in 0..=SHARE {
            order.push(a, 1);
            order.push(b, 1);
        }
        order.set_open(a, true);
        order.set_open(b, true);
        let share = SHARE as u64;
        assert_eq!(order.allowance(a), Some(share));
        order.take(a, share - 1);
        assert_eq!(order.allowance(a), Some(1));
        order.take(a, 1);
        assert_eq!(
            (order.allowance(a), order.allowance(b)),
            (Some(0), Some(share))
        );
    }
}
