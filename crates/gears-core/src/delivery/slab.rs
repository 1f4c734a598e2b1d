//! Values at places that do not change, in chunks: growing moves nothing and has little to spare,
//! and a chunk that nothing is left in is given back. There may be millions of them.

use std::collections::BTreeSet;
use std::ops::{Index, IndexMut};

/// Values of a chunk, a power of two.
const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: usize = 11;

/// Values of a chunk, as many as it has had at once, and the places that are free again.
#[derive(Debug)]
struct Chunk<T> {
    values: Vec<Option<T>>,
    free: Vec<u16>,
}

/// Values by place. The place of one that was removed is taken again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks that are not full. The first of them is filled first, so that the last get empty.
    with_room: BTreeSet<usize>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            with_room: BTreeSet::new(),
            len: 0,
        }
    }
}

impl<T> Chunk<T> {
    const EMPTY: Self = Self {
        values: Vec::new(),
        free: Vec::new(),
    };

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.values.len() == CHUNK
    }
}

impl<T> Slab<T> {
    /// Bytes that one value takes.
    pub(super) const BYTES: usize = size_of::<Option<T>>();

    /// Puts a value at a place that is free.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        let number = self.with_room.first().copied().unwrap_or_else(|| {
            self.chunks.push(Chunk::EMPTY);
            self.with_room.insert(self.chunks.len() - 1);
            self.chunks.len() - 1
        });
        let chunk = &mut self.chunks[number];
        let at = if let Some(at) = chunk.free.pop() {
            chunk.values[usize::from(at)] = Some(value);
            usize::from(at)
        } else {
            // The first values may stay the only ones.
            if chunk.values.is_empty() && number > 0 {
                chunk.values.reserve_exact(CHUNK);
            }
            chunk.values.push(Some(value));
            chunk.values.len() - 1
        };
        if chunk.is_full() {
            self.with_room.remove(&number);
        }
        self.len += 1;
        u32::try_from((number << CHUNK_BITS) + at).expect("there are no more places")
    }

    /// Takes out the value at a place.
    pub(super) fn remove(&mut self, place: u32) -> Option<T> {
        let (number, at) = parts(place);
        let chunk = self.chunks.get_mut(number)?;
        let value = chunk.values.get_mut(at)?.take()?;
        chunk.free.push(u16::try_from(at).unwrap_or_default());
        if chunk.free.len() == chunk.values.len() {
            *chunk = Chunk::EMPTY;
        }
        self.with_room.insert(number);
        self.len -= 1;
        Some(value)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All values, the last place first: a chunk is freed with the last of its values.
    pub(super) fn into_values(self) -> impl Iterator<Item = T> {
        let chunks = self.chunks.into_iter();
        chunks.flat_map(|chunk| chunk.values).flatten()
    }

    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&T> {
        let (number, at) = parts(place);
        self.chunks.get(number)?.values.get(at)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        let (number, at) = parts(place);
        self.chunks.get_mut(number)?.values.get_mut(at)?.as_mut()
    }

    /// All values with their places, in the order of these.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let chunks = (0u32..).step_by(CHUNK).zip(&self.chunks);
        chunks.flat_map(|(first, chunk)| {
            let values = (first..).zip(&chunk.values);
            values.filter_map(|(place, value)| Some((place, value.as_ref()?)))
        })
    }
}

#[inline]
fn parts(place: u32) -> (usize, usize) {
    let place = place as usize;
    (place >> CHUNK_BITS, place & (CHUNK - 1))
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, place: u32) -> &T {
        self.get(place).expect("it is there")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, place: u32) -> &mut T {
        self.get_mut(place).expect("it is there")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_that_come_and_go_are_where_they_were_put(
            steps in prop::collection::vec((0..4u8, 0..1500u32), 0..3000),
        ) {
            let (mut slab, mut wanted) = (Slab::default(), BTreeMap::new());
            for (value, (what, place)) in steps.into_iter().enumerate() {
                if what > 0 {
                    let place = slab.insert(value);
                    prop_assert_eq!(wanted.insert(place, value), None);
                } else {
                    prop_assert_eq!(slab.remove(place), wanted.remove(&place));
                }
            }
            prop_assert_eq!(slab.len(), wanted.len());
            for place in 0..3200 {
                prop_assert_eq!(slab.get(place), wanted.get(&place));
            }
            let all: Vec<_> = slab.iter().map(|(place, value)| (place, *value)).collect();
            prop_assert_eq!(all, wanted.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_chunk_that_is_empty_is_given_back_and_the_first_with_room_is_filled_first() {
        let mut slab = Slab::default();
        let places: Vec<_> = (0..3 * CHUNK).map(|value| slab.insert(value)).collect();
        for place in &places[CHUNK..2 * CHUNK] {
            slab.remove(*place);
        }
        assert_eq!(slab.chunks[1].values.capacity(), 0);
        slab.remove(places[1]);
        assert_eq!(slab.insert(7), places[1]);
        assert_eq!(parts(slab.insert(8)), (1, 0));
    }
}
