//! The other nodes of the cluster: connections to them, and messages both ways.
//!
//! ```text
//! mod         what the main thread has of it: send, events, how it stands
//! tick        what is done in every tick: reports, the server's table, what is decided
//! inbox       connections of other nodes here, and their messages, put together
//! outbox      messages that wait until the server has written its append-only file
//! io          the I/O thread, and how the main thread talks to it
//! connection  one connection to another node, on that thread
//! ```
//!
//! What is decided is decided in [`gears_core::cluster`]. Nothing of this exists while the server is
//! in no cluster: no thread, no memory, no connection.
//!
//! A message is delivered once, or [`ClusterEvent::PeerGone`] names it: as certainly not delivered, or
//! as perhaps delivered. Messages may overtake each other.

mod connection;
mod inbox;
mod io;
mod outbox;
mod tick;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gears_core::cluster::{
    GoneReason, Hello, Limits, NodeId, NotSent, Payload, PeerView, Peers, ProcessId, Ticket, Topic,
    Topology, Whereabouts,
};

use crate::server::{Context, TlsFiles, wake_main_thread};
use inbox::Inbox;
pub(crate) use inbox::Received;
use io::{Io, Order, Report};
use outbox::Outbox;

/// How often the server's table is read at most.
const AT_MOST_EVERY: Duration = Duration::from_millis(50);

/// The version of what nodes say to each other.
pub(crate) const PROTOCOL: u64 = 1;

/// Something that whoever talks to other nodes has to know. Told on the main thread, in ticks.
#[derive(Debug)]
pub(crate) enum ClusterEvent {
    /// Another node sent a message.
    Message {
        /// Which node.
        from: NodeId,
        /// Which process of it.
        process: ProcessId,
        /// What it is about.
        topic: Topic,
        /// What it says.
        bytes: Vec<u8>,
    },
    /// A node takes messages from now on.
    PeerUp {
        /// Which node.
        node: NodeId,
        /// Which process of it: what was with another one is gone.
        process: ProcessId,
    },
    /// A node has a connection here from now on: what it sent over an earlier one may be lost.
    PeerInbound {
        /// Which node.
        node: NodeId,
        /// Which process of it.
        process: ProcessId,
    },
    /// A node takes none any more.
    PeerGone {
        /// Which node.
        node: NodeId,
        /// Which process of it.
        process: ProcessId,
        /// Why.
        reason: GoneReason,
        /// Messages that certainly were not delivered.
        not_sent: Vec<Ticket>,
        /// Messages that may have been.
        uncertain: Vec<Ticket>,
    },
    /// The cluster is another than before: see [`Cluster::topology`].
    Topology,
}

/// How much there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClusterLimits {
    /// Of what is sent.
    pub(crate) sending: Limits,
    /// Bytes of messages that come in, all together.
    pub(crate) receiving: usize,
}

/// How it stands, as `RG.CLUSTER INFO` and INFO show it.
pub(crate) struct ClusterView {
    /// This process.
    pub(crate) process: ProcessId,
    /// How often the cluster was seen to be another one.
    pub(crate) epoch: u64,
    /// Messages that nobody has taken yet.
    pub(crate) events: usize,
    /// Bytes of what comes in.
    pub(crate) receiving: usize,
    /// Messages that nobody knew what to do with.
    pub(crate) unclaimed: u64,
    /// Commands of connections that are none of another node's, frames that are none, and bus messages
    /// that are no greetings.
    pub(crate) refused: u64,
    /// The other nodes, with what came from each: messages, bytes.
    pub(crate) peers: Vec<(PeerView, Received)>,
}

