//! State that belongs to the server's main thread.

use std::cell::OnceCell;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};

/// A value that only the thread that set it gets to see.
pub(crate) struct MainThread<T> {
    owner: OnceLock<ThreadId>,
    value: OnceCell<T>,
}

// SAFETY: `value` is reached through `set` and `get` only, and both let a single thread pass: the
// one that `owner` names, which is decided before the value is touched.
unsafe impl<T> Sync for MainThread<T> {}

impl<T> MainThread<T> {
    pub(crate) const fn new() -> Self {
        Self {
            owner: OnceLock::new(),
            value: OnceCell::new(),
        }
    }

    /// Sets the value, once; the calling thread is the main thread from now on.
    pub(crate) fn set(&self, value: T) {
        if *self.owner.get_or_init(|| thread::current().id()) == thread::current().id() {
            // A second value would be a bug of the caller; the first stays.
            let _ = self.value.set(value);
        }
    }

    /// The value; `None` on other threads and before it is set.
    pub(crate) fn get(&self) -> Option<&T> {
        if self.owner.get().copied() == Some(thread::current().id()) {
            self.value.get()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_threads_do_not_see_the_value() {
        static CELL: MainThread<u8> = MainThread::new();
        CELL.set(1);
        assert_eq!(CELL.get(), Some(&1));
        thread::spawn(|| {
            CELL.set(2);
            assert_eq!(CELL.get(), None);
        })
        .join()
        .unwrap();
        assert_eq!(CELL.get(), Some(&1));
    }
}
