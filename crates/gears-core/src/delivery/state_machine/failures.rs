//! What becomes of entries that a callback failed with.

use std::sync::Arc;
use std::time::Duration;

use super::super::SubscriptionKey;
use super::super::batcher::{Load, Tried};
use super::super::dead_letter::DeadLetter;
use super::super::error_text;
use super::super::event::Failure;
use super::super::id::EntryId;
use super::super::policy::{OnFailure, Policy, Scope};
use super::Delivery;
use super::blocked::Obstacle;

/// Milliseconds after which a dead letter that could not be written is tried again.
const WRITE_AGAIN_MS: u64 = 1000;

/// What is done with entries that failed.
enum Fate {
    /// They are redelivered after so many milliseconds.
    Again(u64),
    /// Likewise, in two halves.
    Halves(u64),
    /// They wait until somebody has it go on.
    Stop,
    /// They are done.
    Over,
}

/// Decides about entries that failed, the attempt at hand counted.
fn fate(policy: &Policy, load: &Load, failure: &Failure, now_ms: u64) -> Fate {
    if failure.fatal {
        return Fate::Over;
    }
    match policy.on_failure {
        OnFailure::Continue => Fate::Over,
        OnFailure::Abort => Fate::Stop,
        OnFailure::Retry => {
            let Tried { attempts, first_ms } = load.tried;
            let own = || policy.backoff.delay_ms(attempts, load.first());
            let delay = failure.retry_after_ms.unwrap_or_else(own);
            if policy.bisect && load.entries.len() > 1 {
                return Fate::Halves(delay);
            }
            let is_last = policy.max_attempts.is_some_and(|most| attempts >= most)
                || policy
                    .max_age_ms
                    .is_some_and(|most| now_ms.saturating_sub(first_ms) >= most);
            if is_last {
                Fate::Over
            } else {
                Fate::Again(delay)
            }
        }
    }
}

impl Delivery {
    /// A callback failed with these entries.
    pub(super) fn fail(
        &mut self,
        sub: SubscriptionKey,
        mut load: Load,
        failure: &Failure,
        took: Duration,
        now_ms: u64,
    ) {
        let state = self.subs.at_mut(sub);
        let totals = &mut self.consumers[state.consumer].totals;
        totals.note_error(Arc::clone(&failure.error));
        state.tally.note_error(Arc::clone(&failure.error));
        let first = load.entries.first().map(|entry| entry.item.id());
        self.note_error(sub, first, &failure.error, now_ms, true);
        if load.entries.is_empty() {
            return;
        }
        if load.tried.attempts == 0 {
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            load.tried.first_ms = now_ms.saturating_sub(took);
        }
        load.tried.attempts = load.tried.attempts.saturating_add(1);
        let consumer = self.subs.consumer_of(sub);
        let policy = self.policy(consumer);
        let scope = policy.scope;
        match fate(policy, &load, failure, now_ms) {
            Fate::Again(delay) => {
                if self.requeue(sub, load) {
                    self.wait(sub, scope, now_ms.saturating_add(delay));
                }
            }
            Fate::Halves(delay) => {
                // Each is a batch of its own, with attempts of its own.
                load.tried = Tried::default();
                let second = load.split();
                let halves = [load, second].map(|half| self.requeue(sub, half));
                if halves.contains(&true) {
                    self.wait(sub, scope, now_ms.saturating_add(delay));
                }
            }
            Fate::Stop => {
                self.requeue(sub, load);
                let delivery_state = match scope {
                    Scope::Stream => &mut *self.subs.at_mut(sub).delivery_state,
                    Scope::Consumer => &mut self.consumers[consumer].delivery_state,
                };
                // It is kept with the data: the place is told as the last error's.
                delivery_state.aborted = Some(error_text::message(&failure.error).into());
                if scope == Scope::Stream {
                    self.consumers[consumer].forget_obstacle(sub);
                }
                self.after_state_change(sub, scope);
            }
            Fate::Over => self.give_up(sub, load, failure, took, now_ms),
        }
    }

