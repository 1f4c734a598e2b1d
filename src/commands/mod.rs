//! The commands: each parses its arguments, asks the rest of the module, and answers.
//!
//! Every file holds its commands' descriptions (what `COMMAND INFO`, `COMMAND DOCS` and HELP show)
//! beside their handlers.

mod cluster;
mod config;
mod consumer;
mod fcall;
mod function;
mod gears1;
mod internals;
mod pausing;
mod slowlog;
mod trigger;

use crate::app::App;
use crate::library::{Library, Registry};
use crate::server::{Arg, ArgKind, Command, Context, Keys, register_commands};
use gears_v8::ports::Reply;

/// Registers all commands.
///
/// # Errors
/// The name of the command that the server refuses.
pub(crate) fn register(context: &Context) -> Result<(), &'static str> {
    let containers = [
        &function::RG_FUNCTION,
        &consumer::RG_CONSUMER,
        &trigger::RG_TRIGGER,
        &slowlog::RG_SLOWLOG,
        &cluster::RG_CLUSTER,
        &config::RG_CONFIG,
        &internals::RG_INTERNALS,
    ];
    let all = containers.into_iter().chain(&fcall::COMMANDS);
    let all = all.chain(&cluster::GEARS1);
    for command in all.chain(gears1::commands()) {
        register_commands(context, command)?;
    }
    Ok(())
}

// --- how handlers are called ---------------------------------------------------------------------

/// A command's C function: `entry!(adapter, handler)`. The adapter decides which arguments the
/// handler gets: [`subcommand`], [`command`] or [`waiting_command`].
macro_rules! entry {
    ($adapter:path, $handler:path) => {{
        $crate::server::command_entry!(entry, $adapter, $handler);
        Some(entry)
    }};
}
use entry;

/// Runs a command. The arguments do not include the command's own name.
type Handler = fn(&App, &Context, &[&[u8]]) -> Reply;

/// Runs a command whose client may have to wait: it returns `None` then.
type WaitingHandler = fn(&App, &Context, &[&[u8]]) -> Option<Reply>;

/// Adapter of a subcommand, whose name is two words.
fn subcommand(context: &Context, arguments: &[&[u8]], handler: Handler) -> Option<Reply> {
    answer(context, arguments.get(2..), handler)
}

/// Adapter of a command of one word that replies at once.
fn command(context: &Context, arguments: &[&[u8]], handler: Handler) -> Option<Reply> {
    answer(context, arguments.get(1..), handler)
}

/// Adapter of a command of one word whose client may have to wait.
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

/// The same for a subcommand.
fn waiting_subcommand(
    context: &Context,
    arguments: &[&[u8]],
    handler: WaitingHandler,
) -> Option<Reply> {
    waiting_command(context, arguments.get(1..).unwrap_or_default(), handler)
}

#[expect(clippy::unnecessary_wraps, reason = "the form all commands have")]
fn answer(context: &Context, arguments: Option<&[&[u8]]>, handler: Handler) -> Option<Reply> {
    Some(match App::get() {
        Some(app) => handler(app, context, arguments.unwrap_or_default()),
        None => not_ready(),
    })
}

// --- descriptions --------------------------------------------------------------------------------

/// Defaults for a description.
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

/// Defaults for a command that only has subcommands.
const CONTAINER: Command = Command {
    complexity: "Depends on subcommand",
    ..COMMAND
};

/// Defaults for a container's HELP.
const HELP: Command = Command {
    name: "help",
    flags: "deny-script",
    arity: 2,
    help: &["HELP", "    Print this help."],
    ..COMMAND
};

/// A required argument.
const fn text(name: &'static str) -> Arg {
    Arg {
        name,
        token: None,
        kind: ArgKind::Text,
        optional: false,
        multiple: false,
    }
}

/// An optional keyword.
const fn token(name: &'static str, token: &'static str) -> Arg {
    Arg {
        name,
        token: Some(token),
        kind: ArgKind::Token,
        optional: true,
        multiple: false,
    }
}

// --- replies -------------------------------------------------------------------------------------

/// The reply of a container's HELP.
fn help_of(container: &Command) -> Reply {
    let name = container.name.to_uppercase();
    let first = format!("{name} <subcommand> [<arg> [value] ...]. Subcommands are:");
    let rest = container.subcommands.iter().flat_map(|one| one.help);
    let rest = rest.map(|line| Reply::text(*line));
    Reply::Array(std::iter::once(Reply::text(first)).chain(rest).collect())
}

/// A library by its name.
///
/// # Errors
/// That there is none.
fn find_library<'r>(registry: &'r Registry, name: &[u8]) -> Result<(&'r str, &'r Library), String> {
    let known = std::str::from_utf8(name).ok();
    let found = known.and_then(|name| registry.get_key_value(name));
    found
        .map(|(name, library)| (name.as_str(), library))
        .ok_or_else(|| format!("ERR no such library '{}'", String::from_utf8_lossy(name)))
}

/// The user who sent the command; the default user if it came from no connection.
fn user_of(context: &Context) -> String {
    context.user().unwrap_or_else(|| "default".to_owned())
}

/// The server's own error for a write on a replica.
const READ_ONLY: &str = "READONLY You can't write against a read only replica.";

fn not_ready() -> Reply {
    Reply::error("ERR the module is not ready")
}

/// The server's own error for too few or too many arguments.
fn wrong_arity(command: &str) -> Reply {
    Reply::error(format!(
        "ERR wrong number of arguments for '{command}' command"
    ))
}
