//! To which nodes there is to be a connection, and what becomes of the messages for them.
//!
//! ```text
//!              token here                opened                   lost, timed out
//!   no token ────────────> connecting ──────────> up ─────────────────────────────> waiting
//!      ^                       │ refused: another token            failed, left        │ in a while
//!      └───────────────────────┘              └──> closing ──> failed                  └──> connecting
//! ```
//!
//! A peer gives its token over the cluster bus, in a greeting. Greetings get lost, so they are sent
//! again until the peer has a connection here. Nobody configures anything, and nobody refreshes.
//!
//! Messages are taken for peers that are up alone, up to a bound: who sends is told at once that one
//! was not. When a connection is gone, all messages that it had are named, those that certainly were
//! not delivered and those that may have been; nothing is sent again here. So nothing is delivered
//! twice, and nothing waits without an end.

use std::collections::BTreeMap;

use thiserror::Error;

use super::decision::{
    Closed, ClosedWhy, Connection, Decision, Endpoint, GoneReason, Opened, Ticket,
};
use super::frame::Topic;
use super::hello::Hello;
use super::ids::{NodeId, ProcessId, Token};
use super::nodes::{Node, Topology};
use super::peer::{BACK_OFF, GREETING, Peer, PeerView, Pulse, State, back_off};

/// Milliseconds in which a peer is not greeted twice, however often it asks.
const GREETING_LEAST: u64 = 100;

/// What there may be at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a message; those about libraries may have more.
    pub message: usize,
    /// Bytes that wait for one peer.
    pub queue: usize,
}

/// Why a message is not taken. It certainly is not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotSent {
    /// There is no such node, or this is it.
    #[error("there is no such node in the cluster")]
    NoSuchNode,
    /// There is no connection to it now.
    #[error("there is no connection to the node")]
    NotConnected,
    /// Too much waits for it.
    #[error("more than {0} bytes wait for the node")]
    QueueFull(usize),
    /// The message is too large.
    #[error("the message is larger than {0} bytes")]
    TooLarge(usize),
    /// The node takes none so large.
    #[error("the message is larger than {0} bytes, which is all that the node takes")]
    TooLargeThere(usize),
}

/// The other nodes that this one talks to.
#[derive(Debug)]
pub struct Peers {
    me: NodeId,
    process: ProcessId,
    limits: Limits,
    others: BTreeMap<NodeId, Peer>,
    /// Those that are of the cluster no more, until their connection is closed.
    leaving: BTreeMap<Connection, (NodeId, Peer)>,
    last_ticket: u64,
    last_connection: u64,
}

impl Peers {
    /// None yet. `me` and `process` are this node and its process.
    pub fn new(me: NodeId, process: ProcessId, limits: Limits) -> Self {
        Self {
            me,
            process,
            limits,
            others: BTreeMap::new(),
            leaving: BTreeMap::new(),
            last_ticket: 0,
            last_connection: 0,
        }
    }

    /// This node.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// This process.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// This node has another name from now on: it was reset, and knows nobody.
    pub fn rename(&mut self, me: NodeId, out: &mut Vec<Decision>) {
        let all: Vec<_> = self.others.keys().copied().collect();
        for id in all {
            self.remove(id, GoneReason::Left, out);
        }
        self.me = me;
    }

    /// Changes the bounds; what waits already stays.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes note of the cluster as it is now. `tls`: whether nodes are talked to in TLS; `random`
    /// makes tokens.
    pub fn on_topology(
        &mut self,
        topology: &Topology,
        tls: bool,
        now: u64,
        mut random: impl FnMut() -> Token,
        out: &mut Vec<Decision>,
    ) {
        let others = topology.nodes().filter(|node| node.id != topology.me);
        for node in others {
            let why_apart = topology.why_apart(node.id);
            if why_apart == Some(GoneReason::NotNeeded) {
                self.remove(node.id, GoneReason::NotNeeded, out);
                continue;
            }
            let endpoint = endpoint_of(node, tls);
            let is_good = why_apart.is_none();
            let peer = self.others.entry(node.id).or_insert_with(|| Peer {
                endpoint: endpoint.clone(),
                is_good,
                role: node.role,
                ours: random(),
                theirs: None,
                state: State::Waiting { until: now },
                attempts: 0,
                is_inbound: false,
                greetings: 0,
                greet_at: now,
                greeted_at: None,
                tickets: BTreeMap::new(),
                queued: 0,
                heard_at: now,
                version: None,
                round_trip_us: None,
                message_max: None,
                sent: (0, 0),
                connections: 0,
                last_error: None,
            });
            peer.role = node.role;
            if peer.endpoint != endpoint {
                peer.endpoint = endpoint;
                peer.close(node.id, GoneReason::Left, out);
            }
            if is_good && !peer.is_good {
                // It is back: as soon as can be.
                peer.attempts = 0;
                (peer.greetings, peer.greet_at) = (0, now);
                if let State::Waiting { until } = &mut peer.state {
                    *until = now;
                }
            }
            peer.is_good = is_good;
            if !is_good {
                peer.close(node.id, GoneReason::Failed, out);
            }
        }
        let known = self.others.keys().copied();
        let left: Vec<_> = known.filter(|id| topology.node(*id).is_none()).collect();
        for id in left {
            self.remove(id, GoneReason::Left, out);
        }
        self.tick(now, out);
    }

