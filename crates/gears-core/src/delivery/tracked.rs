//! The streams that are tracked.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use super::StreamKey;
use super::cursor::TrimBound;
use super::discarded::Discarded;
use super::id::EntryId;
use super::slab::Slab;
use super::subscriptions::Siblings;

/// A stream that some consumer matches.
#[derive(Debug)]
pub(super) struct TrackedStream {
    /// The home of its database.
    pub(super) home: i32,
    pub(super) name: Arc<[u8]>,
    pub(super) subs: Siblings,
    /// The epoch of the consumers that it was matched against; 0 for none.
    pub(super) matched_at: u32,
    pub(super) trimmed: Trimmed,
    pub(super) trim_queued: bool,
}

impl TrackedStream {
    pub(super) fn new(home: i32, name: Arc<[u8]>) -> Self {
        Self {
            home,
            name,
            subs: Siblings::default(),
            matched_at: 0,
            trimmed: Trimmed::NOTHING,
            trim_queued: false,
        }
    }
}

/// A trim bound in the memory of an ID: trims never reach the last ID that there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trimmed(EntryId);

impl Trimmed {
    /// No entry is below it, so there is nothing to gain from trimming to it.
    pub(super) const NOTHING: Self = Self(EntryId::new(0, 1));
}

impl From<TrimBound> for Trimmed {
    fn from(bound: TrimBound) -> Self {
        match bound {
            TrimBound::Below(id) => Self(id),
            TrimBound::Everything => Self(EntryId::ZERO),
        }
    }
}

impl From<Trimmed> for TrimBound {
    fn from(Trimmed(id): Trimmed) -> Self {
        match id {
            EntryId::ZERO => Self::Everything,
            id => Self::Below(id),
        }
    }
}

/// The tracked streams by key. The key of one that is no more may be that of another by now.
#[derive(Debug, Default)]
pub(super) struct TrackedStreams(Slab<TrackedStream>);

impl TrackedStreams {
    /// Bytes that one takes.
    pub(super) const BYTES: usize = Slab::<TrackedStream>::BYTES;

    pub(super) fn insert(&mut self, stream: TrackedStream) -> StreamKey {
        StreamKey(self.0.insert(stream))
    }

    pub(super) fn remove(&mut self, StreamKey(place): StreamKey) -> Option<TrackedStream> {
        self.0.remove(place)
    }

    pub(super) fn get_mut(&mut self, StreamKey(place): StreamKey) -> Option<&mut TrackedStream> {
        self.0.get_mut(place)
    }

    /// Forgets all of them.
    pub(super) fn discard(&mut self, discarded: &mut Discarded) {
        discarded.add(std::mem::take(&mut self.0).into_values());
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = StreamKey> {
        self.0.iter().map(|(place, _)| StreamKey(place))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &TrackedStream> {
        self.0.iter().map(|(_, stream)| stream)
    }
}

impl Index<StreamKey> for TrackedStreams {
    type Output = TrackedStream;

    fn index(&self, StreamKey(place): StreamKey) -> &TrackedStream {
        &self.0[place]
    }
}

impl IndexMut<StreamKey> for TrackedStreams {
    fn index_mut(&mut self, StreamKey(place): StreamKey) -> &mut TrackedStream {
        &mut self.0[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside its name.
    #[test]
    fn a_tracked_stream_takes_six_words() {
        assert_eq!(TrackedStreams::BYTES, 48);
    }
}
