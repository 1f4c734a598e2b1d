//! What has to hold: at each step, and once all is well.

use std::collections::BTreeMap;
use std::sync::Arc;

use gears_core::cluster::libraries::{LibraryMap, SharedLibraries, Stamp};

use super::machine::{LIMITS, Shard};
use super::reference::holds;
use super::world::World;

impl World {
    /// Whether these are the libraries of a node that came from elsewhere, and has no slots.
    pub(super) fn is_foreign(&self, of: &Shard, map: &LibraryMap) -> bool {
        let domain = map.domain();
        if of.has_slots || domain.is_none() {
            return !of.has_slots;
        }
        let shards = self.shards.iter().filter(|one| one.has_slots);
        let mut known = shards.flat_map(|one| {
            let primary = one.primary.as_ref().and_then(|one| one.map().domain());
            [primary, one.disk.libraries.map().domain()]
        });
        known.all(|one| one != domain)
    }

    /// What nobody has any more nobody can be asked for.
    pub(super) fn excuse(&mut self) {
        let mut told = std::mem::take(&mut self.reference.told);
        told.retain(|told| {
            self.shards.iter().any(|one| {
                let map = one.primary.as_ref().unwrap_or(&one.disk.libraries).map();
                !self.is_foreign(one, map) && holds(told, map)
            })
        });
        self.reference.told = told;
    }

    pub(super) fn check(&self) {
        for shard in &self.shards {
            let replica = shard.replica.iter().map(|(_, one)| &one.libraries);
            let maps = shard.primary.iter().chain([&shard.disk.libraries]);
            for map in maps.chain(replica).map(SharedLibraries::map) {
                self.reference.check_map(map, self.is_foreign(shard, map));
            }
        }
        for told in &self.reference.told {
            let has = |one: &Shard| {
                let map = one.primary.as_ref().unwrap_or(&one.disk.libraries).map();
                holds(told, map)
            };
            assert!(self.shards.iter().any(has), "nobody has {told:?} any more");
        }
    }

    /// The greatest stamp of each name, of all that anybody of the cluster has, by cluster: where nothing was forgotten
    /// nor renumbered.
    pub(super) fn expected(&self) -> BTreeMap<usize, BTreeMap<Arc<str>, Stamp>> {
        let mut expected: BTreeMap<usize, BTreeMap<Arc<str>, Stamp>> = BTreeMap::new();
        for shard in &self.shards {
            let greatest = expected.entry(shard.cluster).or_default();
            let maps = shard.primary.iter().map(SharedLibraries::map);
            let maps = maps.filter(|map| !self.is_foreign(shard, map));
            for (name, known) in maps.flat_map(LibraryMap::iter) {
                let stamp = greatest.entry(Arc::clone(name)).or_insert(known.stamp);
                *stamp = known.stamp.max(*stamp);
            }
        }
        expected
    }

    pub(super) fn check_equal(&mut self, expected: &BTreeMap<usize, BTreeMap<Arc<str>, Stamp>>) {
        for cluster in 0..2 {
            let of = |one: &&Shard| one.cluster == cluster;
            let Some(first) = self.shards.iter().filter(of).find(|one| one.has_slots) else {
                continue;
            };
            let first = first.primary.as_ref().expect("all are back").map().clone();
            for shard in self.shards.iter_mut().filter(|one| one.cluster == cluster) {
                if first.domain().is_none() && !shard.has_slots {
                    continue;
                }
                let primary = shard.primary.as_ref().expect("all are back");
                assert!(primary.is_idle(), "something is still under way");
                let mut maps = vec![primary.map(), shard.disk.libraries.map()];
                maps.extend(shard.replica.as_ref().map(|(_, one)| one.libraries.map()));
                for map in maps {
                    assert_eq!(map.root(), first.root(), "{map:?} is not {first:?}");
                    assert_eq!((map.domain(), map.floor()), (first.domain(), first.floor()));
                }
            }
            assert!(
                first.deleted() <= LIMITS.deletions,
                "too many deletions are remembered"
            );
            if first.floor() == 0 && !self.has_met {
                for (name, stamp) in expected.get(&cluster).into_iter().flatten() {
                    let has = first.get(name).expect("nothing was forgotten").stamp;
                    // What was being committed may have come behind it.
                    assert!(
                        has >= *stamp,
                        "{name} is {has:?}, and somebody had {stamp:?}"
                    );
                }
            }
            for told in &self.reference.told {
                let mut clusters = (0..2).filter(|other| *other != cluster);
                let is_of_other =
                    clusters.any(|other| self.shards.iter().any(|one| one.cluster == other));
                assert!(holds(told, &first) || is_of_other, "{told:?} was lost");
            }
        }
    }
}
