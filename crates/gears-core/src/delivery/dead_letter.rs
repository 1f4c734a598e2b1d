//! Dead letters: entries that were given up, in a stream of their own.
//!
//! A dead letter has eight fields of ours, always the same and in the same order, and behind them
//! those of the entry. One that was redriven in vain has a ninth, before the error: there no field
//! of an entry can be taken for it.

use std::str::FromStr;
use std::sync::Arc;

use super::consumer::ConsumerSpec;
use super::error_text;
use super::id::EntryId;
use super::record::{Item, Parts, Record, RecordBatch};
use super::{ConsumerKey, SubscriptionKey};
use crate::cluster::tag_of;

/// The names of our fields.
const FIELDS: [&[u8]; 8] = [
    b"library",
    b"consumer",
    b"stream",
    b"id",
    b"attempts",
    ERROR,
    b"first_time",
    b"last_time",
];
const ERROR: &[u8] = b"error";
/// How often a dead letter was redriven in vain, if it was.
const REDRIVES: &[u8] = b"redrives";
/// What is between an error and the stack of the script, in one field: a letter has as many fields with
/// a stack as without. The frames of a stack are one line, and begin with `at`.
const BEFORE_STACK: &[u8] = b"\n    ";
/// Bytes of an error that are kept, without its stack.
const ERROR_MAX: usize = 4096;

/// Stands in the name of a dead letter stream for what decides about the slot of a stream, within the
/// braces that make it decide about this one's too.
const PLACE: &[u8] = b"{}";

/// Where dead letters about a stream go whose consumer has them go to `to`. The name is the same on a
/// server that is in no cluster: data and code can move into one.
pub fn letters_of(to: &[u8], stream: &[u8]) -> Vec<u8> {
    let Some(at) = place_in(to) else {
        return to.to_vec();
    };
    let (before, behind) = to.split_at(at);
    [before, b"{", tag_of(stream), b"}", &behind[PLACE.len()..]].concat()
}

/// Whether letters about different streams go to different streams.
pub fn are_letters_apart(to: &[u8]) -> bool {
    place_in(to).is_some()
}

fn place_in(to: &[u8]) -> Option<usize> {
    to.windows(PLACE.len()).position(|part| part == PLACE)
}

/// Whether a consumer of that prefix would get its own dead letters.
pub fn would_get_letters(spec: &ConsumerSpec, to: &[u8]) -> bool {
    let Some(at) = place_in(to) else {
        return spec.matches(to);
    };
    if spec.exact {
        return letters_of(to, &spec.prefix) == *spec.prefix;
    }
    // What comes behind the brace depends on the stream.
    let sure = &to[..=at];
    spec.prefix.starts_with(sure) || sure.starts_with(&spec.prefix)
}

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
    /// The dead letter that was redriven in vain: it is deleted as one with the writing of this one.
    pub replaces: Option<Replaced>,
}

/// A dead letter in whose place comes another.
#[derive(Clone, Debug)]
pub struct Replaced {
    /// Database of its stream.
    pub db: i32,
    /// The stream that it is in.
    pub from: Arc<[u8]>,
    /// Its ID.
    pub letter: EntryId,
    /// How often it was redriven in vain, this time included.
    pub redrives: u32,
    /// The handle of its database.
    pub(super) home: i32,
}

/// Dead letters whose entries are done after all, or that others are in the place of, to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterDeletion {
    /// Which subscription they were redriven for.
    pub sub: SubscriptionKey,
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
        let message = error_text::message(&self.error).as_bytes();
        let mut error = message[..message.len().min(ERROR_MAX)].to_vec();
        if let Some(stack) = error_text::stack(&self.error) {
            error.extend_from_slice(BEFORE_STACK);
            error.extend_from_slice(stack.as_bytes());
        }
        let values: [&[u8]; 8] = [
            library,
            consumer,
            &self.stream,
            id.as_bytes(),
            attempts.as_bytes(),
            &error,
            first.as_bytes(),
            last.as_bytes(),
        ];
        for (field, value) in FIELDS.iter().zip(values) {
            if *field == ERROR
                && let Some(replaced) = &self.replaces
            {
                part(REDRIVES);
                part(replaced.redrives.to_string().as_bytes());
            }
            part(field);
            part(value);
        }
        self.item.record().parts().for_each(part);
    }
}

