//! The commands: each parses its arguments, asks the library room, and answers.

mod config;
mod consumer;
mod executions;
mod fcall;
mod function_debug;
mod function_del;
mod function_help;
mod function_list;
mod function_load;
pub(crate) mod internals;
mod jsexecute;
mod registrations;
pub(crate) mod stats;
pub(crate) mod trigger_stats;
pub(crate) mod waiting_calls;

use crate::app::App;
use crate::replication;
use crate::server::{
    Arg, ArgKind, Command, Context, Keys, command_entry, keyed_command_entry, register_commands,
};
use gears_v8::ports::Reply;

/// What a command does with its arguments, the command's own words not among them.
type Handler = fn(&App, &Context, &[&[u8]]) -> Reply;

/// Runs a subcommand of a command of two words.
fn run(context: &Context, arguments: &[&[u8]], handler: Handler) -> Option<Reply> {
    answer(context, arguments.get(2..), handler)
}

/// Runs a command of one word that answers at once.
fn run_word(context: &Context, arguments: &[&[u8]], handler: Handler) -> Option<Reply> {
    answer(context, arguments.get(1..), handler)
}

#[expect(clippy::unnecessary_wraps, reason = "the form all commands have")]
fn answer(context: &Context, arguments: Option<&[&[u8]]>, handler: Handler) -> Option<Reply> {
    Some(match App::get() {
        Some(app) => handler(app, context, arguments.unwrap_or_default()),
        None => not_ready(),
    })
}

/// The word of RG.FCALL that tells how many keys follow.
const KEY_COUNT: i32 = 3;

/// What a command does that may leave its client waiting.
type WaitingHandler = fn(&App, &Context, &[&[u8]]) -> Option<Reply>;

/// Runs a command of one word.
fn run_waiting(context: &Context, arguments: &[&[u8]], handler: WaitingHandler) -> Option<Reply> {
    match App::get() {
        Some(app) => handler(app, context, arguments.get(1..).unwrap_or_default()),
        None => Some(not_ready()),
    }
}

/// The error for who wants to change libraries on a replica: as the server's own.
const READ_ONLY: &str = "READONLY You can't write against a read only replica.";

fn not_ready() -> Reply {
    Reply::error("ERR the module is not ready")
}

command_entry!(load_entry, run, function_load::run);
command_entry!(list_entry, run, function_list::run);
command_entry!(del_entry, run, function_del::run);
command_entry!(debug_entry, run, function_debug::run);
command_entry!(help_entry, run, function_help::run);
keyed_command_entry!(fcall_entry, KEY_COUNT, run_waiting, fcall::run);
command_entry!(config_get_entry, run, config::get);
command_entry!(config_set_entry, run, config::set);
command_entry!(config_help_entry, run, config::help);
command_entry!(internal_take_entry, run_word, internals::take);
command_entry!(internal_writes_entry, run, internals::writes);
command_entry!(pause_entry, run, consumer::pause);
command_entry!(resume_entry, run, consumer::resume);
command_entry!(seek_entry, run, consumer::seek);
command_entry!(retry_entry, run, consumer::retry);
command_entry!(redrive_entry, run, consumer::redrive);
command_entry!(consumer_info_entry, run, consumer::info);
command_entry!(consumer_help_entry, run, consumer::help);
command_entry!(jsexecute_entry, run_waiting, jsexecute::run);
command_entry!(dump_executions_entry, run_word, executions::dump);
command_entry!(get_execution_entry, run_word, executions::get);
command_entry!(get_results_entry, run_word, executions::results);
command_entry!(
    get_results_blocking_entry,
    run_waiting,
    executions::results_blocking
);
command_entry!(abort_execution_entry, run_word, executions::abort);
command_entry!(drop_execution_entry, run_word, executions::forget);
command_entry!(dump_registrations_entry, run_word, registrations::dump_all);
command_entry!(unregister_entry, run_word, registrations::unregister);
command_entry!(pause_registrations_entry, run_word, registrations::pause);
command_entry!(
    unpause_registrations_entry,
    run_word,
    registrations::unpause
);
command_entry!(clear_stats_entry, run_word, registrations::clear_stats);

/// Registers all commands.
///
/// # Errors
/// With the name of the one the server refuses.
pub(crate) fn register(context: &Context) -> Result<(), &'static str> {
    for command in [
        &RG_FUNCTION,
        &RG_CONSUMER,
        &RG_FCALL,
        &RG_FCALLASYNC,
        &RG_CONFIG,
        &RG_INTERNALS,
    ]
    .into_iter()
    .chain(&OF_REDISGEARS_1)
    {
        register_commands(context, command)?;
    }
    Ok(())
}

