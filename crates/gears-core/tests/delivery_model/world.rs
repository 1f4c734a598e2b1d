//! What the keys of the server truly hold, and what commands do to them.
//!
//! Nothing here knows of consumers. A stream carries an *incarnation*: a number that it keeps for
//! as long as it is the same stream, under whatever name and in whatever database.

use std::collections::BTreeMap;

use gears_core::delivery::{EntryId, KeyRef, TrimBound};

/// A key in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key<'a> {
    pub(crate) db: i32,
    pub(crate) name: &'a [u8],
}

impl<'a> Key<'a> {
    /// As the delivery core is told of it.
    pub(crate) fn to_ref(self) -> KeyRef<'a> {
        KeyRef {
            db: self.db,
            name: self.name,
        }
    }
}

/// Keys that outlive everything else.
pub(crate) type StaticKey = Key<'static>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    /// Size of its fields.
    pub(crate) bytes: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) incarnation: u64,
    pub(crate) entries: Vec<Entry>,
    /// The last ID ever added.
    pub(crate) last: EntryId,
    /// Entries that clients added since the last tick of the event loop ended.
    pub(crate) added_this_turn: Vec<EntryId>,
}

/// How the ID of an added entry follows from the last one of its stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The very next ID.
    Next,
    /// A later sequence number.
    Sequence(u8),
    /// A later millisecond.
    Time(u8),
    /// The last sequence number of this millisecond: the next ID carries.
    LastOfTime,
    /// The last ID of all: nothing can be added behind it.
    LastOfAll,
}

/// The keys of the server, and what commands make of them.
#[derive(Debug, Default)]
pub(crate) struct World {
    streams: BTreeMap<StaticKey, Stream>,
    incarnations: u64,
}

impl World {
    pub(crate) fn get(&self, key: Key<'_>) -> Option<&Stream> {
        let found = self.streams.iter().find(|(one, _)| **one == key);
        found.map(|(_, stream)| stream)
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = (StaticKey, &Stream)> {
        self.streams.iter().map(|(key, stream)| (*key, stream))
    }

    /// XADD; false where the stream takes no such ID.
    pub(crate) fn add(&mut self, key: StaticKey, step: Step, bytes: usize) -> bool {
        let last = self.get(key).map_or(EntryId::ZERO, |stream| stream.last);
        let id = match step {
            Step::Next => last.next(),
            Step::Sequence(by) => {
                (last.seq.checked_add(1 + u64::from(by))).map(|seq| EntryId::new(last.ms, seq))
            }
            Step::Time(by) => {
                (last.ms.checked_add(1 + u64::from(by))).map(|ms| EntryId::new(ms, 0))
            }
            Step::LastOfTime => Some(EntryId::new(last.ms, u64::MAX)),
            Step::LastOfAll => Some(EntryId::MAX),
        };
        let Some(id) = id.filter(|id| *id > last) else {
            return false;
        };
        if !self.streams.contains_key(&key) {
            self.put(key, Vec::new(), EntryId::ZERO);
        }
        let stream = self.streams.get_mut(&key).expect("it was just made");
        stream.last = id;
        stream.entries.push(Entry { id, bytes });
        stream.added_this_turn.push(id);
        true
    }

    /// XDEL of the entry at a place.
    pub(crate) fn delete_entry(&mut self, key: StaticKey, at: usize) -> bool {
        match self.streams.get_mut(&key) {
            Some(stream) if !stream.entries.is_empty() => {
                let at = at % stream.entries.len();
                stream.entries.remove(at);
                true
            }
            _ => false,
        }
    }

    /// XTRIM MAXLEN.
    pub(crate) fn keep_last(&mut self, key: StaticKey, keep: usize) -> bool {
        let Some(stream) = self.streams.get_mut(&key) else {
            return false;
        };
        let surplus = stream.entries.len().saturating_sub(keep);
        stream.entries.drain(..surplus);
        true
    }

    /// XTRIM MINID, as the delivery core decides it.
    pub(crate) fn trim(&mut self, key: Key<'_>, to: TrimBound) {
        let found = self.streams.iter_mut().find(|(one, _)| **one == key);
        let (_, stream) = found.expect("only what is there is trimmed");
        stream.entries.retain(|entry| !goes(entry.id, to));
    }

    /// A stream as a whole, in the place of whatever was there: RESTORE.
    pub(crate) fn put(&mut self, key: StaticKey, entries: Vec<Entry>, last: EntryId) {
        self.incarnations += 1;
        let stream = Stream {
            incarnation: self.incarnations,
            entries,
            last,
            added_this_turn: Vec::new(),
        };
        self.streams.insert(key, stream);
    }

    /// COPY REPLACE.
    pub(crate) fn copy(&mut self, from: StaticKey, to: StaticKey) -> bool {
        match self.streams.get(&from).cloned() {
            Some(stream) if from != to => {
                self.put(to, stream.entries, stream.last);
                true
            }
            _ => false,
        }
    }

    /// DEL, an expiry, or another type written over it.
    pub(crate) fn remove(&mut self, key: StaticKey) -> Option<Stream> {
        self.streams.remove(&key)
    }

    /// RENAME or MOVE of a stream; gives what was there before.
    pub(crate) fn rename(&mut self, from: StaticKey, to: StaticKey) -> Option<Stream> {
        let stream = self.streams.remove(&from)?;
        self.streams.insert(to, stream)
    }

    /// SWAPDB.
    pub(crate) fn swap(&mut self, a: i32, b: i32) {
        let streams = std::mem::take(&mut self.streams);
        for (mut key, stream) in streams {
            key.db = match key.db {
                db if db == a => b,
                db if db == b => a,
                db => db,
            };
            self.streams.insert(key, stream);
        }
    }

    /// FLUSHDB or FLUSHALL.
    pub(crate) fn flush(&mut self, db: Option<i32>) {
        self.streams
            .retain(|key, _| db.is_some_and(|db| key.db != db));
    }

    /// A data set was loaded that happens to hold the same: no stream of it is the one it was.
    pub(crate) fn load_anew(&mut self) {
        for stream in self.streams.values_mut() {
            self.incarnations += 1;
            stream.incarnation = self.incarnations;
            stream.added_this_turn.clear();
        }
    }

    /// A tick of the event loop ended: its writers have their replies.
    pub(crate) fn end_tick(&mut self) {
        for stream in self.streams.values_mut() {
            stream.added_this_turn.clear();
        }
    }
}

/// Whether a trim takes this entry.
pub(crate) fn goes(id: EntryId, to: TrimBound) -> bool {
    match to {
        TrimBound::Below(bound) => id < bound,
        TrimBound::Everything => true,
    }
}
