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
use gears_v8::ports::{Credentials, Database, Flags, Function, RemoteCall, RemotePlace};

use self::desk::Caller;
use self::gathering::Gathering;
use crate::executor::{LibraryExecutor, RemoteAnswer, RemoteEnd, RemoteTask};
use crate::library::Libraries;
use crate::server::{Context, is_enabled};

pub(crate) use self::desk::RemoteDesk;

/// A node's name.
type Node = Arc<str>;
/// One of its processes.
type Process = u64;
/// A call of another node.
type Key = (Node, Process, u64);

/// Time of a tick for all of it.
const SLICE: Duration = Duration::from_millis(2);

/// Bytes that the arguments of calls on their way may take altogether.
const BYTES_MAX: usize = 256 << 20;

/// This process: there is one of it in each message.
const THIS_PROCESS: Process = 0;

/// What is on its way. Used by the main thread only.
pub(crate) struct RemoteFunctions {
    desk: Arc<RemoteDesk>,
    libraries: Rc<Libraries>,
    /// This node.
    me: Node,
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
    /// Which gathering a call belongs to.
    calls: HashMap<u64, u64>,
    gatherings: HashMap<u64, Gathering>,
    last_gathering: u64,
}

/// The way of messages from here.
struct Way<'a> {
    me: &'a Node,
    context: &'a Context,
    own: &'a mut VecDeque<Vec<u8>>,
}

impl Wire<Node, Process> for Way<'_> {
    fn route(
        &self,
        destination: &Destination<Node>,
        key: Option<&[u8]>,
    ) -> Result<(Node, Process), String> {
        let is_here = match destination {
            Destination::Key => key.is_none_or(|key| self.context.has_slot_of(key)),
            Destination::Shard(shard) => shard == self.me,
        };
        if is_here {
            Ok((Arc::clone(self.me), THIS_PROCESS))
        } else {
            Err("there is no way to the shard that has the key".to_owned())
        }
    }

    fn send(&mut self, _to: &Node, message: Vec<u8>) -> Result<(), String> {
        self.own.push_back(message);
        Ok(())
    }
}

impl RemoteFunctions {
    /// Nothing is on its way.
    #[must_use]
    pub(crate) fn new(context: &Context, desk: Arc<RemoteDesk>, libraries: Rc<Libraries>) -> Self {
        Self {
            desk,
            libraries,
            me: context.shard_id().into(),
            state: RefCell::new(State {
                outgoing: Outgoing::new(BYTES_MAX),
                incoming: Incoming::default(),
                own: VecDeque::new(),
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
    pub(crate) fn tick(&self, context: &Context, timeout_ms: u64) -> bool {
        let mut state = self.state.borrow_mut();
        let is_idle = state.outgoing.is_empty() && state.incoming.is_empty();
        if is_idle && !self.desk.has_some() {
            return false;
        }
        let end = Instant::now() + SLICE;
        let mut more = true;
        while more && Instant::now() < end {
            more = self.turn(&mut state, context, timeout_ms);
        }
        self.set_timer(&state, context);
        more
    }

    /// Does one thing of each kind; false where there is nothing to do.
    fn turn(&self, state: &mut State, context: &Context, timeout_ms: u64) -> bool {
        let mut did = false;
        if let Some(call) = self.desk.take_call() {
            self.begin(state, context, call, timeout_ms);
            did = true;
        }
        let now_ms = self.now_ms();
        let mut way = Way {
            me: &self.me,
            context,
            own: &mut state.own,
        };
        did |= state.outgoing.step(now_ms, &mut way);
        if let Some(message) = state.own.pop_front() {
            let from = (Arc::clone(&self.me), THIS_PROCESS);
            self.receive(state, context, from, &message);
            did = true;
        }
        if let Some((key, end)) = self.desk.take_end() {
            end_incoming(state, &key, end);
            did = true;
        }
        for (id, end) in state.outgoing.take_ended() {
            gather(state, id, end);
            did = true;
        }
        state.incoming.sweep(now_ms);
        did
    }

    // --- calls that scripts make here -------------------------------------------------------------

    /// Makes of a script's call one for each shard where it is to run.
    fn begin(&self, state: &mut State, context: &Context, call: RemoteCall, timeout_ms: u64) {
        let (library, function) = (&call.library, &call.function);
        if self.libraries.remote_function(library, function).is_none() {
            let text = format!("ERR library '{library}' has no remote function '{function}'");
            return gathering::refuse(&call, text);
        }
        let timeout_ms = call.timeout_ms.map_or(timeout_ms, u64::from);
        let destinations = match &call.place {
            RemotePlace::Key(_) => vec![Destination::Key],
            // A part of the answer must not pass for all of it.
            RemotePlace::AllShards if context.is_in_cluster() => {
                let text = format!(
                    "ERR the remote function '{function}' has not run: there is no way to the other shards"
                );
                return gathering::refuse(&call, text);
            }
            RemotePlace::AllShards => vec![Destination::Shard(Arc::clone(&self.me))],
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
                Destination::Shard(node) => Some(Arc::clone(node)),
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
            Message::Request(request) => self.serve(state, context, (node, process), request),
            Message::Accepted { id } => state.outgoing.on_accepted(&node, &process, id),
            Message::Refused { id, refusal, text } => {
                let from = (&node, &process);
                state.outgoing.on_refused(now_ms, from, id, refusal, text);
            }
            Message::Ended { id, ended } => {
                state.outgoing.on_ended(&node, &process, id, ended);
                send(state, &Message::Taken { id });
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
        (node, process): (Node, Process),
        request: Request,
    ) {
        let id = request.id;
        let key = (node, process, id);
        let remaining_ms = request.remaining_ms;
        match state.incoming.on_request(self.now_ms(), &key, remaining_ms) {
            Verdict::Runs => send(state, &Message::Accepted { id }),
            Verdict::Ended(message) => state.own.push_back(message),
            Verdict::Run => match self.admit(context, &request) {
                Err((refusal, text)) => {
                    state.incoming.refuse(&key);
                    send(state, &Message::Refused { id, refusal, text });
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
                    send(state, &Message::Accepted { id });
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

fn send(state: &mut State, message: &Message) {
    state.own.push_back(message.encode());
}

/// A call that ran here has ended: its caller is told.
fn end_incoming(state: &mut State, key: &Key, end: RemoteEnd) {
    let id = key.2;
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
            return send(state, &Message::Refused { id, refusal, text });
        }
    };
    let message = Message::Ended { id, ended }.encode();
    if state.incoming.end(key, message.clone()) {
        state.own.push_back(message);
    }
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