/// The commands of the first `RedisGears`.
static OF_REDISGEARS_1: [Command; 12] = [
    Command {
        name: "rg.jsexecute",
        entry: Some(jsexecute_entry),
        flags: "deny-oom deny-script may-replicate",
        summary: "Runs a script once; what it registers stays",
        complexity: "Depends on the script",
        arity: -2,
        args: &[
            text("code"),
            token("unblocking", "UNBLOCKING"),
            Arg {
                token: Some("ID"),
                optional: true,
                ..text("id")
            },
            token("upgrade", "UPGRADE"),
        ],
        ..FIRST
    },
    Command {
        name: "rg.dumpregistrations",
        categories: LOOKS,
        entry: Some(dump_registrations_entry),
        summary: "Lists stream consumers and key-space triggers as registrations",
        arity: 1,
        ..FIRST
    },
    Command {
        name: "rg.unregister",
        entry: Some(unregister_entry),
        flags: "deny-script may-replicate",
        summary: "Takes a registration away",
        arity: -2,
        args: &[text("id"), token("abortpending", "ABORTPENDING")],
        ..FIRST
    },
    Command {
        name: "rg.pauseregistrations",
        entry: Some(pause_registrations_entry),
        flags: "deny-script may-replicate",
        summary: "Pauses registrations of streams",
        arity: -2,
        args: IDS,
        ..FIRST
    },
    Command {
        name: "rg.unpauseregistrations",
        entry: Some(unpause_registrations_entry),
        flags: "deny-script may-replicate",
        summary: "Has registrations of streams go on",
        arity: -2,
        args: IDS,
        ..FIRST
    },
    Command {
        name: "rg.clearregistrationsstats",
        entry: Some(clear_stats_entry),
        summary: "Has all registrations count anew",
        arity: 1,
        ..FIRST
    },
    Command {
        name: "rg.dumpexecutions",
        categories: LOOKS,
        entry: Some(dump_executions_entry),
        summary: "Lists runs over the data set",
        arity: 1,
        ..FIRST
    },
    Command {
        name: "rg.getexecution",
        categories: LOOKS,
        entry: Some(get_execution_entry),
        summary: "Shows a run over the data set",
        arity: -2,
        args: &[
            text("id"),
            token("shard", "SHARD"),
            token("cluster", "CLUSTER"),
        ],
        ..FIRST
    },
    Command {
        name: "rg.getresults",
        categories: LOOKS,
        entry: Some(get_results_entry),
        summary: "Gives what came of a run",
        arity: 2,
        args: &[text("id")],
        ..FIRST
    },
    Command {
        name: "rg.getresultsblocking",
        categories: "blocking scripting slow",
        entry: Some(get_results_blocking_entry),
        summary: "Waits for the end of a run, and gives what came of it",
        arity: 2,
        args: &[text("id")],
        ..FIRST
    },
    Command {
        name: "rg.abortexecution",
        entry: Some(abort_execution_entry),
        summary: "Ends a run",
        arity: 2,
        args: &[text("id")],
        ..FIRST
    },
    Command {
        name: "rg.dropexecution",
        entry: Some(drop_execution_entry),
        summary: "Forgets a run that has ended",
        arity: 2,
        args: &[text("id")],
        ..FIRST
    },
];

/// Of commands that change nothing.
const LOOKS: &str = "scripting slow";

const IDS: &[Arg] = &[Arg {
    multiple: true,
    ..text("id")
}];

const FIRST: Command = Command {
    name: "",
    entry: None,
    flags: "deny-script",
    categories: "write scripting slow",
    summary: "",
    complexity: "O(N) where N is the number of what is known",
    arity: -1,
    keys: Keys::None,
    args: &[],
    subcommands: &[],
};

static RG_FCALL: Command = Command {
    name: "rg.fcall",
    summary: "Calls a function of a library",
    ..CALL
};

static RG_FCALLASYNC: Command = Command {
    name: "rg.fcallasync",
    summary: "Calls a function of a library whose result may take a while",
    ..CALL
};

const CALL: Command = Command {
    name: "",
    entry: Some(fcall_entry),
    flags: "may-replicate deny-script no-mandatory-keys getkeys-api",
    categories: "write scripting slow",
    summary: "",
    complexity: "Depends on the function",
    arity: -4,
    keys: Keys::Counted(KEY_COUNT),
    args: &[
        text("library"),
        text("function"),
        Arg {
            kind: ArgKind::Number,
            ..text("numkeys")
        },
        Arg {
            kind: ArgKind::Key,
            optional: true,
            multiple: true,
            ..text("key")
        },
        Arg {
            optional: true,
            multiple: true,
            ..text("arg")
        },
    ],
    subcommands: &[],
};

