//! The main thread's side: asks the delivery core what to do, does it, and tells it what happened.
//!
//! A *tick* comes once per iteration of the server's event loop, before it sleeps, and, where the
//! server can, right after a command that added entries. What a tick dispatches:
//!
//! * to sync consumers, every entry that was added since the last tick, so that writers find their
//!   entries processed when their replies arrive; unless that holds up the server for longer than
//!   scripts may;
//! * everything else (backlogs, and batches for workers) as far as the time budget reaches; the
//!   rest is for the next tick, which then comes at once.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gears_core::delivery::{Delivery, Dispatch, EntryId, Event, KeyRef};

use super::batches::BatchDispatch;
use super::commits::Commits;
use super::consumers::Consumers;
use super::database_handles::DatabaseHandles;
use super::deadline::Deadline;
use super::delivery_core::DeliveryCore;
use super::nesting::DEPTH_MAX;
use super::on_registered::RegisteredHooks;
use super::refusals::Refusals;
use super::shutting_down::ShuttingDown;
use super::stream_access::Streams;
use super::streams::StreamDispatch;
use super::sync_calls::SyncCalls;
use super::triggers::TriggerDispatch;
use crate::executor::{Completions, LibraryExecutor, MainThreadExecutor};

/// Time of its budget that a tick gives to changes of many streams.
const SWEEP: Duration = Duration::from_micros(250);

/// Streams that such a change goes through before the clock is asked again.
const SWEEP_STEPS: usize = 64;

/// How far a tick may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickLimits {
    /// Only what must be delivered to sync consumers before the writers get their replies.
    pub only_urgent: bool,
    /// Time for everything else.
    pub budget: Duration,
    /// How long scripts may hold up one event-loop iteration, whatever is urgent: what is left
    /// then is backlog.
    pub script_budget: Duration,
}

/// The main thread's side of delivery: what ticks, and what tells the core its facts.
/// Used by the main thread only.
pub(crate) struct Dispatcher {
    core: Rc<DeliveryCore>,
    completions: Arc<Completions>,
    database_handles: Rc<DatabaseHandles>,
    main_thread: Rc<MainThreadExecutor>,
    refusals: Rc<Refusals>,
    sync_calls: Rc<SyncCalls>,
    /// Stream consumers.
    pub(crate) consumers: Rc<Consumers>,
    streams: StreamDispatch,
    batches: BatchDispatch,
    commits: Commits,
    /// Key-space triggers.
    pub(crate) triggers: TriggerDispatch,
    /// What libraries want to have called once they are live.
    pub(crate) hooks: RegisteredHooks,
    shutting_down: ShuttingDown,
    /// Time that urgent work of this event-loop iteration has taken.
    urgent_time: Cell<Duration>,
}

impl Dispatcher {
    /// A dispatcher of an empty core.
    #[must_use]
    pub(crate) fn new(
        primary: bool,
        completions: Arc<Completions>,
        main_thread: Rc<MainThreadExecutor>,
    ) -> Self {
        let core = Rc::new(DeliveryCore::new(primary));
        let database_handles = Rc::new(DatabaseHandles::default());
        let refusals = Rc::new(Refusals::new(Rc::clone(&core)));
        let sync_calls = Rc::new(SyncCalls::new(Rc::clone(&main_thread)));
        let consumers = Rc::new(Consumers::new(
            Rc::clone(&core),
            Arc::clone(&completions),
            Rc::clone(&database_handles),
        ));
        Self {
            streams: StreamDispatch {
                core: Rc::clone(&core),
                consumers: Rc::clone(&consumers),
                refusals: Rc::clone(&refusals),
                sync_calls: Rc::clone(&sync_calls),
            },
            batches: BatchDispatch {
                core: Rc::clone(&core),
                consumers: Rc::clone(&consumers),
                refusals: Rc::clone(&refusals),
                sync_calls: Rc::clone(&sync_calls),
            },
            commits: Commits::new(Rc::clone(&core), Rc::clone(&consumers)),
            triggers: TriggerDispatch::new(
                Rc::clone(&core),
                Rc::clone(&database_handles),
                Rc::clone(&main_thread),
            ),
            hooks: RegisteredHooks::new(Rc::clone(&main_thread)),
            shutting_down: ShuttingDown::default(),
            urgent_time: Cell::default(),
            core,
            completions,
            database_handles,
            main_thread,
            refusals,
            sync_calls,
            consumers,
        }
    }

    // --- facts ------------------------------------------------------------------------------------

