//! `RG.FUNCTION HELP`

use crate::app::App;
use crate::server::Context;
use gears_v8::ports::Reply;

const TEXT: &[&str] = &[
    "RG.FUNCTION <subcommand> [<arg> [value] ...]. Subcommands are:",
    "LOAD [UPGRADE] [CONFIG <json>] <code>",
    "    Load a library. Its first line is '#!js name=<library>'.",
    "    UPGRADE replaces the library of that name; its consumers keep their progress.",
    "    CONFIG gives it a JSON object, which it finds in 'redis.config'.",
    "LIST [WITHCODE] [VERBOSE|v|vv|vvv] [LIBRARY <name>] ...",
    "    List the libraries: v shows their consumers, vv the streams of these, vvv the IDs",
    "    of the entries that are with callbacks. WITHCODE shows the code too.",
    "DEL <name>",
    "    Delete a library with its consumers and their progress.",
    "DEBUG <subcommand>",
    "    For tests and for finding faults; needs the setting 'enable-debug-command'.",
    "HELP",
    "    Print this help.",
];

pub(super) fn run(_app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    Reply::Array(TEXT.iter().map(|line| Reply::text(*line)).collect())
}
