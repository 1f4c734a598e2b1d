//! Whether this is the main thread, and whether it is free to do what only it may do.

use std::sync::atomic::{AtomicBool, Ordering};

use super::hooks::HOOKS;

/// A thread that holds the server's lock can run commands, for other modules and for libraries that
/// may call everything; but what a library does on the main thread cannot be done on another.
pub(super) const NOT_HERE: &str = "ERR commands of the module cannot be run from another thread";

/// Whether the main thread runs the commands of a worker's block.
static PARKED: AtomicBool = AtomicBool::new(false);

/// Lasts as long as that.
pub(super) struct Parked(());

impl Parked {
    pub(super) fn begin() -> Self {
        PARKED.store(true, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        PARKED.store(false, Ordering::Relaxed);
    }
}

/// Whether this is the main thread, and it is not at something that it does for a worker.
pub(super) fn is_free_main_thread() -> bool {
    HOOKS.is_main() && !PARKED.load(Ordering::Relaxed)
}