    /// Tells the core a fact.
    pub(crate) fn on(&self, event: Event<'_>) {
        let nesting = &self.sync_calls.nesting;
        match event {
            Event::Appended(key) => {
                nesting.note_appended(key);
                if self.consumers.have_policies() {
                    // A batch may begin with it.
                    self.core.set_time();
                }
            }
            // What is committed may be of another clock.
            Event::Resumed { .. } => self.core.set_time(),
            Event::RoleChanged { primary } => {
                self.hooks.call_again();
                if !primary {
                    self.triggers.drop_waiting("the server became a replica");
                }
            }
            Event::Swapped(a, b) => {
                self.database_handles.swap(a, b);
                nesting.swapped(a, b);
            }
            Event::Moved { from, to } => nesting.moved(from, to),
            _ => {}
        }
        let moves = matches!(event, Event::Moved { .. });
        self.core.on(event);
        if moves {
            // Before anything more of it is started.
            self.consumers.send_control_messages();
        }
    }

    /// Finds out where consumers begin with a stream of which that is not known yet. To be called
    /// with every event that tells of a stream, before anything else happens to that.
    pub(crate) fn place(&self, streams: &dyn Streams, key: KeyRef<'_>) {
        while let Some(request) = self.core.update(|core| core.next_start_request(key)) {
            self.streams.answer_start_request(streams, &request);
        }
    }

    /// A script added an entry.
    pub(crate) fn note_added(&self, key: KeyRef<'_>, id: EntryId) {
        if self.core.inspect(|core| core.has_sync_consumer(key)) {
            self.sync_calls.nesting.note_added(key, id);
        }
    }

    /// Why an entry must not be added to this stream now, if it must not.
    pub(crate) fn refuses_append(&self, key: KeyRef<'_>) -> Option<String> {
        let refuses = self.sync_calls.nesting.is_too_deep()
            && self.core.inspect(|core| core.has_sync_consumer(key));
        refuses.then(|| {
            format!(
                "ERR callbacks of stream consumers are nested too deeply: this entry would be processed {DEPTH_MAX} callbacks away from the one a client added"
            )
        })
    }

    /// Lets the code of a library end. What it does not finish within some time is dispatched
    /// again, to the code that took its place. To be called when its consumers have that.
    pub(crate) fn shut_down(&self, executor: &Arc<LibraryExecutor>, deleted: bool) {
        self.shutting_down.add(executor, deleted);
    }

    /// Ends the code of a library whose consumers stay without code. What it has not finished is taken
    /// back at once: however it ends, nobody hears of it. To be called when they have none any more.
    pub(crate) fn end_code(&self, executor: &Arc<LibraryExecutor>) {
        self.shutting_down.add(executor, true);
        executor.take_back();
        self.consumers.take_completions();
    }

    /// Takes back what code has not finished that was replaced some time ago; until then, looks
    /// after what it waits for. To be called now and then.
    pub(crate) fn reclaim_unfinished(&self) {
        self.shutting_down.reclaim();
    }

    /// Says in the log which callbacks of stream consumers have failed. To be called now and then.
    pub(crate) fn log_failures(&self) {
        self.consumers.log_failures();
    }

