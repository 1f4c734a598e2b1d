//! `_RG_INTERNALS`: see [`crate::replication`].

use crate::app::App;
use crate::replication::{self, CURSOR, DELETE, HOLD, LIBRARY, PAUSE, WRITES};
use crate::server::{Arg, Command, Context};
use gears_v8::ports::Reply;

use super::{COMMAND, CONTAINER, command, entry, subcommand, text};

const CATEGORIES: &str = "admin slow dangerous";

pub(super) static RG_INTERNALS: Command = Command {
    name: replication::NAME,
    categories: CATEGORIES,
    summary: "A container for what the module tells itself on replicas and after a restart",
    subcommands: &[
        Command {
            name: LIBRARY,
            summary: "A library was loaded or upgraded",
            args: &[text("dump")],
            arity: 3,
            ..INTERNAL
        },
        Command {
            name: DELETE,
            summary: "A library was deleted",
            args: &[text("library")],
            arity: 3,
            ..INTERNAL
        },
        Command {
            name: CURSOR,
            summary: "How far a consumer is in a stream",
            args: &[
                text("library"),
                text("consumer"),
                text("stream"),
                text("position"),
                text("pending"),
                Arg {
                    optional: true,
                    ..text("hold")
                },
            ],
            arity: -7,
            ..INTERNAL
        },
        Command {
            name: HOLD,
            summary: "Why nothing is handed over to a consumer",
            args: &[text("library"), text("consumer"), text("hold")],
            arity: 5,
            ..INTERNAL
        },
        Command {
            name: PAUSE,
            summary: "Whether a function or trigger is paused",
            args: &[text("library"), text("kind"), text("name"), text("state")],
            arity: 6,
            ..INTERNAL
        },
        Command {
            name: WRITES,
            entry: entry!(subcommand, writes),
            flags: "admin write",
            summary: "Does nothing: the server says whether it takes writes",
            args: &[text("nothing")],
            arity: 3,
            ..INTERNAL
        },
    ],
    ..CONTAINER
};

const INTERNAL: Command = Command {
    entry: entry!(command, take),
    // A replica whose clients are paused must not take them: it would end itself where it writes
    // them into its append-only file.
    flags: "admin deny-script may-replicate",
    categories: CATEGORIES,
    ..COMMAND
};

/// All subcommands but `writes`. The first argument is the subcommand.
fn take(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    match replication::take(context, &app.libraries, &app.dispatcher, arguments) {
        Ok(()) => Reply::OK,
        Err(error) => Reply::error(error.to_string()),
    }
}

/// Never sent: `server/refusal.rs` only asks the server whether it would run it.
fn writes(_app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    Reply::OK
}
