//! `RG.CLUSTER`: the other nodes of the cluster; and what clients of `RedisGears` 1 ask of theirs.

use crate::VERSION;
use crate::app::App;
use crate::cluster::{ClusterView, Received};
use crate::server::{Command, Context};
use crate::stats::libraries_state;
use gears_core::cluster::{PeerView, Role};
use gears_v8::ports::Reply;

use super::{COMMAND, CONTAINER, command, entry, help_of, subcommand, wrong_arity};

const CATEGORIES: &str = "scripting slow";

/// What clients of `RedisGears` 1 are told where there is no cluster.
const NO_CLUSTER: &str = "no cluster mode";

pub(super) static RG_CLUSTER: Command = Command {
    name: "rg.cluster",
    categories: CATEGORIES,
    summary: "A container for commands about the nodes of a cluster",
    subcommands: &[
        Command {
            name: "info",
            entry: entry!(subcommand, info),
            flags: "deny-script",
            categories: CATEGORIES,
            summary: "Shows how this node talks to the others of its cluster",
            complexity: "O(N) where N is the number of nodes",
            arity: 2,
            help: &[
                "INFO",
                "    Show how this node talks to the others of its cluster.",
            ],
            ..COMMAND
        },
        Command {
            entry: entry!(subcommand, help),
            categories: CATEGORIES,
            summary: "Shows the subcommands of RG.CLUSTER",
            ..super::HELP
        },
    ],
    ..CONTAINER
};

/// Those of `RedisGears` 1.
pub(super) static GEARS1: [Command; 2] = [
    Command {
        name: "rg.infocluster",
        entry: entry!(command, infocluster),
        flags: "deny-script",
        categories: CATEGORIES,
        summary: "Shows the shards of the cluster",
        complexity: "O(N) where N is the number of nodes",
        arity: 1,
        ..COMMAND
    },
    Command {
        name: "rg.refreshcluster",
        entry: entry!(command, refreshcluster),
        flags: "deny-script",
        categories: CATEGORIES,
        summary: "Has the server's table of the cluster read now",
        arity: 1,
        ..COMMAND
    },
];

fn help(_app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    help_of(&RG_CLUSTER)
}

fn info(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    if !arguments.is_empty() {
        return wrong_arity("rg.cluster|info");
    }
    let Some(cluster) = app.cluster() else {
        return Reply::record(vec![("state", Reply::text("off"))]);
    };
    let Some(view) = cluster.view() else {
        return Reply::record(vec![("state", Reply::text("starting"))]);
    };
    let shards = cluster.topology().map_or(0, |now| now.shards().count());
    let up = view.peers.iter().filter(|(peer, _)| peer.process.is_some());
    Reply::record(vec![
        ("state", Reply::text("on")),
        ("node", Reply::text(context.shard_id())),
        ("process", Reply::text(view.process.to_string())),
        ("version", Reply::text(VERSION)),
        ("topology_epoch", Reply::count(view.epoch)),
        ("shards", Reply::count(shards)),
        ("peers_up", Reply::count(up.count())),
        ("events_waiting", Reply::count(view.events)),
        ("receive_bytes", Reply::count(view.receiving)),
        ("unclaimed_messages", Reply::count(view.unclaimed)),
        ("refused", Reply::count(view.refused)),
        ("libraries", libraries(app)),
        ("peers", peers(app, &view)),
    ])
}

/// What this node knows of the libraries of the cluster.
fn libraries(app: &App) -> Reply {
    let found = app.libraries.with_shared(|shared| {
        let map = shared.map();
        let live = map.iter().filter(|(_, known)| known.content.is_live());
        let domain = map.domain();
        Reply::record(vec![
            (
                "domain",
                domain.map_or(Reply::Null, |domain| Reply::text(domain.to_string())),
            ),
            ("digest", Reply::text(map.root().to_string())),
            ("count", Reply::count(live.count())),
            ("remembered_deletions", Reply::count(map.deleted())),
        ])
    });
    found.unwrap_or(Reply::Null)
}

fn peers(app: &App, view: &ClusterView) -> Reply {
    let peers = view.peers.iter();
    Reply::Array(
        peers
            .map(|(peer, received)| describe(app, peer, *received))
            .collect(),
    )
}

