//! How long a tick may take.

use std::time::Instant;

/// When a tick ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// For what is not urgent.
    pub(super) end: Instant,
    /// For everything.
    pub(super) latest: Instant,
}
