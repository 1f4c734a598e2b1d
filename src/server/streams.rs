//! Reading and trimming streams.
//!
//! The API gives every field as a string of its own; its bytes go straight into the batch and the
//! string is freed. The iterator is started once for all entries of a read: finding its place in
//! the stream costs about as much as reading a dozen entries.

use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::CString;
use std::ptr::null_mut;

use redis_module::raw::RedisModuleStreamID;

use crate::dispatcher::{ConsumerName, Streams};
use crate::replication::{PropagationTarget, ReplicatedCommand};
use gears_core::delivery::{
    DeadLetter, DeadLetterDeletion, DeliveryState, EntryId, Progress, READ_BYTES, Reach,
    ReadRequest, RecordBatch, Refusal, Trim, TrimBound,
};
use gears_v8::ports::{Credentials, Server};

use super::constants::{ITERATE_BACKWARD, ITERATE_BEHIND, KEY_ACCESS, KEY_DELETE, OK};
use super::context::{Context, OpenKey, OwnedString, bytes};
use super::execution_unit::ExecutionUnit;
use super::suppress_triggers::SuppressTriggers;
use super::user::{NO_RIGHT, NO_USER, User, lacks};
use super::{RedisLocked, api, dead_letters};

/// Whether the trim that is going on is ours: its event is no results.
static TRIMMING: RedisLocked<Cell<bool>> = RedisLocked::new();

pub(super) fn is_trimming() -> bool {
    TRIMMING.get().is_some_and(Cell::get)
}

fn set_trimming(on: bool) {
    if TRIMMING.get().is_none() {
        TRIMMING.set(Cell::new(false));
    }
    if let Some(flag) = TRIMMING.get() {
        flag.set(on);
    }
}

impl Streams for Context {
    fn authorize(
        &self,
        credentials: &Credentials,
        stream: &[u8],
        trims: bool,
    ) -> Result<(), String> {
        let lacks = |what: &str| Err(lacks(&credentials.user, stream, what));
        let Some(user) = User::find_enabled(&credentials.user) else {
            return lacks(NO_USER);
        };
        // What a consumer does is what its owner could do with these two.
        let may_read = user.may_run(&[b"XREAD", b"STREAMS", stream, b"0"]);
        if may_read && (!trims || user.may_run(&[b"XTRIM", stream, b"MAXLEN", b"0"])) {
            return Ok(());
        }
        let rights = KEY_ACCESS | if trims { KEY_DELETE } else { 0 };
        if !user.may_use(stream, rights) {
            return lacks(NO_RIGHT);
        }
        lacks(if may_read {
            "User may not run XTRIM."
        } else {
            "User may not run XREAD."
        })
    }

    fn blocks_wait(&self) -> bool {
        super::lock::blocks_wait()
    }

    fn refusal(&self, key: &[u8]) -> Option<Refusal> {
        self.refusal(key)
    }

    fn is_full(&self) -> bool {
        self.is_full()
    }

    fn act(&self, credentials: &Credentials, work: &mut dyn FnMut(&dyn Server)) -> bool {
        let unit = ExecutionUnit::of_consumer(credentials);
        work(&unit);
        unit.has_acted()
    }

    fn read(&self, request: &ReadRequest) -> (RecordBatch, bool) {
        let mut batch = RecordBatch::default();
        if !self.select(request.db) {
            return (batch, true);
        }
        let Some(key) = self.open_stream(&request.name) else {
            return (batch, true);
        };
        let after = match request.reach {
            Reach::Behind(after) => after,
            Reach::Only(id) => {
                read_only(&key, id, &mut batch);
                return (batch, false);
            }
            // See `last`.
            Reach::Last(_) => return (batch, false),
        };
        if request.unread_new == 1 && read_last(&key, after, &mut batch) {
            return (batch, true);
        }
        batch.clear();
        let Some(entries) = Entries::behind(&key, after, Direction::Forward) else {
            return (batch, true);
        };
        let end = loop {
            // Looking for one more tells whether there is more, and saves asking again.
            let Some((id, fields)) = entries.next() else {
                break true;
            };
            if batch.len() >= request.max || batch.bytes() >= READ_BYTES {
                break false;
            }
            entries.read_fields(id, fields, &mut batch);
        };
        (batch, end)
    }

    fn missing(
        &self,
        db: i32,
        stream: &[u8],
        ids: &mut dyn Iterator<Item = EntryId>,
    ) -> Vec<EntryId> {
        if !self.select(db) {
            return ids.collect();
        }
        let Some(key) = self.open_stream(stream) else {
            return ids.collect();
        };
        let mut batch = RecordBatch::default();
        let is_missing = |id: &EntryId| {
            batch.clear();
            read_only(&key, *id, &mut batch);
            batch.is_empty()
        };
        ids.filter(is_missing).collect()
    }

