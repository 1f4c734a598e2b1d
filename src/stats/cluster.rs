//! How it stands with the other nodes of the cluster, in INFO.

use crate::cluster::ClusterView;
use crate::server::InfoField;

/// Totals, and a line for each other node.
pub(super) fn of_cluster(view: &ClusterView) -> Vec<InfoField> {
    let peers = || view.peers.iter();
    let sum =
        |of: fn(&gears_core::cluster::PeerView) -> u64| peers().map(|(peer, _)| of(peer)).sum();
    let up = peers().filter(|(peer, _)| peer.process.is_some()).count();
    let received = peers().map(|(_, received)| received.messages).sum();
    let mut fields = vec![
        InfoField::Number("cluster_topology_epoch", view.epoch),
        InfoField::Number("cluster_peers", view.peers.len() as u64),
        InfoField::Number("cluster_peers_up", up as u64),
        InfoField::Number("cluster_queue_bytes", sum(|peer| peer.queue_bytes as u64)),
        InfoField::Number("cluster_receive_bytes", view.receiving as u64),
        InfoField::Number("cluster_sent_messages", sum(|peer| peer.sent_messages)),
        InfoField::Number("cluster_received_messages", received),
        InfoField::Number("cluster_refused", view.refused),
    ];
    fields.extend(peers().map(|(peer, received)| {
        let round_trip = peer.round_trip_us.unwrap_or_default();
        let values = vec![
            ("state", peer.state.name().to_owned()),
            ("round_trip_us", round_trip.to_string()),
            ("queue_messages", peer.queue_messages.to_string()),
            ("queue_bytes", peer.queue_bytes.to_string()),
            ("sent_messages", peer.sent_messages.to_string()),
            ("received_messages", received.messages.to_string()),
            ("connections", peer.connections.to_string()),
        ];
        InfoField::Texts(format!("peer_{}", peer.node), values)
    }));
    fields
}