static RG_INTERNALS: Command = Command {
    name: "_rg_internals",
    entry: None,
    flags: "",
    categories: "admin slow dangerous",
    summary: "A container for what the module tells itself on replicas and after a restart",
    complexity: "Depends on subcommand",
    arity: -2,
    keys: Keys::None,
    args: &[],
    subcommands: &[
        Command {
            name: replication::LIBRARY,
            entry: Some(internal_take_entry),
            summary: "A library was loaded or upgraded",
            args: &[text("dump")],
            arity: 3,
            ..INTERNAL
        },
        Command {
            name: replication::DELETE,
            entry: Some(internal_take_entry),
            summary: "A library was deleted",
            args: &[text("library")],
            arity: 3,
            ..INTERNAL
        },
        Command {
            name: replication::CURSOR,
            entry: Some(internal_take_entry),
            summary: "How far a consumer is in a stream",
            args: &[
                text("library"),
                text("consumer"),
                text("stream"),
                text("position"),
                text("pending"),
                Arg {
                    optional: true,
                    ..text("hold")
                },
            ],
            arity: -7,
            ..INTERNAL
        },
        Command {
            name: replication::HOLD,
            entry: Some(internal_take_entry),
            summary: "Why nothing is handed over to a consumer",
            args: &[text("library"), text("consumer"), text("hold")],
            arity: 5,
            ..INTERNAL
        },
        Command {
            name: replication::WRITES,
            entry: Some(internal_writes_entry),
            flags: "admin write",
            summary: "Does nothing: the server says whether it takes writes",
            args: &[text("nothing")],
            arity: 3,
            ..INTERNAL
        },
    ],
};

const INTERNAL: Command = Command {
    name: "",
    entry: None,
    flags: "admin deny-script",
    categories: "admin slow dangerous",
    summary: "",
    complexity: "O(1)",
    arity: -2,
    keys: Keys::None,
    args: &[],
    subcommands: &[],
};

static RG_CONSUMER: Command = Command {
    name: "rg.consumer",
    entry: None,
    flags: "",
    categories: "scripting slow",
    summary: "A container for commands about stream consumers",
    complexity: "Depends on subcommand",
    arity: -2,
    keys: Keys::None,
    args: &[],
    subcommands: &[
        Command {
            name: "pause",
            entry: Some(pause_entry),
            summary: "Hands nothing more to a stream consumer",
            complexity: "O(N) where N is the number of streams concerned",
            args: &[text("library"), text("consumer"), STREAM],
            ..ORDER
        },
        Command {
            name: "resume",
            entry: Some(resume_entry),
            summary: "Has a stream consumer go on after a pause or a failure",
            complexity: "O(N) where N is the number of streams concerned",
            args: &[text("library"), text("consumer"), STREAM],
            ..ORDER
        },
        Command {
            name: "seek",
            entry: Some(seek_entry),
            summary: "Has a stream consumer go on elsewhere in a stream",
            args: &[text("library"), text("consumer"), THE_STREAM, text("id")],
            ..ORDER
        },
        Command {
            name: "retry",
            entry: Some(retry_entry),
            summary: "Has a stream consumer try again now",
            args: &[text("library"), text("consumer"), THE_STREAM],
            ..ORDER
        },
        Command {
            name: "redrive",
            entry: Some(redrive_entry),
            summary: "Hands dead letters to their stream consumer again",
            complexity: "O(N) where N is the number of dead letters looked through",
            args: &[
                text("library"),
                text("consumer"),
                THE_STREAM,
                Arg {
                    name: "count",
                    token: Some("COUNT"),
                    kind: ArgKind::Number,
                    optional: true,
                    multiple: false,
                },
            ],
            ..ORDER
        },
        Command {
            name: "info",
            entry: Some(consumer_info_entry),
            flags: "deny-script",
            categories: "scripting slow",
            keys: Keys::Read(STREAM_WORD, STREAM_AT),
            summary: "Shows how it stands with a stream consumer",
            complexity: "O(N) where N is the number of its streams, or of entries it is behind",
            args: &[text("library"), text("consumer"), STREAM],
            ..ORDER
        },
        Command {
            name: "help",
            entry: Some(consumer_help_entry),
            flags: "deny-script",
            categories: "scripting slow",
            keys: Keys::None,
            summary: "Shows the subcommands of RG.CONSUMER",
            arity: 2,
            ..ORDER
        },
    ],
};

const ORDER: Command = Command {
    name: "",
    entry: None,
    flags: "write deny-script",
    categories: "write scripting slow",
    summary: "",
    complexity: "O(1)",
    arity: -2,
    keys: Keys::Changed(STREAM_WORD, STREAM_AT),
    args: &[],
    subcommands: &[],
};

const STREAM: Arg = Arg {
    optional: true,
    ..THE_STREAM
};

/// What stands before the key of a stream, and its place: behind library and consumer.
const STREAM_WORD: &str = "STREAM";
const STREAM_AT: i32 = 4;

const THE_STREAM: Arg = Arg {
    name: "stream",
    token: Some(STREAM_WORD),
    kind: ArgKind::Key,
    optional: false,
    multiple: false,
};

