//! One loaded library at work.
//!
//! The main thread writes into its task queue what is to be done; a worker does that, a slice at a
//! time. The main thread may take the isolate slot itself, to run sync code: the worker then lets
//! go of it after the call at hand. What is to be done no more it removes from the task queue at
//! once, whatever the worker is at.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use gears_core::delivery::{ControlMessage, EntryId, RecordBatch, SHARE, SubscriptionKey};
use gears_v8::ports::{
    BatchCall, Call, Credentials, Invocation, KeptEntered, MemoryUse, Outcome, Program, Reply,
    RunResults, ScriptError, Server, Session,
};

use super::completions::{Clock, Completions};
use super::isolate_slot::{GateGuard, IsolateSlot, ServerLock, UnlockedServer};
use super::task_queue::{BatchTask, FunctionCall, NextTask, Target, Task, TaskQueue};
use super::trigger_task::{TriggerCall, TriggerEvent};
use super::worker_pool::{self, Pool};

/// How long a worker stays with one library while others wait.
const SLICE: Duration = Duration::from_millis(2);
/// Reports that are sent without waiting for the end of a slice.
const COMPLETIONS: usize = 256;
/// Entries of one prefetch queue before the next task, and tasks before the next prefetch queue.
/// Between prefetch queues it is [`SHARE`].
const TASKS_AT_ONCE: usize = 64;

/// How long a library that was replaced or deleted may go on with what it began: parts of it that
/// begin one another would never end.
const GRACE: Duration = Duration::from_secs(2);

/// What the executors of all libraries share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// How much of an error is told.
    pub verbosity: Arc<AtomicU8>,
    /// The way to the main thread.
    pub completions: Arc<Completions>,
    /// The workers.
    pub pool: Pool,
    /// How they get the server's lock.
    pub lock: Arc<dyn ServerLock>,
}

/// See the module's description.
pub(crate) struct LibraryExecutor {
    library: Arc<str>,
    pub(crate) slot: IsolateSlot,
    pub(crate) queue: Mutex<TaskQueue>,
    /// Whether it is in the pool's queue or with a worker.
    queued: AtomicBool,
    /// Whether there was something to do since its worker began the slice at hand. A worker that
    /// ends looks here after it gave up `queued`, so that no wish falls between the two.
    asked: AtomicBool,
    /// When the library was replaced or deleted.
    shut_down_at: OnceLock<Instant>,
    /// Whether a worker ever had something of its to run.
    is_async: AtomicBool,
    /// Itself, while it was replaced or deleted and code of it waits for a time to pass: nobody else
    /// keeps it then.
    lingering: Mutex<Option<Arc<Self>>>,
    waiting: Arc<AtomicUsize>,
    last_worker: AtomicUsize,
    pub(crate) shared: Shared,
}

impl fmt::Debug for LibraryExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LibraryExecutor")
            .field("library", &self.library)
            .finish_non_exhaustive()
    }
}

impl LibraryExecutor {
    /// Puts a program to work.
    #[must_use]
    pub(crate) fn new(library: &str, program: Box<dyn Program>, shared: Shared) -> Arc<Self> {
        let waiting = Arc::new(AtomicUsize::new(0));
        let slot = IsolateSlot::new(program, Arc::clone(&shared.lock));
        Arc::new(Self {
            library: library.into(),
            queue: Mutex::new(TaskQueue::new(
                Arc::clone(&waiting),
                slot.locks(),
                Arc::clone(&shared.verbosity),
            )),
            slot,
            queued: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            shut_down_at: OnceLock::new(),
            is_async: AtomicBool::new(false),
            lingering: Mutex::default(),
            waiting,
            last_worker: AtomicUsize::new(usize::MAX),
            shared,
        })
    }

    /// Entries, calls and background parts that wait for their beginning.
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What the library takes.
    #[must_use]
    pub(crate) fn memory(&self) -> MemoryUse {
        self.slot.program.memory()
    }

    // --- what there is to do ----------------------------------------------------------------------

