//! What the shards of a cluster agree on.
//!
//! Pure, as all of this crate: bytes of peers, their states and the time go in; messages to peers and
//! changes to carry out come out.

mod ids;
pub mod libraries;

pub use ids::NodeId;
