//! One loaded library at work.
//!
//! The main thread writes into its task queue what is to be done; a worker does that, a slice at a
//! time. The main thread may take the isolate slot itself, to run sync code: the worker then lets
//! go of it after the call at hand. What is to be done no more it removes from the task queue at
//! once, whatever the worker is at.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use gears_core::delivery::{ControlMessage, SubscriptionKey};
use gears_v8::ports::{Credentials, KeptEntered, MemoryUse, Program, Reply, ScriptError};

use super::callbacks::Callbacks;
use super::completions::{Clock, Completions};
use super::isolate_slot::{GateGuard, IsolateSlot, ServerLock};
use super::pending_calls::Stalled;
use super::prefetch::{PrefetchedBatches, PrefetchedRecords};
use super::remote_task::RemoteTask;
use super::slow_log::SlowLog;
use super::task::{FunctionCall, Task};
use super::task_queue::TaskQueue;
use super::trigger_task::{TriggerCall, TriggerEvent};
use super::worker_pool::{Pool, Runnable};

/// How long a library that was replaced or deleted may go on with what it began: parts of it that
/// begin one another would never end.
const GRACE: Duration = Duration::from_secs(2);

/// Calls that wait together until a worker begins with them.
const CALLS_AT_ONCE: usize = 16;

/// What the executors of all libraries share.
#[derive(Clone)]
pub(crate) struct ExecutorShared {
    /// How much of an error is told.
    pub verbosity: Arc<AtomicU8>,
    /// The way to the main thread.
    pub completions: Arc<Completions>,
    /// The workers.
    pub pool: Pool,
    /// How they get the server's lock.
    pub lock: Arc<dyn ServerLock>,
    /// Where slow calls are kept.
    pub slow_log: Arc<SlowLog>,
}

/// A live library at work: its program in an isolate slot, and its task queue.
pub(crate) struct LibraryExecutor {
    library: Arc<str>,
    pub(super) slot: IsolateSlot,
    pub(super) queue: Mutex<TaskQueue>,
    callbacks: Callbacks,
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
    pub(super) shared: ExecutorShared,
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
    pub(crate) fn new(
        library: &str,
        program: Box<dyn Program>,
        callbacks: Callbacks,
        shared: ExecutorShared,
    ) -> Arc<Self> {
        let waiting = Arc::new(AtomicUsize::new(0));
        let slot = IsolateSlot::new(
            program,
            Arc::clone(&shared.lock),
            Arc::clone(&shared.slow_log),
        );
        let executor = Arc::new(Self {
            library: library.into(),
            queue: Mutex::new(TaskQueue::new(
                Arc::clone(&waiting),
                slot.locks(),
                Arc::clone(&shared.verbosity),
            )),
            slot,
            callbacks,
            queued: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            shut_down_at: OnceLock::new(),
            is_async: AtomicBool::new(false),
            lingering: Mutex::default(),
            waiting,
            last_worker: AtomicUsize::new(usize::MAX),
            shared,
        });
        let woken = Arc::downgrade(&executor);
        executor.slot.program.returns().set_wake(Box::new(move || {
            if let Some(executor) = woken.upgrade() {
                executor.wake_worker();
            }
        }));
        executor
    }

