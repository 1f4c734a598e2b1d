//! `RG.CONSUMER PAUSE`, `RESUME`, `SEEK`, `RETRY`, `SKIP`.
//!
//! What a command changes is committed right after it: the new state, not the change.

use super::{
    ANY_STREAM, NamedConsumer, STREAM, STREAM_AT, STREAM_KEYWORD, id, nothing_more, stream_entry,
};
use crate::app::App;
use crate::commands::{COMMAND, READ_ONLY, subcommand, text, wrong_arity};
use crate::server::{Command, Context, Keys, audit};
use gears_core::delivery::{EntryId, KeyRef, NoSkip};
use gears_core::quoted;
use gears_v8::ports::Reply;

pub(super) const PAUSE: Command = Command {
    name: "pause",
    entry: stream_entry!(subcommand, pause),
    summary: "Hands nothing more to a stream consumer",
    complexity: "O(N) where N is the number of streams concerned",
    args: &[text("library"), text("consumer"), ANY_STREAM],
    help: &[
        "PAUSE <library> <consumer> [STREAM <key>]",
        "    Hand nothing more to the consumer, of one stream or of all. What runs ends.",
    ],
    ..CONTROL
};

pub(super) const RESUME: Command = Command {
    name: "resume",
    entry: stream_entry!(subcommand, resume),
    summary: "Has a stream consumer go on after a pause or a failure",
    complexity: "O(N) where N is the number of streams concerned",
    args: &[text("library"), text("consumer"), ANY_STREAM],
    help: &[
        "RESUME <library> <consumer> [STREAM <key>]",
        "    Go on after a pause, or after a failure that stopped it.",
    ],
    ..CONTROL
};

pub(super) const SEEK: Command = Command {
    name: "seek",
    entry: stream_entry!(subcommand, seek),
    summary: "Has a stream consumer go on elsewhere in a stream",
    args: &[text("library"), text("consumer"), STREAM, text("id")],
    help: &[
        "SEEK <library> <consumer> STREAM <key> <id|earliest|latest>",
        "    Go on with that entry of the stream, or the next behind.",
    ],
    ..CONTROL
};

pub(super) const RETRY: Command = Command {
    name: "retry",
    entry: stream_entry!(subcommand, retry),
    summary: "Has a stream consumer try again now",
    args: &[text("library"), text("consumer"), STREAM],
    help: &[
        "RETRY <library> <consumer> STREAM <key>",
        "    Do not wait any longer for the retry of the stream.",
    ],
    ..CONTROL
};

pub(super) const SKIP: Command = Command {
    name: "skip",
    entry: stream_entry!(subcommand, skip),
    summary: "Has a stream consumer go on without an entry that stops it",
    args: &[text("library"), text("consumer"), STREAM, text("id")],
    help: &[
        "SKIP <library> <consumer> STREAM <key> <id>",
        "    Give up an entry that waits for a retry or stopped the stream, and go on.",
    ],
    ..CONTROL
};

pub(super) const CONTROL: Command = Command {
    flags: "write deny-script getkeys-api no-mandatory-keys",
    categories: "write scripting slow",
    keys: Keys::Changed(STREAM_KEYWORD, STREAM_AT),
    ..COMMAND
};

/// Changes a consumer, or one of its streams, and commits what changed.
fn change<'a>(
    app: &App,
    context: &Context,
    arguments: &[&'a [u8]],
    subcommand: &str,
    work: impl FnOnce(&NamedConsumer<'a>, &[&'a [u8]]) -> Result<Reply, Reply>,
) -> Reply {
    if !context.state().is_primary {
        return Reply::error(READ_ONLY);
    }
    let done = app.change_consumers(context, || {
        let (target, rest) = NamedConsumer::parse(app, context, arguments, subcommand)?;
        work(&target, rest)
    });
    done.unwrap_or_else(|error| error)
}

/// The stream, for a command that needs one.
fn stream<'a>(
    target: &NamedConsumer<'a>,
    context: &Context,
    rest: &[&[u8]],
    subcommand: &str,
) -> Result<KeyRef<'a>, Reply> {
    target.key_ref(context).ok_or_else(|| match rest {
        [_, _, ..] => Reply::error("ERR syntax error"),
        _ => wrong_arity(subcommand),
    })
}

fn pause(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    change(
        app,
        context,
        arguments,
        "rg.consumer|pause",
        |target, rest| {
            nothing_more(rest)?;
            let key = target.key_ref(context);
            app.dispatcher
                .update(|delivery| delivery.pause(target.consumer, key));
            audit(context, "PAUSE", target);
            Ok(Reply::OK)
        },
    )
}

fn resume(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    change(
        app,
        context,
        arguments,
        "rg.consumer|resume",
        |target, rest| {
            nothing_more(rest)?;
            let key = target.key_ref(context);
            app.dispatcher
                .update(|delivery| delivery.resume(target.consumer, key));
            audit(context, "RESUME", target);
            Ok(Reply::OK)
        },
    )
}

fn retry(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    change(
        app,
        context,
        arguments,
        "rg.consumer|retry",
        |target, rest| {
            let key = stream(target, context, rest, "rg.consumer|retry")?;
            nothing_more(rest)?;
            app.dispatcher
                .update(|delivery| delivery.retry_now(target.consumer, key));
            audit(context, "RETRY", target);
            Ok(Reply::OK)
        },
    )
}

fn seek(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    change(
        app,
        context,
        arguments,
        "rg.consumer|seek",
        |target, rest| {
            let key = stream(target, context, rest, "rg.consumer|seek")?;
            let place = match rest {
                [place] => *place,
                [] => return Err(wrong_arity("rg.consumer|seek")),
                _ => return Err(Reply::error("ERR syntax error")),
            };
            let position = if place.eq_ignore_ascii_case(b"earliest") {
                EntryId::ZERO
            } else if place.eq_ignore_ascii_case(b"latest") {
                context.last_id(key.name).unwrap_or(EntryId::ZERO)
            } else {
                id(place)?.before()
            };
            app.dispatcher
                .update(|delivery| delivery.seek(target.consumer, key, position));
            let place = quoted(place);
            audit(context, "SEEK", format_args!("{target}, to {place}"));
            Ok(Reply::OK)
        },
    )
}

fn skip(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    const NAME: &str = "rg.consumer|skip";
    change(app, context, arguments, NAME, |target, rest| {
        let key = stream(target, context, rest, NAME)?;
        let id = match rest {
            [id] => super::id(id)?,
            [] => return Err(wrong_arity(NAME)),
            _ => return Err(Reply::error("ERR syntax error")),
        };
        let item = context.entry(key.name, id);
        let skipped = app.dispatcher.update(|delivery| {
            let view = delivery.stream(target.consumer, key);
            let error = view.as_ref().and_then(|view| view.last_error());
            let error = error.map_or_else(|| "skipped".into(), |error| format!("skipped: {error}"));
            delivery.skip(target.consumer, key, id, item, error.into())
        });
        skipped.map_err(|why| {
            Reply::error(match why {
                NoSkip::NotStopping => format!("ERR entry '{id}' does not stop the stream"),
                NoSkip::Dispatched => format!("ERR entry '{id}' is with the callback"),
                NoSkip::GivenUp => format!("ERR entry '{id}' is given up already"),
            })
        })?;
        audit(context, "SKIP", format_args!("{target}, {id}"));
        Ok(Reply::OK)
    })
}
