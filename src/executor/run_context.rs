//! A stay in a library's isolate, on a worker or on the main thread: calling callbacks, and taking
//! note of what came of it.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gears_core::delivery::{EntryId, Item, Record, SubscriptionKey};
use gears_v8::ports::{
    BatchCall, Call, CallbackId, Flags, Function, Invocation, Outcome, RemoteInvocation, Reply,
    RetainedValue, Returns, RunResults, ScriptError, Server, Session, TriggerEventCall,
};

use super::callbacks::{Callback, CountedCall};
use super::completions::{Clock, Completion};
use super::library_executor::LibraryExecutor;
use super::pending_calls::CallStart;
use super::prefetch::PrefetchedRecords;
use super::remote_task::{RemoteEnd, RemoteTask};
use super::slow_log::CallSubject;
use super::task::{BatchTask, FunctionCall, Responder};
use super::task_queue::Started;
use super::trigger_task::{TriggerCall, TriggerEvent};

/// How long what is known of a call of a remote function is kept behind its time: by then its caller has
/// certainly given up.
const REMOTE_GRACE: Duration = Duration::from_secs(1);

/// An entered library with what its calls need: session, server, executor, clock.
pub(crate) struct RunContext<'a> {
    executor: &'a LibraryExecutor,
    session: &'a mut dyn Session,
    /// The server, as the place sees it.
    server: &'a dyn Server,
    /// Made when it is needed first.
    clock: &'a OnceCell<Clock>,
    /// Whether something came of other calls than those that were made here.
    has_results: bool,
}

impl<'a> RunContext<'a> {
    pub(super) fn new(
        executor: &'a LibraryExecutor,
        session: &'a mut dyn Session,
        server: &'a dyn Server,
        clock: &'a OnceCell<Clock>,
    ) -> Self {
        Self {
            executor,
            session,
            server,
            clock,
            has_results: false,
        }
    }

