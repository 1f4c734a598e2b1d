//! How messages go from here to the node where a call has to run: to this one itself, or through the
//! cluster's connections.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use gears_core::cluster::calls::{Destination, Refusal, Wire};
use gears_core::cluster::{NotSent, Payload, Ticket, Topic, Topology, slot_of};

use super::{Node, Process, THIS_PROCESS};
use crate::cluster::Cluster;
use crate::server::Context;

/// The way of messages from here.
pub(super) struct Way<'a> {
    me: Node,
    context: &'a Context,
    /// The other nodes; `None` where the server is in no cluster.
    cluster: Option<(&'a Cluster, Option<Rc<Topology>>)>,
    peers: &'a HashMap<Node, Process>,
    own: &'a mut VecDeque<Payload>,
    /// What the last message was sent as.
    pub(super) ticket: Option<Ticket>,
}

impl Way<'_> {
    /// The node where a call has to run.
    fn node(&self, destination: &Destination<Node>, key: Option<&[u8]>) -> Result<Node, String> {
        let Some((cluster, topology)) = &self.cluster else {
            return Ok(self.me);
        };
        let unknown = || "it is not known yet which shards there are".to_owned();
        match destination {
            Destination::Key => {
                let key = key.unwrap_or_default();
                if self.context.has_slot_of(key) {
                    return Ok(self.me);
                }
                let topology = topology.as_ref().ok_or_else(unknown)?;
                let owner = topology.owner_of(slot_of(key));
                owner.filter(|owner| *owner != self.me).ok_or_else(|| {
                    // The table is older than what the server has just said.
                    cluster.refresh();
                    "no shard has the slot of the key now".to_owned()
                })
            }
            Destination::Shard(shard) if *shard == self.me => Ok(self.me),
            Destination::Shard(shard) => {
                let topology = topology.as_ref().ok_or_else(unknown)?;
                let node = topology.node(*shard);
                let node = node.ok_or_else(|| "the node has left the cluster".to_owned())?;
                // After a failover the node follows the one that has taken its place.
                Ok(node.primary.unwrap_or(*shard))
            }
        }
    }
}

impl Wire<Node, Process> for Way<'_> {
    fn route(
        &self,
        destination: &Destination<Node>,
        key: Option<&[u8]>,
    ) -> Result<(Node, Process), String> {
        let node = self.node(destination, key)?;
        if node == self.me {
            return Ok((node, THIS_PROCESS));
        }
        match self.peers.get(&node) {
            Some(process) => Ok((node, *process)),
            None => Err(format!("there is no connection to the shard {node}")),
        }
    }

    fn room_for(&self, to: &Node, bytes: usize) -> Result<(), (Refusal, String)> {
        if *to == self.me {
            return Ok(());
        }
        let Some((cluster, _)) = &self.cluster else {
            return Err((Refusal::ForNow, "the server is in no cluster".to_owned()));
        };
        cluster.room_for(*to, Topic::Calls, bytes).map_err(refused)
    }

    fn send(&mut self, to: &Node, message: Payload) -> Result<(), (Refusal, String)> {
        if *to == self.me {
            self.own.push_back(message);
            return Ok(());
        }
        let Some((cluster, _)) = &self.cluster else {
            return Err((Refusal::ForNow, "the server is in no cluster".to_owned()));
        };
        match cluster.send(*to, Topic::Calls, message) {
            Ok(ticket) => {
                self.ticket = Some(ticket);
                Ok(())
            }
            Err(error) => Err(refused(error)),
        }
    }
}

/// Why a message is not sent, and whether it may be later.
fn refused(error: NotSent) -> (Refusal, String) {
    let refusal = match error {
        NotSent::TooLarge(_) => Refusal::ForGood,
        NotSent::NoSuchNode | NotSent::NotConnected | NotSent::QueueFull(_) => Refusal::ForNow,
    };
    (refusal, error.to_string())
}

/// What a tick has around it.
pub(super) struct Place<'a> {
    pub(super) context: &'a Context,
    pub(super) cluster: Option<&'a Cluster>,
    pub(super) topology: Option<Rc<Topology>>,
}

impl<'a> Place<'a> {
    pub(super) fn way(
        &self,
        me: Node,
        peers: &'a HashMap<Node, Process>,
        own: &'a mut VecDeque<Payload>,
    ) -> Way<'a> {
        Way {
            me,
            context: self.context,
            cluster: self.cluster.map(|cluster| (cluster, self.topology.clone())),
            peers,
            own,
            ticket: None,
        }
    }
}
