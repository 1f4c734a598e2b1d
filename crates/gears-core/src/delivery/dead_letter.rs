//! Dead letters: entries that were given up, in a stream of their own.
//!
//! A dead letter has eight fields of ours, always the same and in the same order, and behind them
//! those of the entry.

use std::sync::Arc;

use super::id::EntryId;
use super::record::{Item, Record, RecordBatch};
use super::{ConsumerKey, SubscriptionKey};

/// The names of our fields.
const FIELDS: [&[u8]; 8] = [
    b"library",
    b"consumer",
    b"stream",
    b"id",
    b"attempts",
    b"error",
    b"first_time",
    b"last_time",
];
/// Bytes of an error that are kept.
const ERROR_MAX: usize = 4096;

/// An entry that is given up, to be written into a dead letter stream.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Whose.
    pub sub: SubscriptionKey,
    /// Its consumer.
    pub consumer: ConsumerKey,
    /// Database of both streams.
    pub db: i32,
    /// The stream of the entry.
    pub stream: Arc<[u8]>,
    /// The stream to write into.
    pub to: Arc<[u8]>,
    /// The entry.
    pub item: Item,
    /// Attempts that failed.
    pub attempts: u32,
    /// What went wrong the last time.
    pub error: Arc<str>,
    /// When the first attempt began, Unix milliseconds.
    pub first_ms: u64,
    /// When the last one ended, Unix milliseconds.
    pub last_ms: u64,
}

/// Dead letters whose entries are done after all, to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterDeletion {
    /// Whose.
    pub consumer: ConsumerKey,
    /// Database of the dead letters.
    pub db: i32,
    /// The stream of the entries.
    pub stream: Arc<[u8]>,
    /// The stream of the dead letters.
    pub from: Arc<[u8]>,
    /// The dead letters.
    pub dead_letters: Vec<EntryId>,
}

impl DeadLetter {
    /// Its fields and values in turn, for a consumer that is called so in a library of that name.
    pub fn for_each_part(&self, library: &[u8], consumer: &[u8], mut part: impl FnMut(&[u8])) {
        let id = self.item.id().to_string();
        let numbers = [u64::from(self.attempts), self.first_ms, self.last_ms];
        let [attempts, first, last] = numbers.map(|number| number.to_string());
        let error = self.error.as_bytes();
        let values: [&[u8]; 8] = [
            library,
            consumer,
            &self.stream,
            id.as_bytes(),
            attempts.as_bytes(),
            &error[..error.len().min(ERROR_MAX)],
            first.as_bytes(),
            last.as_bytes(),
        ];
        for (field, value) in FIELDS.iter().zip(values) {
            part(field);
            part(value);
        }
        self.item.record().parts().for_each(part);
    }

    /// The entry that a dead letter is about, if it is one of that consumer and stream.
    #[must_use]
    pub fn entry_of(
        record: Record<'_>,
        library: &[u8],
        consumer: &[u8],
        stream: &[u8],
    ) -> Option<Item> {
        let mut parts = record.parts();
        let mut values: [&[u8]; 8] = [b""; 8];
        for (name, value) in FIELDS.iter().zip(&mut values) {
            if parts.next()? != *name {
                return None;
            }
            *value = parts.next()?;
        }
        if values[..3] != [library, consumer, stream] {
            return None;
        }
        let mut entry = RecordBatch::default();
        entry.begin(EntryId::parse(std::str::from_utf8(values[3]).ok()?)?);
        parts.for_each(|part| entry.push(part));
        Item::all(entry).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_comes_out_again_for_its_consumer_and_stream_alone() {
        let mut entry = RecordBatch::default();
        entry.begin(EntryId::new(7, 1));
        entry.push(b"field");
        entry.push(b"value");
        let dead_letter = DeadLetter {
            sub: SubscriptionKey::default(),
            consumer: ConsumerKey::default(),
            db: 0,
            stream: b"orders"[..].into(),
            to: b"dead"[..].into(),
            item: Item::all(entry).next().expect("there is one"),
            attempts: 3,
            error: "x".repeat(2 * ERROR_MAX).into(),
            first_ms: 1000,
            last_ms: 2000,
        };
        let mut written = RecordBatch::default();
        written.begin(EntryId::new(9, 0));
        dead_letter.for_each_part(b"lib", b"c", |part| written.push(part));
        let record = written.get(0);
        assert_eq!(record.value(b"id"), Some(&b"7-1"[..]));
        assert_eq!(record.value(b"error").map(<[u8]>::len), Some(ERROR_MAX));
        let found = DeadLetter::entry_of(record, b"lib", b"c", b"orders");
        assert_eq!(found, Some(dead_letter.item));
        for (library, consumer, stream) in [
            (&b"other"[..], &b"c"[..], &b"orders"[..]),
            (b"lib", b"other", b"orders"),
            (b"lib", b"c", b"other"),
        ] {
            let found = DeadLetter::entry_of(record, library, consumer, stream);
            assert_eq!(found, None);
        }
    }
}
