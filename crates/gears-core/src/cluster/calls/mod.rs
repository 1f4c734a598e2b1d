//! Calls of remote functions, from shard to shard: decisions only.
//!
//! ```text
//! call      where a call is to run, by which way it gets there, and how it may end
//! message   what shards tell each other, as bytes
//! outgoing  the calls of this node: where they are sent, and what became of them
//! incoming  the calls that other nodes made here: none runs twice
//! unsent    messages that wait for room in a node's queue
//! ```
//!
//! ```text
//! caller                          callee
//!   Request ───────────────────────>       runs it, unless it knows it already
//!           <─────────────────────── Accepted, if it is large or was asked for again
//!           <─────────────────────── Refused: it certainly has not run
//!           <─────────────────────── Ended: the result or the error; kept until it was taken
//!   Taken   ───────────────────────>       forgets it, unless it may have been asked for again
//! ```
//!
//! What certainly has not run is tried again until its time is over, also on another node, if that has
//! the key by then. Each attempt has a number, which its answers name: where a connection was lost in
//! between, an answer may come behind the next question. What may have run is asked for again only from the very process that may have run
//! it: that one knows it by its number, and does not run it twice. Where another process answers there,
//! or the node is gone, the call has failed, and its caller is told that it may have run.
//!
//! A request says which version of its library the caller has. A callee whose own is older refuses it for now and fetches
//! that one ([`SharedLibraries::hear_of`](super::libraries::SharedLibraries::hear_of)): no function runs in code older than
//! what calls it.
//!
//! `N` is a node, `P` one of its processes: a server that was started anew is another one.

mod call;
mod incoming;
mod message;
mod outgoing;
mod quotas;
mod unsent;

pub use call::{CallEnd, Destination, NotAccepted, Shard, Times, Wire};
pub use incoming::{Bounds, Figures, Incoming, IncomingKey, Verdict};
pub use message::{Ended, Message, MessageError, Refusal, Request, Taken, Thrown, ThrownKind};
pub use outgoing::Outgoing;
pub use unsent::Unsent;
