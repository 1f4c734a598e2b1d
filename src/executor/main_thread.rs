//! The main thread's place in a library's isolate.
//!
//! Coming and going costs as much as a small function. So within one event-loop iteration the
//! main thread stays where it was last, as long as no worker wants to be there, and leaves at the
//! latest before it sleeps, or goes to another library's isolate slot: V8 lets a thread enter one
//! isolate at a time.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use gears_v8::ports::{Function, KeptEntered, Reply, Server};

use super::completions::Clock;
use super::entered_library::EnteredLibrary;
use super::isolate_slot::GateGuard;
use super::library_executor::LibraryExecutor;
use super::task::Responder;

/// What came of calling a function on the main thread.
pub(crate) enum Called {
    /// Nothing: other code of the library runs.
    Busy,
    /// A promise, for which its caller waits.
    Waits,
    /// The reply.
    Answered(Reply),
}

impl Called {
    /// The reply there is; none where the caller waits.
    pub(crate) fn into_reply(self, executor: &LibraryExecutor) -> Option<Reply> {
        match self {
            Self::Busy => Some(executor.busy()),
            Self::Waits => None,
            Self::Answered(reply) => Some(reply),
        }
    }
}

/// The main thread's place in isolate slots: which isolate it is in, and which it keeps entered.
/// Used by the main thread only.
#[derive(Default)]
pub(crate) struct MainThreadExecutor {
    kept: RefCell<Option<KeptIsolate>>,
    /// Whether something is done in an isolate.
    in_use: Cell<bool>,
}

/// Dropped in this order: the program is left, then the isolate slot.
struct KeptIsolate {
    _entered: Box<dyn KeptEntered>,
    _guard: GateGuard,
    executor: Arc<LibraryExecutor>,
    /// The clock of this stay, once it is needed.
    clock: OnceCell<Clock>,
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
                let guard = executor.acquire_main(patience)?;
                KeptIsolate {
                    _entered: executor.keep_entered(),
                    _guard: guard,
                    executor: Arc::clone(executor),
                    clock: OnceCell::new(),
                }
            }
        };
        let result = work(&EnteredLibrary::of(executor, &kept.clock));
        if !executor.leave_main() {
            self.kept.replace(Some(kept));
        }
        Some(result)
    }

    /// Calls a function here and now. Where its caller has to wait and nobody can, `wait` gives the
    /// error.
    pub(crate) fn call_function(
        &self,
        executor: &Arc<LibraryExecutor>,
        function: &Function,
        arguments: &[&[u8]],
        server: &dyn Server,
        patience: Duration,
        wait: &mut dyn FnMut() -> Result<Box<dyn Responder>, Reply>,
    ) -> Called {
        let called = self.with(executor, patience, |library| {
            library.call_function(function, arguments, server, wait)
        });
        match called {
            None => Called::Busy,
            Some(None) => Called::Waits,
            Some(Some(reply)) => Called::Answered(reply),
        }
    }

    /// Whether the main thread could be in a library's isolate now; see
    /// [`super::isolate_slot::IsolateSlot::is_free`].
    pub(crate) fn is_free(&self, executor: &Arc<LibraryExecutor>) -> bool {
        let kept = self.kept.borrow();
        let is_there = |kept: &KeptIsolate| Arc::ptr_eq(&kept.executor, executor);
        kept.as_ref().is_some_and(is_there) || executor.is_free()
    }

    /// Leaves the isolate slot where the main thread is, if it is at one.
    pub(crate) fn leave(&self) {
        drop(self.kept.take());
    }
}
