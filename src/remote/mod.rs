//! Remote functions: calls that scripts make of functions on other shards, and those of other shards
//! that run here.
//!
//! ```text
//! script ── RemoteCall ──> RemoteDesk ──> tick: Outgoing ── messages ──> node that has the key
//!    ^                                                                        │
//!    └── RemoteReturns <── Gathering <── tick: Outgoing <── messages ──  Incoming <──> LibraryExecutor
//! ```
//!
//! Workers leave calls on the desk; all else is done by the main thread, in slices of its ticks. What is
//! decided is decided in [`gears_core::cluster::calls`]. A node sends messages to itself too: so a call
//! that stays here is no other than one that goes elsewhere.
//!
//! ```text
//! desk       where other threads leave calls and ends of calls
//! gathering  what came of the calls that one call became
//! ```

mod desk;
mod gathering;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gears_core::cluster::calls::{
    CallEnd, Destination, Ended, Incoming, Message, NotAccepted, Outgoing, Refusal, Request,
    Thrown, Verdict, Wire,
};
use gears_core::cluster::{
    GoneReason, NodeId, NodeState, NotSent, ProcessId, SLOTS, Ticket, Topic, Topology, slot_of,
};
use gears_v8::ports::{Credentials, Database, Flags, Function, RemoteCall, RemotePlace};

use self::desk::Caller;
use self::gathering::Gathering;
use crate::cluster::{Cluster, ClusterEvent};
use crate::executor::{LibraryExecutor, RemoteAnswer, RemoteEnd, RemoteTask};
use crate::library::Libraries;
use crate::server::{Context, is_enabled};

pub(crate) use self::desk::RemoteDesk;

/// A node's name.
type Node = NodeId;
/// One of its processes.
type Process = ProcessId;
/// A call of another node.
type Key = (Node, Process, u64);

/// Time of a tick for all of it.
const SLICE: Duration = Duration::from_millis(2);

/// Bytes that the arguments of calls on their way may take altogether.
const BYTES_MAX: usize = 256 << 20;

/// This process, for itself.
const THIS_PROCESS: Process = ProcessId([0; 16]);

/// What is on its way. Used by the main thread only.
pub(crate) struct RemoteFunctions {
    desk: Arc<RemoteDesk>,
    libraries: Rc<Libraries>,
    /// This node; another one after a reset of the cluster.
    me: Cell<Node>,
    state: RefCell<State>,
    began: Instant,
    /// When a timer wakes the event loop, in milliseconds since `began`.
    wakes_at: Cell<Option<u64>>,
}

struct State {
    outgoing: Outgoing<Node, Process>,
    incoming: Incoming<Node, Process>,
    /// What this node sends to itself.
    own: VecDeque<Vec<u8>>,
    /// The nodes that take messages.
    peers: HashMap<Node, Process>,
    /// What those could not take yet.
    unsent: VecDeque<(Node, Vec<u8>)>,
    /// What the requests of calls were sent as.
    tickets: HashMap<u64, Ticket>,
    /// Which gathering a call belongs to.
    calls: HashMap<u64, u64>,
    gatherings: HashMap<u64, Gathering>,
    last_gathering: u64,
}

