//! The entries of a stream, one after the other.
//!
//! The API gives every field as a string of its own; its bytes go straight into the batch and the
//! string is freed. The iterator is started once for all entries of a read: finding its place in
//! the stream costs about as much as reading a dozen entries.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr::null_mut;

use redis_module::raw::RedisModuleStreamID;

use gears_core::delivery::{EntryId, RecordBatch};

use super::api;
use super::constants::{ITERATE_BACKWARD, ITERATE_BEHIND, OK};
use super::key::OpenKey;
use super::string::owned;

/// Which way a stream is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// Some entries of an open stream.
pub(crate) struct StreamEntries<'a> {
    key: &'a OpenKey,
    /// Whether the last one was given. An iterator that is at its end must not be asked again: the
    /// server would fail an assertion.
    ended: Cell<bool>,
}

impl<'a> StreamEntries<'a> {
    /// Those behind an ID; `None` where no ID can be, or the key is no stream.
    pub(crate) fn behind(key: &'a OpenKey, after: EntryId, direction: Direction) -> Option<Self> {
        let backward = match direction {
            Direction::Forward => 0,
            Direction::Backward => ITERATE_BACKWARD,
        };
        Self::start(key, ITERATE_BEHIND | backward, after, None)
    }

    /// The one of an ID, if it is there.
    pub(crate) fn only(key: &'a OpenKey, id: EntryId) -> Option<Self> {
        Self::start(key, 0, id, Some(id))
    }

    fn start(key: &'a OpenKey, flags: c_int, from: EntryId, to: Option<EntryId>) -> Option<Self> {
        let id = |id: EntryId| RedisModuleStreamID {
            ms: id.ms,
            seq: id.seq,
        };
        let mut from = id(from);
        let mut to = to.map(id);
        // No end means up to the last entry.
        let to = to.as_mut().map_or(null_mut(), |to| &raw mut *to);
        // SAFETY: the key is open; the IDs live as long as this call.
        let started = unsafe {
            api!(RedisModule_StreamIteratorStart)(key.as_ptr(), flags, &raw mut from, to)
        };
        (started == OK).then(|| Self {
            key,
            ended: Cell::new(false),
        })
    }

    /// The next entry's ID and its number of fields.
    pub(crate) fn next(&self) -> Option<(EntryId, i64)> {
        if self.ended.get() {
            return None;
        }
        let mut id = RedisModuleStreamID { ms: 0, seq: 0 };
        let mut fields = 0;
        // SAFETY: the iterator is started, and not at its end.
        let found = unsafe {
            api!(RedisModule_StreamIteratorNextID)(self.key.as_ptr(), &raw mut id, &raw mut fields)
        };
        self.ended.set(found != OK);
        (found == OK).then(|| (EntryId::new(id.ms, id.seq), fields))
    }

    /// Adds the entry that [`StreamEntries::next`] gave last.
    pub(crate) fn read_fields(&self, id: EntryId, fields: i64, batch: &mut RecordBatch) {
        batch.begin(id);
        for _ in 0..fields {
            self.read_field(batch);
        }
    }

    /// Passes over the entry that [`StreamEntries::next`] gave last: the iterator does not by
    /// itself.
    pub(crate) fn skip_fields(&self, fields: i64) {
        let mut batch = RecordBatch::default();
        for _ in 0..fields {
            self.read_field(&mut batch);
            batch.clear();
        }
    }

    /// Adds the next field and its value to the record started last.
    fn read_field(&self, batch: &mut RecordBatch) {
        let (mut field, mut value) = (null_mut(), null_mut());
        // SAFETY: the iterator is started; where no field is left it says so. Both strings are ours
        // to free.
        let (field, value) = unsafe {
            let found = api!(RedisModule_StreamIteratorNextField)(
                self.key.as_ptr(),
                &raw mut field,
                &raw mut value,
            );
            if found != OK {
                return;
            }
            (owned(field), owned(value))
        };
        if let (Some(field), Some(value)) = (field, value) {
            batch.push(field.as_slice());
            batch.push(value.as_slice());
        }
    }
}

impl Drop for StreamEntries<'_> {
    fn drop(&mut self) {
        // SAFETY: the iterator is started, and stopped once.
        unsafe { api!(RedisModule_StreamIteratorStop)(self.key.as_ptr()) };
    }
}
