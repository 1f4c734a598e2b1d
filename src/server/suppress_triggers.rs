//! Whether what happens to keys is the doing of libraries, or of the module for them: that fires no
//! triggers, or triggers would fire one another without an end.
//!
//! A counter, not a flag: commands of scripts can be nested, and the end of an inner one must not
//! open the way for the rest of the outer one.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many such commands are going on. Changed under the server's lock, by whoever holds it.
static DEPTH: AtomicUsize = AtomicUsize::new(0);

/// Lasts as long as such a command.
pub(super) struct SuppressTriggers(());

impl SuppressTriggers {
    pub(super) fn begin() -> Self {
        DEPTH.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for SuppressTriggers {
    fn drop(&mut self) {
        DEPTH.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether such a command is going on.
pub(super) fn are_suppressed() -> bool {
    DEPTH.load(Ordering::Relaxed) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_suppressed_until_the_outermost_command_ends() {
        let outer = SuppressTriggers::begin();
        drop(SuppressTriggers::begin());
        assert!(are_suppressed());
        drop(outer);
        assert!(!are_suppressed());
    }
}
