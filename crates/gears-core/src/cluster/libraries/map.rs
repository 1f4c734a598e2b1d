//! The last that was said of each library.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::entry::{Content, Entry};
use super::stamp::{Domain, Stamp};

/// What two maps are compared by: the sum of what each name with its stamp hashes to. So a change costs the same
/// however many names there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Root([u64; 4]);

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

impl Root {
    fn of(name: &str, stamp: &Stamp) -> [u64; 4] {
        let mut hash = Sha256::new();
        hash.update(postcard::to_allocvec(stamp).unwrap_or_default());
        hash.update(name);
        let hash: [u8; 32] = hash.finalize().into();
        let mut lanes = [0; 4];
        for (lane, bytes) in lanes.iter_mut().zip(hash.chunks_exact(8)) {
            *lane = bytes
                .iter()
                .fold(0, |lane, byte| (lane << 8) | u64::from(*byte));
        }
        lanes
    }

    fn add(&mut self, name: &str, stamp: &Stamp) {
        for (lane, more) in self.0.iter_mut().zip(Self::of(name, stamp)) {
            *lane = lane.wrapping_add(more);
        }
    }

    fn subtract(&mut self, name: &str, stamp: &Stamp) {
        for (lane, less) in self.0.iter_mut().zip(Self::of(name, stamp)) {
            *lane = lane.wrapping_sub(less);
        }
    }
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// When it was said.
    pub stamp: Stamp,
    /// What.
    pub content: Content,
}

/// The libraries of a node, with when each was changed; and the deletions that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LibraryMap {
    pub(super) domain: Option<Domain>,
    pub(super) clock: u64,
    pub(super) floor: u64,
    entries: BTreeMap<Arc<str>, Known>,
    root: Root,
    deleted: usize,
}

impl LibraryMap {
    /// Whose libraries these are; `None` as long as nobody of the cluster said.
    #[must_use]
    pub fn domain(&self) -> Option<Domain> {
        self.domain
    }

    /// The greatest counter that was seen.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// Up to which counter deletions may be forgotten.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// What it is compared by.
    #[must_use]
    pub fn root(&self) -> Root {
        self.root
    }

    /// Deletions that are remembered.
    #[must_use]
    pub fn deleted(&self) -> usize {
        self.deleted
    }

    /// What is known of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Known> {
        self.entries.get(name)
    }

    /// All that is known, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Known)> {
        self.entries.iter()
    }

    /// Whether nothing is known, nor forgotten.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.floor == 0
    }

    /// Whether something said of a name is later than all that is known of it.
    #[must_use]
    pub fn is_news(&self, name: &str, stamp: &Stamp) -> bool {
        match self.entries.get(name) {
            Some(known) => *stamp > known.stamp,
            None => stamp.counter > self.floor || self.floor == 0,
        }
    }

    /// Takes an entry in if it is news; gives whether it was.
    pub fn merge(&mut self, entry: &Entry) -> bool {
        self.clock = self.clock.max(entry.stamp.counter);
        let is_news = self.is_news(&entry.name, &entry.stamp);
        if is_news {
            self.put(entry);
        }
        is_news
    }

    /// Takes an entry in, whatever was known.
    pub(super) fn put(&mut self, entry: &Entry) {
        self.remove(&entry.name);
        self.clock = self.clock.max(entry.stamp.counter);
        self.root.add(&entry.name, &entry.stamp);
        self.deleted += usize::from(entry.content.is_deleted());
        let known = Known {
            stamp: entry.stamp,
            content: entry.content.clone(),
        };
        self.entries.insert(Arc::clone(&entry.name), known);
    }

    /// Forgets a name altogether.
    pub(super) fn remove(&mut self, name: &str) -> Option<Known> {
        let known = self.entries.remove(name)?;
        self.root.subtract(name, &known.stamp);
        self.deleted -= usize::from(known.content.is_deleted());
        Some(known)
    }

    pub(super) fn raise_floor(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
        self.clock = self.clock.max(floor);
    }

    /// Forgets the oldest deletions but `keep`, and raises the floor to the latest of these; gives their names.
    pub(super) fn prune(&mut self, keep: usize) -> Vec<Arc<str>> {
        let deleted = self
            .entries
            .iter()
            .filter(|(_, known)| known.content.is_deleted());
        let mut deleted: Vec<_> = deleted
            .map(|(name, known)| (known.stamp, Arc::clone(name)))
            .collect();
        deleted.sort_unstable();
        deleted.truncate(deleted.len().saturating_sub(keep));
        for (stamp, name) in &deleted {
            self.remove(name);
            self.raise_floor(stamp.counter);
        }
        deleted.into_iter().map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Body;
    use super::*;
    use crate::cluster::libraries::stamp::numbered;
    use proptest::prelude::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let name = prop::sample::select(vec!["a", "b", "c"]);
        (name, 0..5u64, 0..3u32, prop::option::of(0..2u8)).prop_map(
            |(name, counter, author, code)| {
                let content = code.map_or(Content::Deleted, |code| {
                    Content::Live(Arc::new(Body {
                        code: code.to_string(),
                        config: None,
                        owner: String::new(),
                        unregistered: Vec::new(),
                        version: 1,
                        loaded_ms: 0,
                        loaded_by: String::new(),
                    }))
                });
                let stamp = Stamp {
                    counter,
                    author: Some(numbered(author)),
                    digest: content.digest(),
                };
                Entry {
                    name: name.into(),
                    stamp,
                    content,
                }
            },
        )
    }

    fn merged<'a>(entries: impl Iterator<Item = &'a Entry>) -> LibraryMap {
        let mut map = LibraryMap::default();
        for entry in entries {
            map.merge(entry);
        }
        map
    }

    proptest! {
        #[test]
        fn maps_are_equal_whatever_the_order_and_however_often(
            entries in prop::collection::vec(entry(), 0..12),
            mixed in any::<prop::sample::Index>(),
        ) {
            let map = merged(entries.iter());
            let at = mixed.index(entries.len() + 1);
            let other = entries[at..].iter().rev().chain(&entries).chain(&entries[..at]);
            prop_assert_eq!(merged(other), map.clone());
            let mut emptied = map.clone();
            let names: Vec<_> = map.iter().map(|(name, _)| Arc::clone(name)).collect();
            for name in names {
                emptied.remove(&name);
            }
            prop_assert_eq!(emptied.root(), Root::default());
            prop_assert_eq!(emptied.deleted(), 0);
        }

        #[test]
        fn the_root_tells_maps_apart(
            entries in prop::collection::vec(entry(), 0..6),
            more in prop::collection::vec(entry(), 0..3),
        ) {
            let map = merged(entries.iter());
            let other = merged(entries.iter().chain(&more));
            prop_assert_eq!(map.root() == other.root(), map.entries == other.entries);
        }

        #[test]
        fn what_was_forgotten_does_not_come_back(
            entries in prop::collection::vec(entry(), 0..12),
            keep in 0..3usize,
        ) {
            let mut map = merged(entries.iter());
            let gone = map.prune(keep);
            prop_assert!(map.deleted() <= keep);
            for entry in entries.iter().filter(|entry| gone.contains(&entry.name)) {
                prop_assert!(map.floor() == 0 || !map.is_news(&entry.name, &entry.stamp));
            }
        }
    }
}
