//! The server's lock, taken by threads that are not its main one.

use super::api;
use super::constants::OK;
use super::context::detached;

/// Holds the lock while it lives.
pub(crate) struct GlobalLockGuard(());

impl GlobalLockGuard {
    /// Waits for the lock. It is the outermost one: no lock of ours may be held.
    pub(crate) fn take() -> Self {
        // SAFETY: the context is made for use from any thread.
        unsafe { api!(RedisModule_ThreadSafeContextLock)(detached()) };
        Self(())
    }

    /// Takes the lock if nobody has it.
    pub(crate) fn try_take() -> Option<Self> {
        // SAFETY: the context is made for use from any thread.
        let taken = unsafe { api!(RedisModule_ThreadSafeContextTryLock)(detached()) };
        // Not `then_some`: a guard that is not there must not be dropped.
        (taken == OK).then(|| Self(()))
    }
}

impl Drop for GlobalLockGuard {
    fn drop(&mut self) {
        // SAFETY: this thread holds it.
        unsafe { api!(RedisModule_ThreadSafeContextUnlock)(detached()) };
    }
}
