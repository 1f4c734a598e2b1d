//! The entries of a batch that was dispatched, or is being dispatched, and what they share.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use hashbrown::HashSet;
use smallvec::SmallVec;

use super::super::filter::Filter;
use super::super::id::EntryId;
use super::super::policy::Policy;
use super::super::record::Item;
use super::super::redrives::Redriven;
use super::busy::Busy;

/// What was tried with an entry so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Attempts that failed.
    pub attempts: u32,
    /// When the first of them began, Unix milliseconds.
    pub first_ms: u64,
}

/// An entry and where it belongs.
#[derive(Clone, Debug)]
pub(in super::super) struct Entry {
    pub(in super::super) item: Item,
    pub(super) group: Option<u64>,
}

/// Entries of a batch that was dispatched before, or is.
#[derive(Clone, Debug)]
pub(in super::super) struct Load {
    pub(in super::super) entries: SmallVec<[Entry; 1]>,
    pub(in super::super) tried: Tried,
    /// The dead letter that its one entry comes from, if it does.
    pub(in super::super) letter: Option<Box<Redriven>>,
    /// Whether it is known to have been with the callback. Until then it may only wait beside it.
    pub(in super::super) has_begun: bool,
    /// Whether the server became a replica since it was dispatched.
    pub(in super::super) saw_demotion: bool,
}

impl Load {
    /// One entry of the stream that was dispatched before.
    pub(in super::super) fn of_one(item: Item, tried: Tried) -> Self {
        Self {
            entries: SmallVec::from_elem(Entry { item, group: None }, 1),
            tried,
            letter: None,
            has_begun: true,
            saw_demotion: false,
        }
    }

    pub(in super::super) fn first(&self) -> EntryId {
        self.entries
            .first()
            .map_or(EntryId::ZERO, |entry| entry.item.id())
    }

    /// The last ID, if it is of the stream and not of dead letters.
    pub(super) fn last_of_stream(&self) -> EntryId {
        let last = self.entries.last().filter(|_| self.letter.is_none());
        last.map_or(EntryId::ZERO, |entry| entry.item.id())
    }

    pub(in super::super) fn ids(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.entries.iter().map(|entry| entry.item.id())
    }

    /// Leaves out what a filter does not want, which is added to the others. Entries of dead
    /// letters stay: somebody asked for just these.
    pub(in super::super) fn sift(&mut self, filter: &Filter, unwanted: &mut Vec<EntryId>) {
        if self.letter.is_none() {
            self.entries.retain(|entry| {
                let is_wanted = filter.matches(entry.item.record());
                if !is_wanted {
                    unwanted.push(entry.item.id());
                }
                is_wanted
            });
        }
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = u64> + '_ {
        self.entries.iter().filter_map(|entry| entry.group)
    }

    /// Its groups, each once.
    pub(super) fn distinct_groups(&self) -> SmallVec<[u64; 1]> {
        let mut groups: SmallVec<[u64; 1]> = self.groups().collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// Takes the second half of the entries, which are at least two.
    pub(in super::super) fn split(&mut self) -> Self {
        self.split_at(self.entries.len() / 2)
    }

    pub(super) fn split_at(&mut self, at: usize) -> Self {
        Self {
            entries: self.entries.drain(at..).collect(),
            tried: self.tried,
            letter: None,
            has_begun: self.has_begun,
            saw_demotion: self.saw_demotion,
        }
    }
}

/// The group of an entry, if it is of any.
pub(super) fn group_of(item: &Item, policy: &Policy) -> Option<u64> {
    let value = item.record().value(policy.order_by.as_deref()?)?;
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    Some(hasher.finish())
}

/// Takes the first batch whose groups are free, and have nothing before it.
pub(super) fn take_free(loads: &mut VecDeque<Load>, busy: &Busy) -> Option<Load> {
    let mut skipped: HashSet<u64> = HashSet::new();
    let at = loads.iter().position(|load| {
        let mut groups = load.groups();
        let waits = groups.any(|group| busy.contains(group) || skipped.contains(&group));
        if waits {
            skipped.extend(load.groups());
        }
        !waits
    })?;
    loads.remove(at)
}
