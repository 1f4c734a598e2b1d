//! `RG.FUNCTION LIST [WITHCODE] [VERBOSE|v|vv|vvv] [LIBRARY name] ...`

use std::collections::VecDeque;

use crate::app::{App, Steps};
use crate::library::{Library, LibraryConsumer, LibraryStatus};
use crate::server::{Arg, ArgKind, Command, Context, PartedAnswer};
use gears_core::delivery::{Delivery, StreamView};
use gears_v8::ports::{Flags, Function, Reply, RunAs};

use super::shown::{Shown, Streams, ToSend};
use crate::commands::{COMMAND, entry, text, token, waiting_subcommand};
use crate::stats::{self, Counters, describe_trigger, pending_jobs};

pub(super) const LIST: Command = Command {
    name: "list",
    entry: entry!(waiting_subcommand, run),
    flags: "deny-script",
    categories: super::CATEGORIES,
    summary: "Lists the libraries, their consumers and the streams these know",
    complexity: "O(N) where N is the number of libraries, consumers and streams shown, in slices of 2 ms",
    args: &[
        token("withcode", "WITHCODE"),
        Arg {
            kind: ArgKind::OneOf(&[
                token("verbose", "VERBOSE"),
                token("v", "v"),
                token("vv", "vv"),
                token("vvv", "vvv"),
            ]),
            optional: true,
            ..text("verbosity")
        },
        Arg {
            token: Some("LIBRARY"),
            optional: true,
            multiple: true,
            ..text("library")
        },
    ],
    help: &[
        "LIST [WITHCODE] [VERBOSE|v|vv|vvv] [LIBRARY <name>] ...",
        "    List the libraries: v shows their consumers, vv the streams of these, vvv the IDs",
        "    of the entries that are with callbacks. WITHCODE shows the code too.",
    ],
    ..COMMAND
};

#[derive(Debug, Default, PartialEq, Eq)]
struct ListOptions {
    with_code: bool,
    verbosity: u8,
    /// Empty: all libraries.
    libraries: Vec<String>,
}

impl ListOptions {
    fn wants(&self, library: &str) -> bool {
        self.libraries.is_empty() || self.libraries.iter().any(|wanted| wanted == library)
    }
}

/// The verbosity from which on streams are shown.
const WITH_STREAMS: u8 = 2;

/// The verbosity from which on the options of functions are shown, where they are no defaults.
const WITH_OPTIONS: u8 = 2;

/// Streams that are shown at once: more of them are shown in parts, while the client waits.
const AT_ONCE: usize = 500;

fn run(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    let options = match parse(arguments) {
        Ok(options) => options,
        Err(error) => return Some(Reply::error(error)),
    };
    let registry = app.libraries.all();
    // Count what the workers have just finished.
    app.dispatcher.catch_up();
    let shown = registry.iter().filter(|(name, _)| options.wants(name));
    if options.verbosity >= WITH_STREAMS {
        let consumers = shown.clone().flat_map(|(_, one)| one.consumers.values());
        let streams: usize = app.dispatcher.inspect(|delivery| {
            let counts = consumers.map(|consumer| delivery.stream_count(consumer.key));
            counts.sum()
        });
        if streams > AT_ONCE
            && let Ok(mut answer) = PartedAnswer::new(context)
        {
            answer.parts().begin_list();
            app.slice(Box::new(Listing {
                answer: Some(answer),
                libraries: shown.map(|(name, _)| name.clone()).collect(),
                options,
                to_send: ToSend::default(),
                shown: 0,
            }));
            return None;
        }
    }
    let described = shown.map(|(name, library)| {
        let described = describe_library(app, name, library, &options);
        app.dispatcher.inspect(|delivery| described.whole(delivery))
    });
    Some(Reply::Array(described.collect()))
}

/// A list that is sent in parts.
struct Listing {
    /// None when it is complete.
    answer: Option<PartedAnswer>,
    /// Those still to be shown: one that is gone by its turn is left out.
    libraries: VecDeque<String>,
    options: ListOptions,
    to_send: ToSend,
    /// How many libraries were shown.
    shown: usize,
}

