//! The commands of `RedisGears` 1, with its replies.

mod execute;
mod executions;
mod registrations;
mod sessions;

use crate::server::Command;

use super::COMMAND;

/// All of them.
pub(super) fn commands() -> impl Iterator<Item = &'static Command> {
    [&execute::JSEXECUTE, &execute::PYEXECUTE]
        .into_iter()
        .chain(&registrations::COMMANDS)
        .chain(&executions::COMMANDS)
        .chain(&sessions::COMMANDS)
}

/// Defaults for their descriptions.
const GEARS1: Command = Command {
    flags: "deny-script",
    categories: "write scripting slow",
    complexity: "O(N) where N is the number of what is known",
    arity: -1,
    ..COMMAND
};

/// ACL categories of those that change nothing.
const READS: &str = "scripting slow";
