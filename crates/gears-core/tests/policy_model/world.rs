//! What the streams of the server truly hold, dead letters included.

use gears_core::delivery::{EntryId, Item, KeyRef, Record, RecordBatch, TrimBound};

/// Streams that are consumed.
pub(crate) const NAMES: [&[u8]; 2] = [b"s:1", b"s:2"];
/// Where dead letters go, whoever they are of.
pub(crate) const DEAD: &[u8] = b"dead";

/// The place of a stream in [`NAMES`].
pub(crate) fn stream_named(name: &[u8]) -> usize {
    let found = NAMES.iter().position(|one| *one == name);
    found.expect("no other stream is consumed")
}

/// An entry. No two entries of a sequence have the same ID, of whatever stream they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    /// Value of the field that entries may be ordered by.
    pub(crate) group: Option<u8>,
    /// Whether it is what filters want.
    pub(crate) wanted: bool,
    /// Size of a field that is there for its size.
    pub(crate) bytes: usize,
}

impl Entry {
    fn write(self, batch: &mut RecordBatch) {
        batch.begin(self.id);
        if let Some(group) = self.group {
            batch.push(b"group");
            batch.push(&[group]);
        }
        batch.push(b"wanted");
        batch.push(if self.wanted { b"1" } else { b"0" });
        batch.push(b"number");
        batch.push(self.id.to_string().as_bytes());
        if self.bytes > 0 {
            batch.push(b"size");
            batch.push(&vec![0; self.bytes]);
        }
    }

    pub(crate) fn item(self) -> Item {
        let mut batch = RecordBatch::default();
        self.write(&mut batch);
        let item = Item::all(batch).next();
        item.expect("it was just written")
    }

    /// Whether this is what was made of it.
    pub(crate) fn is(self, record: Record<'_>) -> bool {
        record.id == self.id
            && record.value(b"number") == Some(self.id.to_string().as_bytes())
            && record.value(b"group") == self.group.as_ref().map(std::slice::from_ref)
    }
}

pub(crate) fn batch(entries: &[Entry]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    for entry in entries {
        entry.write(&mut batch);
    }
    batch
}

/// A dead letter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    pub(crate) id: EntryId,
    pub(crate) consumer: usize,
    pub(crate) stream: usize,
    /// Where it lies.
    pub(crate) db: i32,
    pub(crate) entry: Entry,
    pub(crate) attempts: u32,
    pub(crate) first_ms: u64,
    pub(crate) redrives: u32,
}

impl Letter {
    /// Whether it is the one of that ID which lies there.
    pub(crate) fn is(&self, id: EntryId, db: i32) -> bool {
        (self.id, self.db) == (id, db)
    }
}

/// The streams of the server, dead letters included.
#[derive(Debug, Default)]
pub(crate) struct World {
    streams: [Option<Vec<Entry>>; NAMES.len()],
    /// In which database each of them is.
    dbs: [i32; NAMES.len()],
    pub(crate) dead_letters: Vec<Letter>,
    numbers: u64,
}

impl World {
    /// The key that the delivery core is told of.
    pub(crate) fn key(&self, stream: usize) -> KeyRef<'static> {
        KeyRef {
            db: self.dbs[stream],
            name: NAMES[stream],
        }
    }

    /// The stream at a place that the delivery core names: it must be there.
    pub(crate) fn stream_at(&self, db: i32, name: &[u8]) -> usize {
        let stream = stream_named(name);
        assert_eq!(db, self.dbs[stream], "the stream is in another database");
        stream
    }

    /// SWAPDB 0 1.
    pub(crate) fn swap(&mut self) {
        let dead_letters = self
            .dead_letters
            .iter_mut()
            .map(|dead_letter| &mut dead_letter.db);
        self.dbs
            .iter_mut()
            .chain(dead_letters)
            .for_each(|db| *db = 1 - *db);
    }

    /// MOVE to the other database.
    pub(crate) fn move_away(&mut self, stream: usize) {
        self.dbs[stream] = 1 - self.dbs[stream];
    }

    pub(crate) fn number(&mut self) -> EntryId {
        self.numbers += 1;
        EntryId::new(1, self.numbers)
    }

    /// XADD; whether the stream was there before.
    pub(crate) fn add(&mut self, stream: usize, entry: Entry) -> bool {
        let before = self.streams[stream].is_some();
        self.streams[stream].get_or_insert_default().push(entry);
        before
    }

    pub(crate) fn is_there(&self, stream: usize) -> bool {
        self.streams[stream].is_some()
    }

    pub(crate) fn entries(&self, stream: usize) -> &[Entry] {
        self.streams[stream].as_deref().unwrap_or_default()
    }

    pub(crate) fn remove(&mut self, stream: usize) {
        self.streams[stream] = None;
    }

    pub(crate) fn trim(&mut self, stream: usize, to: TrimBound) {
        let entries = self.streams[stream].as_mut();
        let entries = entries.expect("only what is there is trimmed");
        entries.retain(|entry| !goes(entry.id, to));
    }
}

/// Whether a trim takes this entry.
pub(crate) fn goes(id: EntryId, to: TrimBound) -> bool {
    match to {
        TrimBound::Below(bound) => id < bound,
        TrimBound::Everything => true,
    }
}
