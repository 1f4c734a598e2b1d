//! Carrying out what the delivery core decides.
//!
//! ```text
//!  main thread                                   workers
//!  Driver ── Book (records, recalls, ...) ────> Runner ── Session::call ──> callback
//!    ^  └─ Streams (read, trim)                   │
//!    └──────────── Report (started, finished) <───┘  through Reports, which wakes the main thread
//! ```
//!
//! A [`Runner`] is one loaded library: its program on a stage, where one thread at a time runs it,
//! and a book of what it has to do. Workers run async code, the main thread sync code. The
//! [`Driver`] is used by the main thread only, and never keeps the delivery core borrowed while it
//! calls out: reading, trimming and running scripts may all come back with new events.

mod bindings;
mod book;
mod chain;
mod driver;
mod executions;
mod firing;
mod homes;
mod hooks;
mod on_stage;
mod podium;
mod pool;
mod report;
mod runner;
mod stage;
mod streams;
mod triggers;
mod units;
mod waiting;

pub(crate) use bindings::Code;
pub(crate) use book::{Caller, FunctionCall, Target};
pub(crate) use driver::{Called, Driver, TurnLimits};
pub(crate) use executions::{ExecutionLog, ExecutionView, Status};
pub(crate) use pool::Pool;
pub(crate) use report::Reports;
pub(crate) use runner::{Runner, Shared};
pub(crate) use stage::ServerLock;
pub(crate) use streams::{ConsumerName, Streams};
pub(crate) use triggers::{EventLimits, KeyEvent, TriggerCode, TriggerView};
pub(crate) use waiting::{Begun, WaitingCall, WaitingCalls};