/// The other nodes of the cluster. Used by the main thread only.
pub(crate) struct Cluster {
    started: RefCell<Option<Started>>,
    topology: RefCell<Option<Rc<Topology>>>,
    /// See [`Cluster::own_key`].
    own_key: Cell<Option<[u8; 2]>>,
    epoch: Cell<u64>,
    /// When the table is read next; none: at once.
    refresh_at: Cell<Option<Instant>>,
    /// When it was read last.
    read_at: Cell<Option<Instant>>,
    events: RefCell<VecDeque<ClusterEvent>>,
    inbox: RefCell<Inbox>,
    outbox: RefCell<Outbox<Order>>,
    /// Whether messages go through it.
    holds: Cell<bool>,
    /// When a timer wakes the event loop.
    wakes_at: Cell<Option<u64>>,
    /// Counted for a glance.
    unclaimed: Cell<u64>,
    refused: Cell<u64>,
    /// Where its time begins.
    begin: Instant,
}

/// What is there once the event loop has gone round.
struct Started {
    peers: Peers,
    io: Io,
    tls: Option<Rc<TlsFiles>>,
}

impl Cluster {
    /// For a server that is one of a cluster. It begins with the first tick: a module that has only just
    /// been loaded may have to go again, and the bus never forgets who listens.
    pub(crate) fn new() -> Self {
        Self {
            started: RefCell::default(),
            topology: RefCell::default(),
            own_key: Cell::default(),
            epoch: Cell::default(),
            refresh_at: Cell::default(),
            read_at: Cell::default(),
            events: RefCell::default(),
            inbox: RefCell::default(),
            outbox: RefCell::default(),
            holds: Cell::default(),
            wakes_at: Cell::default(),
            unclaimed: Cell::default(),
            refused: Cell::default(),
            begin: Instant::now(),
        }
    }

    /// Milliseconds since it began.
    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The cluster as the server saw it last; `None` before the first time.
    pub(crate) fn topology(&self) -> Option<Rc<Topology>> {
        self.topology.borrow().clone()
    }

    /// The same at this moment, for whoever decides in a client's command by who there is: what was read last may be a
    /// second old. Its ports are those for that client. What others decide by is read anew in the next tick, before they do.
    pub(crate) fn topology_now(&self, context: &Context) -> Option<Topology> {
        self.refresh_at.set(None);
        wake_main_thread();
        Topology::parse(&context.cluster_table()?).ok()
    }

    /// Where a slot is that the server does not serve. Under the server's lock, whoever holds it.
    pub(crate) fn whereabouts(&self, slot: u16) -> Whereabouts {
        let topology = self.topology.borrow();
        let place = topology.as_ref().map(|topology| topology.whereabouts(slot));
        place.unwrap_or(Whereabouts::Unknown)
    }

    /// A key of a slot of this node, if it has one. Under the server's lock, whoever holds it.
    pub(crate) fn own_key(&self) -> Option<[u8; 2]> {
        self.own_key.get()
    }

    /// Has the server's table read in the next tick: somebody met a slot that is elsewhere. Where many do, or one again and
    /// again, it is read now and then.
    pub(crate) fn refresh(&self) {
        let soon = self.read_at.get().map(|at| at + AT_MOST_EVERY);
        if let Some(soon) = soon.filter(|soon| *soon > Instant::now()) {
            // By then the server's own clock has brought a tick, or a little later.
            let at = self.refresh_at.get().map_or(soon, |at| at.min(soon));
            return self.refresh_at.set(Some(at));
        }
        self.refresh_at.set(None);
        wake_main_thread();
    }

    /// Sends a message to a node. It is delivered, or named in [`ClusterEvent::PeerGone`].
    ///
    /// # Errors
    /// Why it is not sent. It certainly is not delivered then.
    pub(crate) fn send(
        &self,
        to: NodeId,
        topic: Topic,
        payload: impl Into<Payload>,
    ) -> Result<Ticket, NotSent> {
        let payload = payload.into();
        let mut started = self.started.borrow_mut();
        let started = started.as_mut().ok_or(NotSent::NotConnected)?;
        let (connection, ticket) = started.peers.send(to, topic, payload.len())?;
        let order = Order::Send {
            connection,
            ticket,
            topic,
            payload,
        };
        if self.holds.get() {
            self.outbox.borrow_mut().push(order);
        } else {
            started.io.order(order);
        }
        Ok(ticket)
    }

