//! The subscriptions of a consumer by their places: the order in which they came into sight.
//!
//! Places are given out in ascending order, so the list grows at its end; it is cut into chunks, so
//! that it neither moves as it grows nor has much room to spare. There are as many elements as the
//! consumer has streams.

use std::ops::RangeTo;

use super::SubscriptionKey;

/// Elements of a chunk that is filled at the end of the list.
const CHUNK: usize = 128;

/// A consumer's subscriptions in the order in which they came into sight. No chunk is empty.
#[derive(Debug, Default)]
pub(super) struct Places {
    chunks: Vec<Vec<(u64, SubscriptionKey)>>,
    len: usize,
}

impl Places {
    /// Puts a subscription at a place.
    pub(super) fn insert(&mut self, place: u64, sub: SubscriptionKey) {
        let is_last = self.last().is_none_or(|last| last < place);
        if is_last && self.chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK) {
            // The first ones of a consumer may stay the only ones.
            let room = if self.chunks.is_empty() { 1 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        let at = self.chunk(place);
        let chunk = &mut self.chunks[at];
        match chunk.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(at) => chunk[at].1 = sub,
            Err(at) => {
                chunk.insert(at, (place, sub));
                self.len += 1;
            }
        }
    }

    pub(super) fn remove(&mut self, place: u64) {
        let at = self.chunk(place);
        let Some(chunk) = self.chunks.get_mut(at) else {
            return;
        };
        if let Ok(found) = chunk.binary_search_by_key(&place, |(place, _)| *place) {
            chunk.remove(found);
            self.len -= 1;
            if chunk.is_empty() {
                self.chunks.remove(at);
            }
        }
    }

    pub(super) fn get(&self, place: u64) -> Option<SubscriptionKey> {
        let chunk = self.chunks.get(self.chunk(place))?;
        let at = chunk.binary_search_by_key(&place, |(place, _)| *place);
        at.ok().map(|at| chunk[at].1)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All, the first place first.
    pub(super) fn subs(&self) -> impl DoubleEndedIterator<Item = SubscriptionKey> + '_ {
        self.chunks.iter().flatten().map(|(_, sub)| *sub)
    }

    /// Those below a place, the last one first.
    pub(super) fn below(
        &self,
        places: RangeTo<u64>,
    ) -> impl Iterator<Item = (u64, SubscriptionKey)> + '_ {
        let count = (self.chunk(places.end) + 1).min(self.chunks.len());
        let found = self.chunks[..count].iter().flatten().rev();
        found
            .copied()
            .skip_while(move |(place, _)| *place >= places.end)
    }

    fn last(&self) -> Option<u64> {
        let (place, _) = self.chunks.last()?.last()?;
        Some(*place)
    }

    /// The chunk in which a place is, if it is in one, and into which it belongs otherwise.
    fn chunk(&self, place: u64) -> usize {
        let begins_at_most = |chunk: &Vec<(u64, SubscriptionKey)>| {
            chunk.first().is_none_or(|(first, _)| *first <= place)
        };
        self.chunks
            .partition_point(begins_at_most)
            .saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use slotmap::SlotMap;

    use super::*;

    proptest! {
        #[test]
        fn places_that_come_and_go_are_listed_in_their_order(
            steps in prop::collection::vec((any::<bool>(), 0..400_u64), 0..600),
        ) {
            let mut keys: SlotMap<SubscriptionKey, ()> = SlotMap::with_key();
            let (mut places, mut wanted) = (Places::default(), BTreeMap::new());
            let mut next = 0;
            for (grows, place) in steps {
                let sub = keys.insert(());
                if grows {
                    next += 1;
                    places.insert(next, sub);
                    wanted.insert(next, sub);
                } else if wanted.remove(&place).is_some() {
                    places.remove(place);
                    prop_assert_eq!(places.get(place), None);
                    if place % 2 == 0 {
                        places.insert(place, sub);
                        wanted.insert(place, sub);
                    }
                }
                places.remove(next + 1);
                prop_assert_eq!(places.len(), wanted.len());
            }
            let listed: Vec<_> = places.subs().collect();
            prop_assert_eq!(listed, wanted.values().copied().collect::<Vec<_>>());
            for end in [0, 1, next / 2, next, next + 9] {
                let below: Vec<_> = places.below(..end).collect();
                let expected = wanted.range(..end).rev();
                prop_assert_eq!(below, expected.map(|(place, sub)| (*place, *sub)).collect::<Vec<_>>());
                prop_assert_eq!(places.get(end), wanted.get(&end).copied());
            }
            prop_assert!(places.chunks.iter().all(|chunk| !chunk.is_empty()));
        }
    }
}