    /// Its callbacks.
    #[must_use]
    pub(crate) fn callbacks(&self) -> &Callbacks {
        &self.callbacks
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

    /// Has entries delivered to an async callback.
    pub(crate) fn send_records(self: &Arc<Self>, records: PrefetchedRecords<'_>) {
        self.change(|queue| queue.push_records(records));
    }

    /// Has batches delivered to an async callback.
    pub(crate) fn send_batches(self: &Arc<Self>, batches: PrefetchedBatches<'_>) {
        self.change(|queue| queue.push_batches(batches));
    }

    /// Tells that events wait for an async trigger.
    pub(crate) fn send_trigger(self: &Arc<Self>, call: TriggerCall) {
        self.change(|queue| queue.push_trigger(call));
    }

    /// Has the code end the events whose pre-hook it ran, before other code takes its place.
    pub(crate) fn send_trigger_events(
        self: &Arc<Self>,
        call: &TriggerCall,
        retained: VecDeque<TriggerEvent>,
    ) {
        if !retained.is_empty() {
            self.change(|queue| {
                for trigger_event in retained {
                    queue.push_task(Task::TriggerEvent(call.clone(), trigger_event));
                }
            });
        }
    }

    /// Carries out a decision about a prefetch queue. From now on nothing is started that was
    /// recalled: what is at hand is not waited for. What was recalled is among the completions, for
    /// the main thread to take at once.
    pub(crate) fn carry_out(self: &Arc<Self>, message: &ControlMessage) {
        let has_ready = {
            let mut queue = self.queue.lock();
            match *message {
                ControlMessage::Recall { sub, .. } => {
                    queue.recall(sub);
                    self.shared.completions.put(queue.completions());
                }
                ControlMessage::Drop { sub, .. } => queue.drop_prefetch(sub),
                ControlMessage::Window { sub, window, .. } => queue.set_window(sub, window),
                ControlMessage::SlotsReleased { sub, places, .. } => queue.release(sub, places),
                // See `relocate`.
                ControlMessage::Moved { .. } => {}
            }
            queue.has_ready()
        };
        // Mostly there is nothing to start: a worker woken for that would be in the main thread's
        // way, which has replies to send.
        if has_ready {
            self.wake_worker();
        }
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

    /// Has a remote function called on a worker.
    pub(crate) fn send_remote(self: &Arc<Self>, call: RemoteTask) {
        self.change(|queue| queue.push_remote(call));
    }

    /// The same as `send_function` for one of several calls that come at a time: to wake a worker takes longer than
    /// such a call does. Gives whether that is left to the caller, to be done once for all of them
    /// by [`LibraryExecutor::wake_worker`]; where many wait already, a worker begins meanwhile.
    #[must_use]
    pub(crate) fn add_function(self: &Arc<Self>, call: FunctionCall) -> bool {
        self.queue.lock().push_task(Task::Function(call));
        let are_few = self.waiting() < CALLS_AT_ONCE;
        if !are_few {
            self.wake_worker();
        }
        are_few
    }

    /// Tells that a client that waited is gone.
    pub(crate) fn note_responder_gone(self: &Arc<Self>) {
        // Outside the lock: what is told of their end has locks of its own.
        let gone = self.queue.lock().take_gone();
        drop(gone);
        self.wake_worker();
    }

    /// Lets the library end: no entry is started any more, what runs may finish, for a while.
    /// `deleted`: no other takes its place. To be called after the recalls.
    pub(crate) fn shut_down(self: &Arc<Self>, deleted: bool) {
        if deleted {
            self.slot.set_deleted();
        }
        // Who waits for the library waits for its new code.
        self.slot.set_calls_wait(false);
        self.change(|queue| {
            queue.clear_waiting();
            queue.leave_triggers();
            // Once shut down is shut down for good.
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
                self.wake_worker();
            }
        }
        is_over
    }

    /// Gives back at once what the code has not finished, whatever its worker is at. Behind
    /// [`Self::shut_down`] of code that was deleted: it gets the server's lock no more.
    pub(crate) fn take_back(&self) {
        self.queue.lock().abandon(true);
        self.send_completions();
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
        self.wake_worker();
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

    /// Has a worker look what there is to do: puts the library into the workers' queue, unless it is
    /// there.
    pub(crate) fn wake_worker(self: &Arc<Self>) {
        self.asked.store(true, Ordering::SeqCst);
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.shared
                .pool
                .submit(Arc::clone(self) as Arc<dyn Runnable>);
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
            self.wake_worker();
        }
    }

    /// Ends the calls whose promise is not settled in time.
    pub(crate) fn expire_calls(self: &Arc<Self>) {
        let has_ready = {
            let mut queue = self.queue.lock();
            queue.expire();
            queue.has_ready()
        };
        self.send_completions();
        if has_ready {
            self.wake_worker();
        }
    }

    /// See [`super::pending_calls::PendingCalls::stalled`].
    pub(crate) fn stalled(&self, before: Instant) -> (Vec<Stalled>, usize) {
        self.queue.lock().stalled(before)
    }

    /// Has a worker resume the continuations that can run.
    pub(crate) fn resume_continuations(self: &Arc<Self>) {
        self.wake_worker();
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
            self.wake_worker();
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

    // --- a worker's slice -------------------------------------------------------------------------

    /// The library's name.
    pub(super) fn library(&self) -> &str {
        &self.library
    }

    /// Where the worker that had it last is noted.
    pub(super) fn worker_number(&self) -> &AtomicUsize {
        &self.last_worker
    }

    /// A worker begins a slice.
    pub(super) fn begin_slice(&self) {
        self.asked.store(false, Ordering::SeqCst);
    }

    /// It runs code of it.
    pub(super) fn note_async(&self) {
        self.is_async.store(true, Ordering::Relaxed);
    }

    /// A run was ended, and what the program had pending with it.
    pub(super) fn fail_pending_calls(&self, error: &ScriptError, clock: &Clock) {
        let mut queue = self.queue.lock();
        queue.clear_background();
        if self.shut_down_at.get().is_some() {
            queue.abandon(false);
        }
        queue.fail_pending(error, clock);
    }

    /// There is no time for more in this slice, or nothing more to run; whether there is. What is
    /// shut down ends as far as it can.
    pub(super) fn finish_slice(&self) -> bool {
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
            queue.fail_pending(&error, &Clock::start());
        }
        queue.has_ready()
    }

    /// The worker is about to leave; whether it is to come again. `more`: there is more to run.
    pub(super) fn end_slice(self: &Arc<Self>, more: bool) -> bool {
        {
            let mut lingering = self.lingering.lock();
            *lingering = self.lingers().then(|| Arc::clone(self));
        }
        self.send_completions();
        if self.slot.take_wanted() {
            // It may have given up waiting: it will try again.
            self.shared.completions.wake();
        }
        self.queued.store(false, Ordering::SeqCst);
        (more || self.asked.load(Ordering::SeqCst)) && !self.queued.swap(true, Ordering::SeqCst)
    }
}
