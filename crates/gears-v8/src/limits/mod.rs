//! What ends code that takes too long or too much.
//!
//! ```text
//! watchdog        ends runs that take too long or too much memory
//! asked_place     where such a run is, and how long it may take to say so
//! isolate_limits  what a library may take, and what all may
//! allocations     what V8 may allocate through Rust while it clones a value
//! ```

pub mod allocations;
mod asked_place;
pub(crate) mod isolate_limits;
pub(crate) mod watchdog;