impl Steps for Listing {
    fn step(&mut self, app: &App) -> bool {
        let Some(answer) = self.answer.as_mut().filter(|answer| !answer.is_gone()) else {
            return false;
        };
        let parts = answer.parts();
        let to_send = &mut self.to_send;
        if app
            .dispatcher
            .update(|delivery| to_send.send_some(delivery, parts))
        {
            return true;
        }
        if let Some(name) = self.libraries.pop_front() {
            if let Some(library) = app.libraries.all().get(&name) {
                to_send.push(describe_library(app, &name, library, &self.options));
                self.shown += 1;
            }
            return true;
        }
        parts.end_list(self.shown);
        if let Some(answer) = self.answer.take() {
            answer.end();
        }
        false
    }
}

fn parse(arguments: &[&[u8]]) -> Result<ListOptions, String> {
    let mut options = ListOptions::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let option = std::str::from_utf8(argument)
            .map_err(|_| "Binary option is not allowed".to_owned())?
            .to_lowercase();
        let more = match option.as_str() {
            "withcode" => {
                options.with_code = true;
                0
            }
            "verbose" | "v" => 1,
            "vv" => 2,
            "vvv" => 3,
            "library" => {
                let name = arguments.next().ok_or("Library name was not given")?;
                let name = std::str::from_utf8(name).map_err(|_| "Library name is not a string")?;
                options.libraries.push(name.to_owned());
                0
            }
            _ => return Err(format!("Unknown option '{option}'")),
        };
        options.verbosity = options.verbosity.saturating_add(more);
    }
    Ok(options)
}

fn describe_library(app: &App, name: &str, library: &Library, options: &ListOptions) -> Shown {
    let verbosity = options.verbosity;
    let describe = |delivery: &mut Delivery| {
        let all = library.consumers.iter();
        let described = all.map(|(name, consumer)| match verbosity {
            0 => Reply::text(name.as_str()).into(),
            _ => describe_consumer(name, consumer, delivery, verbosity),
        });
        described.collect()
    };
    let consumers = app.dispatcher.update(describe);
    let triggers = library.triggers.iter();
    let triggers = triggers
        .map(|(name, key)| describe_trigger(name, *key, &app.dispatcher, verbosity))
        .collect();
    let functions = library
        .functions
        .values()
        .map(|function| {
            if options.verbosity == 0 {
                Reply::text(function.name.as_str())
            } else {
                describe_function(function, options.verbosity)
            }
        })
        .collect();
    let mut fields: Vec<(&str, Shown)> = vec![
        ("engine", Reply::text(library.engine.as_str()).into()),
        ("name", Reply::text(name).into()),
    ];
    if let Some(config) = &library.config {
        fields.push(("configuration", Reply::text(config.as_str()).into()));
    }
    let executor = library.executor();
    let pending_jobs = executor.map_or(0, |executor| pending_jobs(name, executor, &app.calls));
    fields.extend([
        ("pending_jobs", Reply::count(pending_jobs).into()),
        ("user", Reply::text(&*library.user).into()),
        ("functions", Reply::Array(functions).into()),
        ("stream_consumers", Shown::Array(consumers)),
        ("notifications_consumers", Reply::Array(triggers).into()),
    ]);
    if options.with_code {
        fields.push(("code", Reply::text(library.code.as_str()).into()));
    }
    if options.verbosity >= 1 {
        fields.push(("gears_box_info", Reply::Null.into()));
    }
    if let LibraryStatus::Quarantined { error } = &library.status {
        fields.push(("quarantine", Reply::text(error.as_str()).into()));
    }
    if options.verbosity >= 1 {
        let history = &library.history;
        fields.extend([
            ("version", Reply::count(history.version).into()),
            ("digest", Reply::text(library.digest.as_str()).into()),
            ("loaded_at", Reply::count(history.loaded_ms).into()),
        ]);
        if !library.remote_functions.is_empty() {
            let remote = library.remote_functions.values();
            let remote = remote.map(|function| describe_function(function, options.verbosity));
            let remote = remote.collect();
            fields.push(("remote_functions", Reply::Array(remote).into()));
        }
        if let Some(stamp) = app.libraries.stamp(name) {
            fields.push(("stamp", Reply::text(stamp.to_string()).into()));
        }
    }
    Shown::Record(fields)
}

fn describe_function(function: &Function, verbosity: u8) -> Reply {
    let flags = Flags::NAMES
        .iter()
        .filter(|(_, flag)| function.flags.contains(*flag));
    let mut fields = vec![
        ("name", Reply::text(function.name.as_str())),
        (
            "flags",
            Reply::Array(flags.map(|(name, _)| Reply::text(*name)).collect()),
        ),
    ];
    if verbosity >= WITH_OPTIONS {
        if function.run_as != RunAs::default() {
            fields.push(("run_as", Reply::text(function.run_as.name())));
        }
        if let Some(ms) = function.timeout_ms {
            fields.push(("timeout", Reply::count(ms)));
        }
    }
    Reply::record(fields)
}