fn describe(app: &App, peer: &PeerView, received: Received) -> Reply {
    let libraries = app.libraries_of_peer(peer.node);
    let state = libraries_state(libraries.as_ref());
    let digest = libraries.as_ref().map(|of| of.root.to_string());
    let quarantined = libraries.as_ref().map_or(0, |of| of.quarantined);
    let names = libraries.map(|of| of.names).unwrap_or_default();
    let text = |text: Option<String>| text.map_or(Reply::Null, Reply::text);
    let role = match peer.role {
        Role::Primary => "primary",
        Role::Replica => "replica",
    };
    let endpoint = &peer.endpoint;
    Reply::record(vec![
        ("node", Reply::text(peer.node.as_str())),
        ("address", Reply::text(&*endpoint.address)),
        ("port", Reply::count(endpoint.port)),
        ("tls", Reply::count(u8::from(endpoint.tls))),
        ("role", Reply::text(role)),
        ("state", Reply::text(peer.state.name())),
        (
            "process",
            text(peer.process.map(|process| process.to_string())),
        ),
        ("version", text(peer.version.clone())),
        ("inbound", Reply::count(u8::from(peer.is_inbound))),
        (
            "round_trip_ms",
            peer.round_trip_us
                .map_or(Reply::Null, |time| Reply::Double(milliseconds(time))),
        ),
        ("queue_messages", Reply::count(peer.queue_messages)),
        ("queue_bytes", Reply::count(peer.queue_bytes)),
        ("sent_messages", Reply::count(peer.sent_messages)),
        ("sent_bytes", Reply::count(peer.sent_bytes)),
        ("received_messages", Reply::count(received.messages())),
        ("received_bytes", Reply::count(received.bytes())),
        ("connections", Reply::count(peer.connections)),
        ("last_error", text(peer.last_error.clone())),
        ("libraries", Reply::text(state)),
        ("libraries_digest", text(digest)),
        (
            "libraries_that_differ",
            Reply::Array(names.into_iter().map(Reply::text).collect()),
        ),
        ("quarantined_libraries", Reply::count(quarantined)),
        ("received_by_topic", by_topic(received)),
    ])
}

fn by_topic(received: Received) -> Reply {
    let topics = received.by_topic().map(|(topic, of_topic)| {
        Reply::record(vec![
            ("topic", Reply::text(topic.name())),
            ("messages", Reply::count(of_topic.messages)),
            ("bytes", Reply::count(of_topic.bytes)),
        ])
    });
    Reply::Array(topics.collect())
}

/// Of microseconds.
fn milliseconds(time: u64) -> f64 {
    std::time::Duration::from_micros(time).as_secs_f64() * 1000.0
}

fn infocluster(app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    let Some(cluster) = app.cluster() else {
        return Reply::text(NO_CLUSTER);
    };
    let (Some(view), Some(topology)) = (cluster.view(), cluster.topology()) else {
        return Reply::error("ERRCLUSTER this node does not know its cluster yet");
    };
    let waiting = |id| {
        let mut peers = view.peers.iter();
        let peer = peers.find(|(peer, _)| peer.node == id);
        peer.map_or(0, |(peer, _)| peer.queue_messages)
    };
    let field = |name, value| [Reply::text(name), value];
    let shards = topology.shards().map(|node| {
        let first = node.first_slot().unwrap_or(0);
        let last = node.slots.last().map_or(0, |(_, last)| *last);
        let fields = [
            field("id", Reply::text(node.id.as_str())),
            field("ip", Reply::text(&*node.address)),
            field("port", Reply::count(node.port)),
            field("unixSocket", Reply::text("None")),
            field("runid", Reply::Null),
            field("minHslot", Reply::count(first)),
            field("maxHslot", Reply::count(last)),
            field("pendingMessages", Reply::count(waiting(node.id))),
        ];
        Reply::Array(fields.into_iter().flatten().collect())
    });
    Reply::Array(vec![
        Reply::text("MyId"),
        Reply::text(topology.me.as_str()),
        Reply::text("MyRunId"),
        Reply::text(view.process.to_string()),
        Reply::Array(shards.collect()),
    ])
}

fn refreshcluster(app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    if let Some(cluster) = app.cluster() {
        cluster.refresh();
    }
    Reply::OK
}
