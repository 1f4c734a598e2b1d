//! The entries of a stream, one after the other.
//!
//! The API gives every field as a string of its own; its bytes go straight into the batch and the
//! string is freed. The iterator is started once for all entries of a read: finding its place in
//! the stream costs about as much as reading a dozen entries.

use std::ptr::null_mut;

use redis_module::raw::RedisModuleStreamID;

use gears_core::delivery::{EntryId, RecordBatch};

use super::api;
use super::constants::{ITERATE_BACKWARD, ITERATE_BEHIND, OK};
use super::context::{OpenKey, bytes};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// The entries of an open stream behind an ID.
pub(super) struct Entries<'a>(&'a OpenKey);

impl<'a> Entries<'a> {
    /// `None` where no ID can be behind it.
    pub(super) fn behind(key: &'a OpenKey, after: EntryId, direction: Direction) -> Option<Self> {
        let mut start = RedisModuleStreamID {
            ms: after.ms,
            seq: after.seq,
        };
        let mut flags = ITERATE_BEHIND;
        if direction == Direction::Backward {
            flags |= ITERATE_BACKWARD;
        }
        // SAFETY: the key is an open stream; no end means up to the last entry.
        let started = unsafe {
            api!(RedisModule_StreamIteratorStart)(key.as_ptr(), flags, &raw mut start, null_mut())
        };
        (started == OK).then_some(Self(key))
    }

    /// The one of an ID, if it is there.
    pub(super) fn only(key: &'a OpenKey, id: EntryId) -> Option<Self> {
        let mut place = RedisModuleStreamID {
            ms: id.ms,
            seq: id.seq,
        };
        let place = &raw mut place;
        // SAFETY: the key is an open stream; the ID lives as long as this call.
        let started =
            unsafe { api!(RedisModule_StreamIteratorStart)(key.as_ptr(), 0, place, place) };
        (started == OK).then_some(Self(key))
    }

    /// The next entry's ID and its number of fields.
    pub(super) fn next(&self) -> Option<(EntryId, i64)> {
        let mut id = RedisModuleStreamID { ms: 0, seq: 0 };
        let mut fields = 0;
        // SAFETY: the iterator is started.
        let found = unsafe {
            api!(RedisModule_StreamIteratorNextID)(self.0.as_ptr(), &raw mut id, &raw mut fields)
        };
        (found == OK).then(|| (EntryId::new(id.ms, id.seq), fields))
    }

    /// Adds the entry that [`Entries::next`] gave last.
    pub(super) fn read_fields(&self, id: EntryId, fields: i64, batch: &mut RecordBatch) {
        batch.begin(id);
        for _ in 0..fields {
            self.read_field(batch);
        }
    }

    /// Passes over the entry that [`Entries::next`] gave last: the iterator does not by itself.
    pub(super) fn skip_fields(&self, fields: i64) {
        let mut batch = RecordBatch::default();
        for _ in 0..fields {
            self.read_field(&mut batch);
            batch.clear();
        }
    }

    /// Adds the next field and its value to the record begun last.
    fn read_field(&self, batch: &mut RecordBatch) {
        let (mut field, mut value) = (null_mut(), null_mut());
        // SAFETY: the iterator is at an entry with a field left. Both strings are ours to free.
        unsafe {
            let found = api!(RedisModule_StreamIteratorNextField)(
                self.0.as_ptr(),
                &raw mut field,
                &raw mut value,
            );
            if found == OK {
                batch.push(bytes(field));
                batch.push(bytes(value));
                api!(RedisModule_FreeString)(null_mut(), field);
                api!(RedisModule_FreeString)(null_mut(), value);
            }
        }
    }
}

impl Drop for Entries<'_> {
    fn drop(&mut self) {
        // SAFETY: the iterator is started, and stopped once.
        unsafe { api!(RedisModule_StreamIteratorStop)(self.0.as_ptr()) };
    }
}
