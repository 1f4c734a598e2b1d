//! What ends code that takes too long or too much.
//!
//! ```text
//! watchdog        ends runs that take too long or too much memory
//! isolate_limits  what a library may take, and what all may
//! guards          built-ins that would end the process throw instead
//! ```

pub(crate) mod guards;
pub(crate) mod isolate_limits;
pub(crate) mod watchdog;