    /// Has entries given to an async callback.
    pub(crate) fn send_records(
        self: &Arc<Self>,
        sub: SubscriptionKey,
        target: &Target,
        stream: &Arc<[u8]>,
        credentials: &Arc<Credentials>,
        window: usize,
        batch: RecordBatch,
    ) {
        self.change(|queue| {
            queue.push_records(sub, target, stream, Some(credentials), window, batch);
        });
    }

    /// Has a batch given to an async callback.
    pub(crate) fn send_batch(self: &Arc<Self>, call: BatchTask) {
        self.change(|queue| queue.push_task(Task::Batch(call)));
    }

    /// Tells that events wait for an async trigger.
    pub(crate) fn send_trigger(self: &Arc<Self>, call: TriggerCall) {
        self.change(|queue| queue.push_trigger(call));
    }

    /// Has the code end events that it has begun with, before other code takes its place.
    pub(crate) fn send_trigger_events(
        self: &Arc<Self>,
        call: &TriggerCall,
        begun: VecDeque<TriggerEvent>,
    ) {
        if !begun.is_empty() {
            self.change(|queue| {
                for trigger_event in begun {
                    queue.push_task(Task::TriggerEvent(call.clone(), trigger_event));
                }
            });
        }
    }

    /// Carries out a decision about a prefetch queue. From now on nothing is started that was
    /// recalled: what is at hand is not waited for. What was recalled is among the completions, for
    /// the main thread to take at once.
    pub(crate) fn carry_out(self: &Arc<Self>, message: &ControlMessage) {
        self.change(|queue| match *message {
            ControlMessage::Recall { sub, .. } => {
                queue.recall(sub);
                self.shared.completions.put(queue.completions());
            }
            ControlMessage::Drop { sub, .. } => queue.drop_prefetch(sub),
            ControlMessage::Window { sub, window, .. } => queue.set_window(sub, window),
            ControlMessage::SlotsReleased { sub, places, .. } => queue.free(sub, places),
            // See `relocate`.
            ControlMessage::Moved { .. } => {}
        });
    }

    /// A stream has another name or database: so has what waits of it.
    pub(crate) fn relocate(
        &self,
        sub: SubscriptionKey,
        stream: &Arc<[u8]>,
        credentials: &Arc<Credentials>,
    ) {
        self.queue.lock().relocate(sub, stream, credentials);
    }

    /// Has an async function called on a worker.
    pub(crate) fn send_function(self: &Arc<Self>, call: FunctionCall) {
        self.change(|queue| queue.push_task(Task::Function(call)));
    }

    /// Tells that a client that waited is gone.
    pub(crate) fn note_responder_gone(self: &Arc<Self>) {
        self.change(TaskQueue::forget_gone);
    }

    /// Lets the library end: no entry is started any more, what runs may finish, for a while; see
    /// [`crate::dispatcher::Dispatcher::shut_down`]. `deleted`: no other takes its place. To be
    /// called after the recalls.
    pub(crate) fn shut_down(self: &Arc<Self>, deleted: bool) {
        if deleted {
            self.slot.set_deleted();
        }
        // Who waits for the library waits for its new code.
        self.slot.set_calls_wait(false);
        self.change(|queue| {
            queue.clear_waiting();
            queue.clear_triggers();
            // Retired once is retired for good.
            let _ = self.shut_down_at.set(Instant::now());
        });
    }

    /// Gives back what the code has not finished, some time after it was replaced, whatever its
    /// worker is at; false before that time. Calls that are going on may do nothing more then.
    pub(crate) fn give_up(self: &Arc<Self>) -> bool {
        let is_over = self
            .shut_down_at
            .get()
            .is_none_or(|at| at.elapsed() >= GRACE);
        if is_over {
            if self.queue.lock().abandon(true) {
                // Code of theirs may be behind an `await`, on its way to the lock.
                self.slot.set_deleted();
            }
            self.send_completions();
            if self.lingering.lock().is_some() {
                // A worker ends that.
                self.queue();
            }
        }
        is_over
    }

