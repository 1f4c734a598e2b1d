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
//! aborting   executions of GearsBuilder that end before their time, on all shards
//! asking     questions about executions that began on other shards
//! calling    calls that scripts make here
//! desk       where other threads leave calls and ends of calls
//! gathering  what came of the calls that one call became
//! nodes      what happens to other nodes, and what that means for calls
//! scripts    scripts whose runs go over all shards
//! serving    calls that run here
//! table      who has which slot, for runs that go over all shards
//! way        how messages go to the node where a call has to run
//! ```

mod aborting;
mod asking;
mod calling;
mod desk;
mod gathering;
mod nodes;
mod scripts;
mod serving;
mod table;
mod way;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gears_core::cluster::calls::{Bounds, Figures, Incoming, Message, Outgoing, Unsent};
use gears_core::cluster::libraries::Stamp;
use gears_core::cluster::{NodeId, NotSent, Payload, ProcessId, Ticket, Topic};
use gears_v8::ports::HeldBytes;

use self::aborting::Stage;
use self::asking::{Answered, answer_of, is_question};
use self::calling::gather;
use self::gathering::{Gathering, Room};
use self::scripts::Scripts;
use self::way::Place;
use crate::cluster::Cluster;
use crate::executor::{ExecutionLog, LibraryExecutor};
use crate::library::Libraries;
use crate::server::{Context, random_bytes};

pub(crate) use self::asking::Unanswered;
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

/// What there may be of calls of other nodes. Of the calls of one node there are no more on their way
/// than are known here.
const BOUNDS: Bounds = Bounds {
    calls: 200_000,
    arguments: 256 << 20,
    results: 256 << 20,
    confirm_above: 16 << 10,
};

/// This process, for itself.
const THIS_PROCESS: Process = ProcessId([0; 16]);

/// What is on its way. Used by the main thread only.
pub(crate) struct RemoteFunctions {
    desk: Arc<RemoteDesk>,
    libraries: Rc<Libraries>,
    /// This node; another one after a reset of the cluster.
    me: Cell<Node>,
    state: RefCell<State>,
    scripts: Scripts,
    executions: Arc<ExecutionLog>,
    /// What has come for scripts of this node.
    returned: Arc<HeldBytes>,
    began: Instant,
    /// When a timer wakes the event loop, in milliseconds since `began`.
    wakes_at: Cell<Option<u64>>,
    /// When calls of nobody are looked for next, likewise.
    forgets_at: Cell<u64>,
}

/// How much there is of calls, as INFO shows it.
pub(crate) struct RemoteFigures {
    /// Calls of this node that have not ended.
    pub(crate) calls: usize,
    /// Bytes of their arguments.
    pub(crate) arguments: usize,
    /// Those that run here.
    pub(crate) here: Figures,
    /// Messages that wait for room in a node's queue.
    pub(crate) unsent: usize,
    /// Bytes of results that have come for scripts of this node, and that those have not taken.
    pub(crate) returned: usize,
}

/// What calls have that say nothing of it, and how much there may be of what comes back.
#[derive(Clone, Copy)]
pub(crate) struct RemoteLimits {
    /// Milliseconds.
    pub(crate) timeout_ms: u64,
    /// Bytes of results that wait for the libraries of their callers.
    pub(crate) returned: usize,
}

struct State {
    outgoing: Outgoing<Node, Process>,
    incoming: Incoming<Node, Process>,
    /// What this node sends to itself.
    own: VecDeque<Payload>,
    /// The nodes that take messages.
    peers: HashMap<Node, Process>,
    /// What those could not take yet.
    unsent: Unsent<Node>,
    /// What the requests of calls were sent as.
    tickets: HashMap<u64, Ticket>,
    /// Which gathering a call belongs to.
    calls: HashMap<u64, u64>,
    gatherings: HashMap<u64, Gathering>,
    /// Who waits for the answers of calls that are questions.
    asked: HashMap<u64, Answered>,
    last_gathering: u64,
    /// Stages of executions of other shards that run here, by the execution.
    stages: HashMap<String, Vec<Stage>>,
}