    fn remove(&mut self, id: NodeId, reason: GoneReason, out: &mut Vec<Decision>) {
        let Some(mut peer) = self.others.remove(&id) else {
            return;
        };
        peer.close(id, reason, out);
        if let State::Closing(connection, ..) = peer.state {
            self.leaving.insert(connection, (id, peer));
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: u64, out: &mut Vec<Decision>) {
        for (id, peer) in self.others.iter_mut().filter(|(_, peer)| peer.is_good) {
            if let State::Waiting { until } = peer.state
                && now >= until
                && let Some((_, token)) = peer.theirs
            {
                self.last_connection += 1;
                let connection = Connection(self.last_connection);
                peer.state = State::Connecting(connection);
                out.push(Decision::Connect {
                    node: *id,
                    connection,
                    endpoint: peer.endpoint.clone(),
                    token,
                });
            }
            let lacks = !peer.is_inbound || peer.theirs.is_none();
            if lacks && now >= peer.greet_at {
                peer.greet(*id, self.process, now, out);
            }
        }
    }

    /// When something is due next.
    pub fn next_time(&self) -> Option<u64> {
        let good = self.others.values().filter(|peer| peer.is_good);
        let due = good.flat_map(|peer| {
            let lacks = !peer.is_inbound || peer.theirs.is_none();
            let connect = match peer.state {
                State::Waiting { until } if peer.theirs.is_some() => Some(until),
                _ => None,
            };
            [lacks.then_some(peer.greet_at), connect]
        });
        due.flatten().min()
    }

    /// A greeting came over the cluster bus, which says from whom.
    pub fn on_hello(&mut self, from: NodeId, hello: Hello, now: u64, out: &mut Vec<Decision>) {
        let process = self.process;
        let Some(peer) = self.others.get_mut(&from) else {
            // It will greet again, when it is in the table here.
            return;
        };
        let is_news = peer
            .theirs
            .is_none_or(|(theirs, _)| theirs != hello.process);
        peer.theirs = Some((hello.process, hello.token));
        if is_news {
            peer.attempts = 0;
            if let State::Waiting { until } = &mut peer.state {
                *until = now;
            }
        }
        let is_early = peer.greeted_at.is_some_and(|at| now < at + GREETING_LEAST);
        if hello.wants && !is_early {
            peer.greet(from, process, now, out);
        }
        self.tick(now, out);
    }

    /// Whether a connection here is that of a member: the token that it shows is the one which the
    /// node was given.
    pub fn is_member(&self, from: NodeId, token: &[u8]) -> bool {
        self.others
            .get(&from)
            .is_some_and(|peer| peer.ours.is(token))
    }

    /// Whether this node has to do with that one. If not, its connections here are none of a peer's.
    pub fn knows(&self, node: NodeId) -> bool {
        self.others.contains_key(&node)
    }

    /// Takes note whether a peer has a connection here.
    pub fn set_inbound(&mut self, from: NodeId, is_inbound: bool, now: u64) {
        if let Some(peer) = self.others.get_mut(&from) {
            peer.is_inbound = is_inbound;
            if !is_inbound {
                (peer.greetings, peer.greet_at) = (0, now + GREETING.0);
            }
        }
    }

    /// A connection is there.
    pub fn on_opened(
        &mut self,
        node: NodeId,
        connection: Connection,
        Opened {
            process,
            version,
            message_max,
        }: Opened,
        now: u64,
        out: &mut Vec<Decision>,
    ) {
        let Some(peer) = self.others.get_mut(&node) else {
            return;
        };
        if !matches!(peer.state, State::Connecting(one) if one == connection) {
            // It is to be closed already.
            return;
        }
        peer.state = State::Up(connection, process);
        (peer.attempts, peer.heard_at) = (0, now);
        peer.connections += 1;
        peer.last_error = None;
        peer.version = Some(version);
        peer.message_max = message_max;
        out.push(Decision::Up { node, process });
    }

    /// The peer has answered: these messages are delivered; and what it answered to a question that takes no
    /// work, if it was one.
    pub fn on_answered(
        &mut self,
        node: NodeId,
        connection: Connection,
        delivered: &[Ticket],
        pulse: Option<Pulse>,
        now: u64,
    ) {
        let of_leaving = self.leaving.get_mut(&connection).map(|(_, peer)| peer);
        let Some(peer) = of_leaving.or_else(|| {
            let peer = self.others.get_mut(&node)?;
            let (State::Up(one, _) | State::Closing(one, ..)) = peer.state else {
                return None;
            };
            (one == connection).then_some(peer)
        }) else {
            return;
        };
        peer.heard_at = now;
        if let Some(Pulse {
            round_trip_us,
            message_max,
        }) = pulse
        {
            peer.round_trip_us = Some(round_trip_us);
            peer.message_max = message_max.or(peer.message_max);
        }
        for ticket in delivered {
            if let Some(bytes) = peer.tickets.remove(ticket) {
                peer.queued -= bytes;
                peer.sent.0 += 1;
                peer.sent.1 += bytes as u64;
            }
        }
    }

    /// A connection has ended, or was not made.
    pub fn on_closed(
        &mut self,
        node: NodeId,
        connection: Connection,
        closed: Closed,
        now: u64,
        out: &mut Vec<Decision>,
    ) {
        if let Some((node, mut peer)) = self.leaving.remove(&connection) {
            peer.gone(node, GoneReason::Left, closed.uncertain, out);
            return;
        }
        let process = self.process;
        let Some(peer) = self.others.get_mut(&node) else {
            return;
        };
        let is_it = match peer.state {
            State::Connecting(one) | State::Up(one, _) | State::Closing(one, ..) => {
                one == connection
            }
            State::Waiting { .. } => false,
        };
        if !is_it {
            return;
        }
        peer.gone(node, GoneReason::Lost, closed.uncertain, out);
        peer.last_error = Some(closed.error);
        if closed.why == ClosedWhy::WrongToken {
            // It was another process's, or came late.
            peer.theirs = None;
            peer.greet(node, process, now, out);
        }
        let wait = back_off(BACK_OFF, peer.attempts);
        // Not all at once where many lose the same peer.
        let spread = (u64::from(self.me.as_bytes()[0]) * 31 + connection.0) % (wait / 4 + 1);
        peer.attempts += 1;
        peer.state = State::Waiting {
            until: now + wait + spread,
        };
        self.tick(now, out);
    }

    /// Takes a message: gives the connection that has to carry it, and the ticket that names it until
    /// it is delivered.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn send(
        &mut self,
        node: NodeId,
        topic: Topic,
        bytes: usize,
    ) -> Result<(Connection, Ticket), NotSent> {
        let connection = self.room_for(node, topic, bytes)?;
        let peer = self.others.get_mut(&node).ok_or(NotSent::NoSuchNode)?;
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        peer.tickets.insert(ticket, bytes);
        peer.queued += bytes;
        Ok((connection, ticket))
    }

