//! Stream entries on their way from the reader to a callback.
//!
//! A batch holds the entries of one read in one block of bytes, so that reading allocates a
//! handful of times, not twice a field, and a worker gets them without a copy. Each record is
//! *packed*: for every part (field, value, field, value, ...) its length as a little-endian u32,
//! then its bytes.

use std::sync::Arc;

use smallvec::SmallVec;

use super::id::EntryId;

const LENGTH: usize = size_of::<u32>();
/// Room that a batch begins with: most reads of one entry need no more.
const FIRST_BYTES: usize = 128;

/// Entries of one stream, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordBatch {
    bytes: Vec<u8>,
    /// The ID of each record and where it ends. Where entries are processed as they are added, a
    /// read gives one.
    records: SmallVec<[(EntryId, usize); 1]>,
}

impl RecordBatch {
    /// Empties it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    /// Begins the next record.
    pub fn begin(&mut self, id: EntryId) {
        self.records.push((id, self.bytes.len()));
    }

    /// Adds a field or a value to the record begun last. Redis bounds a string by 512 MB, so its
    /// length fits.
    pub fn push(&mut self, part: &[u8]) {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        let part = &part[..length as usize];
        let needed = LENGTH + part.len();
        let room = if self.bytes.is_empty() {
            FIRST_BYTES
        } else {
            0
        };
        self.bytes.reserve(needed.max(room));
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(part);
        if let Some(last) = self.records.last_mut() {
            last.1 = self.bytes.len();
        }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Size in bytes of all records.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The record at `at`.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn get(&self, at: usize) -> Record<'_> {
        let start = at.checked_sub(1).map_or(0, |before| self.records[before].1);
        let (id, end) = self.records[at];
        Record {
            id,
            packed: &self.bytes[start..end],
        }
    }

    /// ID and size in bytes of each record.
    pub fn sizes(&self) -> impl Iterator<Item = (EntryId, usize)> + '_ {
        (0..self.len()).map(|at| {
            let record = self.get(at);
            (record.id, record.packed.len())
        })
    }
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its ID.
    pub id: EntryId,
    packed: &'a [u8],
}

impl<'a> Record<'a> {
    /// The packed form, as the module's description has it.
    #[must_use]
    pub fn packed(&self) -> &'a [u8] {
        self.packed
    }

    /// Fields and values in turn.
    #[must_use]
    pub fn parts(&self) -> Parts<'a> {
        Parts::of(self.packed)
    }

    /// The value of the first field of that name.
    #[must_use]
    pub fn value(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut parts = self.parts();
        while let Some(field) = parts.next() {
            let value = parts.next();
            if field == name {
                return value;
            }
        }
        None
    }
}

/// One entry, together with what else was read with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    batch: Arc<RecordBatch>,
    at: usize,
}

impl Item {
    /// Every entry of a batch, in order.
    pub fn all(batch: RecordBatch) -> impl Iterator<Item = Self> {
        let batch = Arc::new(batch);
        (0..batch.len()).map(move |at| Self {
            batch: Arc::clone(&batch),
            at,
        })
    }

    /// The entry.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        self.batch.get(self.at)
    }

    /// Its ID.
    #[must_use]
    pub fn id(&self) -> EntryId {
        self.batch.records[self.at].0
    }
}

/// The parts of a packed record.
#[derive(Clone, Debug)]
pub struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    /// Reads a packed record; ends early where it is cut short.
    #[must_use]
    pub fn of(packed: &'a [u8]) -> Self {
        Self(packed)
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<LENGTH>()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(
            records in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..6), 0..6),
        ) {
            let mut batch = RecordBatch::default();
            for (seq, parts) in (1u64..).zip(&records) {
                batch.begin(EntryId::new(1, seq));
                for part in parts {
                    batch.push(part);
                }
            }
            prop_assert_eq!(batch.len(), records.len());
            for (at, parts) in records.iter().enumerate() {
                let record = batch.get(at);
                prop_assert_eq!(record.id.seq, at as u64 + 1);
                prop_assert_eq!(&record.parts().map(<[u8]>::to_vec).collect::<Vec<_>>(), parts);
            }
            prop_assert_eq!(batch.sizes().map(|(_, size)| size).sum::<usize>(), batch.bytes());
        }

        #[test]
        fn a_packed_record_that_is_cut_short_ends_early(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(Parts::of(&bytes).map(<[u8]>::len).sum::<usize>() <= bytes.len());
        }
    }
}
