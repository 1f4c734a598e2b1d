//! How it stands with the other nodes of the cluster, in INFO.

use crate::cluster::ClusterView;
use crate::library::Libraries;
use crate::server::InfoField;
use gears_core::cluster::libraries::{PeerLibraries, SharedLibraries};

/// Totals, and a line for each other node.
pub(super) fn of_cluster(view: &ClusterView, libraries: &Libraries) -> Vec<InfoField> {
    let of_peer = |node| {
        let of_peer = |shared: &mut SharedLibraries| shared.of_peer(node);
        libraries.with_shared(of_peer).flatten()
    };
    let have = |state: &str| {
        let states = view.peers.iter();
        let states = states.map(|(peer, _)| libraries_state(of_peer(peer.node).as_ref()));
        states.filter(|known| *known == state).count()
    };
    let root = libraries.with_shared(|shared| shared.map().root().to_string());
    let peers = || view.peers.iter();
    let sum =
        |of: fn(&gears_core::cluster::PeerView) -> u64| peers().map(|(peer, _)| of(peer)).sum();
    let up = peers().filter(|(peer, _)| peer.process.is_some()).count();
    let received = peers().map(|(_, received)| received.messages()).sum();
    let mut fields = vec![
        InfoField::Number("cluster_topology_epoch", view.epoch),
        InfoField::Number("cluster_peers", view.peers.len() as u64),
        InfoField::Number("cluster_peers_up", up as u64),
        InfoField::Number("cluster_queue_bytes", sum(|peer| peer.queue_bytes as u64)),
        InfoField::Number("cluster_receive_bytes", view.receiving as u64),
        InfoField::Number("cluster_sent_messages", sum(|peer| peer.sent_messages)),
        InfoField::Number("cluster_received_messages", received),
        InfoField::Number("cluster_refused", view.refused),
        InfoField::Number("cluster_peers_with_same_libraries", have("same") as u64),
        InfoField::Number("cluster_peers_with_other_libraries", have("other") as u64),
        InfoField::Texts(
            "cluster_libraries".to_owned(),
            vec![("digest", root.unwrap_or_default())],
        ),
    ];
    fields.extend(peers().map(|(peer, received)| {
        let round_trip = peer.round_trip_us.unwrap_or_default();
        let values = vec![
            ("state", peer.state.name().to_owned()),
            ("round_trip_us", round_trip.to_string()),
            ("queue_messages", peer.queue_messages.to_string()),
            ("queue_bytes", peer.queue_bytes.to_string()),
            ("sent_messages", peer.sent_messages.to_string()),
            ("received_messages", received.messages().to_string()),
            ("connections", peer.connections.to_string()),
            (
                "libraries",
                libraries_state(of_peer(peer.node).as_ref()).to_owned(),
            ),
        ];
        InfoField::Texts(format!("peer_{}", peer.node), values)
    }));
    fields
}

/// Whether a node has the same libraries, in words. Replicas and nodes that were never reached have said nothing.
pub(crate) fn libraries_state(of: Option<&PeerLibraries>) -> &'static str {
    match of {
        None => "unknown",
        Some(of) if of.is_same => "same",
        Some(_) => "other",
    }
}
