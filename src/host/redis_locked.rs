//! The module's state in the server, guarded by the Redis lock.
//!
//! The main thread holds that lock whenever it is inside the module. A thread of another module
//! may hold it too, and cause events there: their facts are taken note of like any other. What
//! only the main thread may do, running JavaScript above all, asks [`RedisLocked::is_main`].

use std::cell::OnceCell;
use std::sync::OnceLock;

/// A value that is used under the Redis lock.
pub(crate) struct RedisLocked<T> {
    owner: OnceLock<libc::pthread_t>,
    value: OnceCell<T>,
}

/// The calling thread. Cheaper than the standard library's, and asked for at every event.
fn this_thread() -> libc::pthread_t {
    // SAFETY: no precondition.
    unsafe { libc::pthread_self() }
}

// SAFETY: the values are reached from callbacks of the server only, all of which it makes under
// the Redis lock; the module's own threads never call there. So one thread is at them at a time,
// and the lock orders what one writes before what the next one reads.
unsafe impl<T> Sync for RedisLocked<T> {}

impl<T> RedisLocked<T> {
    pub(crate) const fn new() -> Self {
        Self {
            owner: OnceLock::new(),
            value: OnceCell::new(),
        }
    }

    /// Sets the value, once; the calling thread is the main thread from now on.
    pub(crate) fn set(&self, value: T) {
        self.owner.get_or_init(this_thread);
        // A second value would be a bug of the caller; the first stays.
        let _ = self.value.set(value);
    }

    /// The value; `None` before it is set.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Whether this is the thread that set the value.
    pub(crate) fn is_main(&self) -> bool {
        self.owner.get().copied() == Some(this_thread())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_threads_see_the_value_and_know_that_they_are_not_the_main_one() {
        static CELL: RedisLocked<u8> = RedisLocked::new();
        CELL.set(1);
        CELL.set(2);
        assert!(CELL.is_main());
        std::thread::spawn(|| {
            assert_eq!(CELL.get(), Some(&1));
            assert!(!CELL.is_main());
        })
        .join()
        .unwrap();
    }
}
