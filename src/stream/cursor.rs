//! How far one consumer is in one stream.
//!
//! Entries go through three states, in ID order for the first two:
//!
//! ```text
//! read      taken out of the stream, waits beside its callback
//! started   handed to the callback
//! finished  the callback is done with it, in any order
//! ```
//!
//! The cursor is the last ID read plus the IDs that were read and are not finished. The
//! *low-water mark* is just below the smallest of these; every ID between it and the last one
//! read that is not listed is finished. So the finished IDs above the low-water mark need no
//! list of their own, and the state is bounded by the window, however late one entry is.
//!
//! Invariants: `unfinished` is strictly ascending; `started <= read`; no listed ID is above
//! `read`; `bytes` is the sum over the listed entries.

use std::collections::VecDeque;

use super::id::EntryId;

/// An entry that was read, with the size of its fields in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unfinished {
    id: EntryId,
    bytes: usize,
}

/// What may be removed from a stream: everything below an ID, or all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrimBound {
    /// Entries with a smaller ID are not needed any more.
    Below(EntryId),
    /// Nothing is needed any more, and nothing can be added: the stream ended at the last ID.
    Everything,
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    read: EntryId,
    started: EntryId,
    unfinished: VecDeque<Unfinished>,
    bytes: usize,
}

impl Cursor {
    /// The last ID read: the next read goes on behind it.
    #[must_use]
    pub(super) fn read(&self) -> EntryId {
        self.read
    }

    /// The last ID handed to the callback; 0-0 where there was none.
    #[must_use]
    pub(super) fn started(&self) -> EntryId {
        self.started
    }