/// A dead letter as it lies in its stream.
#[derive(Clone, Debug)]
pub struct Letter<'a> {
    /// Its own ID.
    pub letter: EntryId,
    /// The library of the consumer that gave the entry up.
    pub library: &'a [u8],
    /// The consumer's name there.
    pub consumer: &'a [u8],
    /// The stream of the entry.
    pub stream: &'a [u8],
    /// The ID of the entry.
    pub id: EntryId,
    /// Attempts that failed.
    pub attempts: u32,
    /// How often it was redriven in vain.
    pub redrives: u32,
    /// What went wrong the last time.
    pub error: &'a [u8],
    /// Where, if that is known: frames of the script, separated by `|`.
    pub stack: Option<&'a [u8]>,
    /// When the first attempt began, Unix milliseconds.
    pub first_ms: u64,
    /// When the last one ended, Unix milliseconds.
    pub last_ms: u64,
    /// The entry's fields and values in turn.
    pub fields: Parts<'a>,
}

impl<'a> Letter<'a> {
    /// Reads one; `None` where the entry is none. Numbers that somebody spoiled are 0.
    #[must_use]
    pub fn of(record: Record<'a>) -> Option<Self> {
        let mut parts = record.parts();
        let mut redrives = 0;
        let mut values: [&[u8]; 8] = [b""; 8];
        for (name, value) in FIELDS.iter().zip(&mut values) {
            let mut field = parts.next()?;
            if *name == ERROR && field == REDRIVES {
                redrives = number(parts.next()?);
                field = parts.next()?;
            }
            if field != *name {
                return None;
            }
            *value = parts.next()?;
        }
        let [
            library,
            consumer,
            stream,
            id,
            attempts,
            error,
            first_ms,
            last_ms,
        ] = values;
        let (error, stack) = parted(error);
        Some(Self {
            letter: record.id,
            library,
            consumer,
            stream,
            id: EntryId::parse(std::str::from_utf8(id).ok()?)?,
            attempts: number(attempts),
            redrives,
            error,
            stack,
            first_ms: number(first_ms),
            last_ms: number(last_ms),
            fields: parts,
        })
    }

    /// The entry that it is about.
    #[must_use]
    pub fn entry(&self) -> Option<Item> {
        let mut entry = RecordBatch::default();
        entry.begin(self.id);
        self.fields.clone().for_each(|part| entry.push(part));
        Item::all(entry).next()
    }
}

/// An error without its stack, and that.
fn parted(error: &[u8]) -> (&[u8], Option<&[u8]>) {
    let newline = error.iter().rposition(|byte| *byte == b'\n');
    let (message, last_line) = error.split_at(newline.unwrap_or(error.len()));
    match last_line.strip_prefix(BEFORE_STACK) {
        Some(stack) if stack.starts_with(b"at ") => (message, Some(stack)),
        _ => (error, None),
    }
}

