//! Key-space triggers: which of them an event concerns, what waits for them, what is counted. Pure.
//!
//! ```text
//! event of a key ──> Triggers: prefix, event type, key type ──> those concerned, in order of registration
//!                                                                    │ for each
//!                                             Backlog: room? ──no──> dropped, counted
//!                                                │ yes
//!                                             waiting ──> running ──> ended, counted
//! ```
//!
//! Filters come before anything is copied, so an event that nobody wants costs a look-up by its
//! key. An event that happened is dispatched once or counted as dropped, never both: there is no
//! other way through a [`Backlog`].

mod backlog;
mod table;
mod value;

pub use backlog::{Backlog, BacklogLimits, TriggerStats};
pub use table::{KeyType, TriggerSpec, Triggers};
pub use value::KeyValue;

slotmap::new_key_type! {
    /// A trigger, from its registration to its removal; survives an upgrade of its library.
    pub struct TriggerKey;
}
