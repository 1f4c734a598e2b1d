//! Where a library's code runs: its program and the entries beside it.
//!
//! Held by one thread at a time. The lanes of sync and of async consumers lie side by side: a
//! promise of the one may be settled by a callback of the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::engine::{
    Call, CallbackId, Outcome, Program, RecordBatch, ScriptError, Session, Settled,
};
use crate::stream::{EntryId, Event, Lane, Mode, SubscriptionKey};

use super::report::{Clock, Report};

/// Lanes below which sweeping is not worth it.
const SWEEP_MIN: usize = 64;
/// Records of one lane before the next lane's turn.
const LANE_RECORDS: usize = 64;

/// One record, in the batch it was read with.
pub(super) struct Item {
    batch: Arc<RecordBatch>,
    at: usize,
}

/// What a lane's entries are given to.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The callback in the library's program.
    pub callback: CallbackId,
    /// Who runs it.
    pub mode: Mode,
}

/// The lane of one subscription, and what its calls need.
pub(super) struct StreamLane {
    pub(super) lane: Lane<Item>,
    callback: CallbackId,
    stream: Arc<[u8]>,
    mode: Mode,
    /// The last entry started.
    pub(super) started: EntryId,
    in_ready: bool,
}

impl StreamLane {
    pub(super) fn push(&mut self, batch: RecordBatch) {
        let batch = Arc::new(batch);
        for at in 0..batch.len() {
            self.lane.push(Item {
                batch: Arc::clone(&batch),
                at,
            });
        }
    }
}

/// A call whose promise is not settled.
struct Pending {
    sub: SubscriptionKey,
    id: EntryId,
    since: Instant,
}

/// See the module's description.
pub(super) struct Stage {
    program: Box<dyn Program>,
    pub(super) book: Book,
}

/// What a stage keeps about its entries.
pub(super) struct Book {
    lanes: HashMap<SubscriptionKey, StreamLane>,
    /// Async lanes that may have something to start.
    ready: VecDeque<SubscriptionKey>,
    sweep_at: usize,
    pending: HashMap<u64, Pending>,
    next_token: u64,
    settled: Vec<Settled>,
    /// Entries that wait, for users to see.
    waiting: Arc<AtomicUsize>,
    verbosity: u8,
}

impl Stage {
    pub(super) fn new(program: Box<dyn Program>, waiting: Arc<AtomicUsize>) -> Self {
        Self {
            program,
            book: Book {
                lanes: HashMap::new(),
                ready: VecDeque::new(),
                sweep_at: SWEEP_MIN,
                pending: HashMap::new(),
                next_token: 0,
                settled: Vec::new(),
                waiting,
                verbosity: 1,
            },
        }
    }

    /// Enters the program once for all that `work` does.
    pub(super) fn enter(&mut self, mut work: impl FnMut(&mut Book, &mut dyn Session)) {
        let Self { program, book } = self;
        program.enter(&mut |session| work(book, session));
    }
}

impl Book {
    /// Sets how much of an error is told.
    pub(super) fn set_verbosity(&mut self, verbosity: u8) {
        self.verbosity = verbosity;
    }

    /// The lane of a subscription, made where there is none.
    pub(super) fn lane(
        &mut self,
        sub: SubscriptionKey,
        target: Target,
        stream: &Arc<[u8]>,
        window: usize,
    ) -> &mut StreamLane {
        let lane = self.lanes.entry(sub).or_insert_with(|| StreamLane {
            lane: Lane::new(window),
            callback: target.callback,
            stream: Arc::clone(stream),
            mode: target.mode,
            started: EntryId::ZERO,
            in_ready: false,
        });
        lane.lane.set_window(window);
        if !Arc::ptr_eq(&lane.stream, stream) {
            // The stream was renamed.
            lane.stream = Arc::clone(stream);
        }
        lane
    }

    /// Puts a lane into the list that [`Book::run_ready`] works through.
    pub(super) fn make_ready(&mut self, sub: SubscriptionKey) {
        if let Some(lane) = self.lanes.get_mut(&sub)
            && lane.mode == Mode::Async
            && !lane.in_ready
            && lane.lane.is_ready()
        {
            lane.in_ready = true;
            self.ready.push_back(sub);
        }
    }

