//! State that belongs to the server's main thread.

use std::cell::OnceCell;
use std::sync::OnceLock;

/// A value that only the thread that set it gets to see.
pub(crate) struct MainThread<T> {
    owner: OnceLock<libc::pthread_t>,
    value: OnceCell<T>,
}

/// The calling thread. Cheaper than the standard library's, and asked for at every event.
fn this_thread() -> libc::pthread_t {
    // SAFETY: no precondition.
    unsafe { libc::pthread_self() }
}

// SAFETY: `value` is reached through `set` and `get` only, and both let a single thread pass: the
// one that `owner` names, which is decided before the value is touched. The main thread does not
// end, so its number is not given to another.
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
        if *self.owner.get_or_init(this_thread) == this_thread() {
            // A second value would be a bug of the caller; the first stays.
            let _ = self.value.set(value);
        }
    }

    /// The value; `None` on other threads and before it is set.
    pub(crate) fn get(&self) -> Option<&T> {
        if self.owner.get().copied() == Some(this_thread()) {
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
        std::thread::spawn(|| {
            CELL.set(2);
            assert_eq!(CELL.get(), None);
        })
        .join()
        .unwrap();
        assert_eq!(CELL.get(), Some(&1));
    }
}
