//! `RG.FUNCTION DEBUG subcommand [argument ...]`, for tests and for finding faults. It is refused
//! unless the setting `enable-debug-command` allows it.

use crate::app::App;
use crate::server::{
    Arg, BlockedClient, Command, Context, allow_unsafe_commands, debug_is_enabled, refuse_listener,
};
use gears_core::cluster::{NodeId, Topic};
use gears_v8::ports::Reply;

use crate::commands::{COMMAND, entry, subcommand, text};

pub(super) const DEBUG: Command = Command {
    name: "debug",
    entry: entry!(subcommand, run),
    flags: "admin deny-script",
    categories: "admin scripting slow dangerous",
    summary: "For tests and for finding faults",
    complexity: "Depends on its arguments",
    args: &[Arg {
        multiple: true,
        ..text("argument")
    }],
    help: &[
        "DEBUG <subcommand>",
        "    For tests and for finding faults; needs the setting 'enable-debug-command'.",
    ],
    ..COMMAND
};

/// The reply of `RG.FUNCTION DEBUG help`.
const HELP: &[&str] = &[
    "panic_on_thread_pool - panic in a worker: it is caught, and in the log",
    "panic_in_turn - panic on the main thread, in its next turn: likewise",
    "panic_behind_wait - panic in a command whose client waits already: likewise, and it is answered once",
    "refuse_listener - the server refuses to tell the next one that listens of key events",
    "allow_unsafe_redis_commands - scripts may call every command from now on, until the server ends",
    "send_to_node <node> <topic> <bytes> - send a message of so many bytes to another node of the cluster",
    "js <subcommand> - about the JavaScript engine, 'js help' tells more",
    "help - print this help",
];

fn run(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    debug(app, context, arguments).unwrap_or_else(Reply::Error)
}

fn debug(app: &App, context: &Context, arguments: &[&[u8]]) -> Result<Reply, String> {
    if !debug_is_enabled() {
        return Err("Debug command are disabled".into());
    }
    let [name, more @ ..] = arguments else {
        return Err("Subcommand was not provided".into());
    };
    let name = std::str::from_utf8(name).map_err(|_| "Failed converting arguments to string")?;
    match name.to_lowercase().as_str() {
        "help" => Ok(Reply::Array(
            HELP.iter().map(|line| Reply::text(*line)).collect(),
        )),
        "panic_on_thread_pool" => {
            app.libraries.pool().panic();
            Ok(Reply::OK)
        }
        "panic_in_turn" => {
            app.panic_in_turn();
            Ok(Reply::OK)
        }
        "panic_behind_wait" => {
            let _waiting = BlockedClient::new(context, Box::new(|| {}));
            panic!("asked for by RG.FUNCTION DEBUG");
        }
        "refuse_listener" => {
            refuse_listener();
            Ok(Reply::OK)
        }
        "allow_unsafe_redis_commands" => {
            allow_unsafe_commands();
            Ok(Reply::OK)
        }
        "send_to_node" => send_to_node(app, more),
        other => match app.libraries.engine(other) {
            Some(engine) => engine.debug(more),
            None if more.is_empty() => Err(format!("Unknown subcommand '{other}'")),
            None => Err(format!("Backend '{other}' does not exists")),
        },
    }
}

/// Gives the ticket.
fn send_to_node(app: &App, arguments: &[&[u8]]) -> Result<Reply, String> {
    let cluster = app.cluster().ok_or("ERR this server is in no cluster")?;
    let &[node, topic, size] = arguments else {
        return Err("ERR node, topic and bytes are needed".into());
    };
    let size = std::str::from_utf8(size).ok();
    let size = size.and_then(|size| size.parse::<usize>().ok());
    let mut topics = Topic::ALL.into_iter();
    let topic = topics.find(|one| one.name().as_bytes() == topic);
    let (Some(node), Some(topic), Some(size)) = (NodeId::parse(node), topic, size) else {
        return Err("ERR node, topic or bytes is none".into());
    };
    let ticket = cluster.send(node, topic, vec![7; size]);
    ticket
        .map(|ticket| Reply::count(ticket.0))
        .map_err(|error| format!("ERR not sent: {error}"))
}
