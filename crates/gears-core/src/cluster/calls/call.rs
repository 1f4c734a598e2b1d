//! A call of a remote function: where it is to run, by which way it gets there, and how it may end.

use std::sync::Arc;

use bytes::Bytes;

use super::message::{Refusal, Thrown};
use crate::cluster::Payload;

/// Where a call is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination<N> {
    /// On the node that has the slot of the request's key.
    Key,
    /// On this shard, whichever of its nodes is the primary.
    Shard(Shard<N>),
}

/// A shard, as it was when the call was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard<N> {
    /// Its primary.
    pub node: N,
    /// A slot that it had: whoever takes over from its primary has it.
    pub slot: Option<u16>,
    /// The shards that have a call of their own for the same, it may be with this one: where another of them has the slot
    /// now, this call goes nowhere.
    pub others: Arc<[N]>,
}

impl<N> Shard<N> {
    /// That of a node of which no more is known.
    #[must_use]
    pub fn of(node: N) -> Self {
        Self {
            node,
            slot: None,
            others: Arc::new([]),
        }
    }
}

/// The way to other nodes.
pub trait Wire<N, P> {
    /// The node that a call goes to now, and its process.
    ///
    /// # Errors
    /// Why it can go nowhere, and to which node it cannot, where that is known.
    fn route(
        &self,
        destination: &Destination<N>,
        key: Option<&[u8]>,
    ) -> Result<(N, P), (Option<N>, String)>;

    /// Whether a message of so many bytes would be sent now.
    ///
    /// # Errors
    /// As those of [`Self::send`].
    fn room_for(&self, to: &N, bytes: usize) -> Result<(), (Refusal, String)>;

    /// Sends a message.
    ///
    /// # Errors
    /// Why it certainly was not sent, and whether it may be later.
    fn send(&mut self, to: &N, message: Payload) -> Result<(), (Refusal, String)>;
}

/// How a call ended, for its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEnd<N> {
    /// With a result.
    Done {
        /// Where it ran.
        on: N,
        /// The result.
        result: Bytes,
    },
    /// The function has thrown.
    Thrown {
        /// Where it ran.
        on: N,
        /// What.
        thrown: Thrown,
    },
    /// It certainly has not run.
    NotSent {
        /// Where it was to run, if that is known.
        on: Option<N>,
        /// Why.
        why: String,
    },
    /// Its time was over; it may have run, or still run.
    Timeout {
        /// Where.
        on: N,
        /// Milliseconds that it had.
        ms: u64,
    },
    /// The node that had it is gone; it may have run.
    ShardFailed {
        /// Which one.
        on: N,
        /// Why.
        why: String,
    },
}

/// How many milliseconds a call has.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// In all.
    pub timeout_ms: u64,
    /// To be sent.
    pub attempts_ms: u64,
}

impl Times {
    /// So many, for both.
    #[must_use]
    pub fn of(timeout_ms: u64) -> Self {
        Self {
            timeout_ms,
            attempts_ms: timeout_ms,
        }
    }
}

/// Why a call is not taken at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAccepted {
    /// Too many of its library are on their way.
    TooMany,
    /// The arguments of those that are on their way take too much memory.
    TooLarge,
}
