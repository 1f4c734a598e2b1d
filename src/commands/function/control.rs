//! `RG.FUNCTION PAUSE` and `RESUME`.

use crate::app::App;
use crate::commands::pausing::set_paused;
use crate::commands::{COMMAND, entry, subcommand, text};
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
    set_paused(
        app,
        context,
        "rg.function",
        arguments,
        is_paused,
        |registry, library, function| {
            let (name, _, function) = super::info::find(registry, library, function)?;
            Ok((name.to_owned(), Paused::Function(function.name.clone())))
        },
    )
}