/// The way of messages from here.
struct Way<'a> {
    me: Node,
    context: &'a Context,
    /// The other nodes; `None` where the server is in no cluster.
    cluster: Option<(&'a Cluster, Option<Rc<Topology>>)>,
    peers: &'a HashMap<Node, Process>,
    own: &'a mut VecDeque<Vec<u8>>,
    /// What the last message was sent as.
    ticket: Option<Ticket>,
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

    fn send(&mut self, to: &Node, message: Vec<u8>) -> Result<(), String> {
        if *to == self.me {
            self.own.push_back(message);
            return Ok(());
        }
        let Some((cluster, _)) = &self.cluster else {
            return Err("the server is in no cluster".to_owned());
        };
        match cluster.send(*to, Topic::Calls, message) {
            Ok(ticket) => {
                self.ticket = Some(ticket);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What a tick has around it.
struct Place<'a> {
    context: &'a Context,
    cluster: Option<&'a Cluster>,
    topology: Option<Rc<Topology>>,
}

impl<'a> Place<'a> {
    fn way(
        &self,
        me: Node,
        peers: &'a HashMap<Node, Process>,
        own: &'a mut VecDeque<Vec<u8>>,
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

impl RemoteFunctions {
    /// Nothing is on its way.
    #[must_use]
    pub(crate) fn new(context: &Context, desk: Arc<RemoteDesk>, libraries: Rc<Libraries>) -> Self {
        let me = NodeId::parse(context.shard_id().as_bytes());
        Self {
            desk,
            libraries,
            // Without a cluster it is called by forty zeros.
            me: Cell::new(me.unwrap_or_else(NodeId::nobody)),
            state: RefCell::new(State {
                outgoing: Outgoing::new(BYTES_MAX),
                incoming: Incoming::default(),
                own: VecDeque::new(),
                peers: HashMap::new(),
                unsent: VecDeque::new(),
                tickets: HashMap::new(),
                calls: HashMap::new(),
                gatherings: HashMap::new(),
                last_gathering: 0,
            }),
            began: Instant::now(),
            wakes_at: Cell::default(),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Part of every tick; whether there is more to do at once. Calls have so many milliseconds where
    /// their callers do not say.
    pub(crate) fn tick(
        &self,
        context: &Context,
        cluster: Option<&Cluster>,
        timeout_ms: u64,
    ) -> bool {
        let mut state = self.state.borrow_mut();
        let is_idle = state.outgoing.is_empty() && state.incoming.is_empty();
        if is_idle && state.unsent.is_empty() && !self.desk.has_some() {
            return false;
        }
        let topology = cluster.and_then(Cluster::topology);
        if let Some(topology) = &topology {
            self.me.set(topology.me);
        }
        let place = Place {
            context,
            cluster,
            topology,
        };
        let end = Instant::now() + SLICE;
        for (to, message) in std::mem::take(&mut state.unsent) {
            self.post(&mut state, cluster, to, message);
        }
        let mut more = true;
        while more && Instant::now() < end {
            more = self.turn(&mut state, &place, timeout_ms);
        }
        self.set_timer(&state, context);
        more
    }

    /// Does one thing of each kind; false where there is nothing to do.
    fn turn(&self, state: &mut State, place: &Place<'_>, timeout_ms: u64) -> bool {
        let mut did = false;
        if let Some(call) = self.desk.take_call() {
            self.begin(state, place, call, timeout_ms);
            did = true;
        }
        let now_ms = self.now_ms();
        let State {
            outgoing,
            own,
            peers,
            tickets,
            ..
        } = state;
        let mut way = place.way(self.me.get(), peers, own);
        let due = outgoing.next_id(now_ms);
        did |= outgoing.step(now_ms, &mut way);
        if let (Some(id), Some(ticket)) = (due, way.ticket) {
            tickets.insert(id, ticket);
        }
        if let Some(message) = state.own.pop_front() {
            let from = (self.me.get(), THIS_PROCESS);
            self.receive(state, place.context, place.cluster, from, &message);
            did = true;
        }
        if let Some((key, end)) = self.desk.take_end() {
            self.end(state, place.cluster, &key, end);
            did = true;
        }
        for (id, end) in state.outgoing.take_ended() {
            state.tickets.remove(&id);
            gather(state, id, end);
            did = true;
        }
        state.incoming.sweep(now_ms);
        did
    }

    /// Sends a message to a node. What the node cannot take now is sent later, unless the connection
    /// is gone: when there is another one, what matters is asked for and told again.
    fn post(&self, state: &mut State, cluster: Option<&Cluster>, to: Node, message: Vec<u8>) {
        if to == self.me.get() {
            state.own.push_back(message);
        } else if let Some(cluster) = cluster {
            let sent = cluster.send(to, Topic::Calls, message.clone());
            if let Err(NotSent::QueueFull(_)) = sent {
                state.unsent.push_back((to, message));
            }
        }
    }

    fn tell(&self, state: &mut State, cluster: Option<&Cluster>, to: Node, message: &Message) {
        self.post(state, cluster, to, message.encode());
    }

    /// Something came of another node, or happened to it.
    pub(crate) fn on_cluster_event(
        &self,
        context: &Context,
        cluster: &Cluster,
        event: &ClusterEvent,
    ) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let now_ms = self.now_ms();
        match event {
            ClusterEvent::Message {
                from,
                process,
                bytes,
                ..
            } => self.receive(state, context, Some(cluster), (*from, *process), bytes),
            ClusterEvent::PeerUp { node, process } => {
                state.peers.insert(*node, *process);
                for message in state.incoming.on_peer_up(node, process) {
                    self.post(state, Some(cluster), *node, message);
                }
                let place = Place {
                    context,
                    cluster: Some(cluster),
                    topology: cluster.topology(),
                };
                let State {
                    outgoing,
                    own,
                    peers,
                    ..
                } = state;
                let mut way = place.way(self.me.get(), peers, own);
                outgoing.on_peer_up(now_ms, node, process, &mut way);
            }
            ClusterEvent::PeerGone {
                node,
                reason,
                not_sent,
                ..
            } => {
                state.peers.remove(node);
                let undelivered = state.tickets.iter();
                let undelivered: Vec<_> = undelivered
                    .filter(|(_, ticket)| not_sent.contains(ticket))
                    .map(|(id, _)| *id)
                    .collect();
                for id in undelivered {
                    let why = "the connection to the shard was lost".to_owned();
                    state.outgoing.on_undelivered(now_ms, node, id, why);
                }
                // Where only the connection is lost, the process may be there again.
                if *reason != GoneReason::Lost {
                    state.outgoing.on_peer_gone(node, reason.text());
                }
            }
            ClusterEvent::Topology => {
                let Some(topology) = cluster.topology() else {
                    return;
                };
                let nodes = state.outgoing.nodes();
                for node in nodes.into_iter().filter(|node| *node != topology.me) {
                    let why = match topology.node(node) {
                        None => GoneReason::Left,
                        Some(one) if one.state == NodeState::Failed => GoneReason::Failed,
                        Some(_) => continue,
                    };
                    state.outgoing.on_peer_gone(&node, why.text());
                }
            }
        }
    }

    // --- calls that scripts make here -------------------------------------------------------------

    /// Makes of a script's call one for each shard where it is to run.
    fn begin(&self, state: &mut State, place: &Place<'_>, call: RemoteCall, timeout_ms: u64) {
        let (library, function) = (&call.library, &call.function);
        if self.libraries.remote_function(library, function).is_none() {
            let text = format!("ERR library '{library}' has no remote function '{function}'");
            return gathering::refuse(&call, text);
        }
        let timeout_ms = call.timeout_ms.map_or(timeout_ms, u64::from);
        let destinations = match &call.place {
            RemotePlace::Key(_) => vec![Destination::Key],
            RemotePlace::AllShards if place.cluster.is_none() => {
                vec![Destination::Shard(self.me.get())]
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
        let gathering = Gathering::new(&call, of_all_shards, destinations.len());
        state.gatherings.insert(number, gathering);
        let request = request(call);
        let now_ms = self.now_ms();
        for destination in destinations {
            let on = match &destination {
                Destination::Shard(node) => Some(*node),
                Destination::Key => None,
            };
            let begun = state
                .outgoing
                .begin(now_ms, destination, request.clone(), timeout_ms);
            match begun {
                Ok(id) => {
                    state.calls.insert(id, number);
                }
                Err(refused) => {
                    let why = match refused {
                        NotAccepted::TooMany => "too many calls are on their way",
                        NotAccepted::TooLarge => {
                            "the arguments of the calls on their way take too much memory"
                        }
                    };
                    let why = why.to_owned();
                    gather_in(state, number, CallEnd::NotSent { on, why });
                }
            }
        }
    }

    /// Has the event loop go round when the next time of a call is over.
    fn set_timer(&self, state: &State, context: &Context) {
        let now_ms = self.now_ms();
        let armed = self.wakes_at.get().filter(|at| *at > now_ms);
        let wanted = state.outgoing.next_ms();
        if let Some(at) = wanted
            && armed.is_none_or(|armed| at < armed)
        {
            context.wake_in(at.saturating_sub(now_ms));
            self.wakes_at.set(wanted);
        } else {
            self.wakes_at.set(armed);
        }
    }

    // --- messages ---------------------------------------------------------------------------------

    fn receive(
        &self,
        state: &mut State,
        context: &Context,
        cluster: Option<&Cluster>,
        (node, process): (Node, Process),
        bytes: &[u8],
    ) {
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(error) => {
                log::warn!("a message of shard {node} about a remote call is left out: {error}");
                return;
            }
        };
        let now_ms = self.now_ms();
        match message {
            Message::Request(request) => {
                self.serve(state, context, cluster, (node, process), request);
            }
            Message::Accepted { id } => state.outgoing.on_accepted(&node, &process, id),
            Message::Refused { id, refusal, text } => {
                let from = (&node, &process);
                state.outgoing.on_refused(now_ms, from, id, refusal, text);
            }
            Message::Ended { id, ended } => {
                state.outgoing.on_ended(&node, &process, id, ended);
                self.tell(state, cluster, node, &Message::Taken { id });
            }
            Message::Taken { id } => state.incoming.on_taken(&(node, process, id)),
        }
    }

    // --- calls that run here ----------------------------------------------------------------------

    /// Begins with a call of a node, or tells again what became of it.
    fn serve(
        &self,
        state: &mut State,
        context: &Context,
        cluster: Option<&Cluster>,
        (node, process): (Node, Process),
        request: Request,
    ) {
        let id = request.id;
        let key = (node, process, id);
        let remaining_ms = request.remaining_ms;
        match state.incoming.on_request(self.now_ms(), &key, remaining_ms) {
            Verdict::Runs => self.tell(state, cluster, node, &Message::Accepted { id }),
            Verdict::Ended(message) => self.post(state, cluster, node, message),
            Verdict::Run => match self.admit(context, &request) {
                Err((refusal, text)) => {
                    state.incoming.refuse(&key);
                    let message = Message::Refused { id, refusal, text };
                    self.tell(state, cluster, node, &message);
                }
                Ok((executor, function)) => {
                    let caller = Caller {
                        desk: Arc::clone(&self.desk),
                        key,
                    };
                    executor.send_remote(RemoteTask {
                        callback: function.callback,
                        credentials: Arc::new(Credentials {
                            user: request.user.into(),
                            db: Database::of_packed(request.db),
                            flags: flags(&function, request.flags),
                        }),
                        arguments: request.arguments,
                        until: Instant::now() + Duration::from_millis(remaining_ms),
                        answer: RemoteAnswer::new(Box::new(caller)),
                    });
                    self.tell(state, cluster, node, &Message::Accepted { id });
                }
            },
        }
    }

    /// What a request asks for, if it may run here and now.
    fn admit(
        &self,
        context: &Context,
        request: &Request,
    ) -> Result<(Arc<LibraryExecutor>, Arc<Function>), (Refusal, String)> {
        let for_now = |text: &str| Err((Refusal::ForNow, text.to_owned()));
        let (library, name) = (&request.library, &request.function);
        let Some((executor, function)) = self.libraries.remote_function(library, name) else {
            let text = format!("the shard has no remote function '{name}' of library '{library}'");
            return for_now(&text);
        };
        if request
            .key
            .as_ref()
            .is_some_and(|key| !context.has_slot_of(key))
        {
            return for_now("the key is on another shard");
        }
        if !is_enabled(&request.user) {
            let text = format!("the user '{}' does not exist or is disabled", request.user);
            return Err((Refusal::ForGood, text));
        }
        let flags = flags(&function, request.flags);
        if !flags.contains(Flags::NO_WRITES) {
            let server = context.state();
            if !server.is_primary {
                return for_now("the node is a replica, and the function may write");
            }
            if !flags.contains(Flags::ALLOW_OOM) && server.is_out_of_memory {
                let text = "the shard is out of memory, and the function may write";
                return Err((Refusal::ForGood, text.to_owned()));
            }
        }
        Ok((executor, function))
    }

    /// A call that ran here has ended: its caller is told.
    fn end(&self, state: &mut State, cluster: Option<&Cluster>, key: &Key, end: RemoteEnd) {
        let (node, _, id) = *key;
        let ended = match end {
            RemoteEnd::Done(result) => Ended::Done(result),
            RemoteEnd::Failed(error) => Ended::Thrown(Thrown {
                text: error.message,
                stack: error.stack,
                value: error.thrown.map(|thrown| thrown.to_vec()),
            }),
            RemoteEnd::Late => {
                state.incoming.refuse(key);
                let text = "its time was over before it began".to_owned();
                let refusal = Refusal::ForNow;
                let message = Message::Refused { id, refusal, text };
                return self.tell(state, cluster, node, &message);
            }
        };
        let message = Message::Ended { id, ended }.encode();
        if state.incoming.end(key, message.clone()) {
            self.post(state, cluster, node, message);
        }
    }
}

/// What a remote function may do: what it says of itself, and no more than who called it.
fn flags(function: &Function, of_caller: u32) -> Flags {
    function.flags | (Flags::from_bits_truncate(of_caller) & Flags::NO_WRITES)
}

fn request(call: RemoteCall) -> Request {
    Request {
        id: 0,
        remaining_ms: 0,
        library: call.library,
        function: call.function,
        user: call.credentials.user.to_string(),
        db: call.credentials.db.packed(),
        flags: call.credentials.flags.bits(),
        key: match call.place {
            RemotePlace::Key(key) => Some(key),
            RemotePlace::AllShards => None,
        },
        arguments: call.arguments,
    }
}

/// All shards, if each slot has one.
fn all_shards(topology: &Topology) -> Option<Vec<Destination<Node>>> {
    let slots = topology.shards().flat_map(|shard| &shard.slots);
    let count: u32 = slots
        .map(|(first, last)| u32::from(*last) - u32::from(*first) + 1)
        .sum();
    let shards = topology.shards().map(|shard| Destination::Shard(shard.id));
    (count == u32::from(SLOTS)).then(|| shards.collect())
}

/// A call ended.
fn gather(state: &mut State, id: u64, end: CallEnd<Node>) {
    if let Some(number) = state.calls.remove(&id) {
        gather_in(state, number, end);
    }
}

fn gather_in(state: &mut State, number: u64, end: CallEnd<Node>) {
    let Some(gathering) = state.gatherings.get_mut(&number) else {
        return;
    };
    if gathering.add(end)
        && let Some(complete) = state.gatherings.remove(&number)
    {
        complete.send();
    }
}
