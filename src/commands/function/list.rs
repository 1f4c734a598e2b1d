//! `RG.FUNCTION LIST [WITHCODE] [VERBOSE|v|vv|vvv] [LIBRARY name] ...`

use crate::app::App;
use crate::library::{Library, LibraryConsumer, LibraryStatus};
use crate::server::{Arg, ArgKind, Command, Context};
use gears_core::delivery::{Delivery, StreamView};
use gears_v8::ports::{Flags, Function, Reply};

use crate::commands::{COMMAND, entry, subcommand, text, token};
use crate::stats::{self, Counters, describe_trigger, pending_jobs};

pub(super) const LIST: Command = Command {
    name: "list",
    entry: entry!(subcommand, run),
    flags: "deny-script",
    categories: super::CATEGORIES,
    summary: "Lists the libraries, their consumers and the streams these know",
    complexity: "O(N) where N is the number of libraries, consumers and streams shown",
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

fn run(app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
    let options = match parse(arguments) {
        Ok(options) => options,
        Err(error) => return Reply::error(error),
    };
    let registry = app.libraries.all();
    // Count what the workers have just finished.
    app.dispatcher.catch_up();
    let shown = registry.iter().filter(|(name, _)| {
        options.libraries.is_empty() || options.libraries.iter().any(|wanted| wanted == *name)
    });
    let described = shown.map(|(name, library)| describe_library(app, name, library, &options));
    Reply::Array(described.collect())
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

fn describe_library(app: &App, name: &str, library: &Library, options: &ListOptions) -> Reply {
    let verbosity = options.verbosity;
    let describe = |delivery: &mut Delivery| {
        let all = library.consumers.iter();
        let described = all.map(|(name, consumer)| match verbosity {
            0 => Reply::text(name.as_str()),
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
                describe_function(function)
            }
        })
        .collect();
    let mut fields = vec![
        ("engine", Reply::text(library.engine.as_str())),
        ("name", Reply::text(name)),
    ];
    if let Some(config) = &library.config {
        fields.push(("configuration", Reply::text(config.as_str())));
    }
    fields.extend([
        (
            "pending_jobs",
            Reply::count(
                library
                    .executor()
                    .map_or(0, |executor| pending_jobs(name, executor, &app.calls)),
            ),
        ),
        ("user", Reply::text(&*library.user)),
        ("functions", Reply::Array(functions)),
        ("stream_consumers", Reply::Array(consumers)),
        ("notifications_consumers", Reply::Array(triggers)),
    ]);
    if options.with_code {
        fields.push(("code", Reply::text(library.code.as_str())));
    }
    if options.verbosity >= 1 {
        fields.push(("gears_box_info", Reply::Null));
    }
    if let LibraryStatus::Quarantined { error } = &library.status {
        fields.push(("quarantine", Reply::text(error.as_str())));
    }
    Reply::record(fields)
}

fn describe_function(function: &Function) -> Reply {
    let flags = Flags::NAMES
        .iter()
        .filter(|(_, flag)| function.flags.contains(*flag));
    Reply::record(vec![
        ("name", Reply::text(function.name.as_str())),
        (
            "flags",
            Reply::Array(flags.map(|(name, _)| Reply::text(*name)).collect()),
        ),
    ])
}

fn describe_consumer(
    name: &str,
    consumer: &LibraryConsumer,
    delivery: &mut Delivery,
    verbosity: u8,
) -> Reply {
    let mut fields = vec![
        ("name", Reply::text(name)),
        ("prefix", Reply::Bulk(consumer.prefix.to_vec())),
    ];
    let Some(overview) = delivery.overview(consumer.key) else {
        return Reply::record(fields);
    };
    let spec = overview.spec;
    let trim = if spec.trim { "enabled" } else { "disabled" };
    fields.extend([
        ("window", Reply::count(spec.window)),
        ("trim", Reply::text(trim)),
        ("num_streams", Reply::count(overview.streams)),
    ]);
    // A paused consumer shows its state, even without options.
    let with_options = overview.is_held || stats::has_options(spec);
    let shown = with_options.then(|| {
        [
            ("options", stats::options(spec)),
            ("state", stats::state(overview.state)),
        ]
    });
    if verbosity >= 2 {
        let streams = delivery
            .streams_of(consumer.key)
            .map(|stream| describe_stream(&stream, verbosity, with_options))
            .collect();
        fields.push(("streams", Reply::Array(streams)));
    }
    fields.extend(shown.into_iter().flatten());
    Reply::record(fields)
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
            Reply::text(stream.last_error().map_or("None", |error| error)),
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
