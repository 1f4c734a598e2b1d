//! `_RG_INTERNALS`: see [`crate::replication`]; and [`crate::cluster`] for what other nodes send.

use crate::VERSION;
use crate::app::App;
use crate::cluster::PROTOCOL;
use crate::replication::{self, CURSOR, DELETE, HOLD, LEDGER, LIBRARY, PAUSE, STAMP, WRITES};
use crate::server::{Arg, Command, Context};
use gears_core::cluster::{NodeId, ProcessId};
use gears_v8::ports::Reply;

use super::{COMMAND, CONTAINER, command, entry, subcommand, text, wrong_arity};

const CATEGORIES: &str = "admin slow dangerous";

pub(super) static RG_INTERNALS: Command = Command {
    name: replication::NAME,
    categories: CATEGORIES,
    summary: "A container for what the module tells itself on replicas and after a restart",
    subcommands: &[
        Command {
            name: LIBRARY,
            summary: "A library was loaded or upgraded",
            args: &[text("dump")],
            arity: 3,
            ..INTERNAL
        },
        Command {
            name: DELETE,
            summary: "A library was deleted",
            args: &[text("library")],
            arity: 3,
            ..INTERNAL
        },
        Command {
            name: CURSOR,
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
            name: HOLD,
            summary: "Why nothing is handed over to a consumer",
            args: &[text("library"), text("consumer"), text("hold")],
            arity: 5,
            ..INTERNAL
        },
        Command {
            name: PAUSE,
            summary: "Whether a function or trigger is paused",
            args: &[text("library"), text("kind"), text("name"), text("state")],
            arity: 6,
            ..INTERNAL
        },
        Command {
            name: LEDGER,
            summary: "When each library of the cluster was changed last, and which were deleted",
            args: &[text("ledger")],
            arity: 3,
            ..INTERNAL
        },
        Command {
            name: STAMP,
            summary: "When a library of the cluster was changed, or deleted",
            args: &[text("ledger")],
            arity: 3,
            ..INTERNAL
        },
        Command {
            name: WRITES,
            entry: entry!(subcommand, writes),
            flags: "admin write",
            summary: "Does nothing: the server says whether it takes writes",
            args: &[text("nothing")],
            arity: 3,
            ..INTERNAL
        },
        Command {
            name: "peer",
            entry: entry!(subcommand, peer),
            flags: BETWEEN_NODES,
            summary: "The client is another node of the cluster, and shows the token that it was given",
            args: &[
                text("version"),
                text("node"),
                text("process"),
                text("token"),
            ],
            arity: 6,
            ..INTERNAL
        },
        Command {
            name: "frame",
            entry: entry!(subcommand, frame),
            flags: BETWEEN_NODES,
            summary: "A part of a message of another node",
            args: &[text("bytes")],
            arity: 3,
            ..INTERNAL
        },
    ],
    ..CONTAINER
};

/// Whoever has the token needs no password and no rights of a user's: the nodes of a cluster have none
/// with each other.
const BETWEEN_NODES: &str = "admin no-auth deny-script allow-stale";

const INTERNAL: Command = Command {
    entry: entry!(command, take),
    // A replica whose clients are paused must not take them: it would end itself where it writes
    // them into its append-only file.
    flags: "admin deny-script may-replicate",
    categories: CATEGORIES,
    ..COMMAND
};

/// All subcommands but `writes`. The first argument is the subcommand.
fn take(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    match replication::take(context, &app.libraries, &app.dispatcher, arguments) {
        Ok(()) => Reply::OK,
        Err(error) => Reply::error(error.to_string()),
    }
}

/// Gives the version of the protocol that both understand, the process of this node, the version of its module, and how
/// large messages to it may be.
fn peer(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    let Some(cluster) = app.cluster() else {
        return Reply::error(NO_CLUSTER);
    };
    let &[version, node, process, token] = arguments else {
        return wrong_arity("_rg_internals|peer");
    };
    let version = std::str::from_utf8(version).ok();
    let version = version.and_then(|version| version.parse::<u64>().ok());
    let (Some(1..), Some(node), Some(process)) =
        (version, NodeId::parse(node), ProcessId::parse(process))
    else {
        return Reply::error("ERR version, node or process is none");
    };
    match cluster.admit(context.client_id(), node, process, token) {
        Ok(_) if !context.log_in_as_node() => Reply::error("ERR the server lets no node in"),
        Ok(mine) => Reply::Array(vec![
            Reply::count(PROTOCOL),
            Reply::text(mine.to_string()),
            Reply::text(VERSION),
            message_max(app),
        ]),
        Err(error) => Reply::error(error),
    }
}

fn frame(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    let Some(cluster) = app.cluster() else {
        return Reply::error(NO_CLUSTER);
    };
    let &[bytes] = arguments else {
        return wrong_arity("_rg_internals|frame");
    };
    let limit = app.settings.cluster_limits().sending.message;
    match cluster.take_frame(context.client_id(), bytes, limit) {
        // Whoever asks with nothing learns how large messages may be.
        Ok(()) if bytes.is_empty() => message_max(app),
        Ok(()) => Reply::OK,
        Err(error) => Reply::error(error),
    }
}

/// Bytes of the largest message that this node takes.
fn message_max(app: &App) -> Reply {
    let limit = app.settings.cluster_limits().sending.message;
    Reply::Integer(i64::try_from(limit).unwrap_or(i64::MAX))
}

const NO_CLUSTER: &str = "ERR this server is in no cluster";

/// Never sent: `server/refusal.rs` only asks the server whether it would run it.
fn writes(_app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    Reply::OK
}
