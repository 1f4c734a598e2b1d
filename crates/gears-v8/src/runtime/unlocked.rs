//! Giving up an isolate in the middle of a script.
//!
//! While a script waits for the server's lock, other threads may enter its isolate. V8 keeps
//! aside what belongs to this thread, handles included, and has it back when the lock is.

use std::ffi::c_void;

/// V8's `Unlocker`, one pointer in size.
#[repr(C)]
struct RawUnlocker([usize; 1]);

unsafe extern "C" {
    // Of the `v8` crate's C++ side, which offers them to Rust only through the `Locker` itself:
    // that one is borrowed as long as a script runs.
    fn v8__Unlocker__CONSTRUCT(place: *mut c_void, isolate: v8::UnsafeRawIsolatePtr);
    fn v8__Unlocker__DESTRUCT(unlocker: *mut c_void);
}

/// While it lives, the isolate is not this thread's.
pub(crate) struct Unlocked {
    raw: Box<RawUnlocker>,
    isolate: v8::UnsafeRawIsolatePtr,
}

impl Unlocked {
    /// Gives the isolate up. It must not be used before the result is dropped.
    pub(crate) fn new(scope: &mut v8::PinScope) -> Self {
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
        unsafe {
            v8__Unlocker__DESTRUCT(std::ptr::from_mut(&mut *self.raw).cast());
            v8::Isolate::from_raw_isolate_ptr(self.isolate).enter();
        }
    }
}