fn describe_consumer(
    name: &str,
    consumer: &LibraryConsumer,
    delivery: &mut Delivery,
    verbosity: u8,
) -> Shown {
    let mut fields: Vec<(&str, Shown)> = vec![
        ("name", Reply::text(name).into()),
        ("prefix", Reply::Bulk(consumer.prefix.to_vec()).into()),
    ];
    let Some(overview) = delivery.overview(consumer.key) else {
        return Shown::Record(fields);
    };
    let spec = overview.spec;
    let trim = if spec.trim { "enabled" } else { "disabled" };
    fields.extend([
        ("window", Reply::count(spec.window).into()),
        ("trim", Reply::text(trim).into()),
        ("num_streams", Reply::count(overview.streams).into()),
    ]);
    // A paused consumer shows its state, even without options.
    let with_options = overview.is_held || stats::has_options(spec);
    let shown = with_options.then(|| {
        [
            ("options", stats::options(spec).into()),
            ("state", stats::state(overview.state).into()),
        ]
    });
    let reason = overview.reason.as_deref();
    let reason = reason.map(|reason| ("reason", stats::error(Some(reason)).into()));
    if verbosity >= WITH_STREAMS {
        let describe =
            move |stream: &StreamView<'_>| describe_stream(stream, verbosity, with_options);
        let streams = Streams::new(consumer.key, Box::new(describe));
        fields.push(("streams", Shown::Streams(streams)));
    }
    fields.extend(shown.into_iter().flatten());
    fields.extend(reason);
    Shown::Record(fields)
}

/// Further fields of a stream whose consumer has options.
const TIMES: [&str; 4] = [
    "lag_p50",
    "lag_p99",
    "processed_time_p50",
    "processed_time_p99",
];

fn describe_stream(stream: &StreamView<'_>, verbosity: u8, with_options: bool) -> Reply {
    let stats = &stream.stats;
    let mut fields = vec![
        ("name", Reply::Bulk(stream.name.to_vec())),
        ("last_processed_time", Reply::count(stats.last_processed_ms)),
        (
            "avg_processed_time",
            Reply::Double(stats.average(stats.total_processed_ms)),
        ),
        ("last_lag", Reply::count(stats.last_lag_ms)),
        ("avg_lag", Reply::Double(stats.average(stats.total_lag_ms))),
        ("total_record_processed", Reply::count(stats.finished)),
        ("id_to_read_from", stats::position(stream)),
        (
            "last_error",
            stats::error(stream.last_error().map(|error| &**error)),
        ),
    ];
    if verbosity >= 3 {
        let mut pending = stream.in_flight();
        pending.extend(stream.redeliveries());
        fields.push(("pending_ids", stats::ids(pending)));
    }
    if with_options {
        fields.push(("state", stats::state(stream.state)));
        fields.extend(Counters::of(stats).fields());
        let times = stats::percentiles(&stream.percentiles());
        fields.extend(TIMES.into_iter().zip(times.map(Reply::Double)));
    }
    if stream.db != 0 {
        fields.push(("db", Reply::count(stream.db)));
    }
    let last_error = stream.last_error().map(|error| &**error);
    fields.extend(stats::stack_if_any(last_error));
    Reply::record(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_add_up_and_libraries_may_be_several() {
        let options = parse(&[
            b"v",
            b"VERBOSE",
            b"library",
            b"a",
            b"WITHCODE",
            b"LIBRARY",
            b"b",
        ]);
        assert_eq!(
            options,
            Ok(ListOptions {
                with_code: true,
                verbosity: 2,
                libraries: vec!["a".into(), "b".into()],
            })
        );
    }

    #[test]
    fn wrong_options_are_named() {
        let wrong = |arguments: &[&[u8]]| parse(arguments).unwrap_err();
        assert_eq!(wrong(&[b"\xff"]), "Binary option is not allowed");
        assert_eq!(wrong(&[b"LIBRARY"]), "Library name was not given");
        assert_eq!(
            wrong(&[b"LIBRARY", b"\xff"]),
            "Library name is not a string"
        );
        assert_eq!(wrong(&[b"Vvvv"]), "Unknown option 'vvvv'");
    }
}
