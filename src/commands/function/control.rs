//! `RG.FUNCTION PAUSE` and `RESUME`.

use crate::app::App;
use crate::commands::{COMMAND, READ_ONLY, entry, subcommand, text, wrong_arity};
use crate::server::{Command, Context};
use gears_core::snapshot::Paused;
use gears_v8::ports::Reply;

pub(super) const PAUSE: Command = Command {
    name: "pause",
    entry: entry!(subcommand, pause),
    summary: "Refuses calls of a function",
    help: &[
        "PAUSE <library> <function>",
        "    Refuse calls of the function. What runs ends.",
    ],
    ..CONTROL
};

pub(super) const RESUME: Command = Command {
    name: "resume",
    entry: entry!(subcommand, resume),
    summary: "Takes calls of a function again",
    help: &[
        "RESUME <library> <function>",
        "    Take calls of the function again.",
    ],
    ..CONTROL
};

const CONTROL: Command = Command {
    flags: "write deny-script",
    categories: "write scripting slow",
    args: &[text("library"), text("function")],
    ..COMMAND
};

fn pause(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    set(app, context, arguments, true)
}

fn resume(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    set(app, context, arguments, false)
}

fn set(app: &App, context: &Context, arguments: &[&[u8]], is_paused: bool) -> Reply {
    let [library, function] = arguments else {
        let name = if is_paused { "pause" } else { "resume" };
        return wrong_arity(&format!("rg.function|{name}"));
    };
    if !context.state().is_primary {
        return Reply::error(READ_ONLY);
    }
    let found = {
        let registry = app.libraries.all();
        let found = super::info::find(&registry, library, function);
        found.map(|(name, _, function)| (name.to_owned(), function.name.clone()))
    };
    match found {
        Ok((library, function)) => {
            app.set_paused(context, &library, &Paused::Function(function), is_paused);
            Reply::OK
        }
        Err(error) => Reply::Error(error),
    }
}
