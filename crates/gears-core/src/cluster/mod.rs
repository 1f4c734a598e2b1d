//! A cluster as one of its nodes sees it, and how messages get from node to node: decisions only.
//!
//! ```text
//! slot         the slot of a key
//! ids          names of nodes and of their processes; tokens
//! nodes        the server's table of the cluster: who there is, and who has which slot
//! whereabouts  where a slot is that is not here, in words
//! hello        what goes over the cluster bus: tokens
//! decision     what is decided about connections, to be done outside
//! peer         one other node: its connection, and what it was given to carry
//! peers        to whom there is to be a connection, and what becomes of messages
//! payload      the bytes of a message, what may be large of it apart
//! frame        a part of a message, as bytes
//! outgoing     messages that wait for a connection, in frames
//! incoming     frames of a connection, put together
//! calls        remote functions: calls, and what becomes of them
//! libraries    how all shards come to have the same libraries
//! ```
//!
//! A message is delivered once, or its sender is told what is known: that it certainly was not
//! delivered, or that it may have been. Messages may overtake each other.

pub mod calls;
mod decision;
mod frame;
mod hello;
mod ids;
mod incoming;
pub mod libraries;
mod nodes;
mod outgoing;
mod payload;
mod peer;
mod peers;
mod slot;
mod whereabouts;

pub use decision::{Closed, ClosedWhy, Connection, Decision, Endpoint, GoneReason, Opened, Ticket};
pub use frame::{CHUNK, FrameError, HEADER, Topic};
pub use hello::Hello;
pub use ids::{NodeId, ProcessId, Token};
pub use incoming::{Incoming, Memory, NotTaken};
pub use nodes::{Change, NoShard, Node, NodeState, NodesError, Role, SLOTS, Topology};
pub use outgoing::{Answer, Batch, Outgoing, Unfinished};
pub use payload::Payload;
pub use peer::{PeerState, PeerView, Pulse};
pub use peers::{Limits, NotSent, Peers};
pub use slot::{key_of, slot_of, tag_of};
pub use whereabouts::Whereabouts;
