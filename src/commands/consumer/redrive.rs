//! `RG.CONSUMER REDRIVE`, `REDRIVES`, `DROP`: dead letters are delivered again, or deleted.

use hashbrown::{HashMap, HashSet};

use super::letters::{COUNT, ERROR};
use super::selection::{Act, Choice, Found, Selection, Work};
use super::{ANY_STREAM, CATEGORIES, NamedConsumer, nothing_more, stream_entry};
use crate::app::App;
use crate::commands::{
    COMMAND, READ_ONLY, entry, subcommand, text, token, user_of, waiting_subcommand, wrong_arity,
};
use crate::server::{Arg, ArgKind, Command, Context, ExecutionUnit, audit, demand, is_paused};
use crate::stats;
use gears_core::delivery::{ConsumerKey, KeyRef};
use gears_v8::ports::resp::{Reader, RespItem};
use gears_v8::ports::{Arguments, Credentials, Database, Flags, Reply, Server};

/// Dead letters that one REDRIVE delivers again, without COUNT.
const REDRIVE_DEFAULT: usize = 100;
const REDRIVE_MAX: usize = 10_000;
const DROP_MAX: usize = 1_000_000_000;

const ID: Arg = Arg {
    token: Some("ID"),
    optional: true,
    multiple: true,
    ..text("id")
};

pub(super) const REDRIVE: Command = Command {
    name: "redrive",
    entry: stream_entry!(waiting_subcommand, redrive),
    summary: "Hands dead letters to their stream consumer again",
    complexity: "O(N) where N is the number of dead letters looked through, in slices of 2 ms",
    args: &[
        text("library"),
        text("consumer"),
        ANY_STREAM,
        Arg {
            token: Some("FROM"),
            optional: true,
            ..text("first")
        },
        ID,
        ERROR,
        COUNT,
    ],
    help: &[
        "REDRIVE <library> <consumer> [STREAM <key>] [FROM <id> | ID <id> ... | ERROR <pattern>] [COUNT <n>]",
        "    Hand the entries of dead letters to the consumer again, oldest first.",
    ],
    ..super::control::CONTROL
};

pub(super) const REDRIVES: Command = Command {
    name: "redrives",
    entry: entry!(subcommand, redrives),
    flags: "deny-script",
    categories: CATEGORIES,
    summary: "Shows what becomes of the dead letters that a stream consumer was handed again",
    complexity: "O(N) where N is the number of streams that some are on their way of",
    args: &[text("library"), text("consumer")],
    help: &[
        "REDRIVES <library> <consumer>",
        "    Show what becomes of the dead letters that were handed over again.",
    ],
    ..COMMAND
};

pub(super) const DROP: Command = Command {
    name: "drop",
    entry: stream_entry!(waiting_subcommand, drop_letters),
    summary: "Deletes dead letters of a stream consumer",
    complexity: "O(N) where N is the number of dead letters looked through, in slices of 2 ms",
    args: &[
        text("library"),
        text("consumer"),
        ANY_STREAM,
        Arg {
            kind: ArgKind::OneOf(&[
                token("all", "ALL"),
                Arg {
                    optional: false,
                    ..ID
                },
                Arg {
                    optional: false,
                    ..ERROR
                },
            ]),
            ..text("which")
        },
        COUNT,
    ],
    help: &[
        "DROP <library> <consumer> [STREAM <key>] (ALL | ID <id> ... | ERROR <pattern>) [COUNT <n>]",
        "    Delete dead letters, oldest first.",
    ],
    ..super::control::CONTROL
};

// --- REDRIVE -------------------------------------------------------------------------------------

/// Has letters delivered again.
struct Redrive;

impl Act for Redrive {
    fn act(
        &self,
        app: &App,
        context: &Context,
        selection: &Selection,
        consumer: ConsumerKey,
        found: Found,
    ) -> Result<usize, Reply> {
        let mut streams: Vec<(Vec<u8>, Vec<_>)> = Vec::new();
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        for (letter, stream) in found {
            let at = *places.entry(stream).or_insert_with_key(|stream| {
                streams.push((stream.clone(), Vec::new()));
                streams.len() - 1
            });
            streams[at].1.push(letter);
        }
        let mut count = 0;
        for (name, letters) in streams {
            let db = selection.db;
            let key = KeyRef { db, name: &name };
            // A stream that is gone is not known: its letters stay.
            if app.knows(context, consumer, key) {
                count += app
                    .dispatcher
                    .update(|delivery| delivery.redrive(consumer, key, &letters));
            }
        }
        if count > 0 {
            app.dispatcher.wake();
        }
        Ok(count)
    }
}

fn redrive(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    begin_redrive(app, context, arguments).unwrap_or_else(Some)
}