    /// Notes the consumers of these libraries whose callback has not settled for longer than `after`;
    /// none where there is no such time. To be called now and then.
    pub(crate) fn note_stalled<'a>(
        &self,
        executors: impl Iterator<Item = &'a Arc<LibraryExecutor>>,
        after: Option<Duration>,
    ) {
        self.consumers.note_stalled(executors, after);
    }

    /// Leaves the isolate slot where the main thread may still be. To be called before another
    /// library is loaded.
    pub(crate) fn leave_isolate(&self) {
        self.main_thread.leave();
    }

    // --- questions --------------------------------------------------------------------------------

    /// The number that the database has now which had this one when the server started.
    #[must_use]
    pub(crate) fn database_of(&self, home: i32) -> i32 {
        self.database_handles.number(home)
    }

    /// Changes the core, or asks it for a decision; see [`DeliveryCore::update`].
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Delivery) -> R) -> R {
        self.core.update(change)
    }

    /// Looks at the core.
    pub(crate) fn inspect<R>(&self, read: impl FnOnce(&Delivery) -> R) -> R {
        self.core.inspect(read)
    }

    /// Whether sync callbacks have to run before the writers get their replies.
    #[must_use]
    pub(crate) fn has_urgent(&self) -> bool {
        (self.triggers.is_due() && self.refusals.may_call())
            || self.core.inspect(Delivery::has_urgent)
    }

    /// Whether there is anything to do in a tick.
    #[must_use]
    pub(crate) fn has_work(&self) -> bool {
        (self.has_calls() && self.refusals.may_call()) || self.core.inspect(Delivery::has_work)
    }

    /// Whether triggers or hooks wait for their call.
    fn has_calls(&self) -> bool {
        self.triggers.has_work() || self.hooks.has_work()
    }

    /// When another tick is wanted, in the dispatcher's time.
    #[must_use]
    pub(crate) fn next_time(&self) -> Option<u64> {
        let next = self.core.inspect(Delivery::next_time);
        next.into_iter().chain(self.refusals.next_time()).min()
    }

    /// The time; see [`DeliveryCore::time`].
    #[must_use]
    pub(crate) fn time(&self) -> u64 {
        self.core.time()
    }

    // --- the tick ---------------------------------------------------------------------------------

    /// One tick: completions, changes of many streams, triggers, dispatch, commits, control messages, trims.
    pub(crate) fn tick(&self, streams: &dyn Streams, limits: TickLimits) {
        self.catch_up();
        if !limits.only_urgent {
            // Who was let in before may have changed what the server takes.
            self.refusals.forget();
        }
        self.refusals.ask(streams, self.has_calls());
        let start = self.core.now();
        if !limits.only_urgent {
            self.sweep();
        }
        let deadline = Deadline {
            end: start + limits.budget,
            latest: start + limits.script_budget.saturating_sub(self.urgent_time.get()),
        };
        if self.refusals.may_call() {
            self.triggers.run_due(streams, deadline);
            if !limits.only_urgent {
                self.triggers.send_ready();
                self.hooks.call(streams, limits.script_budget);
            }
        }
        if !limits.only_urgent {
            self.triggers.resume_workers();
            // Hooks may have run.
            self.core.look();
        }
        while let Some(dispatch) = self.update(|core| core.next_dispatch(limits.only_urgent)) {
            self.carry_out(streams, dispatch, deadline);
            if !limits.only_urgent && self.core.look() >= deadline.end {
                break;
            }
        }
        while let Some(dispatch) = self.update(|core| core.next_dispatch(true)) {
            self.carry_out(streams, dispatch, deadline);
        }
        let is_done = !self.core.inspect(Delivery::has_dispatches);
        self.sync_calls.end_tick(is_done);
        // What was written goes with the progress that it means, and a dead letter with the
        // failure: a dump that is taken next knows of both or of neither. Without that, progress
        // may wait for the end of the event-loop iteration, and the next one of the same stream
        // take its place.
        let has_dead_letters = self.core.inspect(Delivery::has_dead_letters);
        if !limits.only_urgent || self.sync_calls.have_acted() || has_dead_letters {
            self.commit(streams);
        }
        self.consumers.send_control_messages();
        if limits.only_urgent {
            let took = self.core.now().saturating_duration_since(start);
            self.urgent_time.set(self.urgent_time.get() + took);
            return;
        }
        self.end_iteration(streams, deadline);
    }

    fn end_iteration(&self, streams: &dyn Streams, deadline: Deadline) {
        self.urgent_time.set(Duration::ZERO);
        self.refusals.forget();
        self.consumers.end_iteration();
        self.triggers.end_iteration();
        while let Some(trim) = self.core.update(Delivery::next_trim) {
            streams.trim(&trim);
            if self.core.look() >= deadline.end {
                break;
            }
        }
        if self.has_work() {
            self.completions.wake();
        }
    }

    fn carry_out(&self, streams: &dyn Streams, dispatch: Dispatch, deadline: Deadline) {
        match dispatch {
            Dispatch::Read(request) => self.streams.read_ahead(streams, &request),
            Dispatch::ReadLetters(request) => self.batches.read_letters(streams, &request),
            Dispatch::Run {
                sub,
                consumer,
                must,
                others_wait,
            } => {
                let most = if others_wait { must } else { u64::MAX };
                self.streams
                    .run(streams, sub, consumer, must..=most, deadline);
            }
            Dispatch::Deliver {
                sub,
                consumer,
                batch,
            } => self
                .batches
                .deliver(streams, sub, consumer, batch, deadline),
        }
    }

    /// Puts committed what the core decided: dead letters with the progress that they mean.
    pub(crate) fn commit(&self, streams: &dyn Streams) {
        self.sync_calls.note_commit();
        self.commits.write(streams);
    }

    /// Goes on with what changed for many streams. Part of every tick that is not urgent; alone
    /// where there is none, on a replica.
    pub(crate) fn sweep(&self) {
        if !self.core.inspect(Delivery::is_sweeping) {
            return;
        }
        let end = Instant::now() + SWEEP;
        while self.update(|core| core.sweep(SWEEP_STEPS)) {
            if Instant::now() >= end {
                self.wake();
                break;
            }
        }
    }

    /// Makes sure that another tick comes soon.
    pub(crate) fn wake(&self) {
        self.completions.wake();
    }

    /// Takes note of what the workers reported, and tells them what they have to know. Part of
    /// every tick; alone where there is none, on a replica.
    pub(crate) fn catch_up(&self) {
        self.core.set_time();
        self.consumers.take_completions();
        for sub in self.sync_calls.take_stalled() {
            self.core.on(Event::Yielded(sub));
        }
        self.consumers.retry_refused();
        if !self.core.inspect(Delivery::is_active) {
            self.commits.skip();
        }
        self.consumers.send_control_messages();
    }
}
