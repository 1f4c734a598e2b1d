//! What ends code that takes too long or too much.
//!
//! ```text
//! watchdog        ends runs that take too long or too much memory
//! isolate_limits  what a library may take, and what all may
//! allocations     what V8 may allocate through Rust while it clones a value
//! ```

pub mod allocations;
pub(crate) mod isolate_limits;
pub(crate) mod watchdog;
