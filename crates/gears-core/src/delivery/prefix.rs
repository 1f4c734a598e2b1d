//! Who wants a key: a trie of prefixes, and a table of whole names.
//!
//! A look-up costs the length of the key, however many there are who want some.

use hashbrown::HashMap;
use patricia_tree::PatriciaMap;
use smallvec::SmallVec;

/// Consumers, triggers, or whatever `K` names, by prefix. Several may share one.
#[derive(Debug)]
pub(crate) struct PrefixIndex<K> {
    /// Those of the empty prefix, which match every key.
    all: SmallVec<[K; 1]>,
    by_prefix: PatriciaMap<SmallVec<[K; 1]>>,
    /// Those that want the one key of that name.
    by_name: HashMap<Box<[u8]>, SmallVec<[K; 1]>>,
}

impl<K> Default for PrefixIndex<K> {
    fn default() -> Self {
        Self {
            all: SmallVec::new(),
            by_prefix: PatriciaMap::default(),
            by_name: HashMap::default(),
        }
    }
}

impl<K: Copy + PartialEq> PrefixIndex<K> {
    /// Adds one that wants keys with that prefix, or the key of just that name.
    pub(crate) fn insert(&mut self, prefix: &[u8], exact: bool, one: K) {
        if exact {
            self.by_name.entry(prefix.into()).or_default().push(one);
        } else if prefix.is_empty() {
            self.all.push(one);
        } else if let Some(list) = self.by_prefix.get_mut(prefix) {
            list.push(one);
        } else {
            self.by_prefix.insert(prefix, SmallVec::from_buf([one]));
        }
    }

    /// Removes one that was added as such.
    pub(crate) fn remove(&mut self, prefix: &[u8], exact: bool, one: K) {
        if exact {
            if let Some(list) = self.by_name.get_mut(prefix) {
                list.retain(|other| *other != one);
                if list.is_empty() {
                    self.by_name.remove(prefix);
                }
            }
        } else if prefix.is_empty() {
            self.all.retain(|other| *other != one);
        } else if let Some(list) = self.by_prefix.get_mut(prefix) {
            list.retain(|other| *other != one);
            if list.is_empty() {
                self.by_prefix.remove(prefix);
            }
        }
    }

    /// Those whose prefix `key` starts with, and those of just this key.
    pub(crate) fn matching<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = K> + 'a {
        let prefixed = self
            .by_prefix
            .common_prefixes(key)
            .flat_map(|(_, list)| list.iter());
        let named = self.by_name.get(key).into_iter().flatten();
        self.all.iter().chain(prefixed).chain(named).copied()
    }

    /// Whether anybody wants `key`.
    #[must_use]
    pub(crate) fn matches(&self, key: &[u8]) -> bool {
        self.matching(key).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConsumerKey, ConsumerSpec, Mode};
    use super::*;
    use proptest::prelude::*;
    use slotmap::SlotMap;

    proptest! {
        #[test]
        fn the_index_finds_what_a_walk_over_all_prefixes_finds(
            prefixes in prop::collection::vec(
                (prop::collection::vec(0u8..3, 0..4), any::<bool>()), 0..12),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            key in prop::collection::vec(0u8..3, 0..6),
        ) {
            let mut keys: SlotMap<ConsumerKey, ConsumerSpec> = SlotMap::with_key();
            let mut index = PrefixIndex::default();
            let mut all = Vec::new();
            for (prefix, exact) in &prefixes {
                let spec = ConsumerSpec { exact: *exact, ..ConsumerSpec::new(prefix, 1, false, Mode::Sync) };
                let consumer = keys.insert(spec.clone());
                index.insert(prefix, *exact, consumer);
                all.push(consumer);
            }
            for at in removed {
                if !all.is_empty() {
                    let consumer = all.swap_remove(at.index(all.len()));
                    index.remove(&keys[consumer].prefix, keys[consumer].exact, consumer);
                }
            }
            let mut expected: Vec<_> =
                all.into_iter().filter(|one| keys[*one].matches(&key)).collect();
            let mut found: Vec<_> = index.matching(&key).collect();
            expected.sort();
            found.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
