//! `RG.CONFIG GET name` and `RG.CONFIG SET name value`: settings by their short names, as
//! `RedisGears` 2 had them. `CONFIG GET redisgears_2.*` shows the same settings.

use crate::app::App;
use crate::server::{Command, Context, audit, change_setting, read_setting};
use gears_core::quoted;
use gears_v8::ports::Reply;

use super::{COMMAND, CONTAINER, entry, help_of, subcommand, text, wrong_arity};

/// ACL categories.
const CATEGORIES: &str = "admin slow dangerous";

pub(super) static RG_CONFIG: Command = Command {
    name: "rg.config",
    categories: CATEGORIES,
    summary: "A container for commands about settings",
    subcommands: &[
        Command {
            name: "get",
            entry: entry!(subcommand, get),
            flags: "admin deny-script",
            categories: CATEGORIES,
            summary: "Reads a setting of the module",
            arity: -3,
            args: &[text("name")],
            help: &["GET <name>", "    Read a setting of the module."],
            ..COMMAND
        },
        Command {
            name: "set",
            entry: entry!(subcommand, set),
            flags: "admin deny-script",
            categories: CATEGORIES,
            summary: "Changes a setting of the module",
            arity: -4,
            args: &[text("name"), text("value")],
            help: &["SET <name> <value>", "    Change a setting of the module."],
            ..COMMAND
        },
        Command {
            entry: entry!(subcommand, help),
            categories: "admin slow",
            summary: "Shows the subcommands of RG.CONFIG",
            ..super::HELP
        },
    ],
    ..CONTAINER
};

fn help(_app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    help_of(&RG_CONFIG)
}

fn get(_app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
    let [name] = arguments else {
        return wrong_arity("rg.config|get");
    };
    read_setting(&String::from_utf8_lossy(name)).map_or_else(Reply::Error, Reply::text)
}

fn set(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    let [name, value] = arguments else {
        return wrong_arity("rg.config|set");
    };
    let (name, value) = (
        String::from_utf8_lossy(name),
        String::from_utf8_lossy(value),
    );
    match change_setting(&name, &value) {
        Ok(()) => {
            app.settings.refresh();
            let value = quoted(value.as_bytes());
            audit(context, "CONFIG SET", format_args!("{name} {value}"));
            Reply::OK
        }
        Err(error) => Reply::Error(error),
    }
}