impl RemoteFunctions {
    /// Nothing is on its way.
    #[must_use]
    pub(crate) fn new(
        context: &Context,
        desk: Arc<RemoteDesk>,
        libraries: Rc<Libraries>,
        executions: Arc<ExecutionLog>,
    ) -> Self {
        let me = NodeId::parse(context.shard_id().as_bytes());
        Self {
            desk,
            libraries,
            // Without a cluster it is called by forty zeros.
            me: Cell::new(me.unwrap_or_else(NodeId::nobody)),
            state: RefCell::new(State {
                outgoing: Outgoing::new(u64::from_le_bytes(random_bytes()), BYTES_MAX),
                incoming: Incoming::new(BOUNDS),
                own: VecDeque::new(),
                peers: HashMap::new(),
                unsent: Unsent::default(),
                tickets: HashMap::new(),
                calls: HashMap::new(),
                gatherings: HashMap::new(),
                asked: HashMap::new(),
                last_gathering: 0,
                stages: HashMap::new(),
            }),
            scripts: Scripts::default(),
            executions,
            returned: Arc::default(),
            began: Instant::now(),
            wakes_at: Cell::default(),
            forgets_at: Cell::default(),
        }
    }

    /// A script runs here whose run may go over all shards.
    pub(crate) fn keep_script(&self, name: &str, code: &str, executor: &Arc<LibraryExecutor>) {
        self.scripts.keep(name, code, executor);
    }

