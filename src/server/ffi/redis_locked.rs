//! The module's state in the server, guarded by the Redis lock.
//!
//! The main thread holds that lock whenever it is inside the module. A thread of another module
//! may hold it too, and cause events there: their facts are taken note of like any other. What
//! only the main thread may do, running JavaScript above all, asks [`RedisLocked::is_main`].

use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::thread_signal::{ThreadId, this_thread};

/// A value that is used under the Redis lock.
pub(crate) struct RedisLocked<T> {
    owner: OnceLock<ThreadId>,
    value: AtomicPtr<T>,
}

// SAFETY: the values are reached from callbacks of the server only, all of which it makes under
// the Redis lock; the module's own threads never call there. So one thread is at them at a time,
// and the lock orders what one writes before what the next one reads.
unsafe impl<T> Sync for RedisLocked<T> {}

impl<T> RedisLocked<T> {
    pub(crate) const fn new() -> Self {
        Self {
            owner: OnceLock::new(),
            value: AtomicPtr::new(null_mut()),
        }
    }

    /// Sets the value, once; the calling thread is the main thread from now on.
    pub(crate) fn set(&self, value: T) {
        self.owner.get_or_init(this_thread);
        if self.get().is_none() {
            // A second value would be a bug of the caller; the first stays.
            self.value
                .store(Box::into_raw(Box::new(value)), Ordering::Release);
        }
    }

    /// The value; `None` before it is set.
    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: a value that was set stays until it is taken, which nobody does who uses it.
        unsafe { self.value.load(Ordering::Acquire).as_ref() }
    }

    /// Takes the value out: another may be set.
    ///
    /// # Safety
    /// Nobody uses what [`RedisLocked::get`] gave.
    pub(crate) unsafe fn take(&self) -> Option<Box<T>> {
        let value = self.value.swap(null_mut(), Ordering::AcqRel);
        // SAFETY: `set` made it of a box, and it is taken once; the caller vouches for the rest.
        (!value.is_null()).then(|| unsafe { Box::from_raw(value) })
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
        // SAFETY: what `get` gave above is not used any more.
        assert_eq!(unsafe { CELL.take() }, Some(Box::new(1)));
        assert_eq!(CELL.get(), None);
        CELL.set(3);
        assert_eq!(CELL.get(), Some(&3));
    }
}
