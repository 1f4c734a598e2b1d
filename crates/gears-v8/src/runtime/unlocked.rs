//! Giving up an isolate in the middle of a script.
//!
//! While a script waits for the server's lock, other threads may enter its isolate. V8 keeps
//! aside what belongs to this thread, handles included, and has it back when the lock is. Two
//! things it does not see to, and they are seen to here:
//!
//! * What it carries over every `await` is one for all threads: see [`continuation`].
//! * Its own tasks, such as a collection of young objects, may only be run while nobody is in the
//!   middle of a script: [`run::is_suspended`] says so.

use std::ffi::c_void;

use crate::runtime::continuation;
use crate::runtime::run;

/// V8's `Unlocker`, one pointer in size.
#[repr(C)]
struct RawUnlocker([usize; 1]);

unsafe extern "C" {
    // Private symbols of the `v8` crate's C++ side, declared as in its `src/locker.rs`; checked
    // against 152.2.0. The crate offers them through `Locker::unlock` alone, which borrows the
    // locker: that is borrowed as long as a script runs. To be looked at with each new version.
    fn v8__Unlocker__CONSTRUCT(place: *mut c_void, isolate: v8::UnsafeRawIsolatePtr);
    fn v8__Unlocker__DESTRUCT(unlocker: *mut c_void);
}

/// While it lives, the isolate is not this thread's.
struct Unlocked {
    raw: Box<RawUnlocker>,
    isolate: v8::UnsafeRawIsolatePtr,
}

impl Unlocked {
    /// Gives the isolate up. It must not be used before the result is dropped.
    fn new(scope: &mut v8::PinScope) -> Self {
        run::suspend(scope);
        let mut raw = Box::new(RawUnlocker([0]));
        // SAFETY: the thread holds the isolate and has entered it once, so it may exit and unlock
        // it; the box keeps its address for the destructor.
        let isolate = unsafe {
            let isolate = scope.as_raw_isolate_ptr();
            scope.exit();
            v8__Unlocker__CONSTRUCT(std::ptr::from_mut(&mut *raw).cast(), isolate);
            isolate
        };
        Self { raw, isolate }
    }
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        // SAFETY: made by `new` on this thread; locking and entering is what undoes that.
        let mut isolate = unsafe {
            v8__Unlocker__DESTRUCT(std::ptr::from_mut(&mut *self.raw).cast());
            let isolate = v8::Isolate::from_raw_isolate_ptr(self.isolate);
            isolate.enter();
            isolate
        };
        run::resume(&mut isolate);
    }
}

/// A script in the middle of which this thread has given up the isolate.
#[must_use]
pub(crate) struct Suspended<'s> {
    unlocked: Unlocked,
    /// What V8 carries for it.
    carried: v8::Local<'s, v8::Value>,
}

impl<'s> Suspended<'s> {
    /// Gives up the isolate, which must not be used until [`Suspended::resume`].
    pub(crate) fn new(scope: &mut v8::PinScope<'s, '_>) -> Self {
        // Whoever enters meanwhile neither sees it nor leaves something else.
        let carried = scope.get_continuation_preserved_embedder_data();
        continuation::clear(scope);
        Self {
            unlocked: Unlocked::new(scope),
            carried,
        }
    }

    /// Has the isolate back, as it was.
    pub(crate) fn resume(self, scope: &mut v8::PinScope<'s, '_>) {
        drop(self.unlocked);
        scope.set_continuation_preserved_embedder_data(self.carried);
    }
}
