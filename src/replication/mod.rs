//! What the module tells itself, on replicas and after a restart: the one owner of `_RG_INTERNALS`.
//!
//! ```text
//!  library loaded, deleted ─┐                                          ┌─> libraries
//!  checkpoint committed ────┼─> ReplicatedCommand ── arguments ──> take ──> delivery core
//!  append-only file anew ───┘     replicas, append-only file
//! ```
//!
//! `RG.FUNCTION LOAD` itself is never replicated: its owner would be lost, and where it fails here
//! it would be tried there.

mod command;
mod link;
mod rewrite;
#[cfg(test)]
mod tests;

pub(crate) use command::{
    COMMAND, CURSOR, DELETE, HOLD, LEDGER, LIBRARY, NAME, PAUSE, ReplicatedCommand, STAMP, WRITES,
};
pub(crate) use link::{
    PropagationTarget, ReplicationLink, send_deletion, send_ledger, send_library, send_pause,
    send_stamps, take,
};
pub(crate) use rewrite::Rewrite;
