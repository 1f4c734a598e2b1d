//! The commands: each parses its arguments, asks the rest of the module, and answers.
//!
//! Every file has the commands' descriptions, as `COMMAND INFO` and HELP show them, beside their
//! handlers.

mod config;
mod consumer;
mod fcall;
mod function;
mod gears1;
mod internals;

use crate::app::App;
use crate::server::{Arg, ArgKind, Command, Context, Keys, register_commands};
use gears_v8::ports::Reply;

/// Registers all commands.
///
/// # Errors
/// With the name of the one the server refuses.
pub(crate) fn register(context: &Context) -> Result<(), &'static str> {
    let containers = [
        &function::RG_FUNCTION,
        &consumer::RG_CONSUMER,
        &config::RG_CONFIG,
        &internals::RG_INTERNALS,
    ];
    let all = containers.into_iter().chain(&fcall::COMMANDS);
    for command in all.chain(gears1::commands()) {
        register_commands(context, command)?;
    }
    Ok(())
}

// --- how handlers are called ------------------------------------------------------------------------

/// The entry of a command: `entry!(adapter, handler)`, where the adapter says what the handler
/// gets.
macro_rules! entry {
    ($adapter:path, $handler:path) => {{
        $crate::server::command_entry!(entry, $adapter, $handler);
        Some(entry)
    }};
}
use entry;

/// What a command does with its arguments, the command's own words not among them.
type Handler = fn(&App, &Context, &[&[u8]]) -> Reply;

/// What a command does that may leave its client waiting: `None` then.
type WaitingHandler = fn(&App, &Context, &[&[u8]]) -> Option<Reply>;

/// Of a subcommand: a command of two words.
fn subcommand(context: &Context, arguments: &[&[u8]], handler: Handler) -> Option<Reply> {
    answer(context, arguments.get(2..), handler)
}

/// Of a command of one word that answers at once.
fn command(context: &Context, arguments: &[&[u8]], handler: Handler) -> Option<Reply> {
    answer(context, arguments.get(1..), handler)
}

/// Of a command of one word that may leave its client waiting.
fn waiting_command(
    context: &Context,
    arguments: &[&[u8]],
    handler: WaitingHandler,
) -> Option<Reply> {
    match App::get() {
        Some(app) => handler(app, context, arguments.get(1..).unwrap_or_default()),
        None => Some(not_ready()),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the form all commands have")]
fn answer(context: &Context, arguments: Option<&[&[u8]]>, handler: Handler) -> Option<Reply> {
    Some(match App::get() {
        Some(app) => handler(app, context, arguments.unwrap_or_default()),
        None => not_ready(),
    })
}

// --- descriptions -----------------------------------------------------------------------------------

/// A command of which nothing is said yet.
const COMMAND: Command = Command {
    name: "",
    entry: None,
    flags: "",
    categories: "",
    summary: "",
    complexity: "O(1)",
    arity: -2,
    keys: Keys::None,
    args: &[],
    subcommands: &[],
    help: &[],
};

/// A command that only has subcommands.
const CONTAINER: Command = Command {
    complexity: "Depends on subcommand",
    ..COMMAND
};

/// HELP of a container.
const HELP: Command = Command {
    name: "help",
    flags: "deny-script",
    arity: 2,
    help: &["HELP", "    Print this help."],
    ..COMMAND
};

/// An argument that must be there.
const fn text(name: &'static str) -> Arg {
    Arg {
        name,
        token: None,
        kind: ArgKind::Text,
        optional: false,
        multiple: false,
    }
}

/// A word that may be there.
const fn token(name: &'static str, token: &'static str) -> Arg {
    Arg {
        name,
        token: Some(token),
        kind: ArgKind::Token,
        optional: true,
        multiple: false,
    }
}

// --- replies ----------------------------------------------------------------------------------------

/// What HELP of a container shows.
fn help_of(container: &Command) -> Reply {
    let name = container.name.to_uppercase();
    let first = format!("{name} <subcommand> [<arg> [value] ...]. Subcommands are:");
    let rest = container.subcommands.iter().flat_map(|one| one.help);
    let rest = rest.map(|line| Reply::text(*line));
    Reply::Array(std::iter::once(Reply::text(first)).chain(rest).collect())
}

/// Whose name a command acts in; that of the default user, where no connection of a user sent it.
fn user_of(context: &Context) -> String {
    context.user().unwrap_or_else(|| "default".to_owned())
}

/// The error for who wants to change libraries on a replica: as the server's own.
const READ_ONLY: &str = "READONLY You can't write against a read only replica.";

fn not_ready() -> Reply {
    Reply::error("ERR the module is not ready")
}

/// The error for a number of arguments the command does not take.
fn wrong_arity(command: &str) -> Reply {
    Reply::error(format!(
        "ERR wrong number of arguments for '{command}' command"
    ))
}