    fn callback(&self, id: CallbackId) -> Option<&'a Arc<Callback>> {
        self.executor.callbacks().get(id)
    }

    /// A call begins that is counted.
    fn count(
        &self,
        callback: Option<&'a Arc<Callback>>,
        is_background: bool,
        bytes: impl FnOnce() -> usize,
        began: Instant,
    ) -> CountedCall<'a> {
        CountedCall::begin(callback, &self.executor.slot, is_background, bytes, began)
    }

    fn clock(&self) -> Clock {
        *self.clock.get_or_init(Clock::start)
    }

    /// Whether something came of other calls than those that were made here.
    pub(super) fn has_results(&self) -> bool {
        self.has_results
    }

    // --- entries ----------------------------------------------------------------------------------

    /// Sets the window of a prefetch queue.
    pub(crate) fn set_window(&self, sub: SubscriptionKey, window: usize) {
        self.executor.queue.lock().set_window(sub, window);
    }

    /// Puts entries into the prefetch queue of a sync consumer.
    pub(crate) fn push_records(&self, records: PrefetchedRecords<'_>) {
        self.executor.queue.lock().push_records(records);
    }

    /// Gives what came of entries to `take`, which takes it out and tells the delivery core.
    pub(crate) fn with_completions(&self, take: impl FnOnce(&mut Vec<Completion>)) {
        take(self.executor.queue.lock().completions());
    }

    /// Starts the next entry or batch of a prefetch queue and runs it as far as it goes. `began` is
    /// the current time; gives the time after the call, or `None` where nothing was started. `begin`
    /// is told of an entry just before.
    pub(crate) fn run_entry(
        &mut self,
        sub: SubscriptionKey,
        began: Instant,
        begin: &mut dyn FnMut(EntryId),
    ) -> Option<Instant> {
        let started = self.executor.queue.lock().start(sub, began)?;
        let started = match started {
            Started::Entry(started) => started,
            Started::Batch(task, call) => return Some(self.call_batch(&task, &call)),
        };
        begin(started.id());
        let entry = &started.entry;
        let callback = self.callback(entry.target.callback);
        let bytes = || bytes_of(entry.item.record());
        let counted = self.count(callback, entry.background.is_some(), bytes, began);
        let call = Call {
            callback: entry.target.callback,
            background: entry.background.as_ref(),
            stream: &entry.stream,
            record: entry.item.record(),
            token: started.call.token,
            judged: false,
        };
        let outcome = self.session.call(&call, self.server);
        self.executor.slot.note_run();
        let now = Instant::now();
        let subject = CallSubject {
            key: Some(&entry.stream),
            entry_id: Some(started.id()),
        };
        let ongoing = counted.end(now, &outcome, subject);
        let killed = outcome.killed();
        let clock = self.clock();
        self.executor
            .queue
            .lock()
            .note_entry(&started, outcome, ongoing, (&clock, now));
        self.end_run(killed, callback);
        Some(now)
    }

    /// Gives a batch to its callback, which runs as far as it goes.
    pub(crate) fn run_batch(&mut self, task: &BatchTask) {
        let began = Instant::now();
        let start = self.executor.queue.lock().start_batch(task, began);
        self.call_batch(task, &start);
    }

    /// Gives the time after the call.
    fn call_batch(&mut self, task: &BatchTask, start: &CallStart) -> Instant {
        let callback = task.target.callback;
        let counts_for = self.callback(callback);
        let items = &task.batch.items;
        let bytes = || items.iter().map(|item| bytes_of(item.record())).sum();
        let counted = self.count(counts_for, task.background.is_some(), bytes, start.began);
        let (background, stream) = (task.background.as_ref(), &*task.stream);
        let token = start.token;
        let outcome = match task.batch.items.as_slice() {
            [one] if !task.as_batch => {
                let call = Call {
                    callback,
                    background,
                    stream,
                    record: one.record(),
                    token,
                    judged: true,
                };
                self.session.call(&call, self.server)
            }
            items => {
                let call = BatchCall {
                    callback,
                    background,
                    stream,
                    items,
                    token,
                };
                self.session.call_batch(&call, self.server)
            }
        };
        self.executor.slot.note_run();
        let killed = outcome.killed();
        let now = Instant::now();
        let subject = CallSubject {
            key: Some(stream),
            entry_id: items.first().map(Item::id),
        };
        let ongoing = counted.end(now, &outcome, subject);
        let clock = self.clock();
        self.executor
            .queue
            .lock()
            .note_batch(task, start, outcome, ongoing, (&clock, now));
        self.end_run(killed, counts_for);
        now
    }

    // --- events of keys ---------------------------------------------------------------------------

    /// Gives an event to a trigger's callback, which runs as far as it goes.
    pub(crate) fn run_trigger_event(&mut self, call: &TriggerCall, trigger_event: &TriggerEvent) {
        let token = self.executor.queue.lock().token();
        let callback = self.callback(call.callback);
        let is_background = call.background.is_some();
        let began = Instant::now();
        let counted = self.count(callback, is_background, || trigger_event.bytes(), began);
        let (since, outcome) = call.run(trigger_event, self.session, self.server, token);
        self.executor.slot.note_run();
        let subject = CallSubject {
            key: Some(&trigger_event.key),
            entry_id: None,
        };
        let ongoing = counted.end(Instant::now(), &outcome, subject);
        let killed = outcome.killed();
        {
            let mut queue = self.executor.queue.lock();
            queue.note_trigger(&call.state, token, since, outcome, ongoing);
            if let Some(ms) = call.timeout_ms {
                queue.limit(token, began, ms);
            }
        }
        self.end_run(killed, callback);
    }

    /// Runs a pre-hook over an event.
    pub(crate) fn run_pre_hook(
        &mut self,
        call: &TriggerEventCall<'_>,
    ) -> Result<RetainedValue, Arc<str>> {
        let result = self.session.run_pre_hook(call, self.server);
        let killed = result.as_ref().err().and_then(Outcome::killed);
        self.end_run(killed, None);
        result.map_err(|outcome| match outcome {
            Outcome::Failed(error) | Outcome::Killed(error) => {
                self.executor.queue.lock().kept(&error)
            }
            _ => "on_trigger_fired did not run to its end".into(),
        })
    }

    // --- functions --------------------------------------------------------------------------------

    /// Calls a sync function; `None` where its caller waits for a promise. Where nobody can wait,
    /// `wait` gives the error.
    pub(super) fn call_function(
        &mut self,
        function: &Function,
        arguments: &[&[u8]],
        wait: &mut dyn FnMut() -> Result<Box<dyn Responder>, Reply>,
    ) -> Option<Reply> {
        let invocation = Invocation {
            callback: function.callback,
            background: None,
            arguments,
            raw: function.flags.contains(Flags::RAW_ARGUMENTS),
            token: self.executor.queue.lock().token(),
        };
        self.invoke(&invocation, function.timeout_ms, wait)
    }

    /// Calls an async function.
    pub(super) fn run_function(&mut self, call: FunctionCall) {
        let arguments: Vec<_> = call.arguments.iter().collect();
        let invocation = Invocation {
            callback: call.callback,
            background: Some(&call.credentials),
            arguments: &arguments,
            raw: call.raw,
            token: self.executor.queue.lock().token(),
        };
        let mut responder = Some(call.responder);
        let mut wait = || responder.take().ok_or(Reply::Null);
        let reply = self.invoke(&invocation, call.timeout_ms, &mut wait);
        self.executor.slot.note_run();
        if let (Some(reply), Some(responder)) = (reply, responder) {
            responder.answer(reply);
        }
    }

    fn invoke(
        &mut self,
        invocation: &Invocation<'_>,
        timeout_ms: Option<u32>,
        wait: &mut dyn FnMut() -> Result<Box<dyn Responder>, Reply>,
    ) -> Option<Reply> {
        let began = Instant::now();
        let callback = self.callback(invocation.callback);
        let bytes = || invocation.arguments.iter().map(|one| one.len()).sum();
        let is_background = invocation.background.is_some();
        let counted = self.count(callback, is_background, bytes, began);
        let outcome = self.session.invoke(invocation, self.server);
        let ongoing = counted.end(Instant::now(), &outcome, CallSubject::default());
        let killed = outcome.killed();
        let queue = &self.executor.queue;
        let reply = match outcome {
            Outcome::Done(reply) => Some(reply),
            // Nobody asks a function for that.
            Outcome::Partly { .. } => Some(Reply::Null),
            Outcome::Failed(error) | Outcome::Killed(error) => {
                Some(Reply::Error(queue.lock().text(&error)))
            }
            Outcome::Pending => match wait() {
                Ok(responder) => {
                    let mut queue = queue.lock();
                    queue.wait(invocation.token, responder, ongoing);
                    if let Some(ms) = timeout_ms {
                        queue.limit(invocation.token, began, ms);
                    }
                    None
                }
                Err(refused) => Some(refused),
            },
        };
        self.end_run(killed, callback);
        reply
    }

    /// Calls a remote function, unless its caller has given up.
    pub(super) fn run_remote(&mut self, call: RemoteTask) {
        let began = Instant::now();
        if call.answer.is_gone() {
            return;
        }
        if call.until <= began {
            return call.answer.end(RemoteEnd::Late);
        }
        let callback = self.callback(call.callback);
        let counted = self.count(callback, true, || call.arguments.len(), began);
        let invocation = RemoteInvocation {
            callback: call.callback,
            credentials: &call.credentials,
            arguments: &call.arguments,
            token: self.executor.queue.lock().token(),
        };
        let outcome = self.session.call_remote(&invocation, self.server);
        self.executor.slot.note_run();
        let ongoing = counted.end(Instant::now(), &outcome, CallSubject::default());
        let killed = outcome.killed();
        if let Outcome::Pending = outcome {
            // Nobody waits for it any more once its time is over: nothing is kept of it then, whatever
            // becomes of its promise.
            let time = call.until.saturating_duration_since(began) + REMOTE_GRACE;
            let ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            let mut queue = self.executor.queue.lock();
            queue.wait_remote(invocation.token, call.answer, ongoing);
            queue.limit(invocation.token, began, ms);
        } else {
            call.answer.give(outcome);
        }
        self.end_run(killed, callback);
    }

    // --- what has no caller -----------------------------------------------------------------------

    /// Runs the background part that was started first.
    pub(super) fn run_background(&mut self, callback: Option<&Arc<Callback>>) {
        let slot = &self.executor.slot;
        let before_us = slot.locked_us();
        let killed = self.session.run_task(self.server);
        slot.note_run();
        if let Some(callback) = callback {
            callback.note_locked(slot.locked_us().saturating_sub(before_us));
        }
        self.end_run(killed, callback);
    }

    /// Runs what the engine itself left to be done; see [`Session::pump`].
    pub(super) fn pump(&mut self, which: Returns) {
        let killed = self.session.pump(self.server, which);
        self.end_run(killed, None);
    }

    /// Takes note of what came of a run beside its outcome. If it was ended from outside, what the
    /// program had pending ends with it. Background parts that it began are those of `callback`.
    fn end_run(&mut self, killed: Option<ScriptError>, callback: Option<&Arc<Callback>>) {
        if let Some(error) = killed {
            self.session.clear_tasks();
            self.executor.fail_pending_calls(&error, &self.clock());
            self.has_results = true;
        }
        let mut results = RunResults::default();
        self.session.take_results(&mut results);
        if !results.settled.is_empty() || results.tasks > 0 {
            let clock = self.clock();
            self.executor
                .queue
                .lock()
                .note_results(&mut results, callback, &clock);
            self.has_results = true;
        }
    }
}

/// Bytes of an entry's fields and values.
fn bytes_of(record: Record<'_>) -> usize {
    record.parts().map(<[u8]>::len).sum()
}
