//! Dead letters: entries that were given up, in a stream of their own.
//!
//! What is in one says the delivery core. It is written in the name of the library's owner.

use crate::dispatcher::ConsumerName;
use gears_core::delivery::{
    DeadLetter, DeadLetterDeletion, EntryId, FoundLetter, Letter, LetterRequest, READ_BYTES,
    Record, RecordBatch, letters_of,
};
use gears_core::quoted;
use gears_v8::ports::resp::{Reader, RespItem};
use gears_v8::ports::{Arguments, Credentials, Server};

use super::context::Context;
use super::execution_unit::ExecutionUnit;
use super::ffi::stream::{Direction, StreamEntries};
use super::user::demand;

/// Writes a dead letter.
pub(super) fn write_dead_letter(
    context: &Context,
    credentials: &Credentials,
    consumer: &ConsumerName,
    dead_letter: &DeadLetter,
) -> Result<(), String> {
    let refused = |error| {
        let id = dead_letter.item.id();
        format!("the dead letter of {id} cannot be written: {error}")
    };
    if let Some(old) = &dead_letter.replaces {
        let from = letters_of(&old.from, &dead_letter.stream);
        let is_there =
            context.select(old.db) && context.look_at(&from, old.letter, &mut |_| true).is_some();
        if !is_there {
            // Somebody deleted it meanwhile.
            return Ok(());
        }
        // Neither both of them nor none.
        let id = old.letter.to_string();
        demand(&credentials.user, &[b"XDEL", &from, id.as_bytes()], &from).map_err(refused)?;
    }
    let to = letters_of(&dead_letter.to, &dead_letter.stream);
    let is_here = context.demand_slot_of(&to);
    is_here.map_err(|error| {
        refused(format!(
            "{error}: with {{}} in its name, dead letters are in the stream's slot"
        ))
    })?;
    let mut arguments = Arguments::of([b"XADD", &to[..], b"*"]);
    let (library, name) = (consumer.library.as_bytes(), consumer.consumer.as_bytes());
    dead_letter.for_each_part(library, name, |part| arguments.push(part));
    run(credentials, &arguments).map_err(refused)?;
    // The same text for all of them, so that the log counts what it holds back.
    log::warn!(
        "consumer {} gave up an entry: its dead letter is in {}",
        quoted(format!("{}/{}", consumer.library, consumer.consumer).as_bytes()),
        quoted(&to)
    );
    Ok(())
}

/// Deletes dead letters.
pub(super) fn delete_dead_letters(credentials: &Credentials, deletions: &DeadLetterDeletion) {
    let from = letters_of(&deletions.from, &deletions.stream);
    let mut arguments = Arguments::of([b"XDEL", &from[..]]);
    for dead_letter in &deletions.dead_letters {
        arguments.push(dead_letter.to_string().as_bytes());
    }
    if let Err(error) = run(credentials, &arguments) {
        log::warn!("a dead letter whose entry is done cannot be deleted: {error}");
    }
}

fn run(credentials: &Credentials, arguments: &Arguments) -> Result<(), String> {
    let unit = ExecutionUnit::of_dead_letter(credentials);
    let mut result = Ok(());
    let locked = unit.call(arguments, &mut |reply| {
        if let Some(RespItem::Error(error)) = Reader::new(reply).next() {
            result = Err(String::from_utf8_lossy(error).into_owned());
        }
    });
    locked.map_err(str::to_owned).and(result)
}

impl Context {
    /// Looks at the entries of a stream of the selected database behind an ID, the oldest first,
    /// until `look` has seen enough, which gives whether to go on. The ID of the last one then;
    /// `None` where no more are left. `look` must not run commands.
    pub(crate) fn look_through(
        &self,
        stream: &[u8],
        after: EntryId,
        look: &mut dyn FnMut(Record<'_>) -> bool,
    ) -> Option<EntryId> {
        let key = self.open_stream(stream)?;
        let entries = StreamEntries::behind(&key, after, Direction::Forward)?;
        let mut batch = RecordBatch::default();
        let mut enough = None;
        // Looking for one more tells whether there is more.
        while let Some((id, fields)) = entries.next() {
            if enough.is_some() {
                return enough;
            }
            batch.clear();
            entries.read_fields(id, fields, &mut batch);
            if !look(batch.get(0)) {
                enough = Some(id);
            }
        }
        None
    }

    /// Looks at one entry of a stream of the selected database; what `look` gave, if it is there.
    pub(crate) fn look_at(
        &self,
        stream: &[u8],
        id: EntryId,
        look: &mut dyn FnMut(Record<'_>) -> bool,
    ) -> Option<bool> {
        let key = self.open_stream(stream)?;
        let entries = StreamEntries::only(&key, id)?;
        let (id, fields) = entries.next()?;
        let mut batch = RecordBatch::default();
        entries.read_fields(id, fields, &mut batch);
        Some(look(batch.get(0)))
    }
}

/// Reads dead letters of a consumer that are to be redriven, as far as a read goes: how many were
/// looked for, and those that are there.
pub(super) fn read_letters(
    context: &Context,
    consumer: &ConsumerName,
    request: &LetterRequest,
) -> (usize, Vec<FoundLetter>) {
    if !context.select(request.db) {
        return (request.letters.len(), Vec::new());
    }
    let from = letters_of(&request.from, &request.stream);
    let (mut looked_for, mut bytes) = (0, 0);
    let mut found = Vec::new();
    for id in &request.letters {
        if bytes >= READ_BYTES {
            break;
        }
        looked_for += 1;
        context.look_at(&from, *id, &mut |record| {
            let letter = Letter::of(record).filter(|letter| {
                letter.library == consumer.library.as_bytes()
                    && letter.consumer == consumer.consumer.as_bytes()
            });
            if let Some(letter) = letter
                && let Some(item) = letter.entry()
            {
                bytes += record.packed().len();
                found.push(FoundLetter {
                    letter: letter.letter,
                    item,
                    attempts: letter.attempts,
                    first_ms: letter.first_ms,
                    redrives: letter.redrives,
                });
            }
            true
        });
    }
    (looked_for, found)
}
