//! The main thread in a library's isolate: running its sync code.

use std::cell::OnceCell;
use std::sync::Arc;

use gears_v8::ports::{Function, Reply, Server};

use super::completions::Clock;
use super::library_executor::LibraryExecutor;
use super::run_context::RunContext;
use super::task::Responder;

/// A library whose isolate the main thread has entered, by way of
/// [`super::main_thread::MainThreadExecutor`].
pub(crate) struct EnteredLibrary<'a> {
    executor: &'a Arc<LibraryExecutor>,
    /// Made when it is needed first.
    clock: &'a OnceCell<Clock>,
}

impl<'a> EnteredLibrary<'a> {
    /// To be made by the holder of the gate guard.
    pub(super) fn of(executor: &'a Arc<LibraryExecutor>, clock: &'a OnceCell<Clock>) -> Self {
        Self { executor, clock }
    }

    /// Calls a function here and now; `None` where its caller waits for a promise. Where nobody
    /// can wait, `wait` gives the error.
    pub(super) fn call_function(
        &self,
        function: &Function,
        arguments: &[&[u8]],
        server: &dyn Server,
        wait: &mut dyn FnMut() -> Result<Box<dyn Responder>, Reply>,
    ) -> Option<Reply> {
        let mut reply = None;
        self.enter(server, |run| {
            reply = run.call_function(function, arguments, wait);
        });
        reply
    }

    /// Enters the program once for all that `work` does. Continuations that could run then
    /// are left to a worker, if they would have to wait once more before they may write.
    pub(crate) fn enter(&self, server: &dyn Server, work: impl FnMut(&mut RunContext<'_>)) {
        let leaves = self.executor.has_async_code() && self.executor.slot.must_wait();
        self.enter_leaving(leaves, server, work);
        if leaves {
            self.executor.resume_continuations();
        }
    }

    /// The same in the middle of a command, or while the server removes keys: no continuation
    /// runs there, since it may write. Gives whether there may be some: a worker has to be told
    /// of it later.
    pub(crate) fn enter_within_command(
        &self,
        server: &dyn Server,
        work: impl FnMut(&mut RunContext<'_>),
    ) -> bool {
        let leaves = self.executor.has_async_code();
        self.enter_leaving(leaves, server, work);
        leaves
    }

    fn enter_leaving(
        &self,
        leaves: bool,
        server: &dyn Server,
        mut work: impl FnMut(&mut RunContext<'_>),
    ) {
        let mut has_results = false;
        self.executor.slot.program.enter(&mut |session| {
            let outer = session.leave_continuations(leaves);
            let mut run = RunContext::new(self.executor, session, server, self.clock);
            work(&mut run);
            has_results |= run.has_results();
            session.leave_continuations(outer);
        });
        if has_results {
            self.executor.send_completions();
        }
    }
}
