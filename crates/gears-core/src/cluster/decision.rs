//! What is decided about the connections to other nodes and is to be done, and what is told of it.

use super::hello::Hello;
use super::ids::{NodeId, ProcessId, Token};

/// A message that was taken, for as long as it is not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One attempt to have a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection(pub u64);

/// Where a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// IPv4 or IPv6 address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// Whether it is to be talked to in TLS.
    pub tls: bool,
}

/// Why a peer that was up is not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoneReason {
    /// The connection was lost, or the peer did not answer in time.
    Lost,
    /// The cluster says that it does not answer.
    Failed,
    /// It is not of the cluster any more, or is elsewhere.
    Left,
    /// Neither of both is a primary now: they have nothing to say to each other.
    NotNeeded,
}

impl GoneReason {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Lost => "it was lost",
            Self::Failed => "the cluster says that the node fails",
            Self::Left => "the node left, or is elsewhere",
            Self::NotNeeded => "neither of both is a primary",
        }
    }
}

/// Why a connection ended, or was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedWhy {
    /// The network, a time limit, an answer that nobody understands; or it was asked for.
    Broken,
    /// The peer does not know the token.
    WrongToken,
}

/// What a peer says of itself when it has seen the token.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Which process of it that is.
    pub process: ProcessId,
    /// The version of its module.
    pub version: String,
    /// Bytes of the largest message that it takes, if it said so.
    pub message_max: Option<usize>,
}

/// A connection has ended, or was not made.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Why.
    pub why: ClosedWhy,
    /// In words.
    pub error: String,
    /// Messages all of which was sent, without an answer.
    pub uncertain: Vec<Ticket>,
}

/// What is to be done.
#[derive(Debug)]
pub enum Decision {
    /// Send a greeting over the cluster bus.
    Greet(NodeId, Hello),
    /// Make a connection, and show the token.
    Connect {
        /// To whom.
        node: NodeId,
        /// Which it will be.
        connection: Connection,
        /// Where.
        endpoint: Endpoint,
        /// What to show.
        token: Token,
    },
    /// End a connection: that it is closed is to be told then.
    Close(NodeId, Connection),
    /// Tell whoever sends that a peer takes messages.
    Up {
        /// Which peer.
        node: NodeId,
        /// Which process of it.
        process: ProcessId,
    },
    /// Tell that one takes none any more, and what became of its messages.
    Gone {
        /// Which peer.
        node: NodeId,
        /// Which process of it.
        process: ProcessId,
        /// Why.
        reason: GoneReason,
        /// They certainly were not delivered.
        not_sent: Vec<Ticket>,
        /// They may have been.
        uncertain: Vec<Ticket>,
    },
}
