//! What a library has to do: entries in their prefetch queues, functions and background parts in
//! their queue, and calls whose promise is pending.
//!
//! It is looked into for a moment at a time, never while a script runs: the script may wait for the
//! server's lock, and another thread run the library meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use hashbrown::HashSet;

use gears_core::delivery::{EntryId, Event, Mode, SubscriptionKey};
use gears_core::lanes::{Lanes, Patience};
use gears_core::triggers::TriggerKey;
use gears_v8::ports::{Credentials, Outcome, Returns, RunResults, ScriptError};

use super::callbacks::{Callback, OngoingCall};
use super::completions::{Clock, Completion};
use super::pending_calls::{CallStart, Done, InFlight, PendingCall, PendingCalls, Stalled};
use super::prefetch::{
    Dropped, PrefetchQueues, PrefetchedBatches, PrefetchedEntry, PrefetchedRecords, Taken,
};
use super::remote_task::{RemoteAnswer, RemoteTask};
use super::task::{BatchTask, Responder, Task};
use super::trigger_task::{TriggerCall, TriggerEvent, TriggerState};

/// What is to be done next.
pub(super) enum NextTask {
    /// An entry or a batch of this prefetch queue.
    Entry(SubscriptionKey),
    /// The first of the queue.
    Task,
}

/// What is delivered.
pub(super) enum Started {
    /// An entry.
    Entry(StartedEntry),
    /// A batch, and its call.
    Batch(BatchTask, CallStart),
}

/// An entry that is delivered.
pub(super) struct StartedEntry {
    pub(super) entry: PrefetchedEntry,
    pub(super) call: CallStart,
    in_flight: InFlight,
}

impl StartedEntry {
    /// Its ID.
    pub(super) fn id(&self) -> EntryId {
        self.entry.item.id()
    }
}

/// All that a library has to do: prefetch queues, tasks, pending calls, and unsent completions.
pub(crate) struct TaskQueue {
    prefetches: PrefetchQueues,
    tasks: VecDeque<Task>,
    /// Calls of remote functions, each of which has a place among the tasks.
    remotes: Lanes<RemoteTask>,
    /// That of large returns of the library's own calls.
    patience: Patience,
    /// Where its time begins.
    began: Instant,
    /// Triggers that are among the tasks.
    triggers: HashSet<TriggerKey>,
    /// Whether the events of triggers are left to other code: they may hold what only that knows.
    has_left_triggers: bool,
    /// Whether a task comes before the next prefetch queue.
    tasks_first: bool,
    calls: PendingCalls,
    /// Entries and tasks that wait, for users to see.
    waiting: Arc<AtomicUsize>,
}

impl TaskQueue {
    pub(super) fn new(
        waiting: Arc<AtomicUsize>,
        locks: Arc<AtomicU64>,
        verbosity: Arc<AtomicU8>,
    ) -> Self {
        Self {
            prefetches: PrefetchQueues::default(),
            tasks: VecDeque::new(),
            remotes: Lanes::default(),
            patience: Patience::default(),
            began: Instant::now(),
            triggers: HashSet::new(),
            has_left_triggers: false,
            tasks_first: false,
            calls: PendingCalls::new(locks, verbosity),
            waiting,
        }
    }

    /// The text of an error, as much of it as is told.
    pub(super) fn text(&self, error: &ScriptError) -> String {
        self.calls.text(error)
    }

    /// The same as it is kept.
    pub(super) fn kept(&self, error: &ScriptError) -> Arc<str> {
        self.calls.kept(error)
    }

    /// Whether there is something to start: an async entry, or a task.
    pub(super) fn has_ready(&self) -> bool {
        self.prefetches.has_ready() || !self.tasks.is_empty()
    }

    /// Whether other prefetch queues have something to start.
    pub(super) fn has_prefetched(&self) -> bool {
        self.prefetches.has_ready()
    }

    /// Whether a promise is pending that only the engine's own tasks may settle.
    pub(super) fn has_pending(&self) -> bool {
        self.calls.has_pending()
    }

    /// Which returns of remote calls are to be settled now: large ones when no small thing is left to do.
    pub(super) fn returns(&mut self, now: Instant) -> Returns {
        let has_small = self.prefetches.has_ready() || self.tasks.len() > self.remotes.large();
        if self
            .patience
            .is_over(now.saturating_duration_since(self.began), has_small)
        {
            Returns::All
        } else {
            Returns::Small
        }
    }

