//! The calls of a library that are going on, and those whose promise is pending; and what came of
//! them.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use gears_core::delivery::{End, EntryId, Event, Failure, SubscriptionKey, error_text};
use gears_v8::ports::{Outcome, Reply, ScriptError};

use super::callbacks::OngoingCall;
use super::completions::{Clock, Completion};
use super::remote_task::RemoteAnswer;
use super::task::Responder;
use super::trigger_task::TriggerState;

/// Limits below which sweeping is not worth it.
const LIMITS_MIN: usize = 64;

/// A call that is going on: what the result is to be noted for.
pub(super) struct CallStart {
    pub(super) token: u64,
    /// When it began.
    pub(super) began: Instant,
    /// See [`PendingCalls::locks`]; `None` for a sync callback, which may write as it likes.
    pub(super) locks: Option<u64>,
}

/// What was delivered to a consumer's callback and is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InFlight {
    /// An entry.
    Entry(SubscriptionKey, EntryId),
    /// A batch, by its number.
    Batch(SubscriptionKey, u64),
}

impl InFlight {
    pub(super) fn sub(self) -> SubscriptionKey {
        let (Self::Entry(sub, _) | Self::Batch(sub, _)) = self;
        sub
    }

    /// The entry, if it is one.
    fn entry(self) -> Option<EntryId> {
        match self {
            Self::Entry(_, id) => Some(id),
            Self::Batch(..) => None,
        }
    }

    /// The code that has it will not finish it.
    fn abandoned(self) -> Completion {
        match self {
            Self::Entry(sub, id) => Event::Abandoned { sub, id },
            Self::Batch(sub, batch) => Event::Returned {
                sub,
                batch,
                yields: false,
            },
        }
    }
}

/// A call whose promise is not settled, and how it is counted.
pub(super) struct PendingCall {
    what: PendingKind,
    ongoing: Option<OngoingCall>,
}

/// What such a call is of.
enum PendingKind {
    InFlight {
        in_flight: InFlight,
        since: Instant,
        /// As in [`CallStart`].
        locks: Option<u64>,
    },
    Trigger {
        state: Arc<TriggerState>,
        since: Instant,
    },
    Function(Box<dyn Responder>),
    Remote(RemoteAnswer),
}

/// A call that has not ended for long: the subscription, the entry or the first of several, and when it
/// began.
pub(crate) type Stalled = (SubscriptionKey, EntryId, Instant);

/// A callback is done with what it was given.
pub(super) struct Done {
    pub(super) in_flight: InFlight,
    /// Whether its place in the window is taken until that is committed.
    pub(super) holds: bool,
    /// Whether it failed.
    pub(super) failed: bool,
}

/// A library's calls that run, and those whose promise is not settled, by token.
pub(super) struct PendingCalls {
    pending: HashMap<u64, PendingCall>,
    /// Calls with entries that are going on, by token: what [`PendingCalls::abandon`] takes out is
    /// not reported.
    running: Vec<(u64, InFlight)>,
    next_token: u64,
    /// When calls have to be settled, by token, and the milliseconds they have. Those that were settled
    /// are found out when they are due, or where there are many.
    limits: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    /// What came of entries, and was not sent or taken yet. It lies beside the prefetch queues, so
    /// that what the main thread finds there and what it was told never differ: see
    /// [`super::task_queue::TaskQueue::recall`].
    pub(super) completions: Vec<Completion>,
    /// How often scripts of the library took the server's lock on a worker. An async callback
    /// during which that changed may have written: its place in the window is taken until its
    /// end is committed, so that no kill can repeat more than a window of what was written.
    locks: Arc<AtomicU64>,
    /// How much of an error is told.
    verbosity: Arc<AtomicU8>,
    /// The error that came last: a library mostly fails in one way, and each of many streams keeps it.
    last_kept: RefCell<Arc<str>>,
}

impl PendingCalls {
    pub(super) fn new(locks: Arc<AtomicU64>, verbosity: Arc<AtomicU8>) -> Self {
        Self {
            pending: HashMap::new(),
            running: Vec::new(),
            next_token: 0,
            limits: BinaryHeap::new(),
            completions: Vec::new(),
            locks,
            verbosity,
            last_kept: RefCell::new("".into()),
        }
    }

    /// The text of an error, as much of it as is told.
    pub(super) fn text(&self, error: &ScriptError) -> String {
        error.text(self.verbosity.load(Ordering::Relaxed))
    }

    /// The same as it is kept: with its place behind it, however much of it is told.
    pub(super) fn kept(&self, error: &ScriptError) -> Arc<str> {
        let text = error_text::join(self.text(error), error.stack.as_deref());
        let mut last = self.last_kept.borrow_mut();
        if **last != *text {
            *last = text.into();
        }
        Arc::clone(&last)
    }

