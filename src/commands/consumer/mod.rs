//! `RG.CONSUMER`: looking at one stream consumer, and controlling it.

mod control;
mod info;
mod kept;
mod letters;
mod redrive;
mod selection;
mod streams;

use std::fmt;

use crate::app::App;
use crate::dispatcher::ConsumerName;
use crate::server::{Arg, ArgKind, Command, Context};
use gears_core::delivery::{ConsumerKey, EntryId, KeyRef, Letter};
use gears_core::quoted;
use gears_v8::ports::Reply;

use super::{CONTAINER, entry, find_library, help_of, subcommand, text, wrong_arity};

/// ACL categories of the commands that only look.
const CATEGORIES: &str = "scripting slow";

pub(super) static RG_CONSUMER: Command = Command {
    name: "rg.consumer",
    categories: CATEGORIES,
    summary: "A container for commands about stream consumers",
    subcommands: &[
        control::PAUSE,
        control::RESUME,
        control::SEEK,
        control::RETRY,
        control::SKIP,
        redrive::REDRIVE,
        redrive::REDRIVES,
        letters::LETTERS,
        redrive::DROP,
        info::INFO,
        streams::STREAMS,
        kept::KEPT,
        Command {
            entry: entry!(subcommand, help),
            categories: CATEGORIES,
            summary: "Shows the subcommands of RG.CONSUMER",
            ..super::HELP
        },
    ],
    ..CONTAINER
};

/// The keyword before a stream's key, and where it is looked for: behind library and consumer.
const STREAM_KEYWORD: &str = "STREAM";
const STREAM_AT: i32 = 4;

/// A stream, required.
const STREAM: Arg = Arg {
    token: Some(STREAM_KEYWORD),
    kind: ArgKind::Key,
    ..text("stream")
};

/// A stream, optional.
const ANY_STREAM: Arg = Arg {
    optional: true,
    ..STREAM
};

/// The C function of a subcommand with a stream.
macro_rules! stream_entry {
    ($adapter:path, $handler:path) => {{
        $crate::server::keyword_command_entry!(
            entry,
            $crate::commands::consumer::STREAM_KEYWORD,
            $crate::commands::consumer::STREAM_AT,
            $adapter,
            $handler
        );
        Some(entry)
    }};
}
use stream_entry;

fn help(_app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    help_of(&RG_CONSUMER)
}

/// The consumer that a command names, and the stream if it names one.
struct NamedConsumer<'a> {
    name: ConsumerName,
    consumer: ConsumerKey,
    key: Option<&'a [u8]>,
}

impl<'a> NamedConsumer<'a> {
    /// Reads `library consumer [STREAM key]`; also returns the arguments behind that.
    fn parse<'w>(
        app: &App,
        context: &Context,
        arguments: &'w [&'a [u8]],
        subcommand: &str,
    ) -> Result<(Self, &'w [&'a [u8]]), Reply> {
        let (target, rest) = Self::parse_names(app, arguments, subcommand)?;
        if let Some(key) = target.key_ref(context)
            && !app.knows(context, target.consumer, key)
        {
            return Err(target.unknown(key));
        }
        Ok((target, rest))
    }

    /// The same for a stream that may be gone, of which only letters are left. The keyword is
    /// taken nowhere else: the server takes the first one for that of the key that it checks.
    fn parse_names<'w>(
        app: &App,
        arguments: &'w [&'a [u8]],
        subcommand: &str,
    ) -> Result<(Self, &'w [&'a [u8]]), Reply> {
        let (mut target, rest) = Self::parse_name(app, arguments, subcommand)?;
        let (key, rest) = match rest {
            [keyword, key, rest @ ..] if keyword.eq_ignore_ascii_case(b"stream") => {
                (Some(*key), rest)
            }
            [keyword] if keyword.eq_ignore_ascii_case(b"stream") => {
                return Err(wrong_arity(subcommand));
            }
            rest => (None, rest),
        };
        target.key = key;
        Ok((target, rest))
    }

    /// Whether a dead letter is of this consumer, and of the stream if one is named.
    fn is_about(&self, letter: &Letter<'_>) -> bool {
        letter.library == self.name.library.as_bytes()
            && letter.consumer == self.name.consumer.as_bytes()
            && self.key.is_none_or(|key| key == letter.stream)
    }

    /// Reads `library consumer`; also returns the arguments behind that.
    fn parse_name<'w>(
        app: &App,
        arguments: &'w [&'a [u8]],
        subcommand: &str,
    ) -> Result<(Self, &'w [&'a [u8]]), Reply> {
        let [library, consumer, rest @ ..] = arguments else {
            return Err(wrong_arity(subcommand));
        };
        let registry = app.libraries.all();
        let (library, known) = find_library(&registry, library).map_err(Reply::Error)?;
        let found = std::str::from_utf8(consumer).ok();
        let Some((consumer, found)) = found.and_then(|name| known.consumers.get_key_value(name))
        else {
            return Err(Reply::error(format!(
                "ERR library '{library}' has no stream consumer '{}'",
                String::from_utf8_lossy(consumer)
            )));
        };
        let target = Self {
            name: ConsumerName {
                library: library.into(),
                consumer: consumer.as_str().into(),
            },
            consumer: found.key,
            key: None,
        };
        Ok((target, rest))
    }

    /// The error where the consumer does not know the stream.
    fn unknown(&self, key: KeyRef<'_>) -> Reply {
        Reply::error(format!(
            "ERR consumer '{}' knows no stream '{}'",
            self.name.consumer,
            String::from_utf8_lossy(key.name)
        ))
    }

    fn key_ref(&self, context: &Context) -> Option<KeyRef<'a>> {
        let db = context.db();
        self.key.map(|name| KeyRef { db, name })
    }
}

/// As lines of the log name it.
impl fmt::Display for NamedConsumer<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{}/{}", self.name.library, self.name.consumer);
        write!(to, "consumer {}", quoted(name.as_bytes()))?;
        match self.key {
            Some(key) => write!(to, ", stream {}", quoted(key)),
            None => Ok(()),
        }
    }
}

fn nothing_more(rest: &[&[u8]]) -> Result<(), Reply> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Reply::error("ERR syntax error"))
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
    text.parse().ok()
}

/// The value of COUNT.
fn count(text: &[u8], most: usize) -> Result<usize, Reply> {
    let count = number(text).and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| (1..=most).contains(count));
    count.ok_or_else(|| Reply::error(format!("ERR COUNT must be between 1 and {most}")))
}

/// An ID of a stream's entry.
fn id(text: &[u8]) -> Result<EntryId, Reply> {
    let id = std::str::from_utf8(text).ok();
    id.and_then(EntryId::parse_part).ok_or_else(|| {
        let shown = String::from_utf8_lossy(text);
        Reply::error(format!("ERR invalid stream ID '{shown}'"))
    })
}
