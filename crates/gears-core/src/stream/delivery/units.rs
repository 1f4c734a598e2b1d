//! Consumers with a policy: their entries become units, which are handed over and come back.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::super::cursor::{Checkpoint, Reach};
use super::super::event::{End, Failure, HandOver, Redeemed};
use super::super::id::EntryId;
use super::super::plan::{Entry, Load, Now, Plan};
use super::super::policy::{Backoff, OnFailure, Policy, Scope};
use super::super::record::{Item, RecordBatch};
use super::super::subscription::{Recall, Subscription};
use super::super::{ConsumerKey, SubscriptionKey};
use super::Delivery;

/// What holds for units of a consumer that has no policy any more, until none is left.
static NO_POLICY: Policy = Policy {
    batch: None,
    duration_ms: 0,
    on_failure: OnFailure::Continue,
    backoff: Backoff {
        initial_ms: 0,
        factor: 1.0,
        max_ms: 0,
        jitter: 0.0,
    },
    max_attempts: None,
    max_age_ms: None,
    dead_letter: None,
    bisect: false,
    scope: Scope::Stream,
    order_by: None,
    filter: None,
};

impl Delivery {
    pub(super) fn policy(&self, consumer: ConsumerKey) -> &Policy {
        let policy = self.consumers[consumer].spec.policy.as_deref();
        policy.unwrap_or(&NO_POLICY)
    }