    /// Entries read and not finished, started or not.
    #[must_use]
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished.len()
    }

    /// Size in bytes of the entries read and not finished.
    #[must_use]
    pub(super) fn unfinished_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether entries were read that the callback did not get yet.
    #[must_use]
    pub(super) fn has_waiting(&self) -> bool {
        self.unfinished
            .back()
            .is_some_and(|last| last.id > self.started)
    }

    /// IDs handed to the callback and not finished, ascending.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = EntryId> + '_ {
        let count = self.unfinished_up_to(self.started);
        self.unfinished.iter().map(|entry| entry.id).take(count)
    }

    /// How many entries are with the callback.
    #[must_use]
    pub(super) fn in_flight_count(&self) -> usize {
        self.unfinished_up_to(self.started)
    }

    /// How many IDs up to `last` are not finished.
    #[must_use]
    pub(super) fn unfinished_up_to(&self, last: EntryId) -> usize {
        self.unfinished.partition_point(|entry| entry.id <= last)
    }

    /// The highest ID at or below which everything is finished that was ever read.
    #[must_use]
    pub(super) fn trim_bound(&self) -> TrimBound {
        match self.unfinished.front() {
            Some(first) => TrimBound::Below(first.id),
            None => self
                .read
                .next()
                .map_or(TrimBound::Everything, TrimBound::Below),
        }
    }

    /// Notes an entry as read. IDs must ascend; others are refused, as a stream cannot hold them.
    pub(super) fn note_read(&mut self, id: EntryId, bytes: usize) -> bool {
        if id <= self.read {
            return false;
        }
        self.read = id;
        self.bytes += bytes;
        self.unfinished.push_back(Unfinished { id, bytes });
        true
    }

    /// Notes that the callback was given every entry up to `id`.
    pub(super) fn note_started(&mut self, id: EntryId) {
        self.started = self.started.max(id.min(self.read));
    }

    /// Notes an entry as finished; false where it was not listed (any more).
    pub(super) fn note_finished(&mut self, id: EntryId) -> bool {
        // In order is the common case, and costs no search.
        let at = match self.unfinished.front() {
            Some(first) if first.id == id => 0,
            _ => match self.unfinished.binary_search_by_key(&id, |entry| entry.id) {
                Ok(at) => at,
                Err(_) => return false,
            },
        };
        let entry = self.unfinished.remove(at);
        self.bytes -= entry.map_or(0, |entry| entry.bytes);
        self.started = self.started.max(id);
        true
    }

    /// Forgets all IDs above `last`: they are not those of the entries that were read.
    pub(super) fn rewind(&mut self, last: EntryId) {
        while let Some(entry) = self.unfinished.back() {
            if entry.id <= last {
                break;
            }
            self.bytes -= entry.bytes;
            self.unfinished.pop_back();
        }
        self.read = self.read.min(last);
        self.started = self.started.min(last);
    }

    /// Puts back what was read and not started: it will be read again.
    pub(super) fn put_back_waiting(&mut self) {
        while let Some(last) = self.unfinished.back() {
            if last.id <= self.started {
                break;
            }
            self.bytes -= last.bytes;
            self.unfinished.pop_back();
        }
        self.read = self.started;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seq: u64) -> EntryId {
        EntryId::new(1, seq)
    }

    fn cursor(read: std::ops::RangeInclusive<u64>) -> Cursor {
        let mut cursor = Cursor::default();
        for seq in read {
            assert!(cursor.note_read(id(seq), 10));
        }
        cursor
    }

    #[test]
    fn finishing_out_of_order_never_moves_the_bound_past_an_unfinished_entry() {
        let mut cursor = cursor(1..=3);
        cursor.note_started(id(3));
        assert!(cursor.note_finished(id(2)));
        assert!(cursor.note_finished(id(3)));
        assert_eq!(cursor.trim_bound(), TrimBound::Below(id(1)));
        assert_eq!(cursor.in_flight().collect::<Vec<_>>(), [id(1)]);
        assert!(cursor.note_finished(id(1)));
        assert_eq!(cursor.trim_bound(), TrimBound::Below(id(4)));
    }

    #[test]
    fn an_entry_is_finished_once() {
        let mut cursor = cursor(1..=1);
        assert!(cursor.note_finished(id(1)));
        assert!(!cursor.note_finished(id(1)));
        assert!(!cursor.note_finished(id(9)));
        assert_eq!(cursor.unfinished_bytes(), 0);
    }

    #[test]
    fn the_bound_behind_the_last_possible_id_is_everything() {
        let mut cursor = Cursor::default();
        assert!(cursor.note_read(EntryId::MAX, 1));
        assert_eq!(cursor.trim_bound(), TrimBound::Below(EntryId::MAX));
        assert!(cursor.note_finished(EntryId::MAX));
        assert_eq!(cursor.trim_bound(), TrimBound::Everything);
    }

    #[test]
    fn waiting_entries_can_be_put_back_and_started_ones_stay() {
        let mut cursor = cursor(1..=5);
        cursor.note_started(id(2));
        assert!(cursor.has_waiting());
        cursor.put_back_waiting();
        assert!(!cursor.has_waiting());
        assert_eq!(cursor.read(), id(2));
        assert_eq!(cursor.unfinished(), 2);
        assert_eq!(cursor.unfinished_bytes(), 20);
        assert!(cursor.note_read(id(3), 10));
    }

    #[test]
    fn ids_above_the_one_that_was_set_back_to_can_be_read_again() {
        let mut cursor = cursor(1..=5);
        cursor.note_started(id(4));
        cursor.rewind(id(2));
        assert_eq!((cursor.read(), cursor.started()), (id(2), id(2)));
        assert_eq!((cursor.unfinished(), cursor.unfinished_bytes()), (2, 20));
        assert!(!cursor.note_finished(id(3)));
        assert!(cursor.note_read(id(3), 1));
    }

    #[test]
    fn ids_that_do_not_ascend_are_refused() {
        let mut cursor = cursor(1..=5);
        assert!(!cursor.note_read(id(5), 1));
        assert!(!cursor.note_read(id(4), 1));
        assert_eq!(cursor.unfinished(), 5);
    }
}
