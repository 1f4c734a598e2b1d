//! `RG.FUNCTION DEL name`

use crate::app::App;
use crate::server::{Command, Context};
use gears_v8::ports::Reply;

use crate::commands::{COMMAND, READ_ONLY, entry, subcommand, text, wrong_arity};

pub(super) const DEL: Command = Command {
    name: "del",
    entry: entry!(subcommand, run),
    flags: "deny-script may-replicate",
    categories: "write scripting slow",
    summary: "Deletes a library with its consumers and their progress",
    complexity: "O(N) where N is the number of streams its consumers know",
    args: &[text("library")],
    help: &[
        "DEL <name>",
        "    Delete a library with its consumers and their progress.",
    ],
    ..COMMAND
};

fn run(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    if !context.state().is_primary {
        return Reply::error(READ_ONLY);
    }
    let name = match arguments {
        [] => return Reply::error("function name was not given"),
        [name] => *name,
        _ => return wrong_arity("rg.function|del"),
    };
    let deleted = std::str::from_utf8(name).is_ok_and(|name| app.delete(context, name));
    if deleted {
        Reply::OK
    } else {
        Reply::error("library does not exists")
    }
}
