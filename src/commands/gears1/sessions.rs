//! `RG.PYDUMPSESSIONS`, `RG.PYDUMPREQS`, `RG.PYSTATS`: libraries in Python, seen as the sessions of the
//! first `RedisGears`.

use crate::app::App;
use crate::library::{Library, Prologue, ScriptSession};
use crate::server::{Arg, Command, Context};
use gears_v8::ports::Reply;

use super::{GEARS1, READS, registrations};
use crate::commands::{command, entry, text, token};

pub(super) static COMMANDS: [Command; 3] = [
    Command {
        name: "rg.pydumpsessions",
        entry: entry!(command, dump_sessions),
        categories: READS,
        summary: "Lists libraries in Python as sessions",
        args: &[
            token("verbose", "VERBOSE"),
            token("dead", "DEAD"),
            Arg {
                token: Some("SESSIONS"),
                optional: true,
                multiple: true,
                ..text("id")
            },
        ],
        ..GEARS1
    },
    Command {
        name: "rg.pydumpreqs",
        entry: entry!(command, dump_requirements),
        categories: READS,
        summary: "Lists the packages that libraries in Python named as their requirements",
        arity: 1,
        ..GEARS1
    },
    Command {
        name: "rg.pystats",
        entry: entry!(command, stats),
        categories: READS,
        summary: "Tells how much memory libraries in Python take",
        arity: 1,
        ..GEARS1
    },
];

const PYTHON: &str = "py";

fn session_of(library: &Library) -> ScriptSession {
    Prologue::parse(&library.code).map_or_else(
        |_| ScriptSession::default(),
        |line| ScriptSession::of(&line),
    )
}

// --- PYDUMPSESSIONS --------------------------------------------------------------------------------

#[derive(Debug, Default, PartialEq, Eq)]
struct Options<'a> {
    verbose: bool,
    /// Only those that are gone: there are none, as a library that is gone is forgotten.
    dead: bool,
    /// Only these.
    ids: Option<&'a [&'a [u8]]>,
}

fn parse<'a>(arguments: &'a [&'a [u8]]) -> Result<Options<'a>, String> {
    let mut options = Options::default();
    for (at, argument) in arguments.iter().enumerate() {
        if argument.eq_ignore_ascii_case(b"verbose") {
            options.verbose = true;
        } else if argument.eq_ignore_ascii_case(b"dead") {
            options.dead = true;
        } else if argument.eq_ignore_ascii_case(b"sessions") {
            options.ids = Some(&arguments[at + 1..]);
            break;
        } else {
            let shown = String::from_utf8_lossy(argument);
            return Err(format!("ERR Unknown arguments were given: {shown}"));
        }
    }
    Ok(options)
}

fn dump_sessions(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    let options = match parse(arguments) {
        Ok(options) => options,
        Err(error) => return Reply::Error(error),
    };
    if options.dead {
        return Reply::Array(Vec::new());
    }
    app.dispatcher.catch_up();
    let registry = app.libraries.all();
    let is_wanted = |name: &str| {
        let wanted = options.ids.as_ref();
        wanted.is_none_or(|ids| ids.contains(&name.as_bytes()))
    };
    let sessions = registry
        .iter()
        .filter(|(name, library)| library.engine == PYTHON && is_wanted(name));
    let shard = context.shard_id();
    let described = sessions.map(|(name, library)| {
        let session = session_of(library);
        let registrations = if options.verbose {
            registrations::describe_those_of(app, &shard, &registry, name)
        } else {
            registrations::ids_of(&shard, &registry, name)
        };
        let description = session.description.map_or(Reply::Null, Reply::text);
        let requirements = session.requirements.into_iter().map(Reply::text).collect();
        Reply::record(vec![
            ("ID", Reply::text(name.as_str())),
            ("sessionDescription", description),
            ("refCount", Reply::count(registrations.len())),
            ("linked", Reply::text("primary")),
            ("dead", Reply::text("false")),
            ("requirementInstallationNeeded", Reply::count(0u64)),
            ("requirements", Reply::Array(requirements)),
            ("registrations", Reply::Array(registrations)),
        ])
    });
    Reply::Array(described.collect())
}

// --- PYDUMPREQS, PYSTATS -----------------------------------------------------------------------------

fn dump_requirements(app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    let registry = app.libraries.all();
    let mut names: Vec<String> = registry
        .values()
        .filter(|library| library.engine == PYTHON)
        .flat_map(|library| session_of(library).requirements)
        .collect();
    names.sort();
    names.dedup();
    let described = names.into_iter().map(|name| {
        Reply::record(vec![
            ("GearReqVersion", Reply::count(1u64)),
            ("Name", Reply::text(name)),
            ("IsDownloaded", Reply::text("yes")),
            ("IsInstalled", Reply::text("yes")),
            ("CompiledOs", Reply::text(std::env::consts::OS)),
            // What is built in comes in no wheel.
            ("Wheels", Reply::Array(Vec::new())),
        ])
    });
    Reply::Array(described.collect())
}

fn stats(app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    let registry = app.libraries.all();
    let libraries = registry.values().filter(|library| library.engine == PYTHON);
    let now: usize = libraries
        .filter_map(Library::executor)
        .map(|executor| {
            let memory = executor.memory();
            memory.heap + memory.buffers
        })
        .sum();
    let peak = app.python_peak.get().max(now);
    app.python_peak.set(peak);
    Reply::record(vec![
        // V8 does not count what it has given back.
        ("TotalAllocated", Reply::count(peak)),
        ("PeakAllocated", Reply::count(peak)),
        ("CurrAllocated", Reply::count(now)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_sessions_are_ids() {
        let given: [&[u8]; 4] = [b"Verbose", b"SESSIONS", b"dead", b"a"];
        let expected = Options {
            verbose: true,
            dead: false,
            ids: Some(&[b"dead", b"a"]),
        };
        assert_eq!(parse(&given), Ok(expected));
        assert!(
            parse(&[b"x"])
                .unwrap_err()
                .contains("Unknown arguments were given: x")
        );
    }
}
