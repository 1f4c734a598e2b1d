//! The subscriptions of a consumer by their places: the order in which they came into sight.
//!
//! Places are given out in ascending order, so the list grows at its end; it is cut into chunks of
//! places, so that it neither moves as it grows nor has much room to spare. A place takes a bit of
//! its chunk, and four bytes as long as a subscription has it: there are as many of these as the
//! consumer has streams.

use std::ops::RangeTo;

use super::discarded::Discarded;

/// Places of a chunk.
const CHUNK: u32 = 128;

/// The places of one chunk that are taken, and by whom, in their order.
#[derive(Debug)]
struct Chunk {
    number: u64,
    taken: [u64; 2],
    subs: Vec<u32>,
}

impl Chunk {
    /// How many places before one are taken, and whether it is itself.
    fn find(&self, at: u32) -> (usize, bool) {
        let bit = 1 << at;
        let before = (self.taken() & (bit - 1)).count_ones();
        (before as usize, self.taken() & bit > 0)
    }

    fn taken(&self) -> u128 {
        let [low, high] = self.taken;
        u128::from(high) << u64::BITS | u128::from(low)
    }

    /// The place is taken from now on, or is not taken any more.
    fn flip(&mut self, at: u32) {
        self.taken[(at / u64::BITS) as usize] ^= 1 << (at % u64::BITS);
    }

    /// The first one at a place of the chunk or behind it.
    fn first_from(&self, at: u32) -> Option<(u64, u32)> {
        let next = at + (self.taken() >> at).trailing_zeros();
        let (before, is_taken) = (next < CHUNK).then(|| self.find(next))?;
        let place = self.number * u64::from(CHUNK) + u64::from(next);
        is_taken.then(|| (place, self.subs[before]))
    }

    /// All with their places, the last one first.
    fn last_first(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let taken = self.taken();
        let first = self.number * u64::from(CHUNK);
        let places = (0..CHUNK).rev().filter(move |at| taken >> at & 1 > 0);
        let places = places.map(move |at| first + u64::from(at));
        places.zip(self.subs.iter().rev().copied())
    }
}

/// A consumer's subscriptions, named as [`Subscriptions::key_at`] does, in the order in which they
/// came into sight. No chunk is empty.
///
/// [`Subscriptions::key_at`]: super::subscriptions::Subscriptions::key_at
#[derive(Debug, Default)]
pub(super) struct Places {
    chunks: Vec<Chunk>,
    /// The last place that was given out.
    last: u64,
    len: usize,
}

impl Places {
    /// The next place, which is above 0.
    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Puts a subscription at a place.
    pub(super) fn insert(&mut self, place: u64, sub: u32) {
        let (number, at) = parts(place);
        let found = self.chunks.binary_search_by_key(&number, |one| one.number);
        let chunk = found.unwrap_or_else(|chunk| {
            // The first ones of a consumer may stay the only ones.
            let is_filled = self.last <= place && !self.chunks.is_empty();
            let room = if is_filled { CHUNK as usize } else { 1 };
            let new = Chunk {
                number,
                taken: [0; 2],
                subs: Vec::with_capacity(room),
            };
            self.chunks.insert(chunk, new);
            chunk
        });
        let chunk = &mut self.chunks[chunk];
        let (before, is_taken) = chunk.find(at);
        if is_taken {
            chunk.subs[before] = sub;
        } else {
            chunk.subs.insert(before, sub);
            chunk.flip(at);
            self.len += 1;
        }
    }

    pub(super) fn remove(&mut self, place: u64) {
        let (number, at) = parts(place);
        let Ok(found) = self.chunks.binary_search_by_key(&number, |one| one.number) else {
            return;
        };
        let chunk = &mut self.chunks[found];
        let (before, is_taken) = chunk.find(at);
        if !is_taken {
            return;
        }
        chunk.subs.remove(before);
        chunk.flip(at);
        self.len -= 1;
        if chunk.subs.is_empty() {
            self.chunks.remove(found);
        } else if number < parts(self.last).0 && chunk.subs.capacity() >= 2 * chunk.subs.len() {
            // Nothing is added to it any more.
            chunk.subs.shrink_to_fit();
        }
    }

    pub(super) fn get(&self, place: u64) -> Option<u32> {
        let (number, at) = parts(place);
        let found = self.chunks.binary_search_by_key(&number, |one| one.number);
        let chunk = &self.chunks[found.ok()?];
        let (before, is_taken) = chunk.find(at);
        is_taken.then(|| chunk.subs[before])
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Forgets all. No place of theirs is given out again.
    pub(super) fn discard(&mut self, discarded: &mut Discarded) {
        self.len = 0;
        discarded.add(std::mem::take(&mut self.chunks));
    }

    /// All, the first place first.
    pub(super) fn subs(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.chunks.iter().flat_map(|chunk| &chunk.subs).copied()
    }

    /// Those below a place, the last one first.
    pub(super) fn below(&self, places: RangeTo<u64>) -> impl Iterator<Item = (u64, u32)> + '_ {
        let (number, _) = parts(places.end);
        let count = self.chunks.partition_point(|one| one.number <= number);
        let found = self.chunks[..count].iter().rev();
        found
            .flat_map(Chunk::last_first)
            .skip_while(move |(place, _)| *place >= places.end)
    }

    /// The first one at a place or behind it.
    pub(super) fn at_or_behind(&self, place: u64) -> Option<(u64, u32)> {
        let (number, at) = parts(place);
        let from = self.chunks.partition_point(|one| one.number < number);
        let chunk = self.chunks.get(from)?;
        let within = if chunk.number == number { at } else { 0 };
        let next = || self.chunks.get(from + 1)?.first_from(0);
        chunk.first_from(within).or_else(next)
    }

    /// The one at the last place.
    pub(super) fn last(&self) -> Option<(u64, u32)> {
        self.chunks.last()?.last_first().next()
    }
}

fn parts(place: u64) -> (u64, u32) {
    let chunk = u64::from(CHUNK);
    (
        place / chunk,
        u32::try_from(place % chunk).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_that_come_and_go_are_listed_in_their_order(
            steps in prop::collection::vec((any::<bool>(), 0..400_u64), 0..600),
        ) {
            let (mut places, mut wanted) = (Places::default(), BTreeMap::new());
            let mut next = 0;
            for (sub, (grows, place)) in (0u32..).zip(steps) {
                if grows {
                    next = places.next();
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
                let next = wanted.range(end..).next();
                prop_assert_eq!(places.at_or_behind(end), next.map(|(place, sub)| (*place, *sub)));
            }
            let last = wanted.last_key_value();
            prop_assert_eq!(places.last(), last.map(|(place, sub)| (*place, *sub)));
            prop_assert!(places.chunks.iter().all(|chunk| !chunk.subs.is_empty()));
        }
    }
}