    /// Whether an async lane has something to start.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn set_window(&mut self, sub: SubscriptionKey, window: usize) {
        if let Some(lane) = self.lanes.get_mut(&sub) {
            lane.lane.set_window(window);
        }
        self.make_ready(sub);
    }

    /// Drops what waits in a lane; the last entry it started.
    pub(super) fn recall(&mut self, sub: SubscriptionKey) -> EntryId {
        self.lanes.get_mut(&sub).map_or(EntryId::ZERO, |lane| {
            self.waiting
                .fetch_sub(lane.lane.waiting(), Ordering::Relaxed);
            lane.lane.clear_waiting();
            lane.started
        })
    }

    /// Drops what waits in any lane.
    pub(super) fn clear_waiting(&mut self) {
        let subs: Vec<_> = self.lanes.keys().copied().collect();
        for sub in subs {
            self.recall(sub);
        }
    }

    /// Forgets a lane. What it has with callbacks ends unheard.
    pub(super) fn drop_lane(&mut self, sub: SubscriptionKey) {
        self.recall(sub);
        self.lanes.remove(&sub);
        self.pending.retain(|_, pending| pending.sub != sub);
    }

    /// Forgets lanes that hold nothing, once there are twice as many as were left the last time:
    /// those of streams in use stay, those of streams that are no more do not pile up.
    pub(super) fn sweep(&mut self) {
        if self.lanes.len() >= self.sweep_at {
            self.lanes
                .retain(|_, lane| lane.in_ready || !lane.lane.is_idle());
            self.sweep_at = (2 * self.lanes.len()).max(SWEEP_MIN);
        }
    }

    /// Starts the next entry of a lane, if its window has room, and runs it as far as it goes.
    /// `began` is the current time; gives the time after the call, or `None` where nothing was
    /// started.
    pub(super) fn run_one(
        &mut self,
        session: &mut dyn Session,
        sub: SubscriptionKey,
        clock: &Clock,
        began: Instant,
        reports: &mut Vec<Report>,
    ) -> Option<Instant> {
        let lane = self.lanes.get_mut(&sub)?;
        let item = lane.lane.start()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let record = item.batch.get(item.at);
        let id = record.id;
        lane.started = id;
        self.next_token += 1;
        let token = self.next_token;
        let outcome = session.call(&Call {
            callback: lane.callback,
            stream: &lane.stream,
            record,
            token,
        });
        let now = Instant::now();
        let mut finish = |lane: &mut StreamLane, error: Option<Arc<str>>| {
            lane.lane.finish();
            reports.push(Event::Finished {
                sub,
                id,
                took: now.saturating_duration_since(began),
                now_ms: clock.wall_ms(now),
                error,
            });
        };
        let mut killed = None;
        match outcome {
            Outcome::Done => finish(lane, None),
            Outcome::Failed(error) => finish(lane, Some(error.text(self.verbosity).into())),
            Outcome::Pending => {
                let pending = Pending {
                    sub,
                    id,
                    since: began,
                };
                self.pending.insert(token, pending);
                reports.push(Event::Started { sub, id });
            }
            Outcome::Killed(error) => {
                finish(lane, Some(error.text(self.verbosity).into()));
                killed = Some(error);
            }
        }
        session.take_settled(&mut self.settled);
        for settled in std::mem::take(&mut self.settled) {
            let error = settled.result.err();
            if let Some(pending) = self.pending.remove(&settled.token) {
                self.settle(&pending, error.as_ref(), clock, now, reports);
            }
        }
        if let Some(error) = killed {
            self.fail_pending(&error, clock, reports);
        }
        Some(now)
    }

    /// Starts entries of the ready lanes in turn, until none is left or `go_on` says no.
    pub(super) fn run_ready(
        &mut self,
        session: &mut dyn Session,
        clock: &Clock,
        reports: &mut Vec<Report>,
        mut go_on: impl FnMut(&mut Self, &mut Vec<Report>, Instant) -> bool,
    ) {
        let mut now = Instant::now();
        while let Some(sub) = self.ready.pop_front() {
            let mut going_on = true;
            for _ in 0..LANE_RECORDS {
                let Some(after) = self.run_one(session, sub, clock, now, reports) else {
                    break;
                };
                now = after;
                going_on = go_on(self, reports, now);
                if !going_on {
                    break;
                }
            }
            if let Some(lane) = self.lanes.get_mut(&sub) {
                lane.in_ready = false;
            }
            self.make_ready(sub);
            if !going_on {
                break;
            }
        }
    }

    /// Ends every call whose promise is pending: nothing can settle it any more.
    pub(super) fn fail_pending(
        &mut self,
        error: &ScriptError,
        clock: &Clock,
        reports: &mut Vec<Report>,
    ) {
        let now = Instant::now();
        for (_, pending) in std::mem::take(&mut self.pending) {
            self.settle(&pending, Some(error), clock, now, reports);
        }
    }

    fn settle(
        &mut self,
        pending: &Pending,
        error: Option<&ScriptError>,
        clock: &Clock,
        now: Instant,
        reports: &mut Vec<Report>,
    ) {
        let took: Duration = now.saturating_duration_since(pending.since);
        reports.push(Event::Finished {
            sub: pending.sub,
            id: pending.id,
            took,
            now_ms: clock.wall_ms(now),
            error: error.map(|error| error.text(self.verbosity).into()),
        });
        if let Some(lane) = self.lanes.get_mut(&pending.sub) {
            lane.lane.finish();
        }
        self.make_ready(pending.sub);
    }
}
