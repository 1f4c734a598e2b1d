//! Code that was replaced or deleted, and may have entries that it did not finish.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use crate::executor::LibraryExecutor;

/// Executors of replaced and deleted libraries, until their code has ended.
/// Used by the main thread only.
#[derive(Default)]
pub(super) struct ShuttingDown(RefCell<Vec<Weak<LibraryExecutor>>>);

impl ShuttingDown {
    /// Lets the code of a library end.
    pub(super) fn add(&self, executor: &Arc<LibraryExecutor>, deleted: bool) {
        executor.shut_down(deleted);
        // It lives as long as its worker has something to do, and is over with it then.
        self.0.borrow_mut().push(Arc::downgrade(executor));
    }

    /// Takes back what has not been finished for some time; until then, looks after what it waits
    /// for.
    pub(super) fn reclaim(&self) {
        let is_going_on = |executor: &Weak<LibraryExecutor>| {
            let executor = executor.upgrade();
            let executor = executor.filter(|executor| !executor.give_up());
            executor.inspect(LibraryExecutor::pump).is_some()
        };
        self.0.borrow_mut().retain(is_going_on);
    }
}
