//! The commands: each parses its arguments, asks the library room, and answers.

mod function_del;
mod function_help;
mod function_list;
mod function_load;

use crate::app::App;
use crate::host::{Arg, ArgKind, Command, Context, Reply, command_entry, register_commands};

/// What a command does with its arguments, the command's own words not among them.
type Handler = fn(&App, &Context, &[&[u8]]) -> Reply;

/// Runs a subcommand of a command of two words.
fn run(context: &Context, arguments: &[&[u8]], handler: Handler) -> Reply {
    match App::get() {
        Some(app) => handler(app, context, arguments.get(2..).unwrap_or_default()),
        None => Reply::error("ERR the module is not ready"),
    }
}

command_entry!(load_entry, run, function_load::run);
command_entry!(list_entry, run, function_list::run);
command_entry!(del_entry, run, function_del::run);
command_entry!(help_entry, run, function_help::run);

/// Registers all commands.
///
/// # Errors
/// With the name of the one the server refuses.
pub(crate) fn register(context: &Context) -> Result<(), &'static str> {
    register_commands(context, &RG_FUNCTION)
}

static RG_FUNCTION: Command = Command {
    name: "rg.function",
    entry: None,
    flags: "",
    categories: "scripting slow",
    summary: "A container for commands about libraries",
    complexity: "Depends on subcommand",
    arity: -2,
    args: &[],
    subcommands: &[
        Command {
            name: "load",
            entry: Some(load_entry),
            flags: "deny-oom deny-script may-replicate",
            categories: "write scripting slow",
            summary: "Loads a library, or upgrades it",
            complexity: "O(N) where N is the size of the library's code, plus what its top level does",
            arity: -2,
            args: &[
                token("upgrade", "UPGRADE"),
                Arg {
                    name: "config",
                    token: Some("CONFIG"),
                    kind: ArgKind::Text,
                    optional: true,
                    multiple: false,
                },
                text("code"),
            ],
            subcommands: &[],
        },
        Command {
            name: "list",
            entry: Some(list_entry),
            flags: "deny-script",
            categories: "scripting slow",
            summary: "Lists the libraries, their consumers and the streams these know",
            complexity: "O(N) where N is the number of libraries, consumers and streams shown",
            arity: -2,
            args: &[
                token("withcode", "WITHCODE"),
                Arg {
                    name: "verbosity",
                    token: None,
                    kind: ArgKind::OneOf(&[
                        token("verbose", "VERBOSE"),
                        token("v", "v"),
                        token("vv", "vv"),
                        token("vvv", "vvv"),
                    ]),
                    optional: true,
                    multiple: false,
                },
                Arg {
                    name: "library",
                    token: Some("LIBRARY"),
                    kind: ArgKind::Text,
                    optional: true,
                    multiple: true,
                },
            ],
            subcommands: &[],
        },
        Command {
            name: "del",
            entry: Some(del_entry),
            flags: "deny-script may-replicate",
            categories: "write scripting slow",
            summary: "Deletes a library with its consumers and their progress",
            complexity: "O(N) where N is the number of streams its consumers know",
            arity: -2,
            args: &[text("library")],
            subcommands: &[],
        },
        Command {
            name: "help",
            entry: Some(help_entry),
            flags: "deny-script",
            categories: "scripting slow",
            summary: "Shows the subcommands of RG.FUNCTION",
            complexity: "O(1)",
            arity: 2,
            args: &[],
            subcommands: &[],
        },
    ],
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

/// The error for a number of arguments the command does not take.
fn wrong_arity(command: &str) -> Reply {
    Reply::error(format!(
        "ERR wrong number of arguments for '{command}' command"
    ))
}
