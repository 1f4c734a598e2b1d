//! What the shards of a cluster agree on, and what they have each other do.
//!
//! Pure, as all of this crate: bytes of peers, their states and the time go in; messages to peers and
//! changes to carry out come out.

pub mod calls;
mod ids;
pub mod libraries;

pub use ids::NodeId;
