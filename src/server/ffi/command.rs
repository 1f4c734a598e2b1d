//! Commands, with what `COMMAND INFO` and `COMMAND DOCS` tell of them.

use std::ffi::c_int;

use redis_module::raw::{RedisModuleCtx, RedisModuleString};

use super::api;
use super::command_info::describe;
use super::constants::OK;
use super::context::Context;
use super::string::c_text;

/// The C function of a command.
type CommandFn =
    unsafe extern "C" fn(*mut RedisModuleCtx, *mut *mut RedisModuleString, c_int) -> c_int;

/// A command, or a subcommand of one.
pub(crate) struct Command {
    /// Its name, lower case; of a subcommand without its parent's.
    pub(crate) name: &'static str,
    /// What runs; none for a command that only holds subcommands.
    pub(crate) entry: Option<CommandFn>,
    /// Flags, as the server calls them.
    pub(crate) flags: &'static str,
    /// Categories for access control, on servers that let modules choose (7.2 and later).
    pub(crate) categories: &'static str,
    /// What it does, in one line.
    pub(crate) summary: &'static str,
    /// How long it takes.
    pub(crate) complexity: &'static str,
    /// Arguments it takes: exactly, or at least where negative.
    pub(crate) arity: c_int,
    /// Where its keys are.
    pub(crate) keys: Keys,
    /// Its arguments.
    pub(crate) args: &'static [Arg],
    /// Its subcommands.
    pub(crate) subcommands: &'static [Command],
    /// What HELP of its container says of it, line by line.
    pub(crate) help: &'static [&'static str],
}

/// Where the keys of a command are, and what it does with them.
#[derive(Clone, Copy)]
pub(crate) enum Keys {
    /// It has none.
    None,
    /// Behind the argument at this place, which is their number; read and written.
    Counted(c_int),
    /// One behind a keyword, which is looked for from a place on; read and written.
    Changed(&'static str, c_int),
    /// The same, read alone.
    Read(&'static str, c_int),
}

/// An argument of a command.
pub(crate) struct Arg {
    /// What it stands for.
    pub(crate) name: &'static str,
    /// The keyword before it, if any.
    pub(crate) token: Option<&'static str>,
    /// What it is.
    pub(crate) kind: ArgKind,
    /// Whether it may be left out.
    pub(crate) optional: bool,
    /// Whether it may come several times.
    pub(crate) multiple: bool,
}

/// What an argument is.
#[derive(Clone, Copy)]
pub(crate) enum ArgKind {
    /// A string.
    Text,
    /// A whole number.
    Number,
    /// A key; of the only list of keys that its command has.
    Key,
    /// Nothing but its token.
    Token,
    /// One of several.
    OneOf(&'static [Arg]),
}

/// Registers a command with its subcommands.
///
/// # Errors
/// With the name of the one the server refuses.
pub(crate) fn register(context: &Context, command: &'static Command) -> Result<(), &'static str> {
    let name = c_text(command.name);
    let flags = c_text(command.flags);
    // SAFETY: the context is live; the server copies the strings.
    let created = unsafe {
        api!(RedisModule_CreateCommand)(
            context.as_ptr(),
            name.as_ptr(),
            command.entry,
            flags.as_ptr(),
            0,
            0,
            0,
        )
    };
    // SAFETY: as above.
    let parent = unsafe { api!(RedisModule_GetCommand)(context.as_ptr(), name.as_ptr()) };
    if created != OK || parent.is_null() {
        return Err(command.name);
    }
    describe(parent, command)?;
    for sub in command.subcommands {
        let sub_name = c_text(sub.name);
        let flags = c_text(sub.flags);
        let full_name = c_text(&format!("{}|{}", command.name, sub.name));
        // SAFETY: as above; the parent is a command of ours.
        let created = unsafe {
            api!(RedisModule_CreateSubcommand)(
                parent,
                sub_name.as_ptr(),
                sub.entry,
                flags.as_ptr(),
                0,
                0,
                0,
            )
        };
        // SAFETY: as above.
        let child = unsafe { api!(RedisModule_GetCommand)(context.as_ptr(), full_name.as_ptr()) };
        if created != OK || child.is_null() {
            return Err(sub.name);
        }
        describe(child, sub)?;
    }
    Ok(())
}