    /// Whether code that was replaced or deleted waits for a time to pass, and may still do so.
    fn lingers(&self) -> bool {
        let is_within = self
            .shut_down_at
            .get()
            .is_some_and(|at| at.elapsed() < GRACE);
        is_within && self.slot.program.has_timers()
    }

    fn change(self: &Arc<Self>, change: impl FnOnce(&mut TaskQueue)) {
        change(&mut self.queue.lock());
        self.queue();
    }

    /// Sends what came of entries to the main thread.
    pub(crate) fn send_completions(&self) {
        {
            let mut queue = self.queue.lock();
            if queue.completions().is_empty() {
                return;
            }
            // In the order of the task queue.
            self.shared.completions.put(queue.completions());
        }
        self.shared.completions.wake();
    }

    /// Puts the library into the workers' queue, unless it is there.
    fn queue(self: &Arc<Self>) {
        self.asked.store(true, Ordering::SeqCst);
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.shared
                .pool
                .submit(Arc::clone(self) as Arc<dyn worker_pool::Task>);
        }
    }

    /// Lets a worker look for what the engine itself has to do, if there may be something, or a
    /// promise may wait for that.
    pub(crate) fn pump(self: &Arc<Self>) {
        let has_pending = || {
            self.queue
                .try_lock()
                .is_some_and(|queue| queue.has_pending())
        };
        if self.slot.program.wants_pump() || has_pending() {
            self.queue();
        }
    }

    /// Has a worker go on with the code that can.
    pub(crate) fn go_on(self: &Arc<Self>) {
        self.queue();
    }

    // --- the main thread --------------------------------------------------------------------------

    /// Lets the main thread in the isolate; see [`IsolateSlot::acquire_main`].
    pub(crate) fn acquire_main(&self, patience: Duration) -> Option<GateGuard> {
        self.slot.acquire_main(patience)
    }

    /// Whether there may be code of it that waits for the server's lock.
    pub(crate) fn has_async_code(&self) -> bool {
        self.is_async.load(Ordering::Relaxed)
    }

    /// See [`IsolateSlot::is_free`].
    pub(crate) fn is_free(&self) -> bool {
        self.slot.is_free()
    }

    /// Says whether calls wait for the main thread to come: workers let it go first.
    pub(crate) fn set_calls_wait(&self, wait: bool) {
        self.slot.set_calls_wait(wait);
    }

    /// See [`Program::keep_entered`].
    pub(crate) fn keep_entered(&self) -> Box<dyn KeptEntered> {
        self.slot.program.keep_entered()
    }

    /// The main thread has done something in the isolate; whether it has to leave: a worker wants
    /// to be there.
    pub(crate) fn leave_main(self: &Arc<Self>) -> bool {
        let has_ready = {
            let mut queue = self.queue.lock();
            queue.sweep();
            queue.has_ready()
        };
        if has_ready {
            self.queue();
        }
        has_ready || self.queued.load(Ordering::SeqCst)
    }

    /// The error for those who wait for the isolate slot in vain.
    #[must_use]
    pub(crate) fn busy(&self) -> Reply {
        Reply::error(Self::busy_text(&self.library))
    }

    /// The same, for the library of that name.
    #[must_use]
    pub(crate) fn busy_text(library: &str) -> String {
        format!("Err library '{library}' is busy: other code of it runs for too long")
    }

    // --- a worker -----------------------------------------------------------------------------------

    /// Runs what is there to run; whether there is more.
    fn slice(&self) -> bool {
        let clock = Clock::start();
        let note_results = |results: &mut RunResults| {
            self.queue.lock().note_results(results, &clock);
            self.send_completions();
        };
        let wake = || self.shared.completions.wake();
        let server = self.slot.acquire_worker(&note_results, &wake);
        let end = Instant::now() + SLICE;
        let (ready, pending) = {
            let queue = self.queue.lock();
            (queue.has_ready(), queue.has_pending())
        };
        if ready || pending || self.slot.program.wants_pump() {
            self.slot.program.enter(&mut |session| {
                self.run_ready(session, &server, &clock, end);
                // Here nobody is in the middle of a script: this thread is not, and no other worker
                // has the library.
                if let Some(error) = session.pump(&server) {
                    self.fail_pending_calls(session, &error, &clock);
                }
                self.take_results(session, &clock);
            });
        }
        let mut queue = self.queue.lock();
        queue.sweep();
        let time = self.shut_down_at.get().map(Instant::elapsed);
        if time.is_some_and(|time| time >= GRACE) {
            queue.clear_tasks();
        }
        if time.is_some() && !queue.has_ready() && !self.lingers() {
            let error = ScriptError::new(
                "The library was replaced or deleted, nothing can settle the promise any more",
            );
            queue.abandon(false);
            queue.fail_pending(&error, &clock);
        }
        queue.has_ready()
    }

    fn run_ready(
        &self,
        session: &mut dyn Session,
        server: &UnlockedServer<'_>,
        clock: &Clock,
        end: Instant,
    ) {
        let mut now = Instant::now();
        let mut go_on = true;
        while go_on {
            let Some(work) = self.queue.lock().next_task() else {
                return;
            };
            self.is_async.store(true, Ordering::Relaxed);
            let mut share = match work {
                NextTask::Entry(sub) => self.queue.lock().share(sub),
                NextTask::Task => TASKS_AT_ONCE,
            };
            for _ in 0..TASKS_AT_ONCE {
                let after = match &work {
                    NextTask::Entry(sub) => {
                        self.run_entry(session, server, *sub, clock, now, &mut |_| {})
                    }
                    NextTask::Task => self.run_task(session, server, clock),
                };
                let Some(after) = after else {
                    break;
                };
                now = after;
                share -= 1;
                go_on = now < end && !self.slot.is_wanted();
                if !go_on || (share == 0 && self.queue.lock().has_prefetched()) {
                    break;
                }
                if share == 0 {
                    share = SHARE;
                }
            }
            let mut queue = self.queue.lock();
            if let NextTask::Entry(sub) = work {
                queue.end_share(sub, share);
            }
            let is_much = queue.completions().len() >= COMPLETIONS;
            drop(queue);
            if is_much {
                self.send_completions();
            }
        }
    }

    /// Starts the next entry of a prefetch queue and runs it as far as it goes. `began` is the
    /// current time; gives the time after the call, or `None` where nothing was started. `begin` is
    /// told of the entry just before.
    pub(crate) fn run_entry(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        sub: SubscriptionKey,
        clock: &Clock,
        began: Instant,
        begin: &mut dyn FnMut(EntryId),
    ) -> Option<Instant> {
        let started = self.queue.lock().start(sub)?;
        begin(started.item.record().id);
        let call = Call {
            callback: started.callback,
            background: started.background.as_ref(),
            stream: &started.stream,
            record: started.item.record(),
            token: started.token,
            judged: false,
        };
        let outcome = session.call(&call, server);
        self.slot.note_run();
        let now = Instant::now();
        self.queue
            .lock()
            .note_entry(&started, &outcome, began, now, clock);
        if let Outcome::Killed(error) = &outcome {
            self.fail_pending_calls(session, error, clock);
        }
        self.take_results(session, clock);
        Some(now)
    }

    /// Runs the first task of the queue as far as it goes.
    fn run_task(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        clock: &Clock,
    ) -> Option<Instant> {
        let (task, token) = {
            let mut queue = self.queue.lock();
            (queue.take_task()?, queue.token())
        };
        let killed = match task {
            Task::Batch(call) => {
                self.run_batch(session, server, &call, clock);
                return Some(Instant::now());
            }
            Task::Trigger(call) => {
                if let Some(trigger_event) = call.state.take() {
                    self.run_trigger_event(session, server, &call, &trigger_event, clock);
                    self.queue.lock().push_trigger(call);
                }
                return Some(Instant::now());
            }
            Task::TriggerEvent(call, trigger_event) => {
                if call.state.is_removed() {
                    return Some(Instant::now());
                }
                self.run_trigger_event(session, server, &call, &trigger_event, clock);
                return Some(Instant::now());
            }
            Task::Background => {
                let killed = session.run_task(server);
                self.slot.note_run();
                killed
            }
            Task::Function(call) => {
                let arguments: Vec<_> = call.arguments.iter().collect();
                let outcome = session.invoke(
                    &Invocation {
                        callback: call.callback,
                        background: Some(&call.credentials),
                        arguments: &arguments,
                        raw: call.raw,
                        token,
                    },
                    server,
                );
                self.slot.note_run();
                let killed = outcome.killed();
                self.queue
                    .lock()
                    .note_function(call.responder, token, outcome);
                killed
            }
        };
        if let Some(error) = killed {
            self.fail_pending_calls(session, &error, clock);
        }
        self.take_results(session, clock);
        Some(Instant::now())
    }

    /// Gives a batch to its callback, which runs as far as it goes.
    pub(crate) fn run_batch(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        call: &BatchTask,
        clock: &Clock,
    ) {
        let (token, locks) = self.queue.lock().start_batch(call);
        let began = Instant::now();
        let background = call.background.as_ref();
        let outcome = match call.batch.items.as_slice() {
            [one] if !call.as_batch => session.call(
                &Call {
                    callback: call.target.callback,
                    background,
                    stream: &call.stream,
                    record: one.record(),
                    token,
                    judged: true,
                },
                server,
            ),
            items => session.call_batch(
                &BatchCall {
                    callback: call.target.callback,
                    background,
                    stream: &call.stream,
                    items,
                    token,
                },
                server,
            ),
        };
        self.slot.note_run();
        let killed = outcome.killed();
        self.queue
            .lock()
            .note_batch(call, token, locks, outcome, began, clock);
        if let Some(error) = killed {
            self.fail_pending_calls(session, &error, clock);
        }
        self.take_results(session, clock);
    }

    /// Gives an event to a trigger's callback, which runs as far as it goes.
    pub(crate) fn run_trigger_event(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        call: &TriggerCall,
        trigger_event: &TriggerEvent,
        clock: &Clock,
    ) {
        let token = self.queue.lock().token();
        let (since, outcome) = call.run(trigger_event, session, server, token);
        self.slot.note_run();
        let killed = outcome.killed();
        self.queue
            .lock()
            .note_trigger(&call.state, token, since, outcome);
        if let Some(error) = killed {
            self.fail_pending_calls(session, &error, clock);
        }
        self.take_results(session, clock);
    }

    /// A run was ended, and what the program had pending with it.
    pub(crate) fn fail_pending_calls(
        &self,
        session: &mut dyn Session,
        error: &ScriptError,
        clock: &Clock,
    ) {
        session.clear_tasks();
        let mut queue = self.queue.lock();
        queue.clear_background();
        if self.shut_down_at.get().is_some() {
            queue.abandon(false);
        }
        queue.fail_pending(error, clock);
    }

    fn take_results(&self, session: &mut dyn Session, clock: &Clock) {
        let mut results = RunResults::default();
        session.take_results(&mut results);
        if !results.settled.is_empty() || results.tasks > 0 {
            self.queue.lock().note_results(&mut results, clock);
        }
    }
}

impl worker_pool::Task for LibraryExecutor {
    fn work(self: Arc<Self>) -> bool {
        self.asked.store(false, Ordering::SeqCst);
        let slice = catch_unwind(AssertUnwindSafe(|| self.slice()));
        let more = slice.unwrap_or_else(|_| {
            log::error!("internal error in a worker, library '{}'", self.library);
            false
        });
        {
            let mut lingering = self.lingering.lock();
            *lingering = self.lingers().then(|| Arc::clone(&self));
        }
        self.send_completions();
        if self.slot.take_wanted() {
            // It may have given up waiting: it will try again.
            self.shared.completions.wake();
        }
        self.queued.store(false, Ordering::SeqCst);
        (more || self.asked.load(Ordering::SeqCst)) && !self.queued.swap(true, Ordering::SeqCst)
    }

    fn last_worker(&self) -> &AtomicUsize {
        &self.last_worker
    }
}
