//! The entries of a subscription that were read, or are to be read again, and are not finished.

use std::collections::VecDeque;

use super::super::id::EntryId;

/// An entry that was read, with the size of its fields in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unacknowledged {
    pub(super) id: EntryId,
    pub(super) bytes: usize,
    /// How far the cursor had read when this one came: what lies between is done, nobody wanted it.
    pub(super) behind: EntryId,
    pub(super) delivered: Delivered,
    /// Whether the server became a replica since it was read.
    pub(super) saw_demotion: bool,
}

/// Whether an entry up to the last one started is with the callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// It is.
    Once,
    /// It was lost, was read again, and waits.
    Lost,
    /// It was lost, and is with the callback again.
    Again,
}

/// How far entries were started, and what is not finished.
#[derive(Clone, Debug, Default)]
pub(super) struct Unfinished {
    /// The last ID handed to the callback; 0-0 where there was none.
    pub(super) started: EntryId,
    /// The position resumed from; 0-0 where that does not matter any more.
    pub(super) resumed: EntryId,
    pub(super) unacknowledged: VecDeque<Unacknowledged>,
    pub(super) bytes: usize,
    pub(super) redeliveries: VecDeque<EntryId>,
    /// How many entries were lost and are not finished since, but for those to be redelivered.
    pub(super) lost: usize,
}

impl Unfinished {
    /// Of a cursor without any.
    pub(super) const NONE: &'static Self = &Self {
        started: EntryId::ZERO,
        resumed: EntryId::ZERO,
        unacknowledged: VecDeque::new(),
        bytes: 0,
        redeliveries: VecDeque::new(),
        lost: 0,
    };

    pub(super) fn is_empty(&self) -> bool {
        self.unacknowledged.is_empty() && self.redeliveries.is_empty()
    }

    pub(super) fn find(&self, id: EntryId) -> Option<usize> {
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
    pub(super) fn forget(&mut self, entry: &Unacknowledged) {
        self.bytes -= entry.bytes;
        if entry.delivered != Delivered::Once {
            self.lost -= 1;
        }
    }

    pub(super) fn redeliver_later(&mut self, id: EntryId) {
        let at = self.redeliveries.partition_point(|one| *one < id);
        self.redeliveries.insert(at, id);
    }
}
