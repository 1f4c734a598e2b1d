//! What ends code that takes too long or too much.
//!
//! ```text
//! watchdog  ends runs that take too long or too much memory
//! memory    what a library may take, and what all may
//! guards    built-ins that would end the process throw instead
//! ```

pub(crate) mod guards;
pub(crate) mod memory;
pub(crate) mod watchdog;
