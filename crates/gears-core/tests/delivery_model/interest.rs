//! What one consumer was given of one stream, entry by entry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gears_core::delivery::{Checkpoint, ConsumerKey, EntryId, SubscriptionKey};

use crate::world::Entry;

/// An entry that a callback was given.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts of different kinds")]
pub(crate) struct DeliveredEntry {
    pub(crate) id: EntryId,
    /// Number of the code whose callback it was.
    pub(crate) code: u64,
    pub(crate) done: bool,
    /// Whether the core heard that it is done.
    pub(crate) told_done: bool,
    /// It is done, may have written, and is not committed: its place is taken.
    pub(crate) uncommitted: bool,
    /// It was abandoned before, and the core did not hear that it was given again.
    pub(crate) untold: bool,
}

/// Whether what waits beside a callback is to be recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recall {
    None,
    /// The core must ask for it.
    Due,
    /// It did, once; the answer is on its way.
    Asked,
}

/// One consumer and one incarnation of a stream that it matches.
#[derive(Debug)]
pub(crate) struct Interest {
    pub(crate) consumer: ConsumerKey,
    pub(crate) incarnation: u64,
    pub(crate) sub: Option<SubscriptionKey>,
    /// What the record claimed as done when the server went on from it.
    pub(crate) done_before: BTreeSet<EntryId>,
    /// How far the record was.
    pub(crate) resumed: EntryId,
    /// What was last committed.
    pub(crate) recorded: Option<Checkpoint>,
    /// Every entry that was read and not recalled.
    pub(crate) read: Vec<EntryId>,
    /// Every entry that a callback was given, in that order.
    pub(crate) given: Vec<DeliveredEntry>,
    /// Entries that were given to code that was replaced, which did not finish them.
    pub(crate) abandoned: BTreeSet<EntryId>,
    /// Entries that were read, and not done, when the server became a replica.
    pub(crate) demoted: BTreeSet<EntryId>,
    /// The core heard that the callback was given the entries up to this one.
    pub(crate) told_started: EntryId,
    pub(crate) recall: Recall,
    /// Earlier code is done with an entry: the prefetch queue must hear that its window grew.
    pub(crate) window_due: bool,
    /// When each entry was added, as long as the core was told of each and forgot none.
    pub(crate) added: Option<BTreeMap<EntryId, u64>>,
    /// When the last tick ended, a sync callback had been given everything, and was done.
    pub(crate) was_idle: bool,
    pub(crate) finished: u64,
    pub(crate) total_processed_ms: u64,
    pub(crate) total_lag_ms: u64,
    pub(crate) last_error: Option<Arc<str>>,
}

impl Interest {
    pub(crate) fn new(consumer: ConsumerKey, incarnation: u64) -> Self {
        Self {
            consumer,
            incarnation,
            sub: None,
            done_before: BTreeSet::new(),
            resumed: EntryId::ZERO,
            recorded: None,
            read: Vec::new(),
            given: Vec::new(),
            abandoned: BTreeSet::new(),
            demoted: BTreeSet::new(),
            told_started: EntryId::ZERO,
            recall: Recall::None,
            window_due: false,
            added: None,
            was_idle: false,
            finished: 0,
            total_processed_ms: 0,
            total_lag_ms: 0,
            last_error: None,
        }
    }

    pub(crate) fn was_given(&self, id: EntryId) -> bool {
        self.done_before.contains(&id) || self.given.iter().any(|given| given.id == id)
    }

    /// Whether it was read since the start, or done before.
    pub(crate) fn was_read(&self, id: EntryId) -> bool {
        self.done_before.contains(&id) || self.read.contains(&id)
    }

    /// The server goes on from a record, in a stream with these entries.
    pub(crate) fn resume(&mut self, checkpoint: &Checkpoint, entries: &[Entry]) {
        let claims = |id: &EntryId| *id <= checkpoint.position && !checkpoint.pending.contains(id);
        self.done_before = entries
            .iter()
            .map(|entry| entry.id)
            .filter(claims)
            .collect();
        self.resumed = checkpoint.position;
        if self.told_unfinished() > 0 || self.recall != Recall::None {
            // What still runs is another's past.
            self.sub = None;
        }
        self.recorded = Some(checkpoint.clone());
        self.read.clear();
        self.given.clear();
        self.abandoned.clear();
        self.demoted.clear();
        self.told_started = EntryId::ZERO;
        self.recall = Recall::None;
        self.window_due = false;
        self.was_idle = false;
        self.added = None;
    }

    pub(crate) fn told_done(&self, id: EntryId) -> bool {
        let given = self.given.iter();
        self.done_before.contains(&id)
            || given.clone().any(|given| given.id == id && given.told_done)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.given.iter().filter(|given| !given.done).count()
    }

    /// Places of the window that are taken by entries that are done with this code.
    pub(crate) fn uncommitted(&self, code: u64) -> usize {
        let uncommitted = |given: &&DeliveredEntry| given.uncommitted && given.code == code;
        self.given.iter().filter(uncommitted).count()
    }

    /// What the core knows to be done is committed: nobody waits for that any more.
    pub(crate) fn note_recorded(&mut self) {
        let given = self.given.iter_mut();
        given
            .filter(|given| given.told_done)
            .for_each(|given| given.uncommitted = false);
    }

    /// Entries with a callback, as far as the core can know.
    pub(crate) fn told_in_flight(&self) -> impl Iterator<Item = EntryId> + '_ {
        let open = self.given.iter().filter(|given| !given.told_done);
        let told = open.filter(|given| given.id <= self.told_started && !given.untold);
        let mut told: Vec<_> = told.map(|given| given.id).collect();
        told.sort_unstable();
        told.into_iter()
    }

    /// Entries that were read and are not done, as far as the core can know.
    pub(crate) fn told_unfinished(&self) -> usize {
        let done = self.given.iter().filter(|given| given.told_done).count();
        self.read.len() - done
    }

    /// Whether an entry was read that the core does not know to be given.
    pub(crate) fn has_waiting(&self) -> bool {
        self.read.iter().any(|id| {
            let mut given = self.given.iter();
            match given.find(|given| given.id == *id) {
                None => true,
                Some(given) => !given.told_done && (*id > self.told_started || given.untold),
            }
        })
    }

    /// The server became a replica.
    pub(crate) fn demote(&mut self) {
        let open = self.read.iter().filter(|id| !self.told_done(**id));
        self.demoted = open.copied().collect();
        self.take_back();
    }

    /// What becomes due when the library's code or the server's role changes.
    pub(crate) fn take_back(&mut self) {
        self.was_idle = false;
        self.window_due = false;
        self.added = None;
        if self.recall == Recall::None && self.told_unfinished() > 0 {
            self.recall = Recall::Due;
        }
    }
}
