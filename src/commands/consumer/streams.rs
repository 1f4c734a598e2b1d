//! `RG.CONSUMER STREAMS`: the streams of a consumer, a page at a time, however many there are.

use std::time::{Duration, Instant};

use super::{CATEGORIES, NamedConsumer, count, number};
use crate::app::App;
use crate::commands::{COMMAND, entry, subcommand, text, token};
use crate::server::{Arg, ArgKind, Command, Context};
use crate::stats;
use gears_core::delivery::{Choice, Row, State};
use gears_core::glob;
use gears_v8::ports::Reply;

/// Streams of a page, without COUNT.
const COUNT_DEFAULT: usize = 100;
const COUNT_MAX: usize = 1000;

/// Time in which streams are looked at that are not shown.
const PATIENCE: Duration = Duration::from_millis(2);
/// How many of them are looked at between two looks at the clock.
const STRIDE: u32 = 64;

pub(super) const STREAMS: Command = Command {
    name: "streams",
    entry: entry!(subcommand, run),
    flags: "deny-script",
    categories: CATEGORIES,
    summary: "Pages through the streams of a stream consumer",
    complexity: "O(N) where N is the number of streams looked at",
    arity: -4,
    args: &[
        text("library"),
        text("consumer"),
        Arg {
            token: Some("CURSOR"),
            kind: ArgKind::Number,
            optional: true,
            ..text("cursor")
        },
        Arg {
            token: Some("COUNT"),
            kind: ArgKind::Number,
            optional: true,
            ..text("count")
        },
        Arg {
            token: Some("MATCH"),
            optional: true,
            ..text("pattern")
        },
        Arg {
            token: Some("STATE"),
            kind: ArgKind::OneOf(&[
                token("running", "running"),
                token("waiting", "waiting"),
                token("paused", "paused"),
                token("aborted", "aborted"),
                token("refused", "refused"),
                token("blocked", "blocked"),
            ]),
            optional: true,
            ..text("state")
        },
        token("bylag", "BYLAG"),
    ],
    help: &[
        "STREAMS <library> <consumer> [CURSOR <n>] [COUNT <n>] [MATCH <pattern>] [STATE <state>] [BYLAG]",
        "    Page through its streams; BYLAG: those that are furthest behind.",
    ],
    ..COMMAND
};

/// Which streams are wanted.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    cursor: Option<u64>,
    count: usize,
    pattern: Option<&'a [u8]>,
    state: Option<State>,
    by_lag: bool,
}

fn run(app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
    app.dispatcher.catch_up();
    let parsed = NamedConsumer::parse_name(app, arguments, "rg.consumer|streams");
    let parsed = parsed.and_then(|(target, rest)| Ok((target, parse(rest)?)));
    let (target, wanted) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return error,
    };
    let now_ms = app.dispatcher.time();
    let choice = match (wanted.by_lag, wanted.state, wanted.cursor.unwrap_or(0)) {
        (true, ..) => Choice::Behind,
        (false, None | Some(State::Running | State::Refused | State::Blocked), place) => {
            Choice::Before(place)
        }
        (false, Some(state), place) => Choice::Held(state, place),
    };
    let end = Instant::now() + PATIENCE;
    let mut looks = 0;
    app.dispatcher.update(|delivery| {
        let page = delivery.page(
            target.consumer,
            choice,
            wanted.count,
            |stream| {
                wanted.state.is_none_or(|state| stream.state == state)
                    && wanted
                        .pattern
                        .is_none_or(|pattern| glob::matches(pattern, stream.name))
            },
            || {
                looks += 1;
                looks % STRIDE != 0 || Instant::now() < end
            },
        );
        let rows = page.rows.iter().map(|row| describe(row, now_ms));
        Reply::Array(vec![
            Reply::text(page.next.to_string()),
            Reply::Array(rows.collect()),
        ])
    })
}

fn describe(row: &Row<'_>, now_ms: u64) -> Reply {
    let stream = &row.stream;
    let behind_ms = row.behind_since_ms;
    let behind_ms = behind_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
    Reply::record(vec![
        ("name", Reply::Bulk(stream.name.to_vec())),
        ("db", Reply::count(stream.db)),
        ("state", stats::state(stream.state)),
        ("position", stats::position(stream)),
        ("pending", Reply::count(stream.unacknowledged())),
        ("behind_ms", Reply::count(behind_ms)),
        ("processed", Reply::count(stream.stats.finished)),
        (
            "last_error",
            stats::error(stream.last_error().map(|error| &**error)),
        ),
    ])
}

fn parse<'a>(arguments: &[&'a [u8]]) -> Result<Wanted<'a>, Reply> {
    let mut wanted = Wanted {
        cursor: None,
        count: COUNT_DEFAULT,
        pattern: None,
        state: None,
        by_lag: false,
    };
    let mut rest = arguments.iter();
    let syntax_error = || Reply::error("ERR syntax error");
    while let Some(keyword) = rest.next() {
        if keyword.eq_ignore_ascii_case(b"bylag") {
            wanted.by_lag = true;
            continue;
        }
        let value = rest.next().ok_or_else(syntax_error)?;
        if keyword.eq_ignore_ascii_case(b"cursor") {
            let cursor = number(value).ok_or_else(|| Reply::error("ERR invalid cursor"))?;
            wanted.cursor = Some(cursor);
        } else if keyword.eq_ignore_ascii_case(b"count") {
            wanted.count = count(value, COUNT_MAX)?;
        } else if keyword.eq_ignore_ascii_case(b"match") {
            wanted.pattern = Some(value);
        } else if keyword.eq_ignore_ascii_case(b"state") {
            wanted.state = Some(state(value)?);
        } else {
            return Err(syntax_error());
        }
    }
    if wanted.by_lag && wanted.cursor.is_some() {
        return Err(Reply::error("ERR BYLAG takes no CURSOR"));
    }
    Ok(wanted)
}

fn state(name: &[u8]) -> Result<State, Reply> {
    let all = [
        ("running", State::Running),
        ("waiting", State::Waiting),
        ("paused", State::Paused),
        ("aborted", State::Aborted),
        ("refused", State::Refused),
        ("blocked", State::Blocked),
    ];
    let found = all
        .iter()
        .find(|(one, _)| name.eq_ignore_ascii_case(one.as_bytes()));
    found.map(|(_, state)| *state).ok_or_else(|| {
        let shown = String::from_utf8_lossy(name);
        Reply::error(format!("ERR no such state '{shown}'"))
    })
}
