//! The main thread in a library's isolate: running its sync code.

use std::sync::Arc;
use std::time::Instant;

use gears_core::delivery::{EntryId, RecordBatch, SubscriptionKey};
use gears_v8::ports::{
    Flags, Function, Invocation, Notification, Outcome, Reply, RetainedValue, RunResults,
    ScriptError, Server, Session,
};

use super::completions::{Clock, Completion};
use super::library_executor::LibraryExecutor;
use super::task_queue::{BatchTask, Responder, Target};
use super::trigger_task::{TriggerCall, TriggerEvent};

/// See the module's description. [`super::main_thread::MainThreadExecutor`] lets the thread there.
pub(crate) struct EnteredLibrary<'a> {
    executor: &'a Arc<LibraryExecutor>,
}

impl<'a> EnteredLibrary<'a> {
    /// To be made by the holder of the gate guard.
    pub(crate) fn of(executor: &'a Arc<LibraryExecutor>) -> Self {
        Self { executor }
    }

    /// Calls a function here and now; `None` where its caller waits for a promise. Where nobody
    /// can wait, `wait` gives the error.
    pub(crate) fn call_function(
        &self,
        function: &Function,
        arguments: &[&[u8]],
        server: &dyn Server,
        wait: &mut dyn FnMut() -> Result<Box<dyn Responder>, Reply>,
    ) -> Option<Reply> {
        let queue = &self.executor.queue;
        let token = queue.lock().token();
        let invocation = Invocation {
            callback: function.callback,
            background: None,
            arguments,
            raw: function.flags.contains(Flags::RAW_ARGUMENTS),
            token,
        };
        let mut answer = None;
        self.enter(|session| {
            answer = match session.invoke(&invocation, server) {
                Outcome::Done(reply) => Some(reply),
                // Nobody asks a function for that.
                Outcome::Partly { .. } => Some(Reply::Null),
                Outcome::Failed(error) => Some(Reply::Error(queue.lock().text(&error))),
                Outcome::Killed(error) => {
                    self.fail_pending_calls(session, &error);
                    Some(Reply::Error(queue.lock().text(&error)))
                }
                outcome @ Outcome::Pending => match wait() {
                    Ok(responder) => {
                        queue.lock().note_function(responder, token, outcome);
                        None
                    }
                    Err(refused) => Some(refused),
                },
            };
            self.take_results(session);
        });
        answer
    }

    /// Enters the program once for all that `work` does. Code that waits and could go on with that
    /// is left to a worker, where it would have to wait once more before it may write.
    pub(crate) fn enter(&self, work: impl FnMut(&mut dyn Session)) {
        let leaves = self.executor.has_async_code() && self.executor.slot.must_wait();
        self.enter_leaving(leaves, work);
        if leaves {
            self.executor.go_on();
        }
    }

    /// The same in the middle of a command, or while the server removes keys: no code that waits goes on
    /// there, since it may write. Gives whether there may be some: a worker has to be told of it later.
    pub(crate) fn enter_within_command(&self, work: impl FnMut(&mut dyn Session)) -> bool {
        let leaves = self.executor.has_async_code();
        self.enter_leaving(leaves, work);
        leaves
    }

    fn enter_leaving(&self, leaves: bool, mut work: impl FnMut(&mut dyn Session)) {
        self.executor.slot.program.enter(&mut |session| {
            let outer = session.leave_continuations(leaves);
            work(session);
            session.leave_continuations(outer);
        });
    }

    /// Puts entries into the prefetch queue of a sync consumer.
    pub(crate) fn push_records(
        &self,
        sub: SubscriptionKey,
        target: &Target,
        stream: &Arc<[u8]>,
        window: usize,
        batch: RecordBatch,
    ) {
        let mut queue = self.executor.queue.lock();
        queue.push_records(sub, target, stream, None, window, batch);
    }

    /// Sets the window of a prefetch queue.
    pub(crate) fn set_window(&self, sub: SubscriptionKey, window: usize) {
        self.executor.queue.lock().set_window(sub, window);
    }

    /// What came of entries, to be told to the delivery core now: is appended.
    pub(crate) fn take_completions(&self, into: &mut Vec<Completion>) {
        self.executor.queue.lock().take_completions(into);
    }

    /// See [`LibraryExecutor::run_entry`].
    pub(crate) fn run_entry(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        sub: SubscriptionKey,
        clock: &Clock,
        began: Instant,
        begin: &mut dyn FnMut(EntryId),
    ) -> Option<Instant> {
        self.executor
            .run_entry(session, server, sub, clock, began, begin)
    }

    /// See [`LibraryExecutor::run_batch`].
    pub(crate) fn run_batch(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        call: &BatchTask,
    ) {
        self.executor
            .run_batch(session, server, call, &Clock::start());
    }

    /// See [`LibraryExecutor::run_trigger_event`].
    pub(crate) fn run_trigger(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        call: &TriggerCall,
        trigger_event: &TriggerEvent,
    ) {
        self.executor
            .run_trigger_event(session, server, call, trigger_event, &Clock::start());
        self.executor.send_completions();
    }

    /// Calls a function that looks at an event of a key.
    pub(crate) fn fire(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        call: &Notification<'_>,
    ) -> Result<RetainedValue, Arc<str>> {
        let fired = session.fire(call, server);
        if let Err(Outcome::Killed(error)) = &fired {
            self.fail_pending_calls(session, error);
        }
        self.take_results(session);
        fired.map_err(|outcome| match outcome {
            Outcome::Failed(error) | Outcome::Killed(error) => {
                self.executor.queue.lock().text(&error).into()
            }
            _ => "on_trigger_fired did not run to its end".into(),
        })
    }

    fn fail_pending_calls(&self, session: &mut dyn Session, error: &ScriptError) {
        self.executor
            .fail_pending_calls(session, error, &Clock::start());
        self.executor.send_completions();
    }

    fn take_results(&self, session: &mut dyn Session) {
        let mut results = RunResults::default();
        session.take_results(&mut results);
        if !results.settled.is_empty() || results.tasks > 0 {
            let queue = &self.executor.queue;
            queue.lock().note_results(&mut results, &Clock::start());
            self.executor.send_completions();
        }
    }
}
