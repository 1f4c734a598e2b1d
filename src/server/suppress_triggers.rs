//! Whether what happens to keys is the doing of libraries, or of the module for them: that fires no
//! triggers, or triggers would fire one another without an end.
//!
//! A counter, not a flag: commands of scripts can be nested, and the end of an inner one must not
//! open the way for the rest of the outer one.

use std::sync::atomic::{AtomicIsize, Ordering};

/// How many such commands are going on. Changed under the server's lock, by whoever holds it.
static DEPTH: AtomicIsize = AtomicIsize::new(0);

/// The lock makes one of reading and writing.
fn change(by: isize) {
    DEPTH.store(DEPTH.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

/// Lasts as long as such a command.
pub(super) struct SuppressTriggers(());

impl SuppressTriggers {
    pub(super) fn begin() -> Self {
        change(1);
        Self(())
    }
}

impl Drop for SuppressTriggers {
    fn drop(&mut self) {
        change(-1);
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