    fn last(&self, request: &ReadRequest, skip: u64) -> EntryId {
        if !self.select(request.db) {
            return EntryId::ZERO;
        }
        let Some(key) = self.open_stream(&request.name) else {
            return EntryId::ZERO;
        };
        let Some(entries) = Entries::behind(&key, EntryId::ZERO, Direction::Backward) else {
            return EntryId::ZERO;
        };
        for _ in 0..skip {
            let Some((_, fields)) = entries.next() else {
                return EntryId::ZERO;
            };
            entries.skip_fields(fields);
        }
        entries.next().map_or(EntryId::ZERO, |(id, _)| id)
    }

    fn record(&self, consumer: &ConsumerName, progress: &Progress) {
        if !self.select(progress.db) {
            return;
        }
        let cursor = ReplicatedCommand::Cursor {
            library: consumer.library.as_bytes(),
            consumer: consumer.consumer.as_bytes(),
            stream: &progress.name,
            checkpoint: Cow::Borrowed(&progress.checkpoint),
        };
        self.replicate(&cursor, PropagationTarget::All);
    }

    fn commit_consumer_state(&self, consumer: &ConsumerName, delivery_state: &DeliveryState) {
        let state = ReplicatedCommand::ConsumerState {
            library: consumer.library.as_bytes(),
            consumer: consumer.consumer.as_bytes(),
            delivery_state: Cow::Borrowed(delivery_state),
        };
        self.replicate(&state, PropagationTarget::All);
    }

    fn write_dead_letter(
        &self,
        credentials: &Credentials,
        consumer: &ConsumerName,
        dead_letter: &DeadLetter,
    ) -> Result<(), String> {
        dead_letters::write_dead_letter(self, credentials, consumer, dead_letter)
    }

    fn redeem(&self, credentials: &Credentials, deletions: &DeadLetterDeletion) {
        dead_letters::redeem(self, credentials, deletions);
    }

    fn trim(&self, trim: &Trim) {
        if !self.select(trim.db) {
            return;
        }
        let _quiet = SuppressTriggers::begin();
        set_trimming(true);
        match trim.to {
            TrimBound::Below(id) => {
                let id = CString::new(id.to_string()).unwrap_or_default();
                self.call_on_key(c"XTRIM", &trim.name, c"MINID", &id);
            }
            TrimBound::Everything => self.call_on_key(c"XTRIM", &trim.name, c"MAXLEN", c"0"),
        }
        set_trimming(false);
    }
}

impl Context {
    /// Whether a key of the selected database is a stream.
    pub(crate) fn is_stream(&self, name: &[u8]) -> bool {
        self.open_stream(name).is_some()
    }

    /// Opens a stream of the selected database; `None` where the key is none.
    pub(super) fn open_stream(&self, name: &[u8]) -> Option<OpenKey> {
        // The server keeps the name for as long as the key is open.
        let name = OwnedString::new(name);
        let key = self.open_for_reading(name.as_ptr());
        key.filter(OpenKey::is_stream)
    }

    /// The ID that the next entry of a stream of the selected database will be above.
    pub(crate) fn last_id(&self, name: &[u8]) -> Option<EntryId> {
        let fields = self.call_for_texts(c"XINFO", c"STREAM", name);
        let at = fields
            .iter()
            .position(|field| field == "last-generated-id")?;
        EntryId::parse(fields.get(at + 1)?)
    }

    /// The first entry of a stream of the selected database behind an ID, and how many there are;
    /// no more than `most` are counted.
    pub(crate) fn look_behind(
        &self,
        name: &[u8],
        after: EntryId,
        most: usize,
    ) -> (Option<EntryId>, usize) {
        let Some(key) = self.open_stream(name) else {
            return (None, 0);
        };
        let Some(entries) = Entries::behind(&key, after, Direction::Forward) else {
            return (None, 0);
        };
        let (mut first, mut count) = (None, 0);
        while count < most
            && let Some((id, fields)) = entries.next()
        {
            entries.skip_fields(fields);
            first.get_or_insert(id);
            count += 1;
        }
        (first, count)
    }
}

/// Reads the one entry behind `after` from the end of the stream, where an entry that was just
/// added lies: from the front, half a node of the stream would have to be passed. False where
/// there is more than that one.
fn read_last(key: &OpenKey, after: EntryId, batch: &mut RecordBatch) -> bool {
    let Some(entries) = Entries::behind(key, after, Direction::Backward) else {
        return true;
    };
    // An iterator that is at its end must not be asked again: the server would fail an assertion.
    let Some((id, fields)) = entries.next() else {
        return true;
    };
    entries.read_fields(id, fields, batch);
    entries.next().is_none()
}

/// Reads the one entry of an ID, if it is there.
fn read_only(key: &OpenKey, id: EntryId, batch: &mut RecordBatch) {
    let mut place = RedisModuleStreamID {
        ms: id.ms,
        seq: id.seq,
    };
    let place = &raw mut place;
    // SAFETY: the key is an open stream; the ID lives as long as this call.
    let started = unsafe { api!(RedisModule_StreamIteratorStart)(key.as_ptr(), 0, place, place) };
    if started == OK {
        let entries = Entries(key);
        if let Some((id, fields)) = entries.next() {
            entries.read_fields(id, fields, batch);
        }
    }
}

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
    fn skip_fields(&self, fields: i64) {
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
