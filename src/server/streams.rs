//! Reading and trimming streams.

use std::borrow::Cow;
use std::cell::Cell;

use crate::dispatcher::{ConsumerName, Streams};
use crate::replication::{PropagationTarget, ReplicatedCommand, ReplicationLink};
use gears_core::delivery::{
    DeadLetter, DeadLetterDeletion, DeliveryState, EntryId, FoundLetter, Item, LetterRequest,
    Progress, READ_BYTES, Reach, ReadRequest, RecordBatch, Refusal, Trim, TrimBound,
};
use gears_core::triggers::KeyType;
use gears_v8::ports::{Credentials, Server};

use super::context::Context;
use super::execution_unit::ExecutionUnit;
use super::ffi::constants::{KEY_ACCESS, KEY_DELETE};
use super::ffi::key::OpenKey;
use super::ffi::redis_locked::RedisLocked;
use super::ffi::stream::{Direction, StreamEntries};
use super::ffi::string::{LastStrings, StringRef};
use super::ffi::user::User;
use super::suppress_triggers::SuppressTriggers;
use super::user::{NO_RIGHT, NO_USER, lacks};
use super::{admission, dead_letters};

/// The name of the stream that was opened last: where entries are processed as they are added, the
/// same stream is opened again and again.
static LAST_NAME: LastStrings = LastStrings::new();

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
    fn authorize(
        &self,
        credentials: &Credentials,
        stream: &[u8],
        trims: bool,
    ) -> Result<(), String> {
        // It may be on its way here, or have gone.
        self.demand_slot_of(stream)?;
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
        admission::blocks_wait()
    }

    fn refusal(&self) -> Option<Refusal> {
        self.refusal()
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
        let Some(entries) = StreamEntries::behind(&key, after, Direction::Forward) else {
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
        let Some(entries) = StreamEntries::behind(&key, EntryId::ZERO, Direction::Backward) else {
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
        self.send(&cursor, PropagationTarget::All);
    }

    fn commit_consumer_state(&self, consumer: &ConsumerName, delivery_state: &DeliveryState) {
        let state = ReplicatedCommand::ConsumerState {
            library: consumer.library.as_bytes(),
            consumer: consumer.consumer.as_bytes(),
            delivery_state: Cow::Borrowed(delivery_state),
        };
        self.send(&state, PropagationTarget::All);
    }

    fn write_dead_letter(
        &self,
        credentials: &Credentials,
        consumer: &ConsumerName,
        dead_letter: &DeadLetter,
    ) -> Result<(), String> {
        dead_letters::write_dead_letter(self, credentials, consumer, dead_letter)
    }

    fn read_letters(
        &self,
        consumer: &ConsumerName,
        request: &LetterRequest,
    ) -> (usize, Vec<FoundLetter>) {
        dead_letters::read_letters(self, consumer, request)
    }

    fn delete_dead_letters(&self, credentials: &Credentials, deletions: &DeadLetterDeletion) {
        dead_letters::delete_dead_letters(credentials, deletions);
    }

    fn trim(&self, trim: &Trim) {
        if !self.select(trim.db) {
            return;
        }
        let _suppressed = SuppressTriggers::begin();
        set_trimming(true);
        let id;
        let arguments: [&[u8]; 3] = match trim.to {
            TrimBound::Below(bound) => {
                id = bound.to_string();
                [&trim.name, b"MINID", id.as_bytes()]
            }
            TrimBound::Everything => [&trim.name, b"MAXLEN", b"0"],
        };
        self.call_to_write(c"XTRIM", &arguments);
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
        // Opening may find the key expired, and come back here with that.
        let key = LAST_NAME.with([name].into_iter(), |names| {
            self.open_for_reading(StringRef::from(names.first()?))
        });
        key.filter(|key| key.key_type() == KeyType::Stream)
    }

    /// One entry of a stream of the selected database, if it is there.
    pub(crate) fn entry(&self, name: &[u8], id: EntryId) -> Option<Item> {
        let key = self.open_stream(name)?;
        let mut batch = RecordBatch::default();
        read_only(&key, id, &mut batch);
        Item::all(batch).next()
    }

    /// The ID that the next entry of a stream of the selected database will be above.
    pub(crate) fn last_id(&self, name: &[u8]) -> Option<EntryId> {
        let fields = self.call_for_texts(c"XINFO", &[b"STREAM", name]);
        let at = fields
            .iter()
            .position(|field| field == "last-generated-id")?;
        EntryId::parse(fields.get(at + 1)?)
    }

    /// The first entry of a stream of the selected database behind an ID, and how many there are;
    /// no more than `most` are counted.
    pub(crate) fn peek_behind(
        &self,
        name: &[u8],
        after: EntryId,
        most: usize,
    ) -> (Option<EntryId>, usize) {
        let Some(key) = self.open_stream(name) else {
            return (None, 0);
        };
        let Some(entries) = StreamEntries::behind(&key, after, Direction::Forward) else {
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
    let Some(entries) = StreamEntries::behind(key, after, Direction::Backward) else {
        return true;
    };
    let Some((id, fields)) = entries.next() else {
        return true;
    };
    entries.read_fields(id, fields, batch);
    entries.next().is_none()
}

/// Reads the one entry of an ID, if it is there.
fn read_only(key: &OpenKey, id: EntryId, batch: &mut RecordBatch) {
    if let Some(entries) = StreamEntries::only(key, id)
        && let Some((id, fields)) = entries.next()
    {
        entries.read_fields(id, fields, batch);
    }
}
