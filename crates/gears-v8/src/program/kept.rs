//! An isolate that a thread keeps entered, with its context and a handle scope.
//!
//! The first handle scope makes a block for its handles, and a context is put on a stack of V8's:
//! together a tenth of what an empty call takes. So it is done once for a stay. What is done in it has
//! handle scopes of its own, within: handles do not pile up.

use std::ffi::c_void;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::ports::KeptEntered;

/// The context that the thread which may enter keeps entered, if it does: the place of a handle.
#[derive(Default)]
pub(super) struct KeptContext(AtomicPtr<c_void>);

impl KeptContext {
    /// Runs `work` in the context that is kept; gives it back where none is.
    ///
    /// # Safety
    /// Only the thread that keeps the context, if one does, may ask.
    pub(super) unsafe fn with<R, W>(&self, work: W) -> Result<R, W>
    where
        W: FnOnce(&mut v8::PinScope<'_, '_>) -> R,
    {
        let Some(context) = NonNull::new(self.0.load(Ordering::Acquire)) else {
            return Err(work);
        };
        // SAFETY: `EnteredIsolate` put the handle there and takes it away before it ends, on the
        // thread that asks; the context is entered, and its isolate is locked by that thread.
        v8::callback_scope!(unsafe scope, unsafe {
            std::mem::transmute::<NonNull<c_void>, v8::Local<'_, v8::Context>>(context)
        });
        v8::scope!(let scope, scope);
        Ok(work(scope))
    }
}

/// A value that stays where it is, for what refers to it.
struct Placed<T>(NonNull<T>);

impl<T> Placed<T> {
    fn new(value: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(value))))
    }
}

impl<T> Drop for Placed<T> {
    fn drop(&mut self) {
        // SAFETY: it was leaked by `new`, and is freed once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// See [`crate::ports::Program::keep_entered`]. The parts refer to those below them, and are dropped
/// in this order.
pub(super) struct EnteredIsolate {
    kept: Arc<KeptContext>,
    _context: v8::ContextScope<'static, 'static, v8::HandleScope<'static>>,
    _handles: Placed<v8::PinnedRef<'static, v8::HandleScope<'static, ()>>>,
    _storage: Placed<v8::ScopeStorage<v8::HandleScope<'static, ()>>>,
    _locker: v8::Locker<'static>,
}

impl EnteredIsolate {
    /// Locks and enters the isolate, and the context.
    ///
    /// # Safety
    /// The result must end before the isolate does, and be dropped by the same thread, behind all
    /// handle scopes that were made in between.
    pub(super) unsafe fn new(
        isolate: &v8::SharedIsolate,
        context: &v8::Global<v8::Context>,
        kept: &Arc<KeptContext>,
    ) -> Self {
        // SAFETY: the caller lets go of it before the isolate ends.
        let mut locker =
            unsafe { std::mem::transmute::<v8::Locker<'_>, v8::Locker<'static>>(isolate.lock()) };
        let entered: *mut v8::Isolate = &raw mut *locker;
        // SAFETY: a scope takes the isolate's address along, and not that of the locker.
        let storage = Placed::new(v8::HandleScope::new(unsafe { &mut *entered }));
        // SAFETY: the scope stays in its place until it is dropped, behind what refers to it.
        let handles = Placed::new(unsafe { Pin::new_unchecked(&mut *storage.0.as_ptr()) }.init());
        // SAFETY: as above.
        let scope = unsafe { &mut *handles.0.as_ptr() };
        let context = v8::Local::new(scope, context);
        // SAFETY: a handle is the address of its place.
        let place =
            unsafe { std::mem::transmute::<v8::Local<'_, v8::Context>, *mut c_void>(context) };
        let context = v8::ContextScope::new(scope, context);
        kept.0.store(place, Ordering::Release);
        Self {
            kept: Arc::clone(kept),
            _context: context,
            _handles: handles,
            _storage: storage,
            _locker: locker,
        }
    }
}

impl KeptEntered for EnteredIsolate {}

impl Drop for EnteredIsolate {
    fn drop(&mut self) {
        self.kept.0.store(std::ptr::null_mut(), Ordering::Release);
    }
}
