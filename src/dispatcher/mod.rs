//! Carrying out what the delivery core decides, on the main thread.
//!
//! The [`Dispatcher`] asks the core what to do, has executors do it, and tells the core what
//! happened. It never keeps the core borrowed while it calls out: reading, trimming and running
//! scripts may all come back with new events.

mod batches;
mod bindings;
mod database_handles;
mod nesting;
mod on_registered;
mod streams;
#[cfg(test)]
mod tests;
mod tick;
mod trigger_table;
mod triggers;

pub(crate) use bindings::Code;
pub(crate) use streams::{ConsumerName, Streams};
pub(crate) use tick::{Called, Dispatcher, TickLimits};
pub(crate) use trigger_table::{EventLimits, KeyEvent, TriggerCode, TriggerView};
