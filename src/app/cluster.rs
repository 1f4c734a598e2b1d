//! What comes from the other nodes of a cluster, given to whom it concerns.

use std::time::{Duration, Instant};

use super::App;
use crate::cluster::{Cluster, ClusterEvent};
use crate::remote::RemoteLimits;
use crate::server::{Context, wake_main_thread};
use gears_core::cluster::Topic;

/// Time of a tick for what comes from other nodes: clients wait that long at most.
const SLICE: Duration = Duration::from_millis(1);

impl App {
    /// The other nodes; `None` where the server is in no cluster.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Part of every tick.
    pub(super) fn serve_cluster(&self, context: &Context) {
        let Some(cluster) = self.cluster() else {
            return;
        };
        cluster.tick(context, self.settings.cluster_limits());
        self.share_libraries(context, cluster.topology().as_deref());
        let end = Instant::now() + SLICE;
        while let Some(event) = cluster.next_event() {
            self.on_cluster_event(context, cluster, event);
            if Instant::now() >= end {
                break;
            }
        }
        if cluster.has_events() {
            wake_main_thread();
        }
    }

    /// Part of every tick; whether calls of remote functions have more to do at once.
    pub(super) fn remote_tick(&self, context: &Context) -> bool {
        let limits = RemoteLimits {
            timeout_ms: self.settings.remote_timeout_ms(),
            returned: self.settings.cluster_limits().receiving,
        };
        self.remote.tick(context, self.cluster(), limits)
    }

    /// Gives an event to whom it concerns.
    fn on_cluster_event(&self, context: &Context, cluster: &Cluster, event: ClusterEvent) {
        if !matches!(&event, ClusterEvent::Message { .. }) {
            self.remote.on_cluster_event(cluster, &event);
        }
        match event {
            ClusterEvent::Message {
                from,
                process,
                topic: Topic::Calls,
                bytes,
            } => {
                let has_heard = |library: &str, stamp| {
                    self.has_heard_of_library(context, cluster, from, (library, stamp))
                };
                let from = (from, process);
                self.remote
                    .on_message(context, cluster, from, bytes, has_heard);
            }
            ClusterEvent::Message {
                from,
                topic: Topic::Libraries,
                bytes,
                ..
            } => self.on_library_message(context, from, &bytes),
            ClusterEvent::Message {
                from,
                process,
                topic,
                bytes,
            } => {
                let (length, topic) = (bytes.len(), topic.name());
                log::debug!("nobody takes {length} bytes about {topic} of node {from} ({process})");
                cluster.count_unclaimed();
            }
            ClusterEvent::PeerUp { node, process } => {
                log::info!("connected to node {node}, process {process}");
            }
            ClusterEvent::PeerGone {
                node,
                process,
                reason,
                not_sent,
                uncertain,
            } => {
                let (reason, lost, perhaps) = (reason.text(), not_sent.len(), uncertain.len());
                log::warn!(
                    "no connection to node {node} any more, process {process}: {reason}; {lost} messages were not delivered, {perhaps} may have been"
                );
            }
            ClusterEvent::PeerInbound { .. } | ClusterEvent::Topology => {}
        }
    }
}
