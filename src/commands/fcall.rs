//! `RG.FCALL library function numkeys [key ...] [arg ...]`, and `RG.FCALLASYNC`, which is the same.

use crate::app::App;
use crate::server::{Arg, ArgKind, Command, Context, Keys, keyed_command_entry};
use gears_v8::ports::Reply;

use super::{COMMAND, text, waiting_command};

keyed_command_entry!(entry, KEY_COUNT, waiting_command, run);

pub(super) static COMMANDS: [Command; 2] = [
    Command {
        name: "rg.fcall",
        summary: "Calls a function of a library",
        ..CALL
    },
    Command {
        name: "rg.fcallasync",
        summary: "Calls a function of a library whose result may take a while",
        ..CALL
    },
];

/// Position of the number of keys.
const KEY_COUNT: i32 = 3;

const CALL: Command = Command {
    entry: Some(entry),
    flags: "may-replicate deny-script no-mandatory-keys getkeys-api",
    categories: "write scripting slow",
    complexity: "Depends on the function",
    arity: -4,
    keys: Keys::Counted(KEY_COUNT),
    args: &[
        text("library"),
        text("function"),
        Arg {
            kind: ArgKind::Number,
            ..text("numkeys")
        },
        Arg {
            kind: ArgKind::Key,
            optional: true,
            multiple: true,
            ..text("key")
        },
        Arg {
            optional: true,
            multiple: true,
            ..text("arg")
        },
    ],
    ..COMMAND
};

/// `None` if the client waits for the reply. [`crate::calls`] parses the arguments, because it
/// parses those of a waiting call again.
fn run(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    app.calls.call(context, arguments)
}
