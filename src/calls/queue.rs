//! Calls of sync functions that wait for their library, on their way: into the queue, and out of it
//! when the library is free.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::FunctionCalls;
use super::prepare::PreparedCall;
use crate::executor::{CalledExecutor, LibraryExecutor, WaitingCall};
use crate::server::{BlockedClient, Context, is_paused};
use gears_v8::ports::{Arguments, Credentials, Reply};

impl FunctionCalls {
    /// Has the client of a call wait until its library is free.
    ///
    /// # Errors
    /// The error for who cannot.
    pub(super) fn enqueue(
        self: &Rc<Self>,
        context: &Context,
        call: &PreparedCall<'_, '_>,
        arguments: &[&[u8]],
        credentials: Credentials,
    ) -> Result<(), Reply> {
        let called = CalledExecutor::default();
        let (told, calls) = (CalledExecutor::clone(&called), Rc::downgrade(self));
        let on_gone = Box::new(move || match (told.get(), calls.upgrade()) {
            (Some(executor), _) => executor.note_responder_gone(),
            (None, Some(calls)) => calls.forget_gone(),
            (None, None) => {}
        });
        let executor = &call.callee.executor;
        let client = BlockedClient::new(context, on_gone).map_err(|_| executor.busy())?;
        // A run of a worker's is ended by then.
        let longest = self.limits.unlocked_ms.load(Ordering::Relaxed);
        self.queue.push(WaitingCall {
            library: call.callee.library.as_str().into(),
            arguments: Arguments::of(arguments.iter().copied()),
            credentials,
            responder: Box::new(client),
            until: Instant::now() + Duration::from_millis(longest),
            called,
        });
        executor.set_calls_wait(true);
        Ok(())
    }

    /// Part of every tick: who waits for too long is told, and the calls of libraries that are free
    /// now are made.
    pub(crate) fn serve_waiting(&self, context: &Context) {
        if self.queue.is_empty() || is_paused() {
            return;
        }
        let late = self.queue.take_late(Instant::now());
        let told: Vec<_> = late.iter().map(|call| call.library.clone()).collect();
        for call in late {
            let busy = LibraryExecutor::busy_text(&call.library);
            call.responder.answer(Reply::error(busy));
        }
        for library in &told {
            self.note_waiting(library);
        }
        let planned = self.queue.plan(|library| {
            let Some(executor) = self.libraries.executor(library) else {
                // It is an error by now.
                return true;
            };
            // The code may be another one than when they came.
            executor.set_calls_wait(true);
            self.main_thread.is_free(&executor)
        });
        context.make_calls(planned);
    }

    /// Makes the first call whose library is free.
    pub(crate) fn make_one(&self, context: &Context) {
        self.queue.begin();
        if is_paused() {
            return;
        }
        for library in self.queue.libraries() {
            let Some(call) = self.queue.take_first(&library) else {
                continue;
            };
            if let Some(call) = self.call_again(context, call) {
                self.queue.put_back(call);
                continue;
            }
            self.note_waiting(&library);
            // What came of it may be something to do.
            self.dispatcher.wake();
            return;
        }
    }

    fn forget_gone(&self) {
        for call in self.queue.take_gone() {
            self.note_waiting(&call.library);
        }
    }

    fn note_waiting(&self, library: &str) {
        if !self.queue.wait_for(library)
            && let Some(executor) = self.libraries.executor(library)
        {
            executor.set_calls_wait(false);
        }
    }
}