    /// Takes note of what went wrong last, beside its text; whether it is one more error, too.
    #[cold]
    pub(super) fn note_error(
        &mut self,
        sub: SubscriptionKey,
        id: Option<EntryId>,
        error: &str,
        now_ms: u64,
        is_new: bool,
    ) {
        let stream = &self.streams[self.subs.stream_of(sub)];
        let consumer = &mut self.consumers[self.subs.consumer_of(sub)];
        let errors = consumer.errors.get_or_insert_default();
        if is_new {
            errors.classes.note(error);
        }
        errors.last_ms = now_ms;
        errors.last_id = id;
        errors.last_stream = Arc::clone(&stream.name);
    }

    /// Has entries redelivered, but for those that the filter does not want any more; whether
    /// any are left.
    pub(super) fn requeue(&mut self, sub: SubscriptionKey, mut load: Load) -> bool {
        let mut unwanted = Vec::new();
        if let Some(filter) = &self.policy(self.subs.consumer_of(sub)).filter {
            load.sift(filter, &mut unwanted);
        }
        self.pass_over(sub, &unwanted);
        let is_left = !load.entries.is_empty();
        if let Some(batcher) = self.subs.at_mut(sub).feed.batcher_mut() {
            batcher.requeue(load);
        }
        is_left
    }

    /// The consumer has another filter, which holds for what comes again, too.
    pub(super) fn sift(&mut self, sub: SubscriptionKey) {
        let state = self.subs.at_mut(sub);
        let policy = self.consumers[state.consumer].spec.policy.as_deref();
        let filter = policy.and_then(|policy| policy.filter.as_ref());
        let (Some(filter), Some(batcher)) = (filter, state.feed.batcher_mut()) else {
            return;
        };
        let unwanted = batcher.sift(filter);
        let is_tried = batcher.is_tried() || !state.delivery_state.tried.is_empty();
        if !unwanted.is_empty() && !is_tried {
            // Nothing is left that the pause was for: what only waited beside the callback may go on.
            state.delivery_state.end_pause();
        }
        self.pass_over(sub, &unwanted);
    }

    /// Entries that were dispatched before are done: nobody wants them any more.
    pub(super) fn pass_over(&mut self, sub: SubscriptionKey, unwanted: &[EntryId]) {
        if unwanted.is_empty() {
            return;
        }
        let state = self.subs.at_mut(sub);
        for id in unwanted {
            state.cursor.note_finished(*id);
        }
        state.tally.note_filtered(unwanted.len() as u64);
        self.consumers[state.consumer].totals.filtered += unwanted.len() as u64;
        let stream = state.stream;
        self.queue_commit(sub);
        self.queue_trim(stream);
    }

    /// Nothing is dispatched until then.
    fn wait(&mut self, sub: SubscriptionKey, scope: Scope, until_ms: u64) {
        let delivery_state = match scope {
            Scope::Stream => &mut *self.subs.at_mut(sub).delivery_state,
            Scope::Consumer => &mut self.consumers[self.subs.consumer_of(sub)].delivery_state,
        };
        delivery_state.until_ms = delivery_state.until_ms.max(until_ms);
        self.after_state_change(sub, scope);
    }

    /// Something is to wait. What was only read is put back: it takes memory, and may be deleted
    /// meanwhile.
    fn after_state_change(&mut self, sub: SubscriptionKey, scope: Scope) {
        if scope == Scope::Stream {
            self.subs.at_mut(sub).put_back();
            return;
        }
        let consumer = self.subs.consumer_of(sub);
        self.queue_consumer_state(consumer);
        for sub in self.engaged(consumer) {
            self.subs.at_mut(sub).put_back();
        }
        self.schedule_all(consumer);
    }

