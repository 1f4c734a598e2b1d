//! `RG.SLOWLOG`: the calls of callbacks that took long.

use crate::app::App;
use crate::executor::SlowCall;
use crate::server::{Arg, ArgKind, Command, Context, audit};
use gears_v8::ports::Reply;

use super::{COMMAND, CONTAINER, entry, help_of, subcommand, text, wrong_arity};

/// ACL categories: those of the server's own SLOWLOG, which shows keys too.
const CATEGORIES: &str = "admin slow dangerous";

/// Calls that GET shows without a count.
const GET_DEFAULT: usize = 10;

pub(super) static RG_SLOWLOG: Command = Command {
    name: "rg.slowlog",
    categories: CATEGORIES,
    summary: "A container for commands about calls of callbacks that took long",
    subcommands: &[
        Command {
            name: "get",
            entry: entry!(subcommand, get),
            flags: "admin deny-script",
            categories: CATEGORIES,
            summary: "Shows the calls that took long, the newest first",
            complexity: "O(N) where N is the number of calls shown",
            arity: -2,
            args: &[Arg {
                kind: ArgKind::Number,
                optional: true,
                ..text("count")
            }],
            help: &[
                "GET [<count>]",
                "    Show the calls that took long, the newest first: 10 of them, or so many; -1 shows all.",
            ],
            ..COMMAND
        },
        Command {
            name: "len",
            entry: entry!(subcommand, len),
            flags: "admin deny-script",
            categories: CATEGORIES,
            summary: "Counts the calls that took long and are kept",
            arity: 2,
            help: &["LEN", "    Count the calls that are kept."],
            ..COMMAND
        },
        Command {
            name: "reset",
            entry: entry!(subcommand, reset),
            flags: "admin deny-script",
            categories: CATEGORIES,
            summary: "Forgets the calls that took long",
            complexity: "O(N) where N is the number of calls kept",
            arity: 2,
            help: &["RESET", "    Forget the calls that are kept."],
            ..COMMAND
        },
        Command {
            entry: entry!(subcommand, help),
            categories: "admin slow",
            summary: "Shows the subcommands of RG.SLOWLOG",
            ..super::HELP
        },
    ],
    ..CONTAINER
};

fn help(_app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    help_of(&RG_SLOWLOG)
}

fn get(app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
    let count = match arguments {
        [] => GET_DEFAULT,
        [count] => match count_of(count) {
            Some(count) => count,
            None => return Reply::error("ERR count should be greater than or equal to -1"),
        },
        _ => return wrong_arity("rg.slowlog|get"),
    };
    let newest = app.slow_log.newest(count);
    Reply::Array(newest.iter().map(|call| describe(call)).collect())
}

/// A count as the server's SLOWLOG takes it; -1 stands for all.
fn count_of(text: &[u8]) -> Option<usize> {
    let count: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    match count {
        -1 => Some(usize::MAX),
        count => usize::try_from(count).ok(),
    }
}

fn describe(call: &SlowCall) -> Reply {
    let text = |text: Option<&str>| text.map_or(Reply::Null, Reply::text);
    let id = call.entry_id.map(|id| id.to_string());
    Reply::record(vec![
        ("id", Reply::count(call.id)),
        ("time", Reply::count(call.time_ms)),
        (
            "duration_ms",
            Reply::Double(call.took.as_secs_f64() * 1000.0),
        ),
        ("library", Reply::text(&*call.library)),
        ("kind", Reply::text(call.kind.name())),
        ("callback", text(call.callback.as_deref())),
        (
            "key",
            call.key
                .as_ref()
                .map_or(Reply::Null, |key| Reply::Bulk(key.to_vec())),
        ),
        ("entry_id", text(id.as_deref())),
        ("stack", text(call.stack.as_deref())),
    ])
}

fn len(app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
    if !arguments.is_empty() {
        return wrong_arity("rg.slowlog|len");
    }
    Reply::count(app.slow_log.len())
}

fn reset(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    if !arguments.is_empty() {
        return wrong_arity("rg.slowlog|reset");
    }
    let count = app.slow_log.len();
    app.slow_log.clear();
    audit(context, "SLOWLOG RESET", format_args!("{count} calls"));
    Reply::OK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_number_and_minus_one_is_all() {
        assert_eq!(count_of(b"0"), Some(0));
        assert_eq!(count_of(b"12"), Some(12));
        assert_eq!(count_of(b"-1"), Some(usize::MAX));
        for wrong in [&b"-2"[..], b"x", b"", b"\xff", b"1.5"] {
            assert_eq!(count_of(wrong), None);
        }
    }
}
