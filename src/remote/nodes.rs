//! What happens to other nodes, and what that means for the calls of both.

use gears_core::cluster::{GoneReason, Role};

use super::serving::{no_result, not_sent, too_large};
use super::{Node, RemoteFunctions, State};
use crate::cluster::{Cluster, ClusterEvent};

impl RemoteFunctions {
    /// Something happened to another node.
    pub(crate) fn on_cluster_event(&self, cluster: &Cluster, event: &ClusterEvent) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let now_ms = self.now_ms();
        match event {
            // See `on_message`.
            ClusterEvent::Message { .. } => {}
            ClusterEvent::PeerUp { node, process } => {
                state.peers.insert(*node, *process);
                state.incoming.shorten(node, |id, bytes| {
                    too_large(cluster, *node, bytes).map(|why| not_sent(id, &why.to_string()))
                });
                for message in state.incoming.on_peer_up(node, process) {
                    self.post(state, Some(cluster), *node, message);
                }
                state.outgoing.on_peer_up(now_ms, node, process);
            }
            ClusterEvent::PeerInbound { node, process } => {
                self.abort_stages_of(state, Some(cluster), |(of, by, _)| {
                    of == node && by != process
                });
                for message in state.incoming.on_peer_inbound(node, process) {
                    self.post(state, Some(cluster), *node, message);
                }
                state.outgoing.on_peer_inbound(now_ms, node, process);
            }
            ClusterEvent::PeerGone {
                node,
                reason,
                not_sent,
                ..
            } => {
                state.peers.remove(node);
                state.unsent.forget(node);
                let undelivered = state.tickets.iter();
                let undelivered: Vec<_> = undelivered
                    // Those that were not sent ascend.
                    .filter(|(_, ticket)| not_sent.binary_search(ticket).is_ok())
                    .map(|(id, _)| *id)
                    .collect();
                for id in undelivered {
                    let why = "the connection to the shard was lost".to_owned();
                    state.outgoing.on_undelivered(now_ms, node, id, why);
                }
                // Where only the connection is lost, the process may be there again.
                if *reason != GoneReason::Lost {
                    self.on_node_failed(state, cluster, node, *reason);
                }
            }
            ClusterEvent::Topology => {
                let Some(topology) = cluster.topology() else {
                    return;
                };
                let mut nodes = state.outgoing.nodes();
                nodes.extend(state.incoming.nodes());
                // Also where the connection was lost before: nothing more is heard of it then.
                for node in nodes.into_iter().filter(|node| *node != topology.me) {
                    if let Some(reason) = topology.why_apart(node) {
                        self.on_node_failed(state, cluster, &node, reason);
                    }
                }
                // A replica takes no part in runs, and is not told of those that end.
                if topology.myself().is_some_and(|me| me.role == Role::Replica) {
                    self.abort_stages_of(state, Some(cluster), |_| true);
                }
            }
        }
    }

    /// A node is taken for failed, or has left: nobody waits for what runs here for it, and what it had is lost.
    fn on_node_failed(
        &self,
        state: &mut State,
        cluster: &Cluster,
        node: &Node,
        reason: GoneReason,
    ) {
        self.abort_stages_of(state, Some(cluster), |(of, ..)| of == node);
        if reason == GoneReason::Left {
            state.incoming.on_peer_left(node);
        } else {
            let why = "ERR the caller was taken for failed, nothing was kept for it";
            state
                .incoming
                .on_peer_failed(node, |id| no_result(id, why.to_owned()));
        }
        state.outgoing.on_peer_gone(node, reason.text());
    }
}
