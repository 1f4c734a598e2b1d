//! When entries came that wait in the stream, for batches that are dispatched in time.
//!
//! A batch waits in the stream, not in memory, until it is full or its time has come. So of entries
//! that were never read it is only counted how many came, and when those came that batches begin
//! with; entries that were read and put back keep the time at which they came.

use std::collections::VecDeque;

use super::id::EntryId;

/// So many entries came at that time, or behind one that did.
#[derive(Clone, Copy, Debug)]
struct Counted {
    since_ms: u64,
    count: u64,
}

/// The arrival times of the waiting entries, as far as batches need them.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Entries that were put back, in their order.
    back: VecDeque<(EntryId, u64)>,
    /// Entries that were never read, in their order.
    unread_new: VecDeque<Counted>,
}

impl Arrivals {
    /// An entry was added. It `begins` a batch, or waits with the one before it.
    pub(super) fn note_added(&mut self, begins: bool, duration_ms: u64, now_ms: u64) {
        let joins = |last: &&mut Counted| {
            let is_over = now_ms >= last.since_ms.saturating_add(duration_ms);
            last.since_ms == now_ms || !(begins || is_over)
        };
        match self.unread_new.back_mut().filter(joins) {
            Some(last) => last.count += 1,
            None => self.unread_new.push_back(Counted {
                since_ms: now_ms,
                count: 1,
            }),
        }
    }

    /// An entry that was read is put back, before all others.
    pub(super) fn put_back(&mut self, id: EntryId, since_ms: u64) {
        self.back.push_front((id, since_ms));
    }

    /// When the entry came that is read next, if that is known.
    pub(super) fn take(&mut self, id: EntryId) -> Option<u64> {
        while let Some((first, since_ms)) = self.back.front().copied() {
            if first > id {
                return None;
            }
            self.back.pop_front();
            if first == id {
                return Some(since_ms);
            }
        }
        let first = self.unread_new.front_mut()?;
        let since_ms = first.since_ms;
        first.count -= 1;
        if first.count == 0 {
            self.unread_new.pop_front();
        }
        Some(since_ms)
    }

    /// Whether none is known.
    pub(super) fn is_empty(&self) -> bool {
        self.back.is_empty() && self.unread_new.is_empty()
    }

    /// When the first of them came.
    pub(super) fn first_ms(&self) -> Option<u64> {
        let back = self.back.front().map(|(_, since_ms)| *since_ms);
        back.or_else(|| self.unread_new.front().map(|first| first.since_ms))
    }

    /// So many that were never read are all there are: of those that were counted, some are gone.
    pub(super) fn keep_last(&mut self, count: u64) {
        let all: u64 = self.unread_new.iter().map(|one| one.count).sum();
        let mut gone = all.saturating_sub(count);
        while let Some(first) = self.unread_new.front_mut().filter(|_| gone > 0) {
            let part = first.count.min(gone);
            first.count -= part;
            gone -= part;
            if first.count == 0 {
                self.unread_new.pop_front();
            }
        }
    }

    /// All that was put back was read again, or is gone.
    pub(super) fn end_back(&mut self) {
        self.back.clear();
    }

    /// It is not known how many there are that were never read.
    pub(super) fn forget_fresh(&mut self) {
        self.unread_new.clear();
    }

    /// IDs above `last` are of other entries.
    pub(super) fn rewind(&mut self, last: EntryId) {
        self.back.retain(|(id, _)| *id <= last);
        self.unread_new.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seq: u64) -> EntryId {
        EntryId::new(1, seq)
    }

    #[test]
    fn an_entry_waits_with_the_one_its_batch_begins_with_unless_that_ones_time_is_over() {
        let mut arrivals = Arrivals::default();
        arrivals.note_added(true, 10, 100);
        arrivals.note_added(false, 10, 105);
        arrivals.note_added(true, 10, 107);
        arrivals.note_added(false, 10, 120);
        let since: Vec<_> = (1..=5).map(|seq| arrivals.take(id(seq))).collect();
        assert_eq!(since, [Some(100), Some(100), Some(107), Some(120), None]);
    }

    #[test]
    fn what_is_put_back_keeps_its_time_though_some_of_it_is_gone_when_it_is_read_again() {
        let mut arrivals = Arrivals::default();
        arrivals.note_added(true, 10, 300);
        for (seq, since_ms) in [(3, 103), (2, 102), (1, 101)] {
            arrivals.put_back(id(seq), since_ms);
        }
        assert_eq!(arrivals.take(id(2)), Some(102));
        assert_eq!(arrivals.first_ms(), Some(103));
        assert_eq!(arrivals.take(id(3)), Some(103));
        assert_eq!(arrivals.take(id(4)), Some(300));
    }

    #[test]
    fn the_first_of_those_that_were_counted_are_gone() {
        let mut arrivals = Arrivals::default();
        (0..3).for_each(|_| arrivals.note_added(true, 10, 100));
        (0..2).for_each(|_| arrivals.note_added(true, 10, 200));
        arrivals.keep_last(1);
        assert_eq!(arrivals.take(id(1)), Some(200));
        assert_eq!(arrivals.first_ms(), None);
    }
}