    /// What the plan of a subscription has to know.
    pub(super) fn now(&self, state: &Subscription) -> Now<'_> {
        let window = self.consumers[state.consumer].spec.window;
        state.now(self.policy(state.consumer), window, self.now_ms)
    }

    /// Whether there is something to read or to hand over.
    pub(super) fn is_plan_runnable(&self, state: &Subscription, plan: &Plan) -> bool {
        if state.recall != Recall::None || state.refused {
            return false;
        }
        let now = self.now(state);
        plan.is_ready(now) || self.may_read(state, plan)
    }

    /// Whether there is something to read that is worth it.
    pub(super) fn may_read(&self, state: &Subscription, plan: &Plan) -> bool {
        let now = self.now(state);
        let is_countable = state.counted && Plan::counts(now.policy) && !state.cursor.has_redo();
        state.behind
            && plan.room(now) > 0
            && (!is_countable || plan.is_worth_reading(state.fresh + state.back, now))
    }

    /// The next thing to do for a subscription of which writers of this turn wait for entries.
    pub(super) fn urgent_step(&mut self, sub: SubscriptionKey, count: u64) -> Option<HandOver> {
        let can_run = self.is_sync(sub) && self.is_runnable(sub);
        let step = can_run.then(|| self.step(sub)).flatten();
        match &step {
            None => self.urgent.forget(sub),
            Some(HandOver::Deliver { unit, .. }) => {
                let given = unit.items.len() as u64;
                if given < count {
                    self.urgent.put_back(sub, count - given);
                } else {
                    self.urgent.spend(sub, given - count);
                }
            }
            // What is read is for the next step.
            Some(_) => self.urgent.put_back(sub, count),
        }
        // With its callback it may not be able to go on just now: its next run stays where it is.
        if !self.urgent.contains(sub) {
            self.schedule(sub);
        }
        step
    }

    /// The next thing to do for a subscription.
    pub(super) fn next_step(&mut self, sub: SubscriptionKey) -> Option<HandOver> {
        let step = self.step(sub);
        if let Some(HandOver::Deliver { .. }) = step {
            self.schedule(sub);
        } else if step.is_none() {
            self.set_timer(sub);
        }
        step
    }

    fn step(&mut self, sub: SubscriptionKey) -> Option<HandOver> {
        let number = self.units + 1;
        let now_ms = self.now_ms;
        let state = self.subs.get(sub)?;
        let reads_on = state.plan.as_ref().is_some_and(|plan| {
            Plan::counts(self.policy(state.consumer)) && self.may_read(state, plan)
        });
        let state = self.subs.get_mut(sub)?;
        let consumer = state.consumer;
        let spec = &self.consumers[consumer].spec;
        let policy = spec.policy.as_deref().unwrap_or(&NO_POLICY);
        let now = Now {
            reads_on,
            ..state.now(policy, spec.window, now_ms)
        };
        let is_placed = !state.is_unplaced();
        let plan = state.plan.as_mut().filter(|_| is_placed);
        if let Some(unit) = plan.and_then(|plan| plan.release(number, now)) {
            self.units = number;
            if let Some(last) = unit.items.last() {
                state.cursor.note_started(last.id());
            }
            end_drain(state);
            return Some(HandOver::Deliver {
                sub,
                consumer,
                unit,
            });
        }
        self.read_request(sub).map(HandOver::Read)
    }

    /// Entries were read.
    pub(super) fn fetched(&mut self, sub: SubscriptionKey, batch: RecordBatch, end: bool) {
        let now_ms = self.now_ms;
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        let spec = &self.consumers[state.consumer].spec;
        let policy = spec.policy.as_deref().unwrap_or(&NO_POLICY);
        let Some(plan) = &mut state.plan else {
            return;
        };
        if state.cursor.has_redo() {
            let entries: Vec<_> = batch.sizes().collect();
            let Reach::Only(wanted) = state.cursor.reach() else {
                return;
            };
            state.cursor.note_read(&entries);
            let tried = state.hold.take_tried(wanted);
            let filter = policy.filter.as_ref();
            let mut unwanted = Vec::new();
            for item in Item::all(batch).filter(|item| item.id() == wanted) {
                if filter.is_none_or(|filter| filter.matches(item.record())) {
                    plan.draining = true;
                    plan.push(item, tried, policy, now_ms);
                } else {
                    unwanted.push(wanted);
                }
            }
            self.pass_over(sub, &unwanted);
            self.after_redo(sub);
            return;
        }
        let news = batch.sizes().filter(|(id, _)| *id > state.seen);
        let count = news.count() as u64;
        state.back = state.back.saturating_sub(batch.len() as u64 - count);
        if count > state.fresh {
            // Nobody told of their coming: they were there before.
            plan.draining = true;
        }
        state.fresh = state.fresh.saturating_sub(count);
        if end {
            plan.note_end(count);
        }
        let mut filtered = 0;
        let filter = policy.filter.as_ref();
        for item in Item::all(batch) {
            let (id, bytes) = (item.id(), item.record().packed().len());
            if id <= state.cursor.read() {
                continue;
            }
            let tried = state.hold.take_tried(id);
            if filter.is_none_or(|filter| filter.matches(item.record())) {
                state.cursor.note_read(&[(id, bytes)]);
                plan.push(item, tried, policy, now_ms);
            } else {
                state.cursor.note_skipped(id);
                filtered += 1;
            }
        }
        state.stats.filtered += filtered;
        self.urgent.spend(sub, filtered);
        if end {
            plan.note_all_read();
            state.behind = false;
            state.fresh = 0;
            state.back = 0;
            state.counted = true;
        }
        end_drain(state);
        let now = state.now(policy, spec.window, now_ms);
        let is_due = state.plan.as_ref().is_some_and(|plan| plan.is_due(now));
        if end && Plan::counts(policy) && !is_due {
            // It waits in the stream.
            state.put_back();
        }
        let stream = state.stream;
        if filtered > 0 {
            self.queue_progress(sub);
            self.queue_trim(stream);
        }
        self.schedule(sub);
    }

    /// It is known where a subscription begins.
    pub(super) fn placed(&mut self, sub: SubscriptionKey, position: EntryId) {
        let Some(state) = self.subs.get_mut(sub).filter(|state| state.is_unplaced()) else {
            return;
        };
        let hold = std::mem::take(&mut state.hold);
        let checkpoint = Checkpoint {
            position,
            pending: Vec::new(),
            hold,
        };
        state.resume(&checkpoint, self.now_ms);
        state.behind = true;
        self.queue_progress(sub);
        self.queue_trim(self.subs[sub].stream);
        self.schedule(sub);
    }

    /// A callback is done with a unit.
    pub(super) fn ended(
        &mut self,
        sub: SubscriptionKey,
        number: u64,
        end: End,
        took: Duration,
        now_ms: u64,
        holds: bool,
    ) {
        let Some((state, mut load)) = self.land(sub, number) else {
            return;
        };
        let end = end.checked(&load);
        if holds && state.recall != Recall::Upgrade {
            state.held += 1;
        }
        state.stats.note_call(!matches!(end, End::Done));
        // Entries whose IDs came again since, or that were sought past, are not of this stream.
        let cursor = &state.cursor;
        let is_redriven = !load.letters.is_empty();
        load.entries
            .retain(|entry| is_redriven || cursor.is_listed(entry.item.id()));
        let entries = std::mem::take(&mut load.entries);
        let (failed, done): (SmallVec<[Entry; 1]>, SmallVec<[Entry; 1]>) = entries
            .into_iter()
            .partition(|entry| end.is_failed(entry.item.id()));
        load.entries = failed;
        for entry in done {
            let id = entry.item.id();
            if !is_redriven {
                state.cursor.note_finished(id);
            }
            state.stats.note_finished(id, took, now_ms, None);
        }
        let (consumer, stream) = (state.consumer, state.stream);
        if let Some(failure) = end.failure() {
            // By the clock that pauses are measured with.
            self.fail(sub, load, &failure, took, self.now_ms);
        } else if is_redriven {
            self.redeem(sub, load.letters, load.from);
        }
        self.subs[sub].adopt(&self.consumers[consumer].spec);
        self.queue_progress(sub);
        self.queue_trim(stream);
        self.schedule(sub);
    }

    /// The letters of entries that are done after all.
    fn redeem(
        &mut self,
        sub: SubscriptionKey,
        letters: Vec<EntryId>,
        from: Option<(i32, Arc<[u8]>)>,
    ) {
        let state = &self.subs[sub];
        let consumer = state.consumer;
        let stream = &self.streams[state.stream];
        // The letters stay where they are, wherever the stream is moved.
        if let Some((db, from)) = from {
            let stream = Arc::clone(&stream.name);
            self.redeemed.push_back(Redeemed {
                consumer,
                db,
                stream,
                from,
                letters,
            });
        }
    }

    /// A unit was not given to the callback.
    pub(super) fn returned(&mut self, sub: SubscriptionKey, number: u64, yields: bool) {
        let Some((_, load)) = self.land(sub, number) else {
            return;
        };
        self.come_again(sub, load);
        self.urgent.forget(sub);
        if yields {
            self.subs[sub].refused = true;
        }
        self.schedule(sub);
    }

    /// Entries of a unit that flies are in the stream no more.
    pub(super) fn gone(&mut self, sub: SubscriptionKey, number: u64, ids: &[EntryId]) {
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        let Some(plan) = &mut state.plan else {
            return;
        };
        let is_left = plan.leave_out(number, ids);
        for id in ids {
            state.cursor.note_finished(*id);
        }
        let stream = state.stream;
        if !is_left {
            self.land(sub, number);
        }
        self.queue_progress(sub);
        self.queue_trim(stream);
        self.schedule(sub);
    }

    fn land(&mut self, sub: SubscriptionKey, number: u64) -> Option<(&mut Subscription, Load)> {
        let state = self.subs.get_mut(sub)?;
        let load = state.plan.as_mut()?.land(number)?;
        Some((state, load))
    }

    /// Sees to it that a subscription that cannot go on now is looked at again in time.
    pub(super) fn set_timer(&mut self, sub: SubscriptionKey) {
        let state = &self.subs[sub];
        let consumer = &self.consumers[state.consumer];
        let until = state.hold.until_ms.max(consumer.hold.until_ms);
        let at = if until > self.now_ms {
            Some(until)
        } else {
            let due = state.plan.as_ref();
            due.and_then(|plan| plan.due_ms(self.policy(state.consumer)))
                .filter(|due| *due > self.now_ms)
        };
        if at == state.timer {
            return;
        }
        let state = &mut self.subs[sub];
        if let Some(before) = std::mem::replace(&mut state.timer, at) {
            self.timers.remove(&(before, sub));
        }
        if let Some(at) = at {
            self.timers.insert((at, sub));
        }
    }

    /// Takes note of the time, Unix milliseconds, which must not go back: what waited for it goes
    /// on.
    pub fn set_time(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        while let Some((at, sub)) = self.timers.first().copied() {
            if at > self.now_ms {
                break;
            }
            self.timers.pop_first();
            if let Some(state) = self.subs.get_mut(sub) {
                state.timer = None;
                let consumer = state.consumer;
                self.end_pause(consumer);
                self.schedule(sub);
            }
        }
        self.write_again();
    }

    /// A pause of a consumer as a whole that is over is not left on record, for a server whose clock
    /// is behind.
    fn end_pause(&mut self, consumer: ConsumerKey) {
        let until_ms = &mut self.consumers[consumer].hold.until_ms;
        if *until_ms > 0 && *until_ms <= self.now_ms {
            *until_ms = 0;
            self.queue_hold(consumer);
        }
    }

    /// When the core wants to be told the time again; `None` where it does not wait for that.
    #[must_use]
    pub fn next_time(&self) -> Option<u64> {
        if !self.is_active() {
            return None;
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        let letter = self.unwritten.iter().map(|(at, _)| *at).min();
        timer.into_iter().chain(letter).min()
    }
}

