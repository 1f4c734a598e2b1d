//! One of the other nodes: its connection, what it was given to carry, and what is shown of it.
//! Which of them there are, and what is done when, is decided in [`super::peers`].

use std::collections::BTreeMap;

use super::decision::{Connection, Decision, Endpoint, GoneReason, Ticket};
use super::hello::Hello;
use super::ids::{NodeId, ProcessId, Token};
use super::nodes::Role;

/// Milliseconds before the first new attempt, and the most that they grow to.
pub(super) const BACK_OFF: (u64, u64) = (50, 5000);

/// The same for greetings. They cost one small message on the bus.
pub(super) const GREETING: (u64, u64) = (500, 5000);

/// Milliseconds without an answer after which a peer counts as silent.
const SILENT: u64 = 2000;

/// How it stands with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// It has not given its token yet.
    NoToken,
    /// The next attempt is later.
    Waiting,
    /// A connection is being made.
    Connecting,
    /// Messages are taken.
    Up,
    /// Likewise, but it has not answered for some time.
    Silent,
    /// The connection is being closed.
    Closing,
    /// The cluster says that it does not answer, or does not know where it is.
    Failed,
}

impl PeerState {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Silent => "silent",
            Self::Closing => "closing",
            Self::Failed => "failed",
        }
    }
}

/// A peer's connection.
#[derive(Debug)]
pub(super) enum State {
    /// No connection before that time.
    Waiting {
        until: u64,
    },
    Connecting(Connection),
    Up(Connection, ProcessId),
    /// With what is to be told when it is closed, if it was up.
    Closing(Connection, Option<ProcessId>, GoneReason),
}

/// What a peer has answered to a question that takes no work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// Microseconds until the answer was there.
    pub round_trip_us: u64,
    /// Bytes of the largest message that it takes, if it said so.
    pub message_max: Option<usize>,
}

/// One of the other nodes.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) endpoint: Endpoint,
    pub(super) is_good: bool,
    pub(super) role: Role,
    /// What it shall show here.
    pub(super) ours: Token,
    /// What to show to it.
    pub(super) theirs: Option<(ProcessId, Token)>,
    pub(super) state: State,
    /// Attempts without success.
    pub(super) attempts: u32,
    /// Whether it has a connection here.
    pub(super) is_inbound: bool,
    pub(super) greetings: u32,
    pub(super) greet_at: u64,
    pub(super) greeted_at: Option<u64>,
    /// Not delivered yet, with their bytes.
    pub(super) tickets: BTreeMap<Ticket, usize>,
    pub(super) queued: usize,
    pub(super) heard_at: u64,
    /// Of its module.
    pub(super) version: Option<String>,
    pub(super) round_trip_us: Option<u64>,
    /// Bytes of the largest message that it takes, as far as it has said so.
    pub(super) message_max: Option<usize>,
    pub(super) sent: (u64, u64),
    pub(super) connections: u64,
    pub(super) last_error: Option<String>,
}

impl Peer {
    /// How it stands with it.
    pub(super) fn state(&self, now: u64) -> PeerState {
        match self.state {
            State::Up(..) if now.saturating_sub(self.heard_at) > SILENT => PeerState::Silent,
            State::Up(..) => PeerState::Up,
            State::Closing(..) => PeerState::Closing,
            State::Connecting(_) => PeerState::Connecting,
            State::Waiting { .. } if !self.is_good => PeerState::Failed,
            State::Waiting { .. } if self.theirs.is_none() => PeerState::NoToken,
            State::Waiting { .. } => PeerState::Waiting,
        }
    }

    /// Has its connection closed, if it has one.
    pub(super) fn close(&mut self, node: NodeId, reason: GoneReason, out: &mut Vec<Decision>) {
        let (connection, process) = match self.state {
            State::Connecting(connection) => (connection, None),
            State::Up(connection, process) => (connection, Some(process)),
            State::Closing(..) | State::Waiting { .. } => return,
        };
        self.state = State::Closing(connection, process, reason);
        out.push(Decision::Close(node, connection));
    }

    /// Sends it a greeting.
    pub(super) fn greet(
        &mut self,
        id: NodeId,
        process: ProcessId,
        now: u64,
        out: &mut Vec<Decision>,
    ) {
        let hello = Hello {
            process,
            token: self.ours,
            wants: self.theirs.is_none(),
        };
        out.push(Decision::Greet(id, hello));
        self.greeted_at = Some(now);
        self.greet_at = now + back_off(GREETING, self.greetings);
        self.greetings += 1;
    }

    /// Its connection is closed: tells what became of its messages, if it was up.
    pub(super) fn gone(
        &mut self,
        node: NodeId,
        reason: GoneReason,
        mut uncertain: Vec<Ticket>,
        out: &mut Vec<Decision>,
    ) {
        let (process, reason) = match self.state {
            State::Up(_, process) => (Some(process), reason),
            State::Closing(_, process, reason) => (process, reason),
            State::Connecting(_) | State::Waiting { .. } => (None, reason),
        };
        let tickets = std::mem::take(&mut self.tickets);
        self.queued = 0;
        self.version = None;
        self.round_trip_us = None;
        self.message_max = None;
        let Some(process) = process else {
            return;
        };
        uncertain.retain(|ticket| tickets.contains_key(ticket));
        uncertain.sort_unstable();
        let not_sent = tickets.into_keys();
        let not_sent = not_sent.filter(|ticket| uncertain.binary_search(ticket).is_err());
        out.push(Decision::Gone {
            node,
            process,
            reason,
            not_sent: not_sent.collect(),
            uncertain,
        });
    }

    /// What is shown of it.
    pub(super) fn view(&self, node: NodeId, now: u64) -> PeerView {
        PeerView {
            node,
            endpoint: self.endpoint.clone(),
            role: self.role,
            state: self.state(now),
            process: self.process(),
            is_inbound: self.is_inbound,
            version: self.version.clone(),
            round_trip_us: self.round_trip_us,
            queue_messages: self.tickets.len(),
            queue_bytes: self.queued,
            sent_messages: self.sent.0,
            sent_bytes: self.sent.1,
            connections: self.connections,
            last_error: self.last_error.clone(),
        }
    }

    /// The process that takes messages; `None` where it takes none.
    pub(super) fn process(&self) -> Option<ProcessId> {
        match self.state {
            State::Up(_, process) => Some(process),
            _ => None,
        }
    }
}

/// What is shown of a peer.
#[derive(Clone, Debug)]
pub struct PeerView {
    /// Which node.
    pub node: NodeId,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Whether it has slots of its own, or follows one.
    pub role: Role,
    /// How it stands.
    pub state: PeerState,
    /// The process that is connected.
    pub process: Option<ProcessId>,
    /// Version of its module, as far as it has said so.
    pub version: Option<String>,
    /// Whether it has a connection here.
    pub is_inbound: bool,
    /// The last time from a question to its answer, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Messages that are not delivered yet.
    pub queue_messages: usize,
    /// Bytes of them.
    pub queue_bytes: usize,
    /// Messages that were delivered.
    pub sent_messages: u64,
    /// Bytes of them.
    pub sent_bytes: u64,
    /// How often there was a connection.
    pub connections: u64,
    /// Why the last one ended, or was not made.
    pub last_error: Option<String>,
}

/// How long to wait after so many attempts, between these bounds.
pub(super) fn back_off((first, most): (u64, u64), attempts: u32) -> u64 {
    first.saturating_mul(1 << attempts.min(20)).min(most)
}
