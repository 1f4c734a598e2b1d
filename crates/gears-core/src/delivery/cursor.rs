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
//! What outlives the process is a [`Checkpoint`]: a position, and the IDs up to it that were not
//! finished. A cursor that goes on from one has these to *redelivery*: they are read one by one
//! before anything behind the position, and everything else up to there is finished.
//!
//! An entry may be *lost* while it is with the callback: with code that was replaced and did not
//! finish it. Then it is to be redelivered, too, though entries behind it may be started by now.
//!
//! Invariants: `unacknowledged` and `redelivery` are strictly ascending, and no ID is in both;
//! `started <= read`; no listed ID is above `read`; while there is something to redeliver, nothing
//! behind `read` is read; `bytes` is the sum over the unfinished entries.

use std::collections::VecDeque;

use super::delivery_state::DeliveryState;
use super::id::EntryId;
use super::rare::{Absent, Rare};

/// An entry that was read, with the size of its fields in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unacknowledged {
    id: EntryId,
    bytes: usize,
    /// How far the cursor had read when this one came: what lies between is done, nobody wanted it.
    behind: EntryId,
    delivered: Delivered,
}

/// Whether an entry up to the last one started is with the callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivered {
    /// It is.
    Once,
    /// It was lost, was read again, and waits.
    Lost,
    /// It was lost, and is with the callback again.
    Again,
}

/// What may be removed from a stream: everything below an ID, or all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrimBound {
    /// Entries with a smaller ID are not needed any more.
    Below(EntryId),
    /// Nothing is needed any more, and nothing can be added: the stream ended at the last ID.
    Everything,
}

/// What is to be read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Entries strictly behind this ID.
    Behind(EntryId),
    /// The entry of this ID, if it is still there, and no other.
    Only(EntryId),
    /// No entry, but the ID of the one that so many are behind: 0-0 where there are no more.
    Last(u64),
}

/// What is kept of a cursor: enough to go on without leaving out an entry, and to dispatch no
/// entry again that is known to be finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Every entry up to this one is finished, but for those that are pending.
    pub position: EntryId,
    /// IDs up to the position that are not finished, ascending.
    pub pending: Vec<EntryId>,
    /// What keeps it from going on, and what was tried.
    pub delivery_state: DeliveryState,
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    read: EntryId,
    started: EntryId,
    /// The position gone on from.
    resumed: EntryId,
    open: Rare<Open>,
}

/// What is not finished.
#[derive(Clone, Debug, Default)]
struct Open {
    unacknowledged: VecDeque<Unacknowledged>,
    bytes: usize,
    redeliveries: VecDeque<EntryId>,
    /// How many entries were lost and are not finished since, but for those to be redelivered.
    lost: usize,
}

impl Absent for Open {
    const ABSENT: &'static Self = &Self {
        unacknowledged: VecDeque::new(),
        bytes: 0,
        redeliveries: VecDeque::new(),
        lost: 0,
    };

    fn is_absent(&self) -> bool {
        self.unacknowledged.is_empty() && self.redeliveries.is_empty()
    }
}

impl Open {
    fn find(&self, id: EntryId) -> Option<usize> {
        // In order is the common case, and costs no search.
        if self
            .unacknowledged
            .front()
            .is_some_and(|first| first.id == id)
        {
            return Some(0);
        }
        let found = self
            .unacknowledged
            .binary_search_by_key(&id, |entry| entry.id);
        found.ok()
    }

    /// An entry is not among the unfinished ones any more.
    fn forget(&mut self, entry: &Unacknowledged) {
        self.bytes -= entry.bytes;
        if entry.delivered != Delivered::Once {
            self.lost -= 1;
        }
    }

    fn redeliver_later(&mut self, id: EntryId) {
        let at = self.redeliveries.partition_point(|one| *one < id);
        self.redeliveries.insert(at, id);
    }
}

impl Cursor {
    /// A cursor that goes on from a checkpoint. What is listed out of place is left out.
    pub(super) fn resume(checkpoint: &Checkpoint) -> Self {
        let position = checkpoint.position;
        let mut redeliveries: VecDeque<EntryId> = VecDeque::with_capacity(checkpoint.pending.len());
        for id in &checkpoint.pending {
            if *id <= position && redeliveries.back().is_none_or(|last| last < id) {
                redeliveries.push_back(*id);
            }
        }
        let open = Open {
            redeliveries,
            ..Open::default()
        };
        Self {
            read: position,
            started: EntryId::ZERO,
            resumed: position,
            open: open.into(),
        }
    }

