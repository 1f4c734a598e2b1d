//! Which consumers match a key: a trie of their prefixes, and a table of whole names.
//!
//! A look-up costs the length of the key, however many consumers there are.

use hashbrown::HashMap;
use patricia_tree::PatriciaMap;
use smallvec::SmallVec;

use super::ConsumerKey;
use super::consumer::ConsumerSpec;

/// Consumers by prefix. Several may share one.
#[derive(Debug, Default)]
pub(super) struct PrefixIndex {
    /// Consumers of the empty prefix, which match every key.
    all: SmallVec<[ConsumerKey; 1]>,
    by_prefix: PatriciaMap<SmallVec<[ConsumerKey; 1]>>,
    /// Consumers that want the one key of that name.
    by_name: HashMap<Box<[u8]>, SmallVec<[ConsumerKey; 1]>>,
}

impl PrefixIndex {
    /// Adds a consumer.
    pub(super) fn insert(&mut self, spec: &ConsumerSpec, consumer: ConsumerKey) {
        let prefix = &*spec.prefix;
        if spec.exact {
            self.by_name
                .entry(prefix.into())
                .or_default()
                .push(consumer);
        } else if prefix.is_empty() {
            self.all.push(consumer);
        } else if let Some(list) = self.by_prefix.get_mut(prefix) {
            list.push(consumer);
        } else {
            self.by_prefix
                .insert(prefix, SmallVec::from_buf([consumer]));
        }
    }

    /// Removes a consumer that was added as such.
    pub(super) fn remove(&mut self, spec: &ConsumerSpec, consumer: ConsumerKey) {
        let prefix = &*spec.prefix;
        if spec.exact {
            if let Some(list) = self.by_name.get_mut(prefix) {
                list.retain(|one| *one != consumer);
                if list.is_empty() {
                    self.by_name.remove(prefix);
                }
            }
        } else if prefix.is_empty() {
            self.all.retain(|one| *one != consumer);
        } else if let Some(list) = self.by_prefix.get_mut(prefix) {
            list.retain(|one| *one != consumer);
            if list.is_empty() {
                self.by_prefix.remove(prefix);
            }
        }
    }

    /// The consumers whose prefix `key` starts with, and those of just this key.
    pub(super) fn matching<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = ConsumerKey> + 'a {
        let prefixed = self
            .by_prefix
            .common_prefixes(key)
            .flat_map(|(_, list)| list.iter());
        let named = self.by_name.get(key).into_iter().flatten();
        self.all.iter().chain(prefixed).chain(named).copied()
    }

    /// Whether any consumer matches `key`.
    #[must_use]
    pub(super) fn matches(&self, key: &[u8]) -> bool {
        self.matching(key).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::consumer::Mode;
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
                index.insert(&spec, consumer);
                all.push(consumer);
            }
            for at in removed {
                if !all.is_empty() {
                    let consumer = all.swap_remove(at.index(all.len()));
                    index.remove(&keys[consumer], consumer);
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
