//! What is to be seen of a batcher.

use super::super::id::EntryId;
use super::Batcher;
use super::load::{Load, Tried};

impl Batcher {
    pub(in super::super) fn in_flight_count(&self) -> usize {
        self.in_flight_attempts.len()
    }

    /// How many batches in flight wait for no other of their group.
    pub(in super::super) fn lanes(&self) -> usize {
        self.in_flight_attempts.len() - self.busy.behind()
    }

    /// How many entries are with the callback.
    pub(in super::super) fn entries_in_flight(&self) -> usize {
        let loads = self.in_flight_attempts.values();
        let begun = loads.filter(|load| load.has_begun);
        begun.map(|load| load.entries.len()).sum()
    }

    /// IDs with the callback, ascending.
    pub(in super::super) fn in_flight(&self) -> Vec<EntryId> {
        self.dispatched(|load| load.has_begun)
    }

    /// IDs with the callback or beside it, ascending.
    pub(in super::super) fn beside(&self) -> Vec<EntryId> {
        self.dispatched(|_| true)
    }

    fn dispatched(&self, is_wanted: impl Fn(&Load) -> bool) -> Vec<EntryId> {
        let loads = self.in_flight_attempts.values();
        let loads = loads.filter(|load| is_wanted(load));
        let mut ids: Vec<_> = loads.flat_map(Load::ids).collect();
        ids.sort_unstable();
        ids
    }

    /// Where it is enough to resume, if that is before the last entry that was dispatched: what is
    /// behind never was with the callback.
    pub(in super::super) fn begun(&self) -> Option<EntryId> {
        let loads = self.requeued.iter().chain(self.in_flight_attempts.values());
        let waiting = loads.filter(|load| !load.has_begun && load.letter.is_none());
        let first = waiting.map(Load::first).min()?;
        Some(self.begun.max(first.before()))
    }

    /// IDs that come again of what was with the callback before.
    pub(in super::super) fn requeued_again(&self) -> impl Iterator<Item = EntryId> + '_ {
        let loads = self.requeued.iter().filter(|load| load.has_begun);
        loads.flat_map(Load::ids)
    }

    /// Whether anything comes again that was with the callback before, or was tried by then.
    pub(in super::super) fn is_tried(&self) -> bool {
        self.requeued_again().next().is_some() || !self.tried().is_empty()
    }

    /// Whether a dead letter is being redelivered.
    pub(in super::super) fn is_redriven(&self, dead_letter: EntryId) -> bool {
        let redrives = self.redrives.as_ref();
        redrives.is_some_and(|redrives| redrives.contains(dead_letter))
    }

    /// What was tried with entries that are not done, ascending.
    pub(in super::super) fn tried(&self) -> Vec<(EntryId, Tried)> {
        let loads = self.requeued.iter().chain(self.in_flight_attempts.values());
        let loads = loads.filter(|load| load.tried.attempts > 0 && load.letter.is_none());
        let mut tried: Vec<_> = loads
            .flat_map(|load| load.ids().map(|id| (id, load.tried)))
            .collect();
        tried.extend(self.waiting.tried());
        tried.sort_unstable_by_key(|(id, _)| *id);
        tried
    }
}
