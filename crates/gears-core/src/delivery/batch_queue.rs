//! The batches of one stream that wait for one consumer's callback, beside that callback.
//!
//! Batches are dispatched before there is room for them, so that none has to wait for the time that
//! it takes to ask the core. What the core cannot decide in time is decided here:
//!
//! * No more batches than the window are with the callback, or hold their place until a commit.
//! * Of a group no two are, and none is before what was dispatched earlier.
//! * Where one fails, what it may come again before does not begin: what waits goes back, and so does
//!   what is dispatched before the failure is known.
//!
//! The items are whatever the owner keeps of a batch.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use super::batcher::Batch;

/// On what terms a batch may begin.
#[derive(Clone, Debug)]
pub struct Terms {
    number: u64,
    groups: SmallVec<[u64; 1]>,
    stops: bool,
    failures: u64,
}

impl From<&Batch> for Terms {
    fn from(batch: &Batch) -> Self {
        Self {
            number: batch.number,
            groups: batch.groups.clone(),
            stops: batch.stops,
            failures: batch.failures,
        }
    }
}

/// Batches of one stream that wait for one consumer's callback, with its window.
#[derive(Debug)]
pub struct BatchQueue<T> {
    window: usize,
    /// Places that are taken.
    taken: usize,
    waiting: VecDeque<(Terms, T)>,
    /// Those with the callback, by number.
    in_flight: HashMap<u64, Terms>,
    busy: HashSet<u64>,
    /// Whether everything that waits was found to wait for its group.
    is_stuck: bool,
    /// How many failures the core has to know of before it dispatches more.
    failures: u64,
    /// Whether it is not known to know of the last of them.
    is_stopped: bool,
}

impl<T> BatchQueue<T> {
    /// A queue for this batch and what follows it.
    #[must_use]
    pub fn new(window: usize, first: &Terms) -> Self {
        Self {
            window,
            taken: 0,
            waiting: VecDeque::new(),
            in_flight: HashMap::new(),
            busy: HashSet::new(),
            is_stuck: false,
            failures: first.failures,
            is_stopped: false,
        }
    }

    /// Changes the window; what is in flight beyond it ends first.
    pub fn set_window(&mut self, window: usize) {
        self.window = window;
    }

    /// Adds a batch behind those that wait; false if it was dispatched without knowing of a failure,
    /// and has to go back.
    #[must_use]
    pub fn push(&mut self, terms: Terms, item: T) -> bool {
        if terms.failures < self.failures {
            return false;
        }
        self.failures = terms.failures;
        self.is_stopped = false;
        let mut groups = terms.groups.iter();
        self.is_stuck &= groups.any(|group| self.busy.contains(group));
        self.waiting.push_back((terms, item));
        true
    }

    /// Takes the next batch for the callback, unless the window is full or nothing can begin.
    pub fn start(&mut self) -> Option<T> {
        if !self.is_ready() {
            return None;
        }
        let Some(at) = self.next() else {
            self.is_stuck = true;
            return None;
        };
        let (terms, item) = self.waiting.remove(at)?;
        self.busy.extend(&terms.groups);
        self.in_flight.insert(terms.number, terms);
        self.taken += 1;
        Some(item)
    }

    /// The first that has nothing before it of its groups.
    fn next(&self) -> Option<usize> {
        if self.busy.is_empty() {
            return (!self.waiting.is_empty()).then_some(0);
        }
        let mut skipped: HashSet<u64> = HashSet::new();
        self.waiting.iter().position(|(terms, _)| {
            let mut groups = terms.groups.iter();
            let waits = groups.any(|group| self.busy.contains(group) || skipped.contains(group));
            if waits {
                skipped.extend(&terms.groups);
            }
            !waits
        })
    }

    /// The callback is done with a batch. Where it `holds` its place, that is free with
    /// [`BatchQueue::release`]. Gives what goes back, for it `failed`.
    #[must_use]
    pub fn finish(&mut self, number: u64, holds: bool, failed: bool) -> VecDeque<T> {
        let stops = self.in_flight.remove(&number).is_some_and(|terms| {
            for group in &terms.groups {
                self.busy.remove(group);
            }
            self.is_stuck = false;
            terms.stops
        });
        if !holds {
            self.release(1);
        }
        if !(failed && stops) {
            return VecDeque::new();
        }
        self.failures += 1;
        self.is_stopped = true;
        self.take_waiting()
    }

