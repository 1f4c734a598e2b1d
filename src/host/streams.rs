//! Reading and trimming streams.
//!
//! The API gives every field as a string of its own; its bytes go straight into the batch and the
//! string is freed. The iterator is started once for all entries of a read: finding its place in
//! the stream costs about as much as reading a dozen entries.

use std::cell::Cell;
use std::ffi::CString;
use std::ptr::null_mut;

use redis_module::raw::RedisModuleStreamID;

use crate::engine::{Grant, RecordBatch, Server};
use crate::exec::{ConsumerName, Streams};
use crate::persist::encode_pending;
use crate::stream::{EntryId, Progress, READ_BYTES, Reach, ReadRequest, Trim, TrimBound};

use super::constants::{ITERATE_BACKWARD, ITERATE_BEHIND, KEY_ACCESS, KEY_DELETE, OK};
use super::context::{Context, Copies, OpenKey, OwnedString, bytes};
use super::unit::Unit;
use super::user::User;
use super::{RedisLocked, api};

/// Whether the trim that is going on is ours: its event is no news.
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
    fn admit(&self, grant: &Grant, stream: &[u8], trims: bool) -> Result<(), String> {
        let lacks = |what: &str| {
            let key = std::str::from_utf8(stream).unwrap_or("[binary data]");
            let user = &grant.user;
            Err(format!(
                "User '{user}' has no permissions on key '{key}', {what}"
            ))
        };
        let Some(user) = User::find_enabled(&grant.user) else {
            return lacks("User does not exists or disabled.");
        };
        // What a consumer does is what its owner could do with these two.
        let may_read = user.may_run(&[b"XREAD", b"STREAMS", stream, b"0"]);
        if may_read && (!trims || user.may_run(&[b"XTRIM", stream, b"MAXLEN", b"0"])) {
            return Ok(());
        }
        let rights = KEY_ACCESS | if trims { KEY_DELETE } else { 0 };
        if !user.may_use(stream, rights) {
            return lacks("User does not have permissions on key.");
        }
        lacks(if may_read {
            "User may not run XTRIM."
        } else {
            "User may not run XREAD."
        })
    }

    fn act(&self, grant: &Grant, work: &mut dyn FnMut(&dyn Server)) -> bool {
        let unit = Unit::of_consumer(grant);
        work(&unit);
        unit.has_acted()
    }

    fn read(&self, request: &ReadRequest) -> (RecordBatch, bool) {
        let mut batch = RecordBatch::default();
        if !self.select(request.db) {
            return (batch, true);
        }
        let name = OwnedString::new(&request.name);
        let Some(key) = self.open_for_reading(name.as_ptr()) else {
            return (batch, true);
        };
        if !key.is_stream() {
            return (batch, true);
        }
        let after = match request.reach {
            Reach::Behind(after) => after,
            Reach::Only(id) => {
                read_only(&key, id, &mut batch);
                return (batch, false);
            }
        };
        if request.fresh == 1 && read_last(&key, after, &mut batch) {
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

    fn record(&self, consumer: &ConsumerName, progress: &Progress) {
        if !self.select(progress.db) {
            return;
        }
        let position = progress.checkpoint.position.to_string();
        let pending = encode_pending(&progress.checkpoint);
        let words: [&[u8]; 6] = [
            b"cursor",
            consumer.library.as_bytes(),
            consumer.consumer.as_bytes(),
            &progress.name,
            position.as_bytes(),
            &pending,
        ];
        self.replicate(&words, Copies::All);
    }

    fn trim(&self, trim: &Trim) {
        if !self.select(trim.db) {
            return;
        }
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

/// The ID that the next entry of a stream will be above.
pub(super) fn last_id(context: &Context, name: &[u8]) -> Option<EntryId> {
    let fields = context.call_for_texts(c"XINFO", c"STREAM", name);
    let at = fields
        .iter()
        .position(|field| field == "last-generated-id")?;
    EntryId::parse(fields.get(at + 1)?)
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
enum Direction {
    Forward,
    Backward,
}

/// The entries of an open stream behind an ID.
struct Entries<'a>(&'a OpenKey);

impl<'a> Entries<'a> {
    /// `None` where no ID can be behind it.
    fn behind(key: &'a OpenKey, after: EntryId, direction: Direction) -> Option<Self> {
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
    fn next(&self) -> Option<(EntryId, i64)> {
        let mut id = RedisModuleStreamID { ms: 0, seq: 0 };
        let mut fields = 0;
        // SAFETY: the iterator is started.
        let found = unsafe {
            api!(RedisModule_StreamIteratorNextID)(self.0.as_ptr(), &raw mut id, &raw mut fields)
        };
        (found == OK).then(|| (EntryId::new(id.ms, id.seq), fields))
    }

    /// Adds the entry that [`Entries::next`] gave last.
    fn read_fields(&self, id: EntryId, fields: i64, batch: &mut RecordBatch) {
        batch.begin(id);
        for _ in 0..fields {
            self.read_field(batch);
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
