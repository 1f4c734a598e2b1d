//! Calls of sync functions whose clients wait, because a worker is on the library's isolate slot.
//!
//! They wait in the order of their arrival, per library, and hold nothing up. Nothing is known of
//! the library but its name: whoever calls looks it up anew, as for a call that comes then.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use gears_v8::ports::{Arguments, Credentials};

use super::library_executor::LibraryExecutor;
use super::task::Responder;

/// Who has to be told when the client leaves, once the call is not in the queue any more.
pub(crate) type CalledExecutor = Rc<OnceCell<Arc<LibraryExecutor>>>;

/// A call that waits.
pub(crate) struct WaitingCall {
    /// The library's name.
    pub library: Box<str>,
    /// The arguments of the command, the library's name first.
    pub arguments: Arguments,
    /// In whose name it acts, and where.
    pub credentials: Credentials,
    /// Who waits.
    pub responder: Box<dyn Responder>,
    /// How long.
    pub until: Instant,
    /// Is set when the function was called, if its caller still waits.
    pub called: CalledExecutor,
}

/// Calls whose clients wait for a busy library, in the order of their arrival.
/// Used by the main thread only.
#[derive(Default)]
pub(crate) struct WaitingCalls {
    calls: RefCell<VecDeque<WaitingCall>>,
    /// How many calls the event loop is about to make.
    coming: Cell<usize>,
}

impl WaitingCalls {
    /// Whether nobody waits.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.borrow().is_empty()
    }

    /// How many wait for that library.
    #[must_use]
    pub(crate) fn count(&self, library: &str) -> usize {
        let calls = self.calls.borrow();
        let of_it = calls.iter().filter(|call| *call.library == *library);
        of_it.count()
    }

    /// Whether somebody waits for that library.
    #[must_use]
    pub(crate) fn wait_for(&self, library: &str) -> bool {
        let calls = self.calls.borrow();
        calls.iter().any(|call| *call.library == *library)
    }

    /// The libraries that are waited for, the one first that was waited for first.
    #[must_use]
    pub(crate) fn libraries(&self) -> Vec<Box<str>> {
        let mut libraries: Vec<Box<str>> = Vec::new();
        for call in &*self.calls.borrow() {
            if !libraries.contains(&call.library) {
                libraries.push(call.library.clone());
            }
        }
        libraries
    }

    /// Puts a call behind all others.
    pub(crate) fn push(&self, call: WaitingCall) {
        self.calls.borrow_mut().push_back(call);
    }

    /// Takes the first call of a library out.
    pub(crate) fn take_first(&self, library: &str) -> Option<WaitingCall> {
        let mut calls = self.calls.borrow_mut();
        let at = calls.iter().position(|call| *call.library == *library)?;
        calls.remove(at)
    }

    /// Puts a call back that was the first of its library.
    pub(crate) fn put_back(&self, call: WaitingCall) {
        self.calls.borrow_mut().push_front(call);
    }

    /// Takes the calls out that have waited for too long.
    #[must_use]
    pub(crate) fn take_late(&self, now: Instant) -> Vec<WaitingCall> {
        self.take(|call| call.until <= now)
    }

    /// Takes the calls out whose callers are gone.
    #[must_use]
    pub(crate) fn take_gone(&self) -> Vec<WaitingCall> {
        self.take(|call| call.responder.is_gone())
    }

    fn take(&self, mut is_out: impl FnMut(&WaitingCall) -> bool) -> Vec<WaitingCall> {
        let mut calls = self.calls.borrow_mut();
        let (out, stay): (Vec<_>, Vec<_>) = calls.drain(..).partition(|call| is_out(call));
        calls.extend(stay);
        out
    }

    /// How many calls the event loop is to make beyond those that it is about to: of libraries that
    /// are free, all. They count as about to be made from now on.
    pub(crate) fn plan(&self, mut is_free: impl FnMut(&str) -> bool) -> usize {
        let free = self.libraries();
        let free: Vec<_> = free.into_iter().filter(|one| is_free(one)).collect();
        let calls = self.calls.borrow();
        let count = calls.iter().filter(|call| free.contains(&call.library));
        let more = count.count().saturating_sub(self.coming.get());
        self.coming.set(self.coming.get() + more);
        more
    }

    /// The event loop makes one of the calls that were planned.
    pub(crate) fn begin(&self) {
        self.coming.set(self.coming.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use gears_v8::ports::{Database, Flags, Reply};

    struct Nobody {
        gone: bool,
    }

    impl Responder for Nobody {
        fn answer(self: Box<Self>, _reply: Reply) {}

        fn is_gone(&self) -> bool {
            self.gone
        }
    }

    fn call(library: &str, number: u8, until: Instant, gone: bool) -> WaitingCall {
        WaitingCall {
            library: library.into(),
            arguments: Arguments::of([[number].as_slice()]),
            credentials: Credentials {
                user: "anna".into(),
                db: Database::Number(0),
                flags: Flags::default(),
            },
            responder: Box::new(Nobody { gone }),
            until,
            called: CalledExecutor::default(),
        }
    }

    fn number(call: &WaitingCall) -> u8 {
        call.arguments.iter().next().unwrap()[0]
    }

    #[test]
    fn calls_of_a_library_keep_their_order_whoever_is_put_back() {
        let waiting = WaitingCalls::default();
        let now = Instant::now();
        for (library, n) in [("a", 1), ("b", 2), ("a", 3), ("b", 4)] {
            waiting.push(call(library, n, now, false));
        }
        assert_eq!(waiting.libraries(), [Box::<str>::from("a"), "b".into()]);
        assert_eq!(["a", "b", "c"].map(|one| waiting.count(one)), [2, 2, 0]);
        let first = waiting.take_first("b").unwrap();
        assert_eq!(number(&first), 2);
        waiting.put_back(first);
        let numbers = |library: &str| -> Vec<_> {
            std::iter::from_fn(|| waiting.take_first(library))
                .map(|call| number(&call))
                .collect()
        };
        assert_eq!(numbers("b"), [2, 4]);
        assert!(!waiting.wait_for("b"));
        assert_eq!(numbers("a"), [1, 3]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn who_is_late_or_gone_is_taken_out_and_no_other() {
        let waiting = WaitingCalls::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        waiting.push(call("a", 1, now, false));
        waiting.push(call("a", 2, later, true));
        waiting.push(call("a", 3, later, false));
        let numbers = |calls: Vec<WaitingCall>| calls.iter().map(number).collect::<Vec<_>>();
        assert_eq!(numbers(waiting.take_gone()), [2]);
        assert_eq!(numbers(waiting.take_late(now)), [1]);
        assert_eq!(numbers(waiting.take_late(later)), [3]);
    }

    #[test]
    fn a_call_is_planned_once() {
        let waiting = WaitingCalls::default();
        let now = Instant::now();
        for library in ["a", "b", "a"] {
            waiting.push(call(library, 0, now, false));
        }
        assert_eq!(waiting.plan(|library| library == "b"), 1);
        assert_eq!(waiting.plan(|library| library == "b"), 0);
        assert_eq!(waiting.plan(|_| true), 2);
        waiting.begin();
        assert_eq!(waiting.plan(|_| true), 1);
    }
}
