//! The two moments at which the module works: before the server sleeps, once per event-loop
//! iteration; and right after a command, for what its client waits for.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::App;
use crate::dispatcher::TickLimits;
use crate::executor::LibraryExecutor;
use crate::library::Library;
use crate::server::{Context, Scan, is_paused, write_what_is_due};
use gears_core::delivery::{Delivery, KeyRef};

/// Time in which a tick of the event loop works on what is not urgent. Other clients wait that
/// long at most; and a backlog moves on once per tick, so shorter slices would waste more of it.
const SLICE: Duration = Duration::from_millis(2);

/// The same while all streams are searched for, or something changed for all of them: there is work for
/// seconds then, and other clients are not to notice.
const SHORT_SLICE: Duration = Duration::from_millis(1);

/// Of that, what a search for streams gets; what it finds gets the rest.
const SCAN: Duration = Duration::from_micros(250);

/// How often workers are checked: stuck ones are relieved, calls that are not settled in time end, and
/// the engine's own tasks are pumped.
const WORKER_CHECK: Duration = Duration::from_millis(50);

/// What lasts longer than one iteration.
#[derive(Default)]
pub(super) struct EventLoop {
    /// The search for streams that exist already.
    scan: RefCell<Scan>,
    /// When workers were last checked.
    workers_checked: Cell<Option<Instant>>,
    /// When a timer wakes the event loop, in the dispatcher's time.
    wakes_at: Cell<Option<u64>>,
    /// Whether the next tick is to panic: a debugging aid.
    panics: Cell<bool>,
}

impl EventLoop {
    /// Searches for streams from the beginning.
    pub(super) fn rescan(&self) {
        self.scan.borrow_mut().request();
    }

    /// Databases were swapped: streams that a search which is going on has still to find may be where
    /// it has been. Where none is, all are known.
    pub(super) fn swapped(&self) {
        let mut scan = self.scan.borrow_mut();
        if scan.is_pending() {
            scan.request();
        }
    }

    /// Has the next tick panic.
    pub(super) fn panic(&self) {
        self.panics.set(true);
    }

    /// Whether workers are to be checked now.
    fn is_worker_check_due(&self) -> bool {
        let now = Instant::now();
        let last = self.workers_checked.get();
        let is_due = last.is_none_or(|last| now.duration_since(last) >= WORKER_CHECK);
        if is_due {
            self.workers_checked.set(Some(now));
        }
        is_due
    }
}

impl App {
    /// The tick before the server sleeps.
    pub(super) fn tick(&self, context: &Context) {
        assert!(!self.event_loop.panics.take(), "a panic was asked for");
        self.settings.refresh();
        write_what_is_due();
        self.check_workers();
        if !is_paused() {
            self.rewrite.complete(context, &self.libraries);
        }
        self.serve_cluster(context);
        self.deliver(context);
        self.calls.serve_waiting(context);
        self.calls.wake_workers();
        if self.remote_tick(context) {
            self.dispatcher.wake();
        }
        self.run_slices();
        if let Some(cluster) = self.cluster() {
            cluster.end_tick();
        }
        if let Some(longest_ms) = self.slow_log.take_longest_held() {
            context.note_latency("redisgears-callback", longest_ms);
        }
    }

    /// The tick after a command whose entries have to be processed before its client gets a reply.
    pub(super) fn urgent_tick(&self, context: &Context) {
        if self.is_active() {
            self.dispatcher.tick(context, self.limits(true));
        }
    }

    /// Whether this server delivers: it is a primary, has its data set, and writes need not wait.
    pub(super) fn is_active(&self) -> bool {
        self.dispatcher.inspect(Delivery::is_active) && !is_paused()
    }

    fn limits(&self, only_urgent: bool) -> TickLimits {
        TickLimits {
            only_urgent,
            budget: if only_urgent { Duration::ZERO } else { SLICE },
            script_budget: self.script_budget(),
        }
    }

    fn check_workers(&self) {
        if !self.event_loop.is_worker_check_due() {
            return;
        }
        self.libraries.pool().relieve();
        self.dispatcher.reclaim_unfinished();
        self.dispatcher.log_failures();
        let stalled_after = self.settings.stalled_after();
        let libraries = self.libraries.all();
        let executors = libraries.values().filter_map(Library::executor);
        self.dispatcher.note_stalled(executors, stalled_after);
        libraries
            .values()
            .filter_map(Library::executor)
            .for_each(|executor| {
                executor.expire_calls();
                executor.pump();
            });
        self.executions
            .scripts()
            .iter()
            .chain(&self.remote.parts())
            .for_each(LibraryExecutor::pump);
    }

    fn deliver(&self, context: &Context) {
        if !self.is_active() {
            self.dispatcher.catch_up();
            self.dispatcher.sweep();
            self.dispatcher.triggers.resume_workers();
            return;
        }
        let start = Instant::now();
        let scanning = self.event_loop.scan.borrow().is_pending();
        if scanning {
            let end = start + SCAN;
            let mut scan = self.event_loop.scan.borrow_mut();
            let found = |key: KeyRef<'_>| self.found(context, key);
            if scan.advance(context, end, found) {
                self.dispatcher.wake();
            }
        }
        let slice = if scanning || self.dispatcher.inspect(Delivery::is_sweeping) {
            SHORT_SLICE
        } else {
            SLICE
        };
        let limits = TickLimits {
            budget: slice.saturating_sub(start.elapsed()),
            ..self.limits(false)
        };
        self.dispatcher.tick(context, limits);
        self.set_timer(context);
    }

    /// Sets a timer for the next thing that is due.
    fn set_timer(&self, context: &Context) {
        let now = self.dispatcher.time();
        let armed = self.event_loop.wakes_at.get().filter(|at| *at > now);
        let wanted = self.dispatcher.next_time();
        if let Some(at) = wanted
            && armed.is_none_or(|armed| at < armed)
        {
            context.wake_in(at.saturating_sub(now));
            self.event_loop.wakes_at.set(wanted);
        } else {
            self.event_loop.wakes_at.set(armed);
        }
    }
}