static RG_CONFIG: Command = Command {
    name: "rg.config",
    entry: None,
    flags: "",
    categories: "admin slow dangerous",
    summary: "A container for commands about settings",
    complexity: "Depends on subcommand",
    arity: -2,
    keys: Keys::None,
    args: &[],
    subcommands: &[
        Command {
            name: "get",
            entry: Some(config_get_entry),
            flags: "admin deny-script",
            categories: "admin slow dangerous",
            summary: "Reads a setting of the module",
            complexity: "O(1)",
            arity: -3,
            keys: Keys::None,
            args: &[text("name")],
            subcommands: &[],
        },
        Command {
            name: "set",
            entry: Some(config_set_entry),
            flags: "admin deny-script",
            categories: "admin slow dangerous",
            summary: "Changes a setting of the module",
            complexity: "O(1)",
            arity: -4,
            keys: Keys::None,
            args: &[text("name"), text("value")],
            subcommands: &[],
        },
        Command {
            name: "help",
            entry: Some(config_help_entry),
            flags: "deny-script",
            categories: "admin slow",
            summary: "Shows the subcommands of RG.CONFIG",
            complexity: "O(1)",
            arity: 2,
            keys: Keys::None,
            args: &[],
            subcommands: &[],
        },
    ],
};

static RG_FUNCTION: Command = Command {
    name: "rg.function",
    entry: None,
    flags: "",
    categories: "scripting slow",
    summary: "A container for commands about libraries",
    complexity: "Depends on subcommand",
    arity: -2,
    keys: Keys::None,
    args: &[],
    subcommands: &[
        Command {
            name: "load",
            entry: Some(load_entry),
            flags: "deny-oom deny-script may-replicate",
            categories: "write scripting slow",
            summary: "Loads a library, or upgrades it",
            complexity: "O(N) where N is the size of the library's code, plus what its top level does",
            arity: -2,
            keys: Keys::None,
            args: &[
                token("upgrade", "UPGRADE"),
                Arg {
                    name: "config",
                    token: Some("CONFIG"),
                    kind: ArgKind::Text,
                    optional: true,
                    multiple: false,
                },
                text("code"),
            ],
            subcommands: &[],
        },
        Command {
            name: "list",
            entry: Some(list_entry),
            flags: "deny-script",
            categories: "scripting slow",
            summary: "Lists the libraries, their consumers and the streams these know",
            complexity: "O(N) where N is the number of libraries, consumers and streams shown",
            arity: -2,
            keys: Keys::None,
            args: &[
                token("withcode", "WITHCODE"),
                Arg {
                    name: "verbosity",
                    token: None,
                    kind: ArgKind::OneOf(&[
                        token("verbose", "VERBOSE"),
                        token("v", "v"),
                        token("vv", "vv"),
                        token("vvv", "vvv"),
                    ]),
                    optional: true,
                    multiple: false,
                },
                Arg {
                    name: "library",
                    token: Some("LIBRARY"),
                    kind: ArgKind::Text,
                    optional: true,
                    multiple: true,
                },
            ],
            subcommands: &[],
        },
        Command {
            name: "del",
            entry: Some(del_entry),
            flags: "deny-script may-replicate",
            categories: "write scripting slow",
            summary: "Deletes a library with its consumers and their progress",
            complexity: "O(N) where N is the number of streams its consumers know",
            arity: -2,
            keys: Keys::None,
            args: &[text("library")],
            subcommands: &[],
        },
        Command {
            name: "debug",
            entry: Some(debug_entry),
            flags: "admin deny-script",
            categories: "admin scripting slow dangerous",
            summary: "For tests and for finding faults",
            complexity: "Depends on its arguments",
            arity: -2,
            keys: Keys::None,
            args: &[Arg {
                multiple: true,
                ..text("argument")
            }],
            subcommands: &[],
        },
        Command {
            name: "help",
            entry: Some(help_entry),
            flags: "deny-script",
            categories: "scripting slow",
            summary: "Shows the subcommands of RG.FUNCTION",
            complexity: "O(1)",
            arity: 2,
            keys: Keys::None,
            args: &[],
            subcommands: &[],
        },
    ],
};

/// An argument that must be there.
const fn text(name: &'static str) -> Arg {
    Arg {
        name,
        token: None,
        kind: ArgKind::Text,
        optional: false,
        multiple: false,
    }
}

/// A word that may be there.
const fn token(name: &'static str, token: &'static str) -> Arg {
    Arg {
        name,
        token: Some(token),
        kind: ArgKind::Token,
        optional: true,
        multiple: false,
    }
}

/// The error for a number of arguments the command does not take.
fn wrong_arity(command: &str) -> Reply {
    Reply::error(format!(
        "ERR wrong number of arguments for '{command}' command"
    ))
}
