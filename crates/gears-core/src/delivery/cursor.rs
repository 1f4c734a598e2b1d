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

#[cfg(test)]
mod tests;
mod unfinished;

use std::collections::VecDeque;

use super::checkpoint::Checkpoint;
use super::delivery_state::DeliveryState;
use super::id::EntryId;
use unfinished::{Delivered, Unacknowledged, Unfinished};

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

/// One consumer's position in one stream, with what is unfinished before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    read: EntryId,
    /// Where there is none, all that was read was started and is finished.
    unfinished: Option<Box<Unfinished>>,
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
        let unfinished = Unfinished {
            resumed: position,
            redeliveries,
            ..Unfinished::default()
        };
        let mut cursor = Self {
            read: position,
            unfinished: Some(Box::new(unfinished)),
        };
        cursor.tidy();
        cursor
    }

    /// A cursor that has finished everything up to an entry, and read nothing behind it.
    pub(super) fn of_rest(read: EntryId) -> Self {
        Self {
            read,
            unfinished: None,
        }
    }

    /// The last entry read, where nothing else is to be known.
    pub(super) fn at_rest(&self) -> Option<EntryId> {
        self.unfinished.is_none().then_some(self.read)
    }

    fn unfinished(&self) -> &Unfinished {
        self.unfinished.as_deref().unwrap_or(Unfinished::NONE)
    }

    fn unfinished_mut(&mut self) -> &mut Unfinished {
        let started = self.read;
        self.unfinished.get_or_insert_with(|| {
            Box::new(Unfinished {
                started,
                ..Unfinished::default()
            })
        })
    }

    /// What would have to be known to go on from here: entries that were read and not started
    /// are as good as not read. So are those behind `begun`: they may have been dispatched, and
    /// none of them was with the callback.
    pub(super) fn checkpoint_up_to(&self, begun: EntryId) -> Checkpoint {
        let position = self.position_up_to(begun);
        let open = self
            .unfinished()
            .unacknowledged
            .iter()
            .map(|entry| entry.id);
        let mut pending: Vec<_> = open
            .take_while(|id| *id <= position)
            .chain(self.unfinished().redeliveries.iter().copied())
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
        match self.unfinished().redeliveries.front() {
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
        let unfinished = self.unfinished.as_ref();
        unfinished.map_or(self.read, |unfinished| unfinished.started)
    }

    /// The last ID handed to a callback, before the restart if not since then; 0-0 where there
    /// was none. Nothing behind `begun` was with the callback, though it may have been dispatched.
    #[must_use]
    pub(super) fn position_up_to(&self, begun: EntryId) -> EntryId {
        let open = self.unfinished();
        let mut position = self.started();
        if begun < position {
            // Where it is only known what comes next, that is the entry before it: people read it.
            let next = self.unacknowledged_up_to(begun);
            let next = open.unacknowledged.get(next);
            position = next.map_or(begun, |next| begun.min(next.behind));
        }
        position.max(open.resumed)
    }

    /// Entries read and not finished, started or not.
    #[must_use]
    pub(super) fn unacknowledged(&self) -> usize {
        self.unfinished().unacknowledged.len()
    }

    /// Size in bytes of the entries read and not finished.
    #[must_use]
    pub(super) fn unacknowledged_bytes(&self) -> usize {
        self.unfinished().bytes
    }

    /// Whether entries were read that the callback did not get yet.
    #[must_use]
    pub(super) fn has_waiting(&self) -> bool {
        self.unfinished()
            .unacknowledged
            .back()
            .is_some_and(|last| last.id > self.started())
            || self.lost_and_waiting() > 0
    }

    fn lost_and_waiting(&self) -> usize {
        if self.unfinished().lost == 0 {
            return 0;
        }
        let waits = |entry: &&Unacknowledged| entry.delivered == Delivered::Lost;
        self.unfinished()
            .unacknowledged
            .iter()
            .filter(waits)
            .count()
    }

    /// IDs handed to the callback and not finished, ascending.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = EntryId> + '_ {
        let count = self.unacknowledged_up_to(self.started());
        let started = self.unfinished().unacknowledged.iter().take(count);
        started
            .filter(|entry| entry.delivered != Delivered::Lost)
            .map(|entry| entry.id)
    }

    /// IDs that were dispatched before and will be again, in any order.
    pub(super) fn redeliveries(&self) -> impl Iterator<Item = EntryId> + '_ {
        let is_back = |entry: &&Unacknowledged| {
            entry.delivered == Delivered::Lost
                || (entry.id > self.started() && entry.id <= self.unfinished().resumed)
        };
        let waiting = self.unfinished().unacknowledged.iter().filter(is_back);
        waiting
            .map(|entry| entry.id)
            .chain(self.unfinished().redeliveries.iter().copied())
    }

    /// How many entries are with the callback.
    #[must_use]
    pub(super) fn in_flight_count(&self) -> usize {
        self.unacknowledged_up_to(self.started()) - self.lost_and_waiting()
    }

    /// How many IDs up to `last` are not finished, but for those that were lost.
    #[must_use]
    pub(super) fn kept_up_to(&self, last: EntryId) -> usize {
        let count = self.unacknowledged_up_to(last);
        if self.unfinished().lost == 0 {
            return count;
        }
        let up_to = self.unfinished().unacknowledged.iter().take(count);
        up_to
            .filter(|entry| entry.delivered == Delivered::Once)
            .count()
    }

    /// Whether an entry was lost, and is not finished since.
    pub(super) fn is_lost(&self, id: EntryId) -> bool {
        self.unfinished().lost > 0
            && self
                .unfinished()
                .find(id)
                .is_some_and(|at| self.unfinished().unacknowledged[at].delivered != Delivered::Once)
    }

    /// An entry that was read is not with the callback any more, and not finished: it is to be
    /// redelivered. False where it is not listed.
    pub(super) fn lose(&mut self, id: EntryId) -> bool {
        let open = self.unfinished_mut();
        let Some(entry) = open.find(id).and_then(|at| open.unacknowledged.remove(at)) else {
            return false;
        };
        open.forget(&entry);
        open.redeliver_later(id);
        true
    }

    /// The server became a replica.
    pub(super) fn note_demotion(&mut self) {
        if let Some(open) = &mut self.unfinished {
            for entry in &mut open.unacknowledged {
                entry.saw_demotion = true;
            }
        }
    }

    /// Whether the server became a replica since an entry was read that is not finished.
    pub(super) fn saw_demotion(&self, id: EntryId) -> bool {
        let open = self.unfinished();
        open.find(id)
            .is_some_and(|at| open.unacknowledged[at].saw_demotion)
    }

    /// Whatever was lost and read again is with the callback.
    pub(super) fn note_lost_started(&mut self) {
        if self.unfinished().lost == 0 {
            return;
        }
        for entry in &mut self.unfinished_mut().unacknowledged {
            if entry.delivered == Delivered::Lost {
                entry.delivered = Delivered::Again;
            }
        }
    }

    /// What is with the callback is as if it had never been lost: all of it may be lost again.
    pub(super) fn forget_losses(&mut self) {
        if self.unfinished().lost == 0 {
            return;
        }
        let open = self.unfinished_mut();
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
        self.unfinished()
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
            && let Some(id) = self.unfinished_mut().redeliveries.pop_front()
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
        let behind = self.read;
        let open = self.unfinished_mut();
        open.bytes += bytes;
        let delivered = if id <= open.started {
            open.lost += 1;
            Delivered::Lost
        } else {
            Delivered::Once
        };
        let entry = Unacknowledged {
            id,
            bytes,
            behind,
            delivered,
            saw_demotion: false,
        };
        let is_last = open.unacknowledged.back().is_none_or(|last| last.id < id);
        if is_last {
            open.unacknowledged.push_back(entry);
        } else {
            let at = open.unacknowledged.partition_point(|one| one.id < id);
            open.unacknowledged.insert(at, entry);
        }
    }

    /// What was dispatched before the restart comes up to this entry.
    pub(super) fn resumed(&self) -> EntryId {
        self.unfinished().resumed
    }

    /// Takes an entry out of those that are to be read again: it counts as read with so many bytes,
    /// or as finished where it is gone from the stream. False where it is not among them.
    pub(super) fn take_redelivery(&mut self, id: EntryId, bytes: Option<usize>) -> bool {
        let Ok(at) = self.unfinished().redeliveries.binary_search(&id) else {
            return false;
        };
        self.unfinished_mut().redeliveries.remove(at);
        if let Some(bytes) = bytes {
            self.push(id, bytes);
        }
        true
    }

    /// Gives memory back that nothing is kept in.
    pub(super) fn tidy(&mut self) {
        let read = self.read;
        self.unfinished.take_if(|unfinished| {
            let is_empty = unfinished.is_empty();
            is_empty && unfinished.started.max(unfinished.resumed) == read
        });
    }

    /// How many entries are to be redelivered, and were not read for that yet.
    #[must_use]
    pub(super) fn redelivery_count(&self) -> usize {
        self.unfinished().redeliveries.len()
    }

    /// The first entry that is not finished.
    #[must_use]
    pub(super) fn oldest(&self) -> Option<EntryId> {
        let first = self
            .unfinished()
            .unacknowledged
            .front()
            .map(|entry| entry.id);
        first
            .into_iter()
            .chain(self.unfinished().redeliveries.front().copied())
            .min()
    }

    /// Notes an entry that was read, and is done at once: nobody wants it.
    pub(super) fn note_skipped(&mut self, id: EntryId) {
        if !self.has_waiting() {
            let open = self.unfinished_mut();
            open.started = open.started.max(id);
        }
        self.read = self.read.max(id);
    }

    /// Whether an entry was read, and is not finished.
    #[must_use]
    pub(super) fn is_listed(&self, id: EntryId) -> bool {
        self.unfinished().find(id).is_some()
    }

    /// Whether there is something to redeliver.
    #[must_use]
    pub(super) fn has_redeliveries(&self) -> bool {
        !self.unfinished().redeliveries.is_empty()
    }

    /// Notes that the callback was given every entry up to `id`.
    pub(super) fn note_started(&mut self, id: EntryId) {
        if self.unfinished().lost > 0
            && let Some(at) = self.unfinished().find(id)
            && self.unfinished().unacknowledged[at].delivered == Delivered::Lost
        {
            self.unfinished_mut().unacknowledged[at].delivered = Delivered::Again;
        }
        let read = self.read;
        if let Some(open) = &mut self.unfinished {
            open.started = open.started.max(id.min(read));
        }
        if !self.has_waiting()
            && !self.has_redeliveries()
            && let Some(open) = &mut self.unfinished
        {
            // What was read behind it is done, too: nobody wanted it.
            open.started = read;
        }
    }

    /// Notes an entry as finished; false where it was not listed (any more).
    pub(super) fn note_finished(&mut self, id: EntryId) -> bool {
        let Some(at) = self.unfinished().find(id) else {
            return false;
        };
        let open = self.unfinished_mut();
        if let Some(entry) = open.unacknowledged.remove(at) {
            open.forget(&entry);
        }
        open.started = open.started.max(id);
        true
    }

    /// Forgets all IDs above `last`: they are not those of the entries that were read.
    pub(super) fn rewind(&mut self, last: EntryId) {
        let open = self.unfinished_mut();
        while let Some(entry) = open.unacknowledged.pop_back() {
            if entry.id <= last {
                open.unacknowledged.push_back(entry);
                break;
            }
            open.forget(&entry);
        }
        open.redeliveries.retain(|id| *id <= last);
        open.started = open.started.min(last);
        open.resumed = open.resumed.min(last);
        self.read = self.read.min(last);
        self.tidy();
    }

    /// Puts back what was read and not started: it will be read again, and nothing that was passed
    /// over before it. How many entries are behind the cursor again.
    pub(super) fn put_back_waiting(&mut self) -> i64 {
        let mut read = self.read;
        let mut count = 0;
        let open = self.unfinished_mut();
        while let Some(last) = open.unacknowledged.pop_back() {
            if last.id <= open.started {
                open.unacknowledged.push_back(last);
                break;
            }
            open.forget(&last);
            if last.id <= open.resumed {
                open.redeliver_later(last.id);
            } else {
                read = last.behind;
                count += 1;
            }
        }
        self.read = read;
        self.tidy();
        count
    }
}