    /// The entries are given up: done, or to become dead letters first.
    pub(super) fn give_up(
        &mut self,
        sub: SubscriptionKey,
        load: Load,
        failure: &Failure,
        took: Duration,
        now_ms: u64,
    ) {
        let consumer = self.subs.consumer_of(sub);
        let stream = &self.streams[self.subs.stream_of(sub)];
        let (db, name) = (self.names.db(stream.home), Arc::clone(&stream.name));
        let to = self.policy(consumer).dead_letter.clone();
        let redriven = load.letter;
        let mut ended = None;
        let state = self.subs.at_mut(sub);
        let consumer_state = &mut self.consumers[consumer];
        // What is redriven was counted when it was given up first.
        if redriven.is_none() {
            consumer_state.totals.given_up += load.entries.len() as u64;
            state.tally.note_given_up(load.entries.len() as u64);
        }
        for entry in load.entries {
            let id = entry.item.id();
            if redriven.is_none() {
                let error = Some(Arc::clone(&failure.error));
                consumer_state.note_finished((sub, state), id, took, now_ms, error);
            }
            let Some(to) = &to else {
                match &redriven {
                    // Its dead letter stays where it is.
                    Some(redriven) => ended = Some(redriven.letter),
                    None => _ = state.cursor.note_finished(id),
                }
                continue;
            };
            let mut dead_letter = DeadLetter {
                sub,
                consumer,
                db,
                stream: Arc::clone(&name),
                to: Arc::clone(to),
                item: entry.item,
                attempts: load.tried.attempts,
                error: Arc::clone(&failure.error),
                first_ms: if load.tried.attempts > 0 {
                    load.tried.first_ms
                } else {
                    now_ms
                },
                last_ms: now_ms,
                replaces: None,
            };
            match &redriven {
                Some(redriven) => dead_letter.replace(redriven),
                // Until the dead letter is written it may have to be redelivered, after a restart.
                None => state.delivery_state.keep_tried(id, load.tried),
            }
            self.dead_letters.push_back(dead_letter);
        }
        if redriven.is_some() {
            let done = &mut self.consumers[consumer]
                .redrives
                .get_or_insert_default()
                .done;
            done.note_failed(&failure.error, now_ms);
        }
        if let Some(letter) = ended {
            self.end_redrive(sub, letter);
        }
    }

    /// A dead letter was written: its entry is done.
    pub(super) fn dead_letter_written(&mut self, dead_letter: &DeadLetter) {
        let sub = dead_letter.sub;
        if let Some(replaced) = &dead_letter.replaces {
            self.delete_dead_letter(sub, replaced.home, &replaced.from, replaced.letter);
            return;
        }
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        state.tally.note_dead_letter();
        let consumer = &mut self.consumers[state.consumer];
        consumer.totals.dead_letters += 1;
        // Others of the stream may wait still. They are tried in the same tick, and say so again.
        consumer.unlettered.remove(&sub);
        let id = dead_letter.item.id();
        state.delivery_state.take_tried(id);
        state.cursor.note_finished(id);
        let stream = state.stream;
        self.queue_commit(sub);
        self.queue_trim(stream);
        self.schedule(sub);
    }

    /// A dead letter could not be written: its entry is not done.
    pub(super) fn dead_letter_refused(&mut self, dead_letter: DeadLetter, error: &Arc<str>) {
        if let Some(state) = self.subs.get_mut(dead_letter.sub) {
            let consumer = &mut self.consumers[state.consumer];
            consumer.totals.note_error(Arc::clone(error));
            if !state.delivery_state.is_final() {
                let obstacle = Obstacle::Said(Arc::clone(error));
                consumer.unlettered.insert(dead_letter.sub, obstacle);
            }
            state.tally.note_error(Arc::clone(error));
            let id = dead_letter.item.id();
            self.note_error(dead_letter.sub, Some(id), error, self.now_ms, true);
            self.unwritten
                .push((self.now_ms.saturating_add(WRITE_AGAIN_MS), dead_letter));
        }
    }

    /// Has dead letters written that could not be before.
    pub(super) fn write_again(&mut self) {
        let now_ms = self.now_ms;
        let due = self.unwritten.extract_if(.., |(at, _)| *at <= now_ms);
        self.dead_letters
            .extend(due.map(|(_, dead_letter)| dead_letter));
    }
}
