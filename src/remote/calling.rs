//! Calls that scripts make here: of each becomes one for every shard where it is to run.

use gears_core::cluster::calls::{CallEnd, Destination, NotAccepted, Request, Shard, Times};
use gears_core::cluster::{NodeId, Topology};
use gears_v8::ports::{Executions, RemoteCall, RemotePlace};

use super::gathering::{self, Gathering, Room};
use super::way::Place;
use super::{Node, RemoteFunctions, State, table};
use crate::executor::ABORTED;

/// Milliseconds in which a stage of an execution has to begin: a shard that fails is replaced in less.
const STAGE_BEGINS_MS: u64 = 10_000;

impl RemoteFunctions {
    /// Makes of a script's call one for each shard where it is to run.
    pub(super) fn begin(
        &self,
        state: &mut State,
        place: &Place<'_>,
        call: RemoteCall,
        room: &Room,
        timeout_ms: u64,
    ) {
        let (library, function) = (&call.library, &call.function);
        let is_stage = matches!(call.place, RemotePlace::Shard { .. });
        let is_known = is_stage
            || call.place == RemotePlace::Table
            || self.libraries.remote_function(library, function).is_some();
        if !is_known {
            let text = format!("ERR library '{library}' has no remote function '{function}'");
            return gathering::refuse(&call, text);
        }
        let timeout_ms = call.timeout_ms.map_or(timeout_ms, u64::from);
        let destinations = match &call.place {
            RemotePlace::Table => {
                let table = place.context.cluster_table();
                let table = table.as_deref().map(Topology::parse);
                let table = match table {
                    Some(Ok(topology)) => Ok(table::clone_of(&table::json_of(&topology))),
                    Some(Err(error)) => Err(format!("ERRCLUSTER {error}")),
                    None => Err("ERRCLUSTER the server is in no cluster".to_owned()),
                };
                return gathering::give_table(&call, table);
            }
            // The other shards were told already, if they had something of it: nobody would tell them again.
            RemotePlace::Shard { execution, .. }
                if !execution.is_empty() && self.executions.is_aborted(execution) =>
            {
                return gathering::refuse(&call, ABORTED.to_owned());
            }
            RemotePlace::Shard { shard, .. } => {
                let Some(shard) = NodeId::parse(shard.as_bytes()) else {
                    let text = format!("ERR there is no shard '{shard}'");
                    return gathering::refuse(&call, text);
                };
                let topology = place.topology.as_deref();
                let shard = topology.map_or(Shard::of(shard), |of| shard_of(of, shard));
                vec![Destination::Shard(shard)]
            }
            RemotePlace::Key(_) => vec![Destination::Key],
            RemotePlace::AllShards if place.cluster.is_none() => {
                vec![Destination::Shard(Shard::of(self.me.get()))]
            }
            // A part of the answer must not pass for all of it.
            RemotePlace::AllShards => {
                let shards = place.topology.as_deref().and_then(all_shards);
                let Some(shards) = shards else {
                    let text = format!(
                        "ERR the remote function '{function}' has not run: some slots have no shard"
                    );
                    return gathering::refuse(&call, text);
                };
                shards
            }
        };
        let of_all_shards = call.place == RemotePlace::AllShards;
        state.last_gathering += 1;
        let number = state.last_gathering;
        let gathering = Gathering::new(&call, of_all_shards, destinations.len(), &self.returned);
        state.gatherings.insert(number, gathering);
        let script = match call.place {
            RemotePlace::Shard { digest, .. } => self.scripts.text(&call.library, digest),
            _ => None,
        };
        // The callee has to have the library as it is here, or later: not before what it is called by.
        let stamp = match &script {
            None => self.libraries.stamp(&call.library),
            Some(_) => None,
        };
        let request = Request {
            script,
            stamp,
            ..request(call)
        };
        let times = Times {
            timeout_ms,
            attempts_ms: if is_stage {
                STAGE_BEGINS_MS
            } else {
                timeout_ms
            },
        };
        let now_ms = self.now_ms();
        // The last one gets the arguments themselves.
        let requests = std::iter::repeat_n(request, destinations.len());
        for (destination, request) in destinations.into_iter().zip(requests) {
            let on = match &destination {
                Destination::Shard(shard) => Some(shard.node),
                Destination::Key => None,
            };
            let begun = state.outgoing.begin(now_ms, destination, request, times);
            match begun {
                Ok(id) => {
                    state.calls.insert(id, number);
                }
                Err(refused) => {
                    let why = match refused {
                        NotAccepted::TooMany => "too many calls of the library are on their way",
                        NotAccepted::TooLarge => {
                            "the arguments of the calls on their way take too much memory"
                        }
                    };
                    let why = why.to_owned();
                    gather_in(state, number, CallEnd::NotSent { on, why }, room);
                }
            }
        }
    }
}

fn request(call: RemoteCall) -> Request {
    Request {
        id: 0,
        attempt: 0,
        remaining_ms: 0,
        library: call.library,
        stamp: None,
        function: call.function,
        user: call.credentials.user.to_string(),
        db: call.credentials.db.packed(),
        flags: call.credentials.flags.bits(),
        key: match call.place {
            RemotePlace::Key(key) => Some(key),
            RemotePlace::Shard { execution, .. } => Some(execution.into_bytes()),
            RemotePlace::AllShards | RemotePlace::Table => None,
        },
        script: None,
        arguments: call.arguments.into(),
    }
}

/// All shards, if each slot has one.
fn all_shards(topology: &Topology) -> Option<Vec<Destination<Node>>> {
    let shards = topology.shards();
    let shards = shards.map(|shard| Destination::Shard(shard_of(topology, shard.id)));
    table::is_complete(topology).then(|| shards.collect())
}

/// That of a primary, among those that have a call for the same.
fn shard_of(topology: &Topology, node: Node) -> Shard<Node> {
    let primary = topology.node(node).filter(|node| node.has_slots());
    Shard {
        node,
        slot: primary.and_then(gears_core::cluster::Node::first_slot),
        others: topology.shard_ids(),
    }
}

/// A call ended.
pub(super) fn gather(state: &mut State, id: u64, end: CallEnd<Node>, room: &Room) {
    if let Some(number) = state.calls.remove(&id) {
        gather_in(state, number, end, room);
    }
}

fn gather_in(state: &mut State, number: u64, end: CallEnd<Node>, room: &Room) {
    let Some(gathering) = state.gatherings.get_mut(&number) else {
        return;
    };
    if gathering.add(end, room)
        && let Some(complete) = state.gatherings.remove(&number)
    {
        complete.send();
    }
}