    /// A number for the next call.
    pub(super) fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// Whether a promise is pending.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The calls with entries that began before that time, and whose promise is pending: the
    /// subscription, the entry or the first of several, and when it began. How many calls were looked
    /// at, too.
    pub(super) fn stalled(&self, before: Instant) -> (Vec<Stalled>, usize) {
        let pending = self.pending.values();
        let stalled = pending.filter_map(|pending| match pending.what {
            PendingKind::InFlight {
                in_flight, since, ..
            } if since <= before => {
                let first = pending.ongoing.as_ref().and_then(OngoingCall::entry_id);
                let id = in_flight.entry().or(first).unwrap_or_default();
                Some((in_flight.sub(), id, since))
            }
            _ => None,
        });
        (stalled.collect(), self.pending.len())
    }

    // --- calls of consumers -----------------------------------------------------------------------

    /// An entry or a batch is delivered.
    pub(super) fn start(
        &mut self,
        in_flight: InFlight,
        is_async: bool,
        began: Instant,
    ) -> CallStart {
        let token = self.token();
        self.running.push((token, in_flight));
        CallStart {
            token,
            began,
            locks: is_async.then(|| self.locks.load(Ordering::Relaxed)),
        }
    }

    /// Takes note of how that call ended, at `now`.
    pub(super) fn note_outcome(
        &mut self,
        in_flight: InFlight,
        start: &CallStart,
        outcome: Outcome,
        ongoing: Option<OngoingCall>,
        (clock, now): (&Clock, Instant),
    ) -> Option<Done> {
        let running = self.running.iter();
        let at = running
            .enumerate()
            .find(|(_, (token, _))| *token == start.token);
        // Without that, what came of it does not count.
        let (at, _) = at?;
        self.running.swap_remove(at);
        let (since, locks) = (start.began, start.locks);
        if let Outcome::Pending = outcome {
            self.completions.push(match in_flight {
                InFlight::Entry(sub, id) => Event::Started { sub, id },
                InFlight::Batch(sub, batch) => Event::Begun { sub, batch },
            });
            let what = PendingKind::InFlight {
                in_flight,
                since,
                locks,
            };
            let pending = PendingCall { what, ongoing };
            self.pending.insert(start.token, pending);
            return None;
        }
        Some(self.finish(in_flight, since, locks, outcome, (clock, now)))
    }

    fn finish(
        &mut self,
        in_flight: InFlight,
        since: Instant,
        locks: Option<u64>,
        outcome: Outcome,
        (clock, now): (&Clock, Instant),
    ) -> Done {
        let uncommitted = locks.is_some_and(|locks| self.locks.load(Ordering::Relaxed) != locks);
        let took = now.saturating_duration_since(since);
        let now_ms = clock.wall_ms(now);
        let failed = match in_flight {
            InFlight::Entry(sub, id) => {
                let error = self.error_of(outcome);
                let failed = error.is_some();
                self.completions.push(Event::Finished {
                    sub,
                    id,
                    took,
                    now_ms,
                    error,
                    uncommitted,
                });
                failed
            }
            InFlight::Batch(sub, batch) => {
                let end = self.end_of(outcome);
                let failed = end.is_failure();
                self.completions.push(Event::Ended {
                    sub,
                    batch,
                    end,
                    took,
                    now_ms,
                    uncommitted,
                });
                failed
            }
        };
        Done {
            in_flight,
            holds: uncommitted,
            failed,
        }
    }

    /// Forgets the calls of a subscription: they end unheard.
    pub(super) fn remove(&mut self, sub: SubscriptionKey) {
        self.running.retain(|(_, in_flight)| in_flight.sub() != sub);
        self.pending.retain(|_, pending| {
            !matches!(pending.what, PendingKind::InFlight { in_flight, .. } if in_flight.sub() == sub)
        });
    }

    /// Gives back the entries that callbacks have and did not finish: the code was replaced. Those
    /// of calls that are going on, too, if `running`; whether there were any.
    pub(super) fn abandon(&mut self, running: bool) -> bool {
        let before = self.completions.len();
        let completions = &mut self.completions;
        self.pending.retain(|_, pending| {
            if let PendingKind::InFlight { in_flight, .. } = pending.what {
                completions.push(in_flight.abandoned());
                return false;
            }
            true
        });
        if running {
            let running = self.running.drain(..);
            completions.extend(running.map(|(_, in_flight)| in_flight.abandoned()));
        }
        completions.len() > before
    }

    // --- other calls ------------------------------------------------------------------------------

    /// Takes note of how the call with an event of a key ended.
    pub(super) fn note_trigger(
        &mut self,
        state: &Arc<TriggerState>,
        token: u64,
        since: Instant,
        outcome: Outcome,
        ongoing: Option<OngoingCall>,
    ) {
        if let Outcome::Pending = outcome {
            let state = Arc::clone(state);
            let what = PendingKind::Trigger { state, since };
            self.pending.insert(token, PendingCall { what, ongoing });
        } else {
            state.end(since, self.error_of(outcome));
        }
    }

