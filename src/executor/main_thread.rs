//! The main thread's place in a library's isolate.
//!
//! Coming and going costs as much as a small function. So within one event-loop iteration the
//! main thread stays where it was last, as long as no worker wants to be there, and leaves at the
//! latest before it sleeps, or goes to another library's isolate slot: V8 lets a thread enter one
//! isolate at a time.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use gears_v8::ports::KeptEntered;

use super::entered_library::EnteredLibrary;
use super::isolate_slot::GateGuard;
use super::library_executor::LibraryExecutor;

/// See the module's description. Used by the main thread only.
#[derive(Default)]
pub(crate) struct MainThreadExecutor {
    kept: RefCell<Option<Kept>>,
    /// Whether something is done in an isolate.
    in_use: Cell<bool>,
}

/// Dropped in this order: the program is left, then the isolate slot.
struct Kept {
    _entered: Box<dyn KeptEntered>,
    _pass: GateGuard,
    executor: Arc<LibraryExecutor>,
}

struct InUse<'a>(&'a Cell<bool>);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl MainThreadExecutor {
    /// Runs `work` in a library's isolate; `None` where a worker is there for longer than
    /// `patience`, or something is done in an isolate already.
    pub(crate) fn with<R>(
        &self,
        executor: &Arc<LibraryExecutor>,
        patience: Duration,
        work: impl FnOnce(&EnteredLibrary<'_>) -> R,
    ) -> Option<R> {
        if self.in_use.replace(true) {
            return None;
        }
        // Also where `work` panics.
        let _in_use = InUse(&self.in_use);
        self.with_isolate(executor, patience, work)
    }

    fn with_isolate<R>(
        &self,
        executor: &Arc<LibraryExecutor>,
        patience: Duration,
        work: impl FnOnce(&EnteredLibrary<'_>) -> R,
    ) -> Option<R> {
        let kept = match self.kept.take() {
            Some(kept) if Arc::ptr_eq(&kept.executor, executor) => kept,
            other => {
                drop(other);
                let pass = executor.acquire_main(patience)?;
                Kept {
                    _entered: executor.keep_entered(),
                    _pass: pass,
                    executor: Arc::clone(executor),
                }
            }
        };
        let result = work(&EnteredLibrary::of(executor));
        if !executor.leave_main() {
            self.kept.replace(Some(kept));
        }
        Some(result)
    }

    /// Whether the main thread could be in a library's isolate now; see
    /// [`super::isolate_slot::IsolateSlot::is_free`].
    pub(crate) fn is_free(&self, executor: &Arc<LibraryExecutor>) -> bool {
        let kept = self.kept.borrow();
        let is_there = |kept: &Kept| Arc::ptr_eq(&kept.executor, executor);
        kept.as_ref().is_some_and(is_there) || executor.is_free()
    }

    /// Leaves the isolate slot where the main thread is, if it is at one.
    pub(crate) fn leave(&self) {
        drop(self.kept.take());
    }
}
