//! The commands of the first `RedisGears`, with the replies that it gave.

mod executions;
mod jsexecute;
mod registrations;

use crate::server::Command;

use super::COMMAND;

/// Its commands.
pub(super) fn commands() -> impl Iterator<Item = &'static Command> {
    [&jsexecute::JSEXECUTE]
        .into_iter()
        .chain(&registrations::COMMANDS)
        .chain(&executions::COMMANDS)
}

/// What they have in common.
const GEARS1: Command = Command {
    flags: "deny-script",
    categories: "write scripting slow",
    complexity: "O(N) where N is the number of what is known",
    arity: -1,
    ..COMMAND
};

/// The categories of those that change nothing.
const READS: &str = "scripting slow";
