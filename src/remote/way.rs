//! How messages go from here to the node where a call has to run: to this one itself, or through the
//! cluster's connections.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use gears_core::cluster::calls::{Destination, Refusal, Shard, Wire};
use gears_core::cluster::{NotSent, Payload, Ticket, Topic, Topology, Whereabouts, slot_of};

use super::{Node, Process, THIS_PROCESS};
use crate::cluster::Cluster;
use crate::server::{Context, SlotOwner};

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
        let topology = || {
            let unknown = || "it is not known yet which shards there are".to_owned();
            topology.as_ref().ok_or_else(unknown)
        };
        match destination {
            Destination::Key => {
                let key = key.unwrap_or_default();
                let owner = self.context.slot_owner_of(key);
                if owner == SlotOwner::Myself {
                    return Ok(self.me);
                }
                let slot = slot_of(key);
                let there = topology()?.owner_of(slot);
                there.filter(|node| *node != self.me).ok_or_else(|| {
                    if owner == SlotOwner::Nobody {
                        return DOWN.to_owned();
                    }
                    // The table may be older than what the server has just said.
                    cluster.refresh();
                    not_here(Some(cluster), slot)
                })
            }
            Destination::Shard(Shard { node, slot, others }) => topology()?
                .primary_of(*node, *slot, others)
                .map_err(|why| why.to_string()),
        }
    }
}

/// Why a call for a key does not run where the cluster does not serve it.
pub(super) const DOWN: &str = "the cluster is down";

/// Why a call for a key does not run on a node that does not have it.
pub(super) fn not_here(cluster: Option<&Cluster>, slot: u16) -> String {
    let place = cluster.map_or(Whereabouts::Unknown, |cluster| cluster.whereabouts(slot));
    match place {
        // Keys that are there still are served.
        Whereabouts::LeavingFor(_) => format!("the key is not there, and its slot {slot} {place}"),
        Whereabouts::At(_) | Whereabouts::Unknown => format!("the key's slot {slot} {place}"),
    }
}

impl Wire<Node, Process> for Way<'_> {
    fn route(
        &self,
        destination: &Destination<Node>,
        key: Option<&[u8]>,
    ) -> Result<(Node, Process), (Option<Node>, String)> {
        let shard = match destination {
            Destination::Key => None,
            Destination::Shard(shard) => Some(shard.node),
        };
        let node = self.node(destination, key).map_err(|why| (shard, why))?;
        if node == self.me {
            return Ok((node, THIS_PROCESS));
        }
        let process = self.peers.get(&node).ok_or_else(|| {
            let why = format!("there is no connection to the shard {node}");
            (shard.or(Some(node)), why)
        })?;
        Ok((node, *process))
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
        NotSent::TooLarge(_) | NotSent::TooLargeThere(_) => Refusal::ForGood,
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