fn begin_redrive(
    app: &App,
    context: &Context,
    arguments: &[&[u8]],
) -> Result<Option<Reply>, Reply> {
    if !context.state().is_primary {
        return Err(Reply::error(READ_ONLY));
    }
    // What is done is to be deleted before somebody looks for it.
    let parsed = app.change_consumers(context, || {
        NamedConsumer::parse(app, context, arguments, "rg.consumer|redrive")
    });
    let (target, rest) = parsed?;
    let choice = Choice::parse(rest, REDRIVE_MAX)?;
    if choice.is_all {
        return Err(Reply::error("ERR syntax error"));
    }
    let count = choice.count(REDRIVE_DEFAULT);
    let selection = Selection::new(app, context, &target, &choice, count)?;
    let from = &selection.from;
    let owner = {
        let registry = app.libraries.all();
        let library = registry.get(&*target.name.library);
        library.map(|library| library.user.to_string())
    };
    let owner = owner.unwrap_or_default();
    demand(&owner, &[b"XDEL", from, b"0-0"], from).map_err(Reply::error)?;
    demand(&owner, &[b"XADD", from, b"*", b"a", b"b"], from).map_err(Reply::error)?;
    let (reply, count) = Work::new(selection, Redrive).begin(app, context);
    let more = if reply.is_none() { "at least " } else { "" };
    audit(
        context,
        "REDRIVE",
        format_args!("{target}, {more}{count} letters"),
    );
    Ok(reply)
}

// --- REDRIVES ------------------------------------------------------------------------------------

fn redrives(app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
    app.dispatcher.catch_up();
    let parsed = NamedConsumer::parse_name(app, arguments, "rg.consumer|redrives");
    let parsed = parsed.and_then(|(target, rest)| nothing_more(rest).map(|()| target));
    let target = match parsed {
        Ok(target) => target,
        Err(error) => return error,
    };
    app.dispatcher.update(|delivery| {
        let Some(view) = delivery.redrives(target.consumer) else {
            return Reply::Null;
        };
        let done = view.done;
        let errors = done.errors.iter();
        let errors = errors.map(|(class, count)| (Reply::text(class), Reply::count(count)));
        Reply::record(vec![
            ("waiting", Reply::count(view.waiting)),
            ("running", Reply::count(view.running)),
            ("ok", Reply::count(done.ok)),
            ("failed", Reply::count(done.failed)),
            ("errors", Reply::Map(errors.collect())),
            ("last_error", stats::error(done.last_error.as_deref())),
            ("last_error_time", Reply::count(done.last_error_ms)),
        ])
    })
}

// --- DROP ----------------------------------------------------------------------------------------

/// Deletes letters, in the name of a user.
struct Deletion {
    user: String,
}

impl Act for Deletion {
    fn act(
        &self,
        app: &App,
        _context: &Context,
        selection: &Selection,
        consumer: ConsumerKey,
        found: Found,
    ) -> Result<usize, Reply> {
        let mut arguments = Arguments::of([b"XDEL", &selection.from[..]]);
        for (letter, _) in &found {
            arguments.push(letter.to_string().as_bytes());
        }
        let unit = ExecutionUnit::of_credentials(&Credentials {
            user: self.user.as_str().into(),
            db: Database::Number(selection.db),
            flags: Flags::empty(),
        });
        let mut deleted = Err(Reply::error("ERR the server did not run XDEL"));
        let called = unit.call(&arguments, &mut |reply| {
            deleted = match Reader::new(reply).next() {
                Some(RespItem::Integer(count)) => Ok(usize::try_from(count).unwrap_or(0)),
                Some(RespItem::Error(error)) => Err(Reply::error(String::from_utf8_lossy(error))),
                _ => return,
            };
        });
        called.map_err(Reply::error)?;
        let deleted = deleted?;
        let letters: HashSet<_> = found.into_iter().map(|(letter, _)| letter).collect();
        app.dispatcher
            .update(|delivery| delivery.forget_letters(consumer, selection.db, &letters));
        Ok(deleted)
    }

    fn ends(&self) -> bool {
        // Nobody writes now.
        is_paused()
    }
}

fn drop_letters(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    begin_drop(app, context, arguments).unwrap_or_else(Some)
}

fn begin_drop(app: &App, context: &Context, arguments: &[&[u8]]) -> Result<Option<Reply>, Reply> {
    if !context.state().is_primary {
        return Err(Reply::error(READ_ONLY));
    }
    app.dispatcher.catch_up();
    let (target, rest) = NamedConsumer::parse_names(app, arguments, "rg.consumer|drop")?;
    let choice = Choice::parse(rest, DROP_MAX)?;
    if choice.is_any() && !choice.is_all {
        // All of them is not what somebody gets who forgets to say which.
        return Err(match rest {
            [] => wrong_arity("rg.consumer|drop"),
            _ => Reply::error("ERR syntax error"),
        });
    }
    let count = choice.count(usize::MAX);
    let selection = Selection::new(app, context, &target, &choice, count)?;
    let from = &selection.from;
    let user = user_of(context);
    demand(&user, &[b"XDEL", from, b"0-0"], from).map_err(Reply::error)?;
    let (reply, count) = Work::new(selection, Deletion { user }).begin(app, context);
    let more = if reply.is_none() { "at least " } else { "" };
    audit(
        context,
        "DROP",
        format_args!("{target}, {more}{count} letters"),
    );
    Ok(reply)
}