fn number<T: FromStr + Default>(text: &[u8]) -> T {
    let text = std::str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Mode;

    #[test]
    fn a_name_with_a_place_is_in_the_slot_of_the_stream() {
        for (to, stream, expected) in [
            ("dead", "orders:1", "dead"),
            ("dead:{}", "orders:1", "dead:{orders:1}"),
            ("{}:dead", "{eu}:orders", "{eu}:dead"),
            ("dead:{}", "a:{eu}:{x}", "dead:{eu}"),
            ("dead:{eu}", "{us}:orders", "dead:{eu}"),
            ("{}{}", "a", "{a}{}"),
        ] {
            let found = letters_of(to.as_bytes(), stream.as_bytes());
            assert_eq!(String::from_utf8_lossy(&found), expected);
        }
        let found = letters_of(b"dead:{}", b"{eu}:orders");
        assert_eq!(tag_of(&found), tag_of(b"{eu}:orders"));
    }

    #[test]
    fn a_consumer_that_could_get_its_own_letters_is_found_out() {
        let consumer = |prefix: &[u8]| ConsumerSpec::new(prefix, 1, false, Mode::Sync);
        for (prefix, to, expected) in [
            ("orders:", "dead", false),
            ("dead", "dead", true),
            ("", "x{}", true),
            ("dead:", "dead:{}", true),
            ("dead:{o", "dead:{}", true),
            ("orders:", "dead:{}", false),
            ("dead:x", "dead:{}", false),
        ] {
            let found = would_get_letters(&consumer(prefix.as_bytes()), to.as_bytes());
            assert_eq!(found, expected, "{prefix} {to}");
        }
        let exact = |name: &[u8]| ConsumerSpec {
            exact: true,
            ..consumer(name)
        };
        assert!(!would_get_letters(&exact(b"orders"), b"orders:{}"));
        assert!(would_get_letters(&exact(b"{x}"), b"{}"));
    }

    #[test]
    fn what_is_written_comes_out_again() {
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
            replaces: None,
        };
        let mut written = RecordBatch::default();
        written.begin(EntryId::new(9, 0));
        dead_letter.for_each_part(b"lib", b"c", |part| written.push(part));
        let record = written.get(0);
        assert_eq!(record.value(b"id"), Some(&b"7-1"[..]));
        assert_eq!(record.value(b"error").map(<[u8]>::len), Some(ERROR_MAX));
        let letter = Letter::of(record).expect("it is one");
        assert_eq!(letter.letter, EntryId::new(9, 0));
        assert_eq!(
            (letter.library, letter.consumer, letter.stream),
            (&b"lib"[..], &b"c"[..], &b"orders"[..])
        );
        assert_eq!((letter.attempts, letter.redrives), (3, 0));
        assert_eq!((letter.first_ms, letter.last_ms), (1000, 2000));
        assert_eq!(letter.entry(), Some(dead_letter.item.clone()));
        let again = DeadLetter {
            replaces: Some(Replaced {
                db: 0,
                from: b"dead"[..].into(),
                letter: EntryId::new(9, 0),
                redrives: 2,
                home: 0,
            }),
            ..dead_letter
        };
        let mut written = RecordBatch::default();
        written.begin(EntryId::new(10, 0));
        again.for_each_part(b"lib", b"c", |part| written.push(part));
        let letter = Letter::of(written.get(0)).expect("it is one");
        assert_eq!((letter.attempts, letter.redrives), (3, 2));
        assert_eq!(letter.entry(), Some(again.item));
    }

    fn record(parts: &[&str]) -> RecordBatch {
        let mut batch = RecordBatch::default();
        batch.begin(EntryId::new(9, 0));
        for part in parts {
            batch.push(part.as_bytes());
        }
        batch
    }

    #[test]
    fn a_field_of_an_entry_is_not_taken_for_how_often_it_was_redriven() {
        let front = "library lib consumer c stream s id 7-1 attempts 3";
        let rest = "error e first_time 1 last_time 2 redrives 9";
        for (middle, redrives) in [("", 0), ("redrives 4 ", 4)] {
            let text = format!("{front} {middle}{rest}");
            let batch = record(&text.split(' ').collect::<Vec<_>>());
            let letter = Letter::of(batch.get(0)).expect("it is one");
            assert_eq!(letter.redrives, redrives);
            assert_eq!(letter.fields.collect::<Vec<_>>(), [&b"redrives"[..], b"9"]);
        }
    }

    #[test]
    fn what_has_other_fields_is_no_dead_letter() {
        for text in [
            "",
            "library lib consumer c stream s id 7-1 attempts 3 error e first_time 1",
            "library lib consumer c stream s id seven attempts 3 error e first_time 1 last_time 2",
            "consumer c library lib stream s id 7-1 attempts 3 error e first_time 1 last_time 2",
            "library lib consumer c stream s id 7-1 attempts 3 error e redrives 4 first_time 1 last_time 2",
        ] {
            let batch = record(&text.split(' ').collect::<Vec<_>>());
            assert!(Letter::of(batch.get(0)).is_none(), "{text}");
        }
    }

    #[test]
    fn the_stack_comes_out_again_on_its_own() {
        let at = &b"at f (lib:3:1)|at lib:9:1"[..];
        for (error, message, stack) in [
            ("no", "no", None),
            ("a\n  File 1", "a\n  File 1", None),
            ("no\u{1f}at f (lib:3:1)|at lib:9:1", "no", Some(at)),
            (
                "a\n    b\u{1f}at f (lib:3:1)|at lib:9:1",
                "a\n    b",
                Some(at),
            ),
        ] {
            let mut entry = RecordBatch::default();
            entry.begin(EntryId::new(7, 1));
            let dead_letter = DeadLetter {
                sub: SubscriptionKey::default(),
                consumer: ConsumerKey::default(),
                db: 0,
                stream: b"orders"[..].into(),
                to: b"dead"[..].into(),
                item: Item::all(entry).next().expect("there is one"),
                attempts: 1,
                error: error.into(),
                first_ms: 0,
                last_ms: 0,
                replaces: None,
            };
            let mut written = RecordBatch::default();
            written.begin(EntryId::new(9, 0));
            dead_letter.for_each_part(b"lib", b"c", |part| written.push(part));
            let letter = Letter::of(written.get(0)).expect("it is one");
            assert_eq!((letter.error, letter.stack), (message.as_bytes(), stack));
        }
    }
}