    /// So many places that were held are free.
    pub fn release(&mut self, places: usize) {
        self.taken = self.taken.saturating_sub(places);
    }

    /// Takes out what waits.
    pub fn take_waiting(&mut self) -> VecDeque<T> {
        self.is_stuck = false;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().map(|(_, item)| item).collect()
    }

    /// Those that wait.
    pub fn waiting_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.waiting.iter_mut().map(|(_, item)| item)
    }

    /// Whether [`BatchQueue::start`] may give a batch.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.taken < self.window && !self.waiting.is_empty() && !self.is_stuck
    }

    /// Whether it holds nothing, and nothing depends on what it remembers.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.taken == 0 && !self.is_stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(number: u64, groups: &[u64], failures: u64) -> Terms {
        Terms {
            number,
            groups: groups.into(),
            stops: true,
            failures,
        }
    }

    /// A queue in which so many batches wait, each of the group that is named in its place.
    fn queue(window: usize, groups: &[Option<u64>]) -> BatchQueue<u64> {
        let mut queue = BatchQueue::new(window, &terms(1, &[], 0));
        for (number, group) in (1..).zip(groups) {
            assert!(queue.push(terms(number, group.as_slice(), 0), number));
        }
        queue
    }

    fn start_all(queue: &mut BatchQueue<u64>) -> Vec<u64> {
        std::iter::from_fn(|| queue.start()).collect()
    }

    #[test]
    fn no_more_batches_than_the_window_are_with_the_callback_or_hold_their_place() {
        let mut queue = queue(2, &[None; 5]);
        assert_eq!(start_all(&mut queue), [1, 2]);
        assert!(queue.finish(1, true, false).is_empty());
        assert_eq!(start_all(&mut queue), []);
        assert!(queue.finish(2, false, false).is_empty());
        assert_eq!(start_all(&mut queue), [3]);
        queue.release(1);
        assert_eq!(start_all(&mut queue), [4]);
    }

    #[test]
    fn of_a_group_one_batch_is_with_the_callback_and_each_in_its_turn() {
        let mut queue = queue(4, &[Some(7), Some(7), Some(8), Some(7)]);
        assert_eq!(start_all(&mut queue), [1, 3]);
        assert!(!queue.is_ready(), "what waits is found to wait");
        assert!(queue.push(terms(5, &[9], 0), 5));
        assert_eq!(start_all(&mut queue), [5]);
        assert!(queue.finish(1, false, false).is_empty());
        assert_eq!(start_all(&mut queue), [2]);
        assert!(queue.finish(2, false, false).is_empty());
        assert_eq!(start_all(&mut queue), [4]);
    }

    #[test]
    fn behind_a_failure_nothing_begins_that_was_dispatched_before_it_is_known() {
        let mut queue = queue(1, &[None; 3]);
        assert_eq!(start_all(&mut queue), [1]);
        assert_eq!(queue.finish(1, false, true), [2, 3]);
        assert!(!queue.is_idle(), "it remembers the failure");
        assert!(!queue.push(terms(4, &[], 0), 4));
        assert!(queue.push(terms(5, &[], 1), 5));
        assert_eq!(start_all(&mut queue), [5]);
        assert!(queue.finish(5, false, false).is_empty() && queue.is_idle());
    }

    #[test]
    fn where_failures_are_passed_over_what_waits_goes_on() {
        let mut queue = BatchQueue::new(1, &terms(1, &[], 0));
        for number in 1..=2 {
            let stops = false;
            let terms = Terms {
                stops,
                ..terms(number, &[], 0)
            };
            assert!(queue.push(terms, number));
        }
        assert_eq!(start_all(&mut queue), [1]);
        assert!(queue.finish(1, false, true).is_empty());
        assert_eq!(start_all(&mut queue), [2]);
    }
}
