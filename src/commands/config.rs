//! `RG.CONFIG GET name` and `RG.CONFIG SET name value`: the settings by their own names, for
//! clients that know them from the original. `CONFIG GET redisgears_2.*` shows the same.

use crate::app::App;
use crate::server::{Context, change_setting, read_setting};
use gears_v8::ports::Reply;

use super::wrong_arity;

const HELP: &[&str] = &[
    "RG.CONFIG <subcommand> [<arg> [value] ...]. Subcommands are:",
    "GET <name>",
    "    Read a setting of the module.",
    "SET <name> <value>",
    "    Change a setting of the module.",
    "HELP",
    "    Print this help.",
];

pub(super) fn help(_app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    Reply::Array(HELP.iter().map(|line| Reply::text(*line)).collect())
}

pub(super) fn get(_app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
    let [name] = arguments else {
        return wrong_arity("rg.config|get");
    };
    read_setting(&String::from_utf8_lossy(name)).map_or_else(Reply::Error, Reply::text)
}

pub(super) fn set(app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
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
            Reply::OK
        }
        Err(error) => Reply::Error(error),
    }
}
