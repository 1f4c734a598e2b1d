//! What a library has to do: entries in their prefetch queues, functions and background parts in
//! their queue, and calls whose promise is pending.
//!
//! It is looked into for a moment at a time, never while a script runs: the script may wait for the
//! server's lock, and another thread run the library meanwhile. The prefetch queues of sync and of
//! async consumers lie side by side: a promise of the one may be settled by a callback of the
//! other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use hashbrown::{HashMap, HashSet};

use gears_core::delivery::{
    Batch, End, EntryId, Event, Failure, Item, Mode, PrefetchQueue, RecordBatch, SHARE,
    SubscriptionKey,
};
use gears_core::triggers::TriggerKey;
use gears_v8::ports::{CallbackId, Credentials, Outcome, Reply, RunResults, ScriptError, Words};

use super::completions::{Clock, Completion};
use super::trigger_task::{TriggerCall, TriggerEvent, TriggerState};

/// Prefetch queues below which sweeping is not worth it.
const SWEEP_MIN: usize = 64;

/// What a prefetch queue's entries are given to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The callback in the library's program.
    pub callback: CallbackId,
    /// Who runs it.
    pub mode: Mode,
}

/// Whoever waits for a function's result, on a thread of the server's own.
pub(crate) trait Responder: Send {
    /// Gives the result, once.
    fn answer(self: Box<Self>, reply: Reply);

    /// Whether nobody waits any more.
    fn is_gone(&self) -> bool;
}

/// A call of an async function.
pub(crate) struct FunctionCall {
    /// The function.
    pub callback: CallbackId,
    /// In whose name it acts.
    pub credentials: Arc<Credentials>,
    /// Its arguments.
    pub arguments: Words,
    /// Whether it wants them as bytes.
    pub raw: bool,
    /// Who waits.
    pub responder: Box<dyn Responder>,
}

/// A call of a stream consumer with a policy.
pub(crate) struct BatchTask {
    pub(crate) sub: SubscriptionKey,
    pub(crate) batch: Batch,
    pub(crate) target: Target,
    /// Whether the callback gets an array.
    pub(crate) as_batch: bool,
    pub(crate) stream: Arc<[u8]>,
    /// What an async callback acts with.
    pub(crate) background: Option<Arc<Credentials>>,
}

/// What waits in a library's queue.
pub(crate) enum Task {
    /// Entries of a stream consumer with a policy.
    Batch(BatchTask),
    /// The next event of a trigger.
    Trigger(TriggerCall),
    /// An event of a trigger.
    TriggerEvent(TriggerCall, TriggerEvent),
    /// A function to begin.
    Function(FunctionCall),
    /// A background part that the engine keeps.
    Background,
}

/// What is to be done next.
pub(crate) enum NextTask {
    /// An entry of this prefetch queue.
    Entry(SubscriptionKey),
    /// The first of the queue.
    Task,
}

/// The prefetch queue of one subscription, and what its calls need.
pub(crate) struct StreamPrefetch {
    pub(crate) prefetch: PrefetchQueue<Item>,
    target: Target,
    stream: Arc<[u8]>,
    /// What an async callback acts with.
    background: Option<Arc<Credentials>>,
    /// The last entry started.
    pub(crate) started: EntryId,
    in_ready: bool,
    /// Entries that it may start before other prefetch queues have their share.
    share: usize,
}

impl StreamPrefetch {
    /// The stream may have been renamed, or moved to another database.
    fn relocate(&mut self, stream: &Arc<[u8]>, background: Option<&Arc<Credentials>>) {
        if !Arc::ptr_eq(&self.stream, stream) {
            self.stream = Arc::clone(stream);
            self.background = background.cloned();
        }
    }

    fn push(&mut self, batch: RecordBatch) {
        for item in Item::all(batch) {
            self.prefetch.push(item);
        }
    }
}

/// An entry that is given to its callback.
pub(crate) struct Started {
    pub(crate) sub: SubscriptionKey,
    pub(crate) item: Item,
    pub(crate) callback: CallbackId,
    pub(crate) background: Option<Arc<Credentials>>,
    pub(crate) stream: Arc<[u8]>,
    pub(crate) token: u64,
    /// See [`TaskQueue::locks`].
    locks: u64,
    /// Whether its place in the window stays taken if it had the server's lock.
    is_async: bool,
}