impl End {
    /// What a callback said of single entries counts if they were given to it. Sorts them.
    fn checked(self, load: &Load) -> Self {
        match self {
            Self::Partly { failed, .. } if failed.is_empty() => Self::Done,
            Self::Partly { mut failed, error } => {
                let given: Vec<_> = load.ids().collect();
                let foreign = failed.iter().find(|id| given.binary_search(id).is_err());
                if let Some(id) = foreign {
                    let error =
                        format!("the callback reported {id} as failed, which is not of its batch");
                    return Self::Failed(Failure::new(error.into()));
                }
                failed.sort_unstable();
                Self::Partly { failed, error }
            }
            end => end,
        }
    }

    /// Whether an entry that was given failed.
    fn is_failed(&self, id: EntryId) -> bool {
        match self {
            Self::Done => false,
            Self::Failed(_) => true,
            Self::Partly { failed, .. } => failed.binary_search(&id).is_ok(),
        }
    }

    /// What went wrong, if anything did.
    fn failure(self) -> Option<Failure> {
        match self {
            Self::Done => None,
            Self::Failed(failure) => Some(failure),
            Self::Partly { error, .. } => Some(Failure::new(error)),
        }
    }
}

/// A backlog is drained when nothing of it is left.
fn end_drain(state: &mut Subscription) {
    if let Some(plan) = &mut state.plan
        && plan.draining
        && !state.behind
        && !plan.has_waiting()
    {
        plan.draining = false;
    }
}
