//! Carrying out what the delivery core decides.
//!
//! ```text
//!  main thread                                   workers
//!  Driver ── Message (records, recall, ...) ──> Runner ── Session::call ──> callback
//!    ^  └─ Streams (read, trim)                   │
//!    └──────────── Report (started, finished) <───┘  through Reports, which wakes the main thread
//! ```
//!
//! A [`Runner`] is one loaded library: its program, and the lanes in which entries wait for their
//! callbacks. Whoever runs its code holds its stage: a worker for async callbacks, the main
//! thread for sync ones. The [`Driver`] is used by the main thread only, and never keeps the
//! delivery core borrowed while it calls out: reading, trimming and running scripts may all come
//! back with new events.

mod driver;
mod pool;
mod report;
mod runner;
mod stage;

pub use driver::{Driver, Streams, TurnLimits};
pub use pool::Pool;
pub use report::{Report, Reports};
pub use runner::Runner;
pub use stage::Target;
