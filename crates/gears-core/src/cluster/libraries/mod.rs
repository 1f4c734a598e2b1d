//! Which libraries there are, on all shards of a cluster: a map from names to the last that was said
//! of each, and how the shards come to have the same one.
//!
//! ```text
//!  client: LOAD, DEL ─> propose ── Prepare ──> check there ── Promise ──┐
//!                          └── all promised: adopt, Commit <────────────┘     nothing changes before
//!
//!  client: CHECK ─────> ask ────── Ask ──────> look there ── Answer ──> all would: nothing changes
//!
//!  each second: Digest ──> roots differ: Offer (name, stamp) ──> Pull what is newer ──> Entries
//! ```
//!
//! ```text
//! stamp     what orders all that was ever said of a library
//! entry     what was said: here is its body, or it is deleted
//! map       the last of each name; merging takes the greater stamp
//! ledger    the map without bodies, as it is kept
//! message   what nodes tell each other, as bytes
//! node      what one node does with all that: facts in, effects out; who goes first where two change the same
//! ```
//!
//! *Merging is a join*: loss, order and repetition of messages do not matter. So preparing is not what
//! makes the shards equal, it is what makes a client's OK true: the body was checked everywhere, and
//! enough shards have it that it stays.
//!
//! *Deletions are remembered* (tombstones), since a shard that was away would bring the library back.
//! When too many are, the oldest are forgotten behind a *floor*: whoever has something of a
//! counter up to the floor that is not in a map of that floor has something deleted. That is sound
//! because a node raises its floor only when all primaries have what it has and none of them is
//! about to change anything; and because a change is prepared with a counter above the clocks of those that
//! promise it.
//!
//! *A domain* is whose libraries these are. A node without slots that joins a cluster with libraries gives
//! its own up; where two clusters with slots meet by accident, everything is kept and the
//! smaller domain names it.
//!
//! Replicas take what their primary has, in its order, and from nobody else.

mod entry;
mod ledger;
mod map;
mod message;
mod node;
mod random;
mod stamp;

pub use entry::{Body, Content, Entry};
pub use ledger::{Ledger, LedgerError};
pub use map::{Known, LibraryMap, Root};
pub use message::{Envelope, Message, MessageError, Nak};
pub use node::{
    Effect, Limits, Member, Members, PeerLibraries, Proposal, Refused, SharedLibraries,
};
pub use stamp::{BodyDigest, Domain, Stamp};