    /// Whether a message of so many bytes would be taken now.
    ///
    /// # Errors
    /// Why it would not.
    pub(crate) fn room_for(&self, to: NodeId, topic: Topic, bytes: usize) -> Result<(), NotSent> {
        let started = self.started.borrow();
        let started = started.as_ref().ok_or(NotSent::NotConnected)?;
        started.peers.room_for(to, topic, bytes).map(|_| ())
    }

    /// The next of what is to be known.
    pub(crate) fn next_event(&self) -> Option<ClusterEvent> {
        let event = self.events.borrow_mut().pop_front();
        if let Some(ClusterEvent::Message { bytes, .. }) = &event {
            self.inbox.borrow_mut().take_out(bytes.len());
        }
        event
    }

    /// Whether there is more.
    pub(crate) fn has_events(&self) -> bool {
        !self.events.borrow().is_empty()
    }

    /// Counts a message that nobody knew what to do with.
    pub(crate) fn count_unclaimed(&self) {
        self.unclaimed.set(self.unclaimed.get() + 1);
    }

    /// Something came over the cluster bus. It may be in the middle of anything.
    pub(crate) fn on_bus_message(&self, from: NodeId, bytes: &[u8]) {
        let Some(hello) = Hello::decode(bytes) else {
            self.count_refused();
            return;
        };
        let Ok(mut started) = self.started.try_borrow_mut() else {
            // It comes again.
            return;
        };
        if let Some(started) = started.as_mut() {
            started.io.keep(Report::Hello(from, hello));
            wake_main_thread();
        }
    }

    /// A client says that it is another node, and shows a token.
    ///
    /// # Errors
    /// The error reply.
    pub(crate) fn admit(
        &self,
        client: u64,
        from: NodeId,
        process: ProcessId,
        token: &[u8],
    ) -> Result<ProcessId, String> {
        let mut started = self.started.borrow_mut();
        let started = started
            .as_mut()
            .ok_or("LOADING this node does not talk to others yet")?;
        if !started.peers.is_member(from, token) {
            self.count_refused();
            return Err("WRONGTOKEN this is not the token that the node was given".into());
        }
        self.inbox.borrow_mut().admit(client, from, process);
        started.peers.set_inbound(from, true, self.now());
        let node = from;
        let event = ClusterEvent::PeerInbound { node, process };
        self.events.borrow_mut().push_back(event);
        Ok(started.peers.process())
    }

    /// A client sends a frame; without bytes it only asks for an answer.
    ///
    /// # Errors
    /// The error reply.
    pub(crate) fn take_frame(&self, client: u64, frame: &[u8], limit: usize) -> Result<(), String> {
        match self.inbox.borrow_mut().take(client, frame, limit) {
            Ok(Some(message)) => {
                self.events.borrow_mut().push_back(message);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(None) => {
                self.count_refused();
                Err("NOPERM this connection is not that of another node of the cluster".into())
            }
            Err(Some(error)) if error.may_come_again() => Err(format!("BUSY {error}")),
            Err(Some(error)) => {
                self.count_refused();
                Err(format!("ERR {error}"))
            }
        }
    }

    fn count_refused(&self) {
        self.refused.set(self.refused.get() + 1);
    }

    /// How it stands; `None` before it began.
    pub(crate) fn view(&self) -> Option<ClusterView> {
        let started = self.started.borrow();
        let started = started.as_ref()?;
        let inbox = self.inbox.borrow();
        let peers = started.peers.views(self.now());
        Some(ClusterView {
            process: started.peers.process(),
            epoch: self.epoch.get(),
            events: self.events.borrow().len(),
            receiving: inbox.used(),
            unclaimed: self.unclaimed.get(),
            refused: self.refused.get(),
            peers: peers
                .map(|peer| {
                    let received = inbox.received(peer.node);
                    (peer, received)
                })
                .collect(),
        })
    }
}
