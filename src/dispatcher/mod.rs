//! Carrying out what the delivery core decides, on the main thread.
//!
//! The [`Dispatcher`] asks the core what to do, has executors do it, and tells the core what
//! happened. It never keeps the core borrowed while it calls out: reading, trimming and running
//! scripts may all come back with new events.
//!
//! ```text
//!                                 tick (Dispatcher)
//!          ┌───────────┬───────────────┼──────────────┬──────────────┐
//!       streams     batches         commits        triggers     on_registered
//!          └─────┬─────┴───────┬───────┘           due_triggers, trigger_table
//!   sync_calls, refusals    consumers
//!       nesting          bindings, authorizations, stalls, blocked_log
//!          └───────────────────┴── delivery_core, database_handles, stream_access
//! ```

mod authorizations;
mod batches;
mod bindings;
mod blocked_log;
mod commits;
mod consumers;
mod database_handles;
mod deadline;
mod delivery_core;
mod due_triggers;
mod failure_log;
mod nesting;
mod on_registered;
mod refusals;
mod shutting_down;
mod stalls;
mod stream_access;
mod streams;
mod sync_calls;
#[cfg(test)]
mod tests;
mod tick;
mod trigger_table;
mod triggers;

pub(crate) use bindings::ConsumerCode;
pub(crate) use stream_access::{ConsumerName, Streams};
pub(crate) use tick::{Dispatcher, TickLimits};
pub(crate) use trigger_table::{EventLimits, KeyEvent, TriggerCode, TriggerView};