    /// Scripts of other shards that run here, and that nothing else keeps.
    pub(crate) fn parts(&self) -> Vec<Arc<LibraryExecutor>> {
        self.scripts.look_after()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Part of every tick; whether there is more to do at once.
    pub(crate) fn tick(
        &self,
        context: &Context,
        cluster: Option<&Cluster>,
        limits: RemoteLimits,
    ) -> bool {
        let mut state = self.state.borrow_mut();
        self.tell_of_aborted(&mut state, cluster);
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
        if let Some(cluster) = cluster {
            state.unsent.flush(|to, message| {
                // Where the connection is gone, so is what waited for it.
                let room = cluster.room_for(*to, Topic::Calls, message.len());
                let is_full = matches!(room, Err(NotSent::QueueFull(_)));
                if room.is_ok() {
                    let _ = cluster.send(*to, Topic::Calls, message.clone());
                }
                !is_full
            });
        }
        let mut more = true;
        while more && Instant::now() < end {
            more = self.turn(&mut state, &place, limits);
        }
        self.forget_those_of_nobody(&mut state);
        let State {
            outgoing, peers, ..
        } = &mut *state;
        let can_reach = |node: &Node| *node == self.me.get() || peers.contains_key(node);
        for (node, taken) in outgoing.take_taken(can_reach) {
            self.tell(&mut state, cluster, node, taken);
        }
        more |= !state.own.is_empty();
        self.set_timer(&state, context);
        more
    }

    /// Ends calls of libraries that are gone, once a second: they would still be tried where their keys are, by whatever
    /// library is there by then.
    fn forget_those_of_nobody(&self, state: &mut State) {
        let now_ms = self.now_ms();
        if now_ms < self.forgets_at.get() {
            return;
        }
        self.forgets_at.set(now_ms + 1000);
        let State {
            gatherings,
            calls,
            tickets,
            outgoing,
            ..
        } = state;
        let before = gatherings.len();
        gatherings.retain(|_, one| !one.is_of_nobody());
        if gatherings.len() == before {
            return;
        }
        calls.retain(|id, gathering| {
            let has_one = gatherings.contains_key(gathering);
            if !has_one {
                outgoing.forget(*id);
                tickets.remove(id);
            }
            has_one
        });
    }

    /// Does one thing of each kind; false where there is nothing to do.
    fn turn(&self, state: &mut State, place: &Place<'_>, limits: RemoteLimits) -> bool {
        let mut did = false;
        let room = Room {
            held: Arc::clone(&self.returned),
            most: limits.returned,
        };
        if let Some(call) = self.desk.take_call() {
            self.begin(state, place, call, &room, limits.timeout_ms);
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
            // It has the library as its caller knows it: that one is here, too.
            if let Some(message) = decoded(from.0, message) {
                self.receive(state, place.context, place.cluster, from, (message, true));
            }
            did = true;
        }
        if let Some((key, end)) = self.desk.take_end() {
            self.end(state, place.cluster, &key, end);
            did = true;
        }
        for (id, end) in state.outgoing.take_ended() {
            state.tickets.remove(&id);
            match state.asked.remove(&id) {
                Some(answered) => answered(answer_of(end)),
                None => gather(state, id, end, &room),
            }
            did = true;
        }
        state.incoming.sweep(now_ms);
        did
    }

    /// Sends a message to a node. What the node cannot take now is sent later, unless the connection
    /// is gone: when there is another one, what matters is asked for and told again.
    fn post(&self, state: &mut State, cluster: Option<&Cluster>, to: Node, message: Payload) {
        // Where there is no connection: see above.
        let _is_on_its_way = self.try_post(state, cluster, to, message);
    }

    /// The same; false where there is no connection.
    fn try_post(
        &self,
        state: &mut State,
        cluster: Option<&Cluster>,
        to: Node,
        message: Payload,
    ) -> bool {
        if to == self.me.get() {
            state.own.push_back(message);
            return true;
        }
        let Some(cluster) = cluster else {
            return false;
        };
        match cluster.send(to, Topic::Calls, message.clone()) {
            Err(NotSent::QueueFull(_)) => state.unsent.push(to, message),
            Err(NotSent::NotConnected | NotSent::NoSuchNode) => return false,
            Ok(_) | Err(NotSent::TooLarge(_) | NotSent::TooLargeThere(_)) => {}
        }
        true
    }

    /// Tells a caller that its call has not run.
    fn tell_refused(
        &self,
        state: &mut State,
        cluster: Option<&Cluster>,
        key: Key,
        message: Message,
    ) {
        let message = message.encode();
        if !self.try_post(state, cluster, key.0, message.clone()) {
            state.incoming.keep_refusal(key, message);
        }
    }

    fn tell(&self, state: &mut State, cluster: Option<&Cluster>, to: Node, message: Message) {
        self.post(state, cluster, to, message.encode());
    }

    /// A message came of another node. `has_heard` is told of a library of which that node has one with that stamp, and
    /// gives whether this one has it as late.
    pub(crate) fn on_message(
        &self,
        context: &Context,
        cluster: &Cluster,
        from: (Node, Process),
        bytes: Vec<u8>,
        has_heard: impl FnOnce(&str, Stamp) -> bool,
    ) {
        let Some(message) = decoded(from.0, bytes.into()) else {
            return;
        };
        // Nothing of this is borrowed meanwhile: another library may be loaded.
        let is_up_to_date = match &message {
            Message::Request(request) => request
                .stamp
                .is_none_or(|stamp| has_heard(&request.library, stamp)),
            _ => true,
        };
        let mut state = self.state.borrow_mut();
        let message = (message, is_up_to_date);
        self.receive(&mut state, context, Some(cluster), from, message);
    }

    /// How much there is of all this.
    pub(crate) fn figures(&self) -> RemoteFigures {
        let state = self.state.borrow();
        RemoteFigures {
            calls: state.outgoing.len(),
            arguments: state.outgoing.bytes(),
            here: state.incoming.figures(),
            unsent: state.unsent.len(),
            returned: self.returned.get(),
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

    fn receive(
        &self,
        state: &mut State,
        context: &Context,
        cluster: Option<&Cluster>,
        (node, process): (Node, Process),
        (message, is_up_to_date): (Message, bool),
    ) {
        let now_ms = self.now_ms();
        match message {
            Message::Request(request) if is_question(&request) => {
                self.tell(state, cluster, node, self.answer(&request));
            }
            Message::Request(request) => {
                let request = (request, is_up_to_date);
                self.serve(state, context, cluster, (node, process), request);
            }
            Message::Accepted { id, attempt } => {
                state.outgoing.on_accepted(&node, &process, (id, attempt));
            }
            Message::Refused {
                id,
                attempt,
                refusal,
                text,
            } => {
                let (from, call) = ((&node, &process), (id, attempt));
                state.outgoing.on_refused(now_ms, from, call, refusal, text);
            }
            Message::Ended { id, ended } => state.outgoing.on_ended(&node, &process, id, ended),
            Message::Taken(taken) => state.incoming.on_taken(&node, &process, &taken),
        }
    }
}

/// What a node has sent.
fn decoded(from: Node, payload: Payload) -> Option<Message> {
    Message::decode(payload)
        .inspect_err(|error| {
            log::warn!("a message of shard {from} about a remote call is left out: {error}");
        })
        .ok()
}
