//! `RG.CONSUMER LETTERS`: a consumer's dead letters, a page at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    ANY_STREAM, CATEGORIES, NamedConsumer, STREAM_AT, STREAM_KEYWORD, count, id, stream_entry,
};
use crate::app::App;
use crate::commands::{COMMAND, subcommand, text, user_of};
use crate::server::{Arg, ArgKind, Command, Context, Keys, demand};
use gears_core::delivery::{EntryId, Letter, are_letters_apart, letters_of};
use gears_core::glob;
use gears_v8::ports::Reply;

/// Letters of a page, without COUNT.
const COUNT_DEFAULT: usize = 100;
const COUNT_MAX: usize = 1000;

/// Time in which letters are looked at that are not shown.
const PATIENCE: Duration = Duration::from_millis(2);
/// Bytes of a pattern: matching takes as many steps as the product of its length and the text's.
const PATTERN_MAX: usize = 1024;
/// Bytes of entries after which a page ends.
const PAGE_BYTES: usize = 1 << 20;

pub(super) const LETTERS: Command = Command {
    name: "letters",
    entry: stream_entry!(subcommand, run),
    flags: "deny-script getkeys-api no-mandatory-keys",
    categories: CATEGORIES,
    keys: Keys::Read(STREAM_KEYWORD, STREAM_AT),
    summary: "Pages through the dead letters of a stream consumer",
    complexity: "O(N) where N is the number of entries looked at",
    arity: -4,
    args: &[
        text("library"),
        text("consumer"),
        ANY_STREAM,
        ERROR,
        Arg {
            token: Some("CURSOR"),
            optional: true,
            ..text("cursor")
        },
        COUNT,
    ],
    help: &[
        "LETTERS <library> <consumer> [STREAM <key>] [ERROR <pattern>] [CURSOR <cursor>] [COUNT <n>]",
        "    Page through its dead letters, the oldest first.",
    ],
    ..COMMAND
};

/// A pattern that errors have to match.
pub(super) const ERROR: Arg = Arg {
    token: Some("ERROR"),
    optional: true,
    ..text("pattern")
};

pub(super) const COUNT: Arg = Arg {
    token: Some("COUNT"),
    kind: ArgKind::Number,
    optional: true,
    ..text("count")
};

/// Which letters are wanted.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    error: Option<&'a [u8]>,
    /// Only what is behind this one.
    after: EntryId,
    count: usize,
}

fn run(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    page(app, context, arguments).unwrap_or_else(|error| error)
}

fn page(app: &App, context: &Context, arguments: &[&[u8]]) -> Result<Reply, Reply> {
    let (target, rest) = NamedConsumer::parse_names(app, arguments, "rg.consumer|letters")?;
    let wanted = parse(rest)?;
    let from = letter_stream(app, context, &target)?;
    demand(&user_of(context), &[b"XRANGE", &from, b"-", b"+"], &from).map_err(Reply::error)?;
    let end = Instant::now() + PATIENCE;
    let mut bytes = 0;
    let mut letters = Vec::new();
    let next = context.look_through(&from, wanted.after, &mut |record| {
        let letter = Letter::of(record).filter(|letter| {
            target.is_about(letter)
                && wanted
                    .error
                    .is_none_or(|pattern| glob::matches(pattern, letter.error))
        });
        if let Some(letter) = letter {
            bytes += record.packed().len();
            letters.push(describe(&letter, &from));
        }
        letters.len() < wanted.count && bytes < PAGE_BYTES && Instant::now() < end
    });
    let cursor = next.map_or_else(|| "0".to_owned(), |last| last.to_string());
    Ok(Reply::Array(vec![
        Reply::text(cursor),
        Reply::Array(letters),
    ]))
}

fn describe(letter: &Letter<'_>, from: &[u8]) -> Reply {
    let fields = letter.fields.clone();
    Reply::record(vec![
        ("letter", Reply::text(letter.letter.to_string())),
        ("dead_letter_stream", Reply::Bulk(from.to_vec())),
        ("stream", Reply::Bulk(letter.stream.to_vec())),
        ("id", Reply::text(letter.id.to_string())),
        ("error", Reply::Bulk(letter.error.to_vec())),
        ("attempts", Reply::count(letter.attempts)),
        ("time", Reply::count(letter.last_ms)),
        ("first_time", Reply::count(letter.first_ms)),
        ("redrives", Reply::count(letter.redrives)),
        (
            "fields",
            Reply::Array(fields.map(|part| Reply::Bulk(part.to_vec())).collect()),
        ),
        (
            "stack",
            match letter.stack {
                Some(stack) => Reply::Bulk(stack.to_vec()),
                None => Reply::text("None"),
            },
        ),
    ])
}

/// The key of the stream that the letters are in: of the client's database.
pub(super) fn letter_stream(
    app: &App,
    context: &Context,
    target: &NamedConsumer<'_>,
) -> Result<Arc<[u8]>, Reply> {
    let to = app.dispatcher.inspect(|delivery| {
        let policy = delivery.spec(target.consumer)?.policy.as_ref()?;
        policy.dead_letter.as_ref().map(Arc::clone)
    });
    let name = &target.name.consumer;
    let to =
        to.ok_or_else(|| Reply::error(format!("ERR consumer '{name}' has no dead letter stream")))?;
    let from = match target.key {
        Some(stream) => letters_of(&to, stream).into(),
        None if are_letters_apart(&to) => {
            let error = "ERR each hash tag has its own dead letters: name a STREAM";
            return Err(Reply::error(error));
        }
        None => to,
    };
    context.demand_slot_of(&from).map_err(Reply::error)?;
    Ok(from)
}

fn parse<'a>(arguments: &[&'a [u8]]) -> Result<Wanted<'a>, Reply> {
    let mut wanted = Wanted {
        error: None,
        after: EntryId::ZERO,
        count: COUNT_DEFAULT,
    };
    let mut rest = arguments.iter();
    while let Some(keyword) = rest.next() {
        let value = rest
            .next()
            .ok_or_else(|| Reply::error("ERR syntax error"))?;
        if keyword.eq_ignore_ascii_case(b"error") {
            wanted.error = Some(pattern(value)?);
        } else if keyword.eq_ignore_ascii_case(b"cursor") {
            wanted.after = id(value).map_err(|_| Reply::error("ERR invalid cursor"))?;
        } else if keyword.eq_ignore_ascii_case(b"count") {
            wanted.count = count(value, COUNT_MAX)?;
        } else {
            return Err(Reply::error("ERR syntax error"));
        }
    }
    Ok(wanted)
}

/// The pattern behind ERROR.
pub(super) fn pattern(text: &[u8]) -> Result<&[u8], Reply> {
    if text.len() > PATTERN_MAX {
        return Err(Reply::error(format!(
            "ERR a pattern has at most {PATTERN_MAX} bytes"
        )));
    }
    Ok(text)
}