/// A call whose promise is not settled.
enum PendingCall {
    Entry {
        sub: SubscriptionKey,
        id: EntryId,
        since: Instant,
        /// How often the lock had been taken when it was started; `None` for a sync callback.
        locks: Option<u64>,
    },
    Batch {
        sub: SubscriptionKey,
        batch: u64,
        since: Instant,
        /// As with an entry.
        locks: Option<u64>,
    },
    Trigger {
        state: Arc<TriggerState>,
        since: Instant,
    },
    Function(Box<dyn Responder>),
}

/// A call that is going on.
struct RunningCall {
    token: u64,
    sub: SubscriptionKey,
    what: Delivered,
}

/// What a callback was given.
#[derive(Clone, Copy)]
enum Delivered {
    Entry(EntryId),
    Batch(u64),
}

/// See the module's description.
pub(crate) struct TaskQueue {
    prefetches: HashMap<SubscriptionKey, StreamPrefetch>,
    tasks: VecDeque<Task>,
    /// Triggers that are among the tasks.
    triggers: HashSet<TriggerKey>,
    /// Async prefetch queues that may have something to start.
    ready: VecDeque<SubscriptionKey>,
    /// Whether a task comes before the next prefetch queue.
    tasks_first: bool,
    sweep_at: usize,
    pending: HashMap<u64, PendingCall>,
    /// Calls with entries that are going on: what [`TaskQueue::abandon`] takes out is not reported.
    running: Vec<RunningCall>,
    next_token: u64,
    /// Entries and tasks that wait, for users to see.
    waiting: Arc<AtomicUsize>,
    /// What came of entries, and was not sent or taken yet. Here, so that what the main thread
    /// finds in the task queue and what it was told never differ: see [`TaskQueue::recall`].
    completions: Vec<Completion>,
    /// How often scripts of the library took the server's lock on a worker. An async callback
    /// during which that changed may have written: its place in the window is taken until its
    /// end is committed, so that no kill can repeat more than a window of what was written.
    locks: Arc<AtomicU64>,
    /// How much of an error is told.
    verbosity: Arc<AtomicU8>,
}

impl TaskQueue {
    pub(crate) fn new(
        waiting: Arc<AtomicUsize>,
        locks: Arc<AtomicU64>,
        verbosity: Arc<AtomicU8>,
    ) -> Self {
        Self {
            prefetches: HashMap::new(),
            tasks: VecDeque::new(),
            triggers: HashSet::new(),
            ready: VecDeque::new(),
            tasks_first: false,
            sweep_at: SWEEP_MIN,
            pending: HashMap::new(),
            running: Vec::new(),
            next_token: 0,
            waiting,
            completions: Vec::new(),
            locks,
            verbosity,
        }
    }

    /// The text of an error, as much of it as is told.
    pub(crate) fn text(&self, error: &ScriptError) -> String {
        error.text(self.verbosity.load(Ordering::Relaxed))
    }

    // --- what there is to do ------------------------------------------------------------------