    /// Whether a message of so many bytes would be taken; gives the connection that would carry it.
    ///
    /// # Errors
    /// Why it would not.
    pub fn room_for(
        &self,
        node: NodeId,
        topic: Topic,
        bytes: usize,
    ) -> Result<Connection, NotSent> {
        let Limits { message, queue } = self.limits;
        let message = topic.most(message);
        let peer = self.others.get(&node).ok_or(NotSent::NoSuchNode)?;
        // What can never be sent is told before it is known whether anything can be now.
        if bytes > message {
            return Err(NotSent::TooLarge(message));
        }
        let there = peer.message_max.map(|most| topic.most(most));
        if let Some(there) = there.filter(|there| bytes > *there) {
            return Err(NotSent::TooLargeThere(there));
        }
        let State::Up(connection, _) = peer.state else {
            return Err(NotSent::NotConnected);
        };
        // With half of the queue free, any message is taken that may be sent at all: one that is larger
        // than the queue must not wait for a moment at which no other does.
        if peer.queued > queue / 2 && peer.queued.saturating_add(bytes) > queue {
            return Err(NotSent::QueueFull(queue));
        }
        Ok(connection)
    }

    /// The process of a peer that takes messages; `None` where it takes none.
    pub fn process_of(&self, node: NodeId) -> Option<ProcessId> {
        self.others.get(&node)?.process()
    }

    /// All of them, by name.
    pub fn views(&self, now: u64) -> impl Iterator<Item = PeerView> {
        let others = self.others.iter();
        others.map(move |(node, peer)| peer.view(*node, now))
    }
}

fn endpoint_of(node: &Node, tls: bool) -> Endpoint {
    Endpoint {
        address: node.address.clone(),
        port: node.tls_port.filter(|_| tls).unwrap_or(node.port),
        tls,
    }
}
