//! `RG.FUNCTION`: libraries.

mod control;
mod debug;
mod del;
mod info;
mod list;
mod load;
mod shown;
mod versions;

use crate::app::App;
use crate::server::{Command, Context};
use gears_v8::ports::Reply;

use super::{CONTAINER, entry, help_of, subcommand};

/// ACL categories of the commands that only look.
const CATEGORIES: &str = "scripting slow";

pub(super) static RG_FUNCTION: Command = Command {
    name: "rg.function",
    categories: CATEGORIES,
    summary: "A container for commands about libraries",
    subcommands: &[
        load::LOAD,
        versions::VERSIONS,
        versions::ROLLBACK,
        list::LIST,
        info::INFO,
        control::PAUSE,
        control::RESUME,
        del::DEL,
        debug::DEBUG,
        Command {
            entry: entry!(subcommand, help),
            categories: CATEGORIES,
            summary: "Shows the subcommands of RG.FUNCTION",
            ..super::HELP
        },
    ],
    ..CONTAINER
};

fn help(_app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    help_of(&RG_FUNCTION)
}
