//! Calls of remote functions, from shard to shard: decisions only.
//!
//! ```text
//! message   what shards tell each other, as bytes
//! outgoing  the calls of this node: where they are sent, and what became of them
//! incoming  the calls that other nodes made here: none runs twice
//! ```
//!
//! ```text
//! caller                          callee
//!   Request ───────────────────────>       runs it, unless it knows it already
//!           <─────────────────────── Accepted, or Refused: it certainly has not run
//!           <─────────────────────── Ended: the result or the error; kept until it was taken
//!   Taken   ───────────────────────>
//! ```
//!
//! What certainly has not run is tried again until its time is over, also on another node, if that has
//! the key by then. What may have run is asked for again only from the very process that may have run
//! it: that one knows it by its number, and does not run it twice. Where another process answers there,
//! or the node is gone, the call has failed, and its caller is told that it may have run.
//!
//! `N` is a node, `P` one of its processes: a server that was started anew is another one.

mod incoming;
mod message;
mod outgoing;

pub use incoming::{Incoming, IncomingKey, Verdict};
pub use message::{Ended, Message, MessageError, Refusal, Request, Thrown};
pub use outgoing::{CallEnd, Destination, NotAccepted, Outgoing, Wire};