    /// What would have to be known to go on from here: entries that were read and not started
    /// are as good as not read.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let position = self.position();
        let open = self.open.unacknowledged.iter().map(|entry| entry.id);
        let mut pending: Vec<_> = open
            .take_while(|id| *id <= position)
            .chain(self.open.redeliveries.iter().copied())
            .collect();
        if !pending.is_sorted() {
            pending.sort_unstable();
        }
        Checkpoint {
            position,
            pending,
            delivery_state: DeliveryState::default(),
        }
    }

    /// What the next read is to give.
    #[must_use]
    pub(super) fn reach(&self) -> Reach {
        match self.open.redeliveries.front() {
            Some(id) => Reach::Only(*id),
            None => Reach::Behind(self.read),
        }
    }

    /// The last ID read: the next read goes on behind it, when nothing is left to redeliver.
    #[must_use]
    pub(super) fn read(&self) -> EntryId {
        self.read
    }

    /// The last ID handed to the callback; 0-0 where there was none.
    #[must_use]
    pub(super) fn started(&self) -> EntryId {
        self.started
    }

    /// The last ID handed to a callback, before the restart if not since then; 0-0 where there
    /// was none.
    #[must_use]
    pub(super) fn position(&self) -> EntryId {
        self.started.max(self.resumed)
    }

    /// Entries read and not finished, started or not.
    #[must_use]
    pub(super) fn unacknowledged(&self) -> usize {
        self.open.unacknowledged.len()
    }

    /// Size in bytes of the entries read and not finished.
    #[must_use]
    pub(super) fn unacknowledged_bytes(&self) -> usize {
        self.open.bytes
    }

    /// Whether entries were read that the callback did not get yet.
    #[must_use]
    pub(super) fn has_waiting(&self) -> bool {
        self.open
            .unacknowledged
            .back()
            .is_some_and(|last| last.id > self.started)
            || self.lost_and_waiting() > 0
    }

    fn lost_and_waiting(&self) -> usize {
        if self.open.lost == 0 {
            return 0;
        }
        let waits = |entry: &&Unacknowledged| entry.delivered == Delivered::Lost;
        self.open.unacknowledged.iter().filter(waits).count()
    }

    /// IDs handed to the callback and not finished, ascending.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = EntryId> + '_ {
        let count = self.unacknowledged_up_to(self.started);
        let started = self.open.unacknowledged.iter().take(count);
        started
            .filter(|entry| entry.delivered != Delivered::Lost)
            .map(|entry| entry.id)
    }

    /// IDs that were dispatched before and will be again, in any order.
    pub(super) fn redeliveries(&self) -> impl Iterator<Item = EntryId> + '_ {
        let is_back = |entry: &&Unacknowledged| {
            entry.delivered == Delivered::Lost
                || (entry.id > self.started && entry.id <= self.resumed)
        };
        let waiting = self.open.unacknowledged.iter().filter(is_back);
        waiting
            .map(|entry| entry.id)
            .chain(self.open.redeliveries.iter().copied())
    }

    /// How many entries are with the callback.
    #[must_use]
    pub(super) fn in_flight_count(&self) -> usize {
        self.unacknowledged_up_to(self.started) - self.lost_and_waiting()
    }

    /// How many IDs up to `last` are not finished, but for those that were lost.
    #[must_use]
    pub(super) fn kept_up_to(&self, last: EntryId) -> usize {
        let count = self.unacknowledged_up_to(last);
        if self.open.lost == 0 {
            return count;
        }
        let up_to = self.open.unacknowledged.iter().take(count);
        up_to
            .filter(|entry| entry.delivered == Delivered::Once)
            .count()
    }

    /// Whether an entry was lost, and is not finished since.
    pub(super) fn is_lost(&self, id: EntryId) -> bool {
        self.open.lost > 0
            && self
                .open
                .find(id)
                .is_some_and(|at| self.open.unacknowledged[at].delivered != Delivered::Once)
    }

    /// An entry that was read is not with the callback any more, and not finished: it is to be
    /// redelivered. False where it is not listed.
    pub(super) fn lose(&mut self, id: EntryId) -> bool {
        let open = &mut *self.open;
        let Some(entry) = open.find(id).and_then(|at| open.unacknowledged.remove(at)) else {
            return false;
        };
        open.forget(&entry);
        open.redeliver_later(id);
        true
    }

    /// What is with the callback is as if it had never been lost: all of it may be lost again.
    pub(super) fn forget_losses(&mut self) {
        if self.open.lost == 0 {
            return;
        }
        let open = &mut *self.open;
        for entry in &mut open.unacknowledged {
            if entry.delivered == Delivered::Again {
                entry.delivered = Delivered::Once;
                open.lost -= 1;
            }
        }
    }

    /// How many IDs up to `last` are not finished.
    #[must_use]
    pub(super) fn unacknowledged_up_to(&self, last: EntryId) -> usize {
        self.open
            .unacknowledged
            .partition_point(|entry| entry.id <= last)
    }

    /// The highest ID at or below which everything is finished that was ever read.
    #[must_use]
    pub(super) fn trim_bound(&self) -> TrimBound {
        match self.oldest() {
            Some(first) => TrimBound::Below(first),
            None => self
                .read
                .next()
                .map_or(TrimBound::Everything, TrimBound::Below),
        }
    }

    /// Notes what [`Cursor::reach`] gave. IDs must ascend; others are refused, as a stream cannot
    /// hold them. True where more may have to be read whatever the stream's end: something was
    /// redelivered.
    pub(super) fn note_read(&mut self, entries: &[(EntryId, usize)]) -> bool {
        if self.has_redeliveries()
            && let Some(id) = self.open.redeliveries.pop_front()
        {
            // It may be gone from the stream.
            if let Some((_, bytes)) = entries.iter().find(|(found, _)| *found == id) {
                self.push(id, *bytes);
            }
            return true;
        }
        for (id, bytes) in entries {
            if *id > self.read {
                self.push(*id, *bytes);
                self.read = *id;
            }
        }
        false
    }

    fn push(&mut self, id: EntryId, bytes: usize) {
        let open = &mut *self.open;
        open.bytes += bytes;
        let delivered = if id <= self.started {
            open.lost += 1;
            Delivered::Lost
        } else {
            Delivered::Once
        };
        let entry = Unacknowledged {
            id,
            bytes,
            behind: self.read,
            delivered,
        };
        let is_last = open.unacknowledged.back().is_none_or(|last| last.id < id);
        if is_last {
            open.unacknowledged.push_back(entry);
        } else {
            let at = open.unacknowledged.partition_point(|one| one.id < id);
            open.unacknowledged.insert(at, entry);
        }
    }

    /// Gives memory back that nothing is kept in.
    pub(super) fn tidy(&mut self) {
        self.open.tidy();
    }

    /// How many entries are to be redelivered, and were not read for that yet.
    #[must_use]
    pub(super) fn redelivery_count(&self) -> usize {
        self.open.redeliveries.len()
    }

    /// The first entry that is not finished.
    #[must_use]
    pub(super) fn oldest(&self) -> Option<EntryId> {
        let first = self.open.unacknowledged.front().map(|entry| entry.id);
        first
            .into_iter()
            .chain(self.open.redeliveries.front().copied())
            .min()
    }

    /// Notes an entry that was read, and is done at once: nobody wants it.
    pub(super) fn note_skipped(&mut self, id: EntryId) {
        if !self.has_waiting() {
            self.started = self.started.max(id);
        }
        self.read = self.read.max(id);
    }

    /// Whether an entry was read, and is not finished.
    #[must_use]
    pub(super) fn is_listed(&self, id: EntryId) -> bool {
        self.open.find(id).is_some()
    }

    /// Whether there is something to redeliver.
    #[must_use]
    pub(super) fn has_redeliveries(&self) -> bool {
        !self.open.redeliveries.is_empty()
    }

    /// Notes that the callback was given every entry up to `id`.
    pub(super) fn note_started(&mut self, id: EntryId) {
        if self.open.lost > 0
            && let Some(at) = self.open.find(id)
            && self.open.unacknowledged[at].delivered == Delivered::Lost
        {
            self.open.unacknowledged[at].delivered = Delivered::Again;
        }
        self.started = self.started.max(id.min(self.read));
        if !self.has_waiting() && !self.has_redeliveries() {
            // What was read behind it is done, too: nobody wanted it.
            self.started = self.read;
        }
    }

    /// Notes an entry as finished; false where it was not listed (any more).
    pub(super) fn note_finished(&mut self, id: EntryId) -> bool {
        let Some(at) = self.open.find(id) else {
            return false;
        };
        let open = &mut *self.open;
        if let Some(entry) = open.unacknowledged.remove(at) {
            open.forget(&entry);
        }
        self.started = self.started.max(id);
        true
    }

    /// Forgets all IDs above `last`: they are not those of the entries that were read.
    pub(super) fn rewind(&mut self, last: EntryId) {
        let open = &mut *self.open;
        while let Some(entry) = open.unacknowledged.pop_back() {
            if entry.id <= last {
                open.unacknowledged.push_back(entry);
                break;
            }
            open.forget(&entry);
        }
        open.redeliveries.retain(|id| *id <= last);
        self.open.tidy();
        self.read = self.read.min(last);
        self.started = self.started.min(last);
        self.resumed = self.resumed.min(last);
    }

    /// Puts back what was read and not started: it will be read again, and nothing that was passed
    /// over before it.
    pub(super) fn put_back_waiting(&mut self) {
        let open = &mut *self.open;
        while let Some(last) = open.unacknowledged.pop_back() {
            if last.id <= self.started {
                open.unacknowledged.push_back(last);
                break;
            }
            open.forget(&last);
            if last.id <= self.resumed {
                open.redeliver_later(last.id);
            } else {
                self.read = last.behind;
            }
        }
        self.open.tidy();
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
        let entries: Vec<_> = read.map(|seq| (id(seq), 10)).collect();
        cursor.note_read(&entries);
        cursor
    }

    fn checkpoint(position: u64, pending: &[u64]) -> Checkpoint {
        Checkpoint {
            position: id(position),
            pending: pending.iter().map(|seq| id(*seq)).collect(),
            delivery_state: DeliveryState::default(),
        }
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
        assert_eq!(cursor.unacknowledged_bytes(), 0);
    }

    #[test]
    fn the_bound_behind_the_last_possible_id_is_everything() {
        let mut cursor = Cursor::default();
        cursor.note_read(&[(EntryId::MAX, 1)]);
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
        assert_eq!(cursor.unacknowledged(), 2);
        assert_eq!(cursor.unacknowledged_bytes(), 20);
        cursor.note_read(&[(id(3), 10)]);
        assert_eq!(cursor.unacknowledged(), 3);
    }

    #[test]
    fn what_nobody_wanted_before_entries_that_are_put_back_is_not_read_again() {
        let mut cursor = cursor(1..=1);
        cursor.note_skipped(id(2));
        cursor.note_started(id(1));
        assert_eq!(cursor.checkpoint(), checkpoint(2, &[1]));
        cursor.note_read(&[(id(3), 10)]);
        cursor.note_skipped(id(4));
        cursor.note_read(&[(id(5), 10)]);
        cursor.put_back_waiting();
        assert_eq!((cursor.read(), cursor.unacknowledged()), (id(2), 1));
        cursor.note_skipped(id(3));
        cursor.note_read(&[(id(5), 10)]);
        cursor.put_back_waiting();
        assert_eq!(cursor.read(), id(3));
    }

    #[test]
    fn ids_above_the_one_that_was_set_back_to_can_be_read_again() {
        let mut cursor = cursor(1..=5);
        cursor.note_started(id(4));
        cursor.rewind(id(2));
        assert_eq!((cursor.read(), cursor.started()), (id(2), id(2)));
        assert_eq!(
            (cursor.unacknowledged(), cursor.unacknowledged_bytes()),
            (2, 20)
        );
        assert!(!cursor.note_finished(id(3)));
        cursor.note_read(&[(id(3), 1)]);
        assert_eq!(cursor.unacknowledged(), 3);
    }

    #[test]
    fn what_is_lost_is_redone_before_what_is_behind_and_counts_as_not_started_until_it_is() {
        let mut cursor = cursor(1..=4);
        cursor.note_started(id(3));
        assert!(cursor.note_finished(id(1)));
        assert!(cursor.lose(id(2)));
        assert!(!cursor.lose(id(2)) && !cursor.lose(id(9)));
        assert_eq!(cursor.trim_bound(), TrimBound::Below(id(2)));
        assert_eq!(cursor.checkpoint(), checkpoint(3, &[2, 3]));
        assert_eq!(cursor.in_flight().collect::<Vec<_>>(), [id(3)]);
        assert_eq!(cursor.reach(), Reach::Only(id(2)));
        assert!(cursor.note_read(&[(id(2), 10)]));
        assert_eq!(cursor.reach(), Reach::Behind(id(4)));
        assert_eq!((cursor.in_flight_count(), cursor.kept_up_to(id(3))), (1, 1));
        assert_eq!(cursor.redeliveries().collect::<Vec<_>>(), [id(2)]);
        assert_eq!(cursor.checkpoint(), checkpoint(3, &[2, 3]));
        cursor.note_started(id(2));
        assert_eq!((cursor.in_flight_count(), cursor.kept_up_to(id(3))), (2, 1));
        assert!(cursor.is_lost(id(2)) && !cursor.is_lost(id(3)));
        cursor.forget_losses();
        assert_eq!(cursor.kept_up_to(id(3)), 2);
        assert!(cursor.note_finished(id(2)) && cursor.note_finished(id(3)));
        assert_eq!(cursor.checkpoint(), checkpoint(3, &[]));
    }

    #[test]
    fn what_is_lost_and_gone_from_the_stream_is_done() {
        let mut cursor = cursor(1..=2);
        cursor.note_started(id(2));
        assert!(cursor.lose(id(1)));
        assert!(cursor.note_read(&[]));
        assert_eq!(cursor.checkpoint(), checkpoint(2, &[2]));
        assert_eq!(cursor.trim_bound(), TrimBound::Below(id(2)));
    }

    #[test]
    fn ids_that_do_not_ascend_are_refused() {
        let mut cursor = cursor(1..=5);
        cursor.note_read(&[(id(5), 1), (id(4), 1)]);
        assert_eq!(cursor.unacknowledged(), 5);
    }

    #[test]
    fn a_checkpoint_names_what_was_started_and_not_finished_and_nothing_that_only_waits() {
        let mut cursor = cursor(1..=6);
        cursor.note_started(id(4));
        assert!(cursor.note_finished(id(1)));
        assert!(cursor.note_finished(id(3)));
        assert_eq!(cursor.checkpoint(), checkpoint(4, &[2, 4]));
    }

    #[test]
    fn what_was_pending_at_a_checkpoint_is_read_again_one_by_one_and_then_what_is_behind() {
        let mut cursor = Cursor::resume(&checkpoint(4, &[2, 4]));
        assert_eq!(cursor.position(), id(4));
        assert_eq!(cursor.trim_bound(), TrimBound::Below(id(2)));
        assert_eq!(cursor.reach(), Reach::Only(id(2)));
        assert!(cursor.note_read(&[(id(2), 1)]));
        assert_eq!(cursor.reach(), Reach::Only(id(4)));
        assert!(cursor.note_read(&[]), "4 was deleted");
        assert_eq!(cursor.reach(), Reach::Behind(id(4)));
        assert_eq!(cursor.checkpoint(), checkpoint(4, &[2]));
        cursor.note_read(&[(id(5), 1)]);
        assert!(cursor.note_finished(id(2)));
        assert_eq!(cursor.checkpoint(), checkpoint(4, &[]));
        assert!(cursor.note_finished(id(5)));
        assert_eq!(cursor.checkpoint(), checkpoint(5, &[]));
    }

    #[test]
    fn what_was_to_be_redone_and_is_put_back_is_still_to_be_redone_and_nothing_finished_is() {
        let mut cursor = Cursor::resume(&checkpoint(9, &[2, 5, 7]));
        cursor.note_read(&[(id(2), 1)]);
        cursor.note_read(&[(id(5), 1)]);
        cursor.note_started(id(2));
        let redelivered: Vec<_> = cursor.redeliveries().collect();
        assert_eq!(redelivered, [id(5), id(7)]);
        cursor.put_back_waiting();
        assert_eq!(cursor.reach(), Reach::Only(id(5)));
        assert_eq!((cursor.read(), cursor.unacknowledged_bytes()), (id(9), 1));
        assert_eq!(cursor.checkpoint(), checkpoint(9, &[2, 5, 7]));
    }

    #[test]
    fn setting_the_last_id_back_forgets_what_was_to_be_redone_above_it() {
        let mut cursor = Cursor::resume(&checkpoint(9, &[2, 5, 7]));
        cursor.rewind(id(5));
        assert_eq!(cursor.checkpoint(), checkpoint(5, &[2, 5]));
    }

    #[test]
    fn a_checkpoint_that_is_out_of_order_does_no_harm() {
        let cursor = Cursor::resume(&checkpoint(4, &[3, 2, 9, 3, 4]));
        assert_eq!(cursor.checkpoint(), checkpoint(4, &[3, 4]));
    }
}