    /// Has a function's caller wait for the promise.
    pub(super) fn wait(
        &mut self,
        token: u64,
        responder: Box<dyn Responder>,
        ongoing: Option<OngoingCall>,
    ) {
        let what = PendingKind::Function(responder);
        self.pending.insert(token, PendingCall { what, ongoing });
    }

    /// Has whoever called a remote function wait for the promise.
    pub(super) fn wait_remote(
        &mut self,
        token: u64,
        answer: RemoteAnswer,
        ongoing: Option<OngoingCall>,
    ) {
        let what = PendingKind::Remote(answer);
        self.pending.insert(token, PendingCall { what, ongoing });
    }

    /// Takes out calls nobody waits for any more.
    pub(super) fn take_gone(&mut self) -> Vec<PendingCall> {
        let gone = self.pending.extract_if(|_, pending| match &pending.what {
            PendingKind::Function(responder) => responder.is_gone(),
            PendingKind::Remote(answer) => answer.is_gone(),
            PendingKind::InFlight { .. } | PendingKind::Trigger { .. } => false,
        });
        gone.map(|(_, pending)| pending).collect()
    }

    // --- promises ---------------------------------------------------------------------------------

    /// A promise was settled.
    pub(super) fn settle(
        &mut self,
        token: u64,
        outcome: Outcome,
        clock: &Clock,
        now: Instant,
    ) -> Option<Done> {
        let pending = self.pending.remove(&token)?;
        self.end(pending, outcome, clock, now)
    }

    /// Has a call fail that many milliseconds after it began, if its promise is pending then.
    pub(super) fn limit(&mut self, token: u64, began: Instant, ms: u32) {
        if !self.pending.contains_key(&token) {
            return;
        }
        if self.limits.len() >= LIMITS_MIN + 2 * self.pending.len() {
            let pending = &self.pending;
            self.limits
                .retain(|Reverse((_, token, _))| pending.contains_key(token));
        }
        let at = began + Duration::from_millis(ms.into());
        self.limits.push(Reverse((at, token, ms)));
    }

    /// Whether there may be calls that have to be settled in time.
    pub(super) fn has_limits(&self) -> bool {
        !self.limits.is_empty()
    }

    /// Ends the calls that have not been settled in time. What settles them later is not heard.
    pub(super) fn expire(&mut self, clock: &Clock, now: Instant) -> Vec<Done> {
        let mut ended = Vec::new();
        while let Some(&Reverse((at, token, ms))) = self.limits.peek()
            && at <= now
        {
            self.limits.pop();
            let text = format!("ERR the callback has not settled within {ms} ms");
            let outcome = Outcome::Failed(ScriptError::new(text));
            ended.extend(self.settle(token, outcome, clock, now));
        }
        ended
    }

    /// Ends every call whose promise is pending: nothing can settle it any more.
    pub(super) fn fail(&mut self, error: &ScriptError, clock: &Clock) -> Vec<Done> {
        let now = Instant::now();
        let pending = std::mem::take(&mut self.pending);
        let ends = pending.into_values();
        ends.filter_map(|pending| self.end(pending, Outcome::Failed(error.clone()), clock, now))
            .collect()
    }

    fn end(
        &mut self,
        pending: PendingCall,
        outcome: Outcome,
        clock: &Clock,
        now: Instant,
    ) -> Option<Done> {
        if let Some(ongoing) = pending.ongoing {
            ongoing.end(now, &outcome);
        }
        match pending.what {
            PendingKind::InFlight {
                in_flight,
                since,
                locks,
            } => return Some(self.finish(in_flight, since, locks, outcome, (clock, now))),
            PendingKind::Trigger { state, since } => state.end(since, self.error_of(outcome)),
            PendingKind::Function(responder) => responder.answer(self.reply_of(outcome)),
            PendingKind::Remote(answer) => answer.give(outcome),
        }
        None
    }

    /// What a function's caller gets, who waited for a promise.
    fn reply_of(&self, outcome: Outcome) -> Reply {
        match outcome {
            Outcome::Done(reply) => reply,
            Outcome::Failed(error) | Outcome::Killed(error) => Reply::Error(self.text(&error)),
            // Promises do not end so.
            Outcome::Partly { .. } | Outcome::Pending => Reply::Null,
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
                error: self.kept(&error),
                retry_after_ms: error.retry_after_ms,
                fatal: error.fatal,
            }),
        }
    }

    fn error_of(&self, outcome: Outcome) -> Option<Arc<str>> {
        match outcome {
            Outcome::Failed(error) | Outcome::Killed(error) => Some(self.kept(&error)),
            _ => None,
        }
    }
}