    /// What is to be done next: prefetch queues and tasks alternate.
    pub(super) fn next_task(&mut self) -> Option<NextTask> {
        self.tasks_first = !self.tasks_first;
        if !self.tasks.is_empty() && (self.tasks_first || !self.prefetches.has_ready()) {
            return Some(NextTask::Task);
        }
        self.prefetches.next().map(NextTask::Entry)
    }

    /// A number for the next call.
    pub(super) fn token(&mut self) -> u64 {
        self.calls.token()
    }

    // --- tasks ------------------------------------------------------------------------------------

    /// Adds a task to the queue.
    pub(super) fn push_task(&mut self, task: Task) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.tasks.push_back(task);
    }

    /// Adds a call of a remote function. It has a place of its own; which call comes there is decided then.
    pub(super) fn push_remote(&mut self, call: RemoteTask) {
        self.remotes.push(call.arguments.len(), call);
        self.push_task(Task::Remote);
    }

    /// Takes the call of a remote function whose turn it is.
    pub(super) fn take_remote(&mut self) -> Option<RemoteTask> {
        self.remotes.pop()
    }

    /// Adds a trigger to the queue, unless it is there: it is one task, whatever waits for it.
    pub(super) fn push_trigger(&mut self, call: TriggerCall) {
        if !self.has_left_triggers && self.triggers.insert(call.key) {
            self.push_task(Task::Trigger(call));
        }
    }

    /// Takes the next event of a trigger, unless it is paused, or they are left to other code by now.
    pub(super) fn take_trigger_event(&self, call: &TriggerCall) -> Option<TriggerEvent> {
        if self.has_left_triggers || call.state.is_paused() {
            return None;
        }
        call.state.take()
    }

    /// Takes the next task.
    pub(super) fn take_task(&mut self) -> Option<Task> {
        let task = self.tasks.pop_front()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Task::Trigger(call) = &task {
            self.triggers.remove(&call.key);
        }
        Some(task)
    }

    /// Leaves the events of triggers to the code that comes next, those included that come while a
    /// worker is at one.
    pub(super) fn leave_triggers(&mut self) {
        self.has_left_triggers = true;
        self.retain_tasks(|task| !matches!(task, Task::Trigger(_)));
        self.triggers.clear();
    }

    /// Forgets the background parts that wait.
    pub(super) fn clear_background(&mut self) {
        self.retain_tasks(|task| !matches!(task, Task::Background(_)));
    }

    /// Forgets all tasks that wait; callers of functions get an error.
    pub(super) fn clear_tasks(&mut self) {
        self.waiting.fetch_sub(self.tasks.len(), Ordering::Relaxed);
        for task in self.tasks.drain(..) {
            if let Task::TriggerEvent(call, trigger_event) = task {
                let error = "the code that it began with was replaced";
                call.state.end(trigger_event.since, Some(error.into()));
            }
        }
        self.remotes = Lanes::default();
        self.triggers.clear();
    }

    fn retain_tasks(&mut self, stays: impl FnMut(&Task) -> bool) {
        let before = self.tasks.len();
        self.tasks.retain(stays);
        self.waiting
            .fetch_sub(before - self.tasks.len(), Ordering::Relaxed);
    }

    // --- prefetch queues --------------------------------------------------------------------------

    /// Puts entries into the prefetch queue of a subscription, which is made where there is none.
    pub(super) fn push_records(&mut self, records: PrefetchedRecords<'_>) {
        self.waiting
            .fetch_add(records.batch.len(), Ordering::Relaxed);
        self.prefetches.push(records);
    }

    /// What waits of a stream has this place now.
    pub(super) fn relocate(
        &mut self,
        sub: SubscriptionKey,
        stream: &Arc<[u8]>,
        credentials: &Arc<Credentials>,
    ) {
        self.prefetches.relocate(sub, stream, credentials);
    }

    /// Puts batches beside their callback, but for those that were dispatched without knowing of a
    /// failure.
    pub(super) fn push_batches(&mut self, batches: PrefetchedBatches<'_>) {
        let (sub, count) = (batches.sub, batches.batches.len());
        let refused = self.prefetches.push_batches(batches);
        self.waiting
            .fetch_add(count - refused.len(), Ordering::Relaxed);
        self.return_batches(sub, refused);
    }

    /// Reports batches that were not started.
    fn return_batches(&mut self, sub: SubscriptionKey, batches: impl IntoIterator<Item = u64>) {
        let returned = batches.into_iter().map(|batch| Event::Returned {
            sub,
            batch,
            yields: false,
        });
        self.calls.completions.extend(returned);
    }

    pub(super) fn set_window(&mut self, sub: SubscriptionKey, window: usize) {
        self.prefetches.set_window(sub, window);
    }

    /// Frees places of a prefetch queue that were taken until their entries' ends were committed.
    pub(super) fn release(&mut self, sub: SubscriptionKey, places: usize) {
        self.prefetches.release(sub, places);
        self.prefetches.make_ready(sub);
    }

    /// How many entries a prefetch queue that [`TaskQueue::next_task`] gave may start before others
    /// have their share.
    pub(super) fn share(&self, sub: SubscriptionKey) -> usize {
        self.prefetches.share(sub)
    }

    /// See [`PrefetchQueues::end_share`].
    pub(super) fn end_share(&mut self, sub: SubscriptionKey, left: usize) {
        self.prefetches.end_share(sub, left);
    }

    /// Drops what waits of a subscription, and reports that behind all that was started before.
    pub(super) fn recall(&mut self, sub: SubscriptionKey) {
        // Of prefetch queues that were forgotten all is reported.
        let started = self.prefetches.started(sub);
        let dropped = self.clear_prefetch(sub);
        self.return_batches(sub, dropped.batches);
        let back = dropped.entries;
        let recalled = Event::Recalled { sub, started, back };
        self.calls.completions.push(recalled);
    }

    /// Drops what waits in a prefetch queue.
    fn clear_prefetch(&mut self, sub: SubscriptionKey) -> Dropped {
        let dropped = self.prefetches.clear(sub);
        self.waiting.fetch_sub(dropped.count(), Ordering::Relaxed);
        dropped
    }

    /// Drops what waits in any prefetch queue.
    pub(super) fn clear_waiting(&mut self) {
        for sub in self.prefetches.subscriptions() {
            self.clear_prefetch(sub);
        }
    }

    /// Forgets a prefetch queue. What it has with callbacks ends unheard.
    pub(super) fn drop_prefetch(&mut self, sub: SubscriptionKey) {
        self.clear_prefetch(sub);
        self.prefetches.remove(sub);
        self.calls.remove(sub);
    }

    /// See [`PrefetchQueues::sweep`].
    pub(super) fn sweep(&mut self) {
        self.prefetches.sweep();
    }

    // --- calls ------------------------------------------------------------------------------------

    /// Starts what is next in a prefetch queue, if its window has room. `began` is the time.
    pub(super) fn start(&mut self, sub: SubscriptionKey, began: Instant) -> Option<Started> {
        let taken = self.prefetches.start(sub)?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let entry = match taken {
            Taken::Entry(entry) => entry,
            Taken::Batch(task) => {
                let call = self.start_batch(&task, began);
                return Some(Started::Batch(task, call));
            }
        };
        let in_flight = InFlight::Entry(sub, entry.item.id());
        let is_async = entry.target.mode == Mode::Async;
        Some(Started::Entry(StartedEntry {
            call: self.calls.start(in_flight, is_async, began),
            in_flight,
            entry,
        }))
    }

    /// Takes note of how the call with an entry ended, at `now`.
    pub(super) fn note_entry(
        &mut self,
        started: &StartedEntry,
        outcome: Outcome,
        ongoing: Option<OngoingCall>,
        at: (&Clock, Instant),
    ) {
        let (in_flight, call) = (started.in_flight, &started.call);
        let done = self
            .calls
            .note_outcome(in_flight, call, outcome, ongoing, at);
        if let Some(done) = done {
            // Whoever runs it goes on with it.
            self.end(&done);
        }
    }

    /// Takes a call out of its prefetch queue that its callback is done with.
    fn end(&mut self, done: &Done) {
        match done.in_flight {
            InFlight::Entry(sub, _) => self.prefetches.release(sub, usize::from(!done.holds)),
            InFlight::Batch(sub, number) => {
                let dropped = self
                    .prefetches
                    .finish_batch(sub, number, done.holds, done.failed);
                self.waiting.fetch_sub(dropped.count(), Ordering::Relaxed);
                // Behind the failure that they come back for.
                self.return_batches(sub, dropped.batches);
            }
        }
    }

    /// A batch is delivered.
    pub(super) fn start_batch(&mut self, task: &BatchTask, began: Instant) -> CallStart {
        let in_flight = InFlight::Batch(task.sub, task.batch.number);
        let is_async = task.target.mode == Mode::Async;
        self.calls.start(in_flight, is_async, began)
    }

    /// Takes note of how the call with a batch ended.
    pub(super) fn note_batch(
        &mut self,
        task: &BatchTask,
        call: &CallStart,
        outcome: Outcome,
        ongoing: Option<OngoingCall>,
        at: (&Clock, Instant),
    ) {
        let in_flight = InFlight::Batch(task.sub, task.batch.number);
        let done = self
            .calls
            .note_outcome(in_flight, call, outcome, ongoing, at);
        if let Some(done) = done {
            self.end(&done);
        } else if let Some(ms) = task.timeout_ms {
            self.limit(call.token, call.began, ms);
        }
    }

    /// Takes note of how the call with an event of a key ended.
    pub(super) fn note_trigger(
        &mut self,
        state: &Arc<TriggerState>,
        token: u64,
        since: Instant,
        outcome: Outcome,
        ongoing: Option<OngoingCall>,
    ) {
        self.calls
            .note_trigger(state, token, since, outcome, ongoing);
    }

    /// Has a function's caller wait for the promise.
    pub(super) fn wait(
        &mut self,
        token: u64,
        responder: Box<dyn Responder>,
        ongoing: Option<OngoingCall>,
    ) {
        self.calls.wait(token, responder, ongoing);
    }

    /// Has whoever called a remote function wait for the promise.
    pub(super) fn wait_remote(
        &mut self,
        token: u64,
        answer: RemoteAnswer,
        ongoing: Option<OngoingCall>,
    ) {
        self.calls.wait_remote(token, answer, ongoing);
    }

    /// Takes out calls nobody waits for any more.
    pub(super) fn take_gone(&mut self) -> Vec<PendingCall> {
        self.calls.take_gone()
    }

    // --- what came of it --------------------------------------------------------------------------

    /// What came of entries since it was asked for the last time, to be taken out.
    pub(super) fn completions(&mut self) -> &mut Vec<Completion> {
        &mut self.calls.completions
    }

    /// Takes note of what came of runs beside their outcome. New background parts are those of
    /// `callback`.
    pub(super) fn note_results(
        &mut self,
        results: &mut RunResults,
        callback: Option<&Arc<Callback>>,
        clock: &Clock,
    ) {
        let now = Instant::now();
        for settled in results.settled.drain(..) {
            let done = self
                .calls
                .settle(settled.token, settled.outcome, clock, now);
            if let Some(done) = done {
                self.end_pending(&done);
            }
        }
        for _ in 0..std::mem::take(&mut results.tasks) {
            self.push_task(Task::Background(callback.map(Arc::clone)));
        }
    }

    /// See [`PendingCalls::limit`].
    pub(super) fn limit(&mut self, token: u64, began: Instant, ms: u32) {
        self.calls.limit(token, began, ms);
    }

    /// Ends the calls whose promise is not settled in time.
    pub(super) fn expire(&mut self) {
        if !self.calls.has_limits() {
            return;
        }
        for done in self.calls.expire(&Clock::start(), Instant::now()) {
            self.end_pending(&done);
        }
    }

    /// See [`PendingCalls::stalled`].
    pub(super) fn stalled(&self, before: Instant) -> (Vec<Stalled>, usize) {
        self.calls.stalled(before)
    }

    /// See [`PendingCalls::abandon`].
    pub(super) fn abandon(&mut self, running: bool) -> bool {
        self.calls.abandon(running)
    }

    /// Ends every call whose promise is pending: nothing can settle it any more.
    pub(super) fn fail_pending(&mut self, error: &ScriptError, clock: &Clock) {
        for done in self.calls.fail(error, clock) {
            self.end_pending(&done);
        }
    }

    /// The same for a call whose promise was pending: nobody is at its prefetch queue.
    fn end_pending(&mut self, done: &Done) {
        self.end(done);
        self.prefetches.make_ready(done.in_flight.sub());
    }
}