    /// Adds a job to the queue.
    pub(crate) fn push_task(&mut self, task: Task) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.tasks.push_back(task);
    }

    /// Adds a trigger to the queue, unless it is there: it is one job, whatever waits for it.
    pub(crate) fn push_trigger(&mut self, call: TriggerCall) {
        if self.triggers.insert(call.key) {
            self.push_task(Task::Trigger(call));
        }
    }

    /// Leaves the events of triggers to the code that comes next.
    pub(crate) fn clear_triggers(&mut self) {
        self.retain_tasks(|task| !matches!(task, Task::Trigger(_)));
        self.triggers.clear();
    }

    fn retain_tasks(&mut self, stays: impl Fn(&Task) -> bool) {
        let before = self.tasks.len();
        self.tasks.retain(stays);
        self.waiting
            .fetch_sub(before - self.tasks.len(), Ordering::Relaxed);
    }

    /// Takes the next job.
    pub(crate) fn take_task(&mut self) -> Option<Task> {
        let task = self.tasks.pop_front()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Task::Trigger(call) = &task {
            self.triggers.remove(&call.key);
        }
        Some(task)
    }

    /// Forgets the background parts that wait.
    pub(crate) fn clear_background(&mut self) {
        self.retain_tasks(|task| !matches!(task, Task::Background));
    }

    /// Forgets all tasks that wait; callers of functions get an error.
    pub(crate) fn clear_tasks(&mut self) {
        self.waiting.fetch_sub(self.tasks.len(), Ordering::Relaxed);
        for task in self.tasks.drain(..) {
            if let Task::TriggerEvent(call, trigger_event) = task {
                let error = "the code that it began with was replaced";
                call.state.end(trigger_event.since, Some(error.into()));
            }
        }
        self.triggers.clear();
    }

    /// What came of entries since it was asked for the last time: is appended.
    pub(crate) fn take_completions(&mut self, into: &mut Vec<Completion>) {
        into.append(&mut self.completions);
    }

    /// What came of entries, to be sent.
    pub(crate) fn completions(&mut self) -> &mut Vec<Completion> {
        &mut self.completions
    }

    /// Whether there is something to start: an async entry, or a job.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.tasks.is_empty()
    }

    /// Whether a promise is pending that only the engine's own tasks may settle.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether other prefetch queues have something to start.
    pub(crate) fn has_prefetched(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What is to be done next: prefetch queues and tasks alternate.
    pub(crate) fn next_task(&mut self) -> Option<NextTask> {
        self.tasks_first = !self.tasks_first;
        if !self.tasks.is_empty() && (self.tasks_first || self.ready.is_empty()) {
            return Some(NextTask::Task);
        }
        self.ready.pop_front().map(NextTask::Entry)
    }

    /// How many entries a prefetch queue that [`TaskQueue::next_task`] gave may start before others
    /// have their share.
    pub(crate) fn share(&self, sub: SubscriptionKey) -> usize {
        let prefetch = self.prefetches.get(&sub);
        prefetch.map_or(SHARE, |prefetch| prefetch.share)
    }

    /// A prefetch queue that [`TaskQueue::next_task`] gave has had its share, but for so many
    /// entries. With these it comes next, so that however often a worker has to stop, no stream
    /// falls behind.
    pub(crate) fn end_share(&mut self, sub: SubscriptionKey, left: usize) {
        let Some(prefetch) = self.prefetches.get_mut(&sub) else {
            return;
        };
        prefetch.in_ready = false;
        let is_cut = (1..SHARE).contains(&left) && prefetch.prefetch.is_ready();
        prefetch.share = if is_cut { left } else { SHARE };
        if is_cut {
            prefetch.in_ready = true;
            self.ready.push_front(sub);
        } else {
            self.make_ready(sub);
        }
    }

    /// A number for the next call.
    pub(crate) fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    // --- prefetch queues --------------------------------------------------------------------------------

    /// Puts entries into the prefetch queue of a subscription, which is made where there is none.
    pub(crate) fn push_records(
        &mut self,
        sub: SubscriptionKey,
        target: &Target,
        stream: &Arc<[u8]>,
        background: Option<&Arc<Credentials>>,
        window: usize,
        batch: RecordBatch,
    ) {
        self.waiting.fetch_add(batch.len(), Ordering::Relaxed);
        let prefetch = self
            .prefetches
            .entry(sub)
            .or_insert_with(|| StreamPrefetch {
                prefetch: PrefetchQueue::new(window),
                target: target.clone(),
                stream: Arc::clone(stream),
                background: background.cloned(),
                started: EntryId::ZERO,
                in_ready: false,
                share: SHARE,
            });
        prefetch.prefetch.set_window(window);
        prefetch.relocate(stream, background);
        prefetch.push(batch);
        self.make_ready(sub);
    }

    /// What waits of a stream has this place now.
    pub(crate) fn relocate(
        &mut self,
        sub: SubscriptionKey,
        stream: &Arc<[u8]>,
        credentials: &Arc<Credentials>,
    ) {
        if let Some(prefetch) = self.prefetches.get_mut(&sub) {
            let background = prefetch.background.as_ref().map(|_| credentials);
            prefetch.relocate(stream, background);
        }
        for task in &mut self.tasks {
            if let Task::Batch(call) = task
                && call.sub == sub
            {
                call.stream = Arc::clone(stream);
                call.background = call.background.as_ref().map(|_| Arc::clone(credentials));
            }
        }
    }

    /// Puts a prefetch queue into the list of those that have something to start.
    fn make_ready(&mut self, sub: SubscriptionKey) {
        if let Some(prefetch) = self.prefetches.get_mut(&sub)
            && prefetch.target.mode == Mode::Async
            && !prefetch.in_ready
            && prefetch.prefetch.is_ready()
        {
            prefetch.in_ready = true;
            self.ready.push_back(sub);
        }
    }

    pub(crate) fn set_window(&mut self, sub: SubscriptionKey, window: usize) {
        if let Some(prefetch) = self.prefetches.get_mut(&sub) {
            prefetch.prefetch.set_window(window);
        }
        self.make_ready(sub);
    }

    /// Frees places of a prefetch queue that were taken until their entries' ends were committed.
    pub(crate) fn free(&mut self, sub: SubscriptionKey, places: usize) {
        if let Some(prefetch) = self.prefetches.get_mut(&sub) {
            (0..places).for_each(|_| prefetch.prefetch.finish());
        }
        self.make_ready(sub);
    }

    /// Drops what waits of a subscription, and completions that behind all that was started before.
    pub(crate) fn recall(&mut self, sub: SubscriptionKey) {
        let back = self.take_back(sub).into_iter();
        self.completions.extend(back.map(|batch| Event::Returned {
            sub,
            batch,
            yields: false,
        }));
        // Of prefetch queues that were forgotten all is reported.
        let prefetch = self.prefetches.get(&sub);
        let started = prefetch.map_or(EntryId::ZERO, |prefetch| prefetch.started);
        let back = self.clear_prefetch(sub).collect();
        self.completions
            .push(Event::Recalled { sub, started, back });
    }

    /// Drops what waits in a prefetch queue.
    fn clear_prefetch(&mut self, sub: SubscriptionKey) -> impl Iterator<Item = EntryId> + use<> {
        let waiting = self
            .prefetches
            .get_mut(&sub)
            .map(|prefetch| prefetch.prefetch.take_waiting());
        let waiting = waiting.unwrap_or_default();
        self.waiting.fetch_sub(waiting.len(), Ordering::Relaxed);
        waiting.into_iter().map(|item| item.id())
    }

    /// Drops the batches of a subscription that wait; their numbers.
    fn take_back(&mut self, sub: SubscriptionKey) -> Vec<u64> {
        let mut numbers = Vec::new();
        self.tasks.retain(|task| match task {
            Task::Batch(call) if call.sub == sub => {
                numbers.push(call.batch.number);
                false
            }
            _ => true,
        });
        self.waiting.fetch_sub(numbers.len(), Ordering::Relaxed);
        numbers
    }

    /// Drops what waits in any prefetch queue.
    pub(crate) fn clear_waiting(&mut self) {
        let subs: Vec<_> = self.prefetches.keys().copied().collect();
        for sub in subs {
            drop(self.clear_prefetch(sub));
        }
    }

    /// Forgets a prefetch queue. What it has with callbacks ends unheard.
    pub(crate) fn drop_prefetch(&mut self, sub: SubscriptionKey) {
        drop(self.clear_prefetch(sub));
        self.prefetches.remove(&sub);
        self.running.retain(|one| one.sub != sub);
        self.take_back(sub);
        self.pending.retain(|_, pending| match pending {
            PendingCall::Entry { sub: other, .. } | PendingCall::Batch { sub: other, .. } => {
                *other != sub
            }
            PendingCall::Trigger { .. } | PendingCall::Function(_) => true,
        });
    }

    /// Forgets prefetch queues that hold nothing, once there are twice as many as were left the
    /// last time: those of streams in use stay, those of streams that are no more do not pile up.
    pub(crate) fn sweep(&mut self) {
        if self.prefetches.len() >= self.sweep_at {
            self.prefetches
                .retain(|_, prefetch| prefetch.in_ready || !prefetch.prefetch.is_idle());
            self.sweep_at = (2 * self.prefetches.len()).max(SWEEP_MIN);
        }
    }

    /// Starts the next entry of a prefetch queue, if its window has room.
    pub(crate) fn start(&mut self, sub: SubscriptionKey) -> Option<Started> {
        let prefetch = self.prefetches.get_mut(&sub)?;
        let item = prefetch.prefetch.start()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let id = item.record().id;
        prefetch.started = prefetch.started.max(id);
        self.next_token += 1;
        self.running.push(RunningCall {
            token: self.next_token,
            sub,
            what: Delivered::Entry(id),
        });
        Some(Started {
            sub,
            callback: prefetch.target.callback,
            background: prefetch.background.clone(),
            stream: Arc::clone(&prefetch.stream),
            token: self.next_token,
            locks: self.locks.load(Ordering::Relaxed),
            is_async: prefetch.target.mode == Mode::Async,
            item,
        })
    }

    // --- what came of it --------------------------------------------------------------------------

    /// Takes note of how the call with an entry ended. `began` and `now` are before and after it.
    pub(crate) fn note_entry(
        &mut self,
        started: &Started,
        outcome: &Outcome,
        began: Instant,
        now: Instant,
        clock: &Clock,
    ) {
        let (sub, id) = (started.sub, started.item.record().id);
        if !self.end_call(started.token) {
            return;
        }
        let error = match outcome {
            Outcome::Pending => {
                let pending = PendingCall::Entry {
                    sub,
                    id,
                    since: began,
                    locks: started.is_async.then_some(started.locks),
                };
                self.pending.insert(started.token, pending);
                self.completions.push(Event::Started { sub, id });
                return;
            }
            Outcome::Done(_) | Outcome::Partly { .. } => None,
            Outcome::Failed(error) | Outcome::Killed(error) => Some(self.text(error)),
        };
        let uncommitted = started.is_async && self.was_locked_since(started.locks);
        self.end(sub, uncommitted);
        self.completions.push(Event::Finished {
            sub,
            id,
            took: now.saturating_duration_since(began),
            now_ms: clock.wall_ms(now),
            error: error.map(Into::into),
            uncommitted,
        });
    }

    /// A batch is given to its callback. Its token, and how often the lock had been taken, for
    /// [`TaskQueue::note_batch`].
    pub(crate) fn start_batch(&mut self, call: &BatchTask) -> (u64, u64) {
        let token = self.token();
        self.running.push(RunningCall {
            token,
            sub: call.sub,
            what: Delivered::Batch(call.batch.number),
        });
        (token, self.locks.load(Ordering::Relaxed))
    }

    /// A call with entries came back; whether what came of it counts.
    fn end_call(&mut self, token: u64) -> bool {
        let at = self.running.iter().position(|one| one.token == token);
        at.map(|at| self.running.swap_remove(at)).is_some()
    }

    /// Takes note of how the call with a batch ended. `locks` is from before it.
    pub(crate) fn note_batch(
        &mut self,
        call: &BatchTask,
        token: u64,
        locks: u64,
        outcome: Outcome,
        began: Instant,
        clock: &Clock,
    ) {
        if !self.end_call(token) {
            return;
        }
        let locks = (call.target.mode == Mode::Async).then_some(locks);
        let pending = PendingCall::Batch {
            sub: call.sub,
            batch: call.batch.number,
            since: began,
            locks,
        };
        if let Outcome::Pending = outcome {
            self.pending.insert(token, pending);
        } else {
            self.settle(pending, outcome, clock, Instant::now());
        }
    }

    /// How the callback ended with a batch.
    fn end_of(&self, outcome: Outcome) -> End {
        match outcome {
            Outcome::Done(_) | Outcome::Pending => End::Done,
            Outcome::Partly { failed, error } => End::Partly {
                failed,
                error: error.into(),
            },
            Outcome::Failed(error) | Outcome::Killed(error) => End::Failed(Failure {
                error: self.text(&error).into(),
                retry_after_ms: error.retry_after_ms,
                fatal: error.fatal,
            }),
        }
    }

    /// Takes note of how the call with an event of a key ended.
    pub(crate) fn note_trigger(
        &mut self,
        state: &Arc<TriggerState>,
        token: u64,
        since: Instant,
        outcome: Outcome,
    ) {
        if let Outcome::Pending = outcome {
            let state = Arc::clone(state);
            self.pending
                .insert(token, PendingCall::Trigger { state, since });
        } else {
            state.end(since, self.error_of(outcome));
        }
    }

    /// Answers a function's caller, or has it wait for the promise.
    pub(crate) fn note_function(
        &mut self,
        responder: Box<dyn Responder>,
        token: u64,
        outcome: Outcome,
    ) {
        match outcome {
            Outcome::Pending => {
                self.pending.insert(token, PendingCall::Function(responder));
            }
            outcome => responder.answer(self.reply_of(outcome)),
        }
    }

    /// What a function's caller gets.
    fn reply_of(&self, outcome: Outcome) -> Reply {
        match outcome {
            Outcome::Done(reply) => reply,
            Outcome::Failed(error) | Outcome::Killed(error) => Reply::Error(self.text(&error)),
            // Nobody asks a function for either.
            Outcome::Partly { .. } | Outcome::Pending => Reply::Null,
        }
    }

    /// Takes note of what came of runs beside their outcome.
    pub(crate) fn note_results(&mut self, results: &mut RunResults, clock: &Clock) {
        let now = Instant::now();
        for settled in results.settled.drain(..) {
            if let Some(pending) = self.pending.remove(&settled.token) {
                self.settle(pending, settled.outcome, clock, now);
            }
        }
        for _ in 0..std::mem::take(&mut results.tasks) {
            self.push_task(Task::Background);
        }
    }

    /// Gives back the entries that callbacks have and did not finish: the code was replaced. Those
    /// of calls that are going on, too, if `running`; whether there were any.
    pub(crate) fn abandon(&mut self, running: bool) -> bool {
        let mut given = Vec::new();
        self.pending.retain(|_, pending| match pending {
            PendingCall::Entry { sub, id, .. } => {
                given.push((*sub, Delivered::Entry(*id)));
                false
            }
            PendingCall::Batch { sub, batch, .. } => {
                given.push((*sub, Delivered::Batch(*batch)));
                false
            }
            PendingCall::Trigger { .. } | PendingCall::Function(_) => true,
        });
        let running = if running {
            std::mem::take(&mut self.running)
        } else {
            Vec::new()
        };
        given.extend(running.into_iter().map(|one| (one.sub, one.what)));
        let had_any = !given.is_empty();
        self.completions
            .extend(given.into_iter().map(|(sub, what)| match what {
                Delivered::Entry(id) => Event::Abandoned { sub, id },
                Delivered::Batch(batch) => Event::Returned {
                    sub,
                    batch,
                    yields: false,
                },
            }));
        had_any
    }

    /// Ends every call whose promise is pending: nothing can settle it any more.
    pub(crate) fn fail_pending(&mut self, error: &ScriptError, clock: &Clock) {
        let now = Instant::now();
        for (_, pending) in std::mem::take(&mut self.pending) {
            self.settle(pending, Outcome::Failed(error.clone()), clock, now);
        }
    }

    /// Forgets calls nobody waits for any more.
    pub(crate) fn forget_gone(&mut self) {
        self.pending
            .retain(|_, pending| !matches!(pending, PendingCall::Function(responder) if responder.is_gone()));
    }

    fn was_locked_since(&self, locks: u64) -> bool {
        self.locks.load(Ordering::Relaxed) != locks
    }

    /// The callback is done with an entry, whose place in the window is free unless it `holds`.
    fn end(&mut self, sub: SubscriptionKey, uncommitted: bool) {
        if !uncommitted && let Some(prefetch) = self.prefetches.get_mut(&sub) {
            prefetch.prefetch.finish();
        }
    }

    fn settle(&mut self, pending: PendingCall, outcome: Outcome, clock: &Clock, now: Instant) {
        match pending {
            PendingCall::Entry {
                sub,
                id,
                since,
                locks,
            } => {
                let uncommitted = locks.is_some_and(|locks| self.was_locked_since(locks));
                let error = self.error_of(outcome);
                self.completions.push(Event::Finished {
                    sub,
                    id,
                    took: now.saturating_duration_since(since),
                    now_ms: clock.wall_ms(now),
                    error,
                    uncommitted,
                });
                self.end(sub, uncommitted);
                self.make_ready(sub);
            }
            PendingCall::Batch {
                sub,
                batch,
                since,
                locks,
            } => {
                let end = self.end_of(outcome);
                let uncommitted = locks.is_some_and(|locks| self.was_locked_since(locks));
                self.completions.push(Event::Ended {
                    sub,
                    batch,
                    end,
                    took: now.saturating_duration_since(since),
                    now_ms: clock.wall_ms(now),
                    uncommitted,
                });
            }
            PendingCall::Trigger { state, since } => state.end(since, self.error_of(outcome)),
            PendingCall::Function(responder) => responder.answer(self.reply_of(outcome)),
        }
    }

    fn error_of(&self, outcome: Outcome) -> Option<Arc<str>> {
        match outcome {
            Outcome::Failed(error) | Outcome::Killed(error) => Some(self.text(&error).into()),
            _ => None,
        }
    }
}
