//! Consumers with a policy: their entries become batches, which are dispatched and come back.

use std::time::Duration;

use smallvec::SmallVec;

use super::super::batcher::{Batch, Batcher, Entry, Load};
use super::super::checkpoint::Checkpoint;
use super::super::cursor::Reach;
use super::super::event::{Dispatch, End, Failure};
use super::super::feed::{Feed, READ_BATCH};
use super::super::id::EntryId;
use super::super::policy::Policy;
use super::super::record::{Item, RecordBatch};
use super::super::subscription::{Phase, Recall, Subscription};
use super::super::{ConsumerKey, SHARE, SubscriptionKey};
use super::Delivery;

impl Delivery {
    pub(super) fn policy(&self, consumer: ConsumerKey) -> &Policy {
        self.consumers[consumer].spec.policy()
    }

    /// The next thing to do for a subscription of which writers of this tick wait for entries.
    pub(super) fn urgent_step(&mut self, sub: SubscriptionKey, count: u64) -> Option<Dispatch> {
        let can_run = self.is_sync(sub) && self.is_runnable(sub);
        let step = can_run.then(|| self.step_in_stream(sub)).flatten();
        match &step {
            None => self.urgent.forget(sub),
            Some(Dispatch::Deliver { batch, .. }) => {
                let delivered = batch.items.len() as u64;
                if delivered < count {
                    self.urgent.put_back(sub, count - delivered);
                } else {
                    self.urgent.spend(sub, delivered - count);
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
    pub(super) fn next_step(&mut self, sub: SubscriptionKey) -> Option<Dispatch> {
        let step = self.step(sub);
        if let Some(Dispatch::Deliver { .. }) = step {
            self.schedule(sub);
        } else if step.is_none() {
            self.set_timer(sub);
        }
        step
    }

    /// Dead letters that are redriven take turns with the stream's own entries.
    fn step(&mut self, sub: SubscriptionKey) -> Option<Dispatch> {
        let wants_letters = self.subs.get(sub).is_some_and(|state| {
            let batcher = state.feed.batcher();
            batcher.is_some_and(Batcher::wants_letters)
        });
        if !wants_letters {
            return self.step_in_stream(sub);
        }
        let letters = self.letter_request(sub, false);
        let step = letters.map(Dispatch::ReadLetters);
        let step = step.or_else(|| self.step_in_stream(sub));
        step.or_else(|| self.letter_request(sub, true).map(Dispatch::ReadLetters))
    }

    fn step_in_stream(&mut self, sub: SubscriptionKey) -> Option<Dispatch> {
        if let Some(batch) = self.release(sub) {
            let consumer = self.subs.consumer_of(sub);
            return Some(Dispatch::Deliver {
                sub,
                consumer,
                batch,
            });
        }
        self.read_request(sub).map(Dispatch::Read)
    }

    fn release(&mut self, sub: SubscriptionKey) -> Option<Batch> {
        let number = self.batches + 1;
        let state = self.subs.get_mut(sub)?;
        let consumer = &mut self.consumers[state.consumer];
        let waiting = state.feed.batcher()?.waiting().len();
        let batch = state.release(number, consumer.feed_context(sub, self.now_ms))?;
        self.batches = number;
        let batcher = state.feed.batcher()?;
        let taken = waiting.saturating_sub(batcher.waiting().len());
        consumer.order.take(sub, taken as u64);
        if batcher.waiting().is_empty() && !state.tail.has_unread {
            // Some of it may have been deleted before it was read.
            consumer.order.forget(sub);
        }
        Some(batch)
    }

    /// Adds to a batch that was dispatched to an async consumer those that can go with it: to send
    /// them one by one takes longer than to put them together. While other streams wait, they have no
    /// more entries than their share.
    pub fn add_batches(&mut self, sub: SubscriptionKey, batches: &mut Vec<Batch>) {
        if !self.subs.contains_key(sub) || self.is_sync(sub) || !self.is_runnable(sub) {
            return;
        }
        let others_wait = self.ready.iter().any(|other| *other != sub);
        let most = if others_wait { SHARE } else { READ_BATCH };
        let mut entries: usize = batches.iter().map(|batch| batch.items.len()).sum();
        while entries < most {
            let Some(batch) = self.release(sub) else {
                break;
            };
            entries += batch.items.len();
            batches.push(batch);
        }
        // Its window may be full now.
        self.schedule_next_in_order(sub);
    }

    /// Entries were read.
    pub(super) fn fetched(&mut self, sub: SubscriptionKey, batch: RecordBatch, end: bool) {
        let now_ms = self.now_ms;
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        let context = self.consumers[state.consumer].feed_context(sub, now_ms);
        let policy = context.policy();
        let Feed::Batched(batched) = &mut state.feed else {
            return;
        };
        let batcher = &mut batched.batcher;
        if state.cursor.has_redeliveries() {
            let entries: Vec<_> = batch.sizes().collect();
            let Reach::Only(wanted) = state.cursor.reach() else {
                return;
            };
            state.cursor.note_read(&entries);
            let tried = state.delivery_state.take_tried(wanted);
            let filter = policy.filter.as_ref();
            let mut unwanted = Vec::new();
            for item in Item::all(batch).filter(|item| item.id() == wanted) {
                if filter.is_none_or(|filter| filter.matches(item.record())) {
                    batcher.waiting_mut().draining = true;
                    batcher.push(item, tried, policy, now_ms);
                } else {
                    unwanted.push(wanted);
                }
            }
            self.pass_over(sub, &unwanted);
            self.after_redelivery(sub, entries.is_empty());
            return;
        }
        let left = state
            .tail
            .count(batched.unread_again)
            .saturating_sub(batch.len() as u64);
        let news = batch.sizes().filter(|(id, _)| *id > batched.newest_read);
        let count = news.count() as u64;
        batched.unread_again = batched
            .unread_again
            .saturating_sub(batch.len() as u64 - count);
        if count > state.tail.unread_new {
            // Nobody told of their coming: they were there before.
            batcher.waiting_mut().draining = true;
        }
        state.tail.unread_new = state.tail.unread_new.saturating_sub(count);
        state.tail.expect(left, batched.unread_again);
        if end {
            batcher.waiting_mut().note_end(count);
        }
        let mut filtered = 0;
        let filter = policy.filter.as_ref();
        for item in Item::all(batch) {
            let (id, bytes) = (item.id(), item.record().packed().len());
            if id <= state.cursor.read() {
                continue;
            }
            let tried = state.delivery_state.take_tried(id);
            if filter.is_none_or(|filter| filter.matches(item.record())) {
                state.cursor.note_read(&[(id, bytes)]);
                batcher.push(item, tried, policy, now_ms);
            } else {
                state.cursor.note_skipped(id);
                filtered += 1;
            }
        }
        state.tally.note_filtered(filtered);
        self.urgent.spend(sub, filtered);
        if end {
            batcher.waiting_mut().note_all_read();
            batched.unread_again = 0;
            batched.is_count_exact = true;
            state.tail.note_end();
        }
        state.end_drain();
        let batcher = state.feed.batcher();
        let is_due = batcher.is_some_and(|one| one.waiting().is_due(state.now(one, context)));
        if end && Batcher::counts(policy) && !is_due {
            // It waits in the stream.
            state.put_back();
        }
        let is_all_dispatched = state
            .feed
            .batcher()
            .is_none_or(|one| one.waiting().is_empty());
        let stream = state.stream;
        let consumer = &mut self.consumers[state.consumer];
        consumer.order.take(sub, filtered);
        if end && is_all_dispatched {
            consumer.order.forget(sub);
        }
        if filtered > 0 {
            consumer.totals.filtered += filtered;
            self.queue_commit(sub);
            self.queue_trim(stream);
        }
        self.schedule(sub);
    }

    /// It is known where a subscription begins.
    pub(super) fn start_resolved(&mut self, sub: SubscriptionKey, position: EntryId) {
        let Some(state) = self
            .subs
            .get_mut(sub)
            .filter(|state| state.is_start_unresolved())
        else {
            return;
        };
        let delivery_state = (*state.delivery_state).clone();
        let checkpoint = Checkpoint {
            position,
            pending: Vec::new(),
            delivery_state,
        };
        state.resume(&checkpoint, self.now_ms);
        state.tail.has_unread = true;
        self.queue_commit(sub);
        self.queue_trim(self.subs.stream_of(sub));
        self.schedule(sub);
    }

    /// A callback has a batch, and is not done with it yet.
    pub(super) fn begun(&mut self, sub: SubscriptionKey, number: u64) {
        if let Some(state) = self.subs.get_mut(sub)
            && let Some(batcher) = state.feed.batcher_mut()
        {
            batcher.note_begun(number);
        }
    }

    /// A callback is done with a batch.
    pub(super) fn ended(
        &mut self,
        sub: SubscriptionKey,
        number: u64,
        end: End,
        took: Duration,
        now_ms: u64,
        uncommitted: bool,
    ) {
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        let batcher = state.feed.batcher_mut();
        let Some(mut load) = batcher.and_then(|batcher| batcher.end(number, end.is_failure()))
        else {
            return;
        };
        let consumer = &mut self.consumers[state.consumer];
        let end = end.checked(&load);
        let comes_again = load.saw_demotion && end.is_failure();
        if uncommitted && state.phase != Phase::Recalling(Recall::Upgrade) {
            state.uncommitted_slots += 1;
            if let Some(batcher) = state.feed.batcher_mut() {
                batcher.ahead_mut().note_held(number);
            }
        }
        if !comes_again {
            consumer.totals.note_call(!matches!(end, End::Done));
            state.tally.note_call(!matches!(end, End::Done));
        }
        // Entries whose IDs came again since, or that were sought past, are not of this stream.
        let cursor = &state.cursor;
        let is_redriven = load.letter.is_some();
        load.entries
            .retain(|entry| is_redriven || cursor.is_listed(entry.item.id()));
        let entries = std::mem::take(&mut load.entries);
        let (failed, done): (SmallVec<[Entry; 1]>, SmallVec<[Entry; 1]>) = entries
            .into_iter()
            .partition(|entry| end.is_failed(entry.item.id()));
        load.entries = failed;
        for entry in done {
            let id = entry.item.id();
            // What is redriven was finished when it was given up.
            if !is_redriven {
                state.cursor.note_finished(id);
                consumer.note_finished((sub, state), id, took, now_ms, None);
            }
        }
        let (consumer, stream) = (state.consumer, state.stream);
        if comes_again {
            self.requeue(sub, load);
        } else if let Some(failure) = end.failure() {
            // By the clock that pauses are measured with.
            self.fail(sub, load, &failure, took, self.now_ms);
        } else if let Some(letter) = load.letter {
            self.redrive_done(sub, *letter);
        }
        self.subs.at_mut(sub).adopt(&self.consumers[consumer].spec);
        self.queue_commit(sub);
        self.queue_trim(stream);
        self.schedule(sub);
    }

    /// A batch was not delivered to the callback.
    pub(super) fn returned(&mut self, sub: SubscriptionKey, number: u64, yields: bool) {
        let Some((_, load)) = self.complete(sub, number) else {
            return;
        };
        self.requeue(sub, load);
        self.urgent.forget(sub);
        if yields {
            self.subs.at_mut(sub).refuse();
        }
        self.schedule(sub);
    }

    /// Entries of a batch that is in flight are in the stream no more.
    pub(super) fn gone(&mut self, sub: SubscriptionKey, number: u64, ids: &[EntryId]) {
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        let Some(batcher) = state.feed.batcher_mut() else {
            return;
        };
        let is_left = batcher.leave_out(number, ids);
        for id in ids {
            state.cursor.note_finished(*id);
        }
        let stream = state.stream;
        if !is_left {
            self.complete(sub, number);
        }
        self.queue_commit(sub);
        self.queue_trim(stream);
        self.schedule(sub);
    }

    fn complete(&mut self, sub: SubscriptionKey, number: u64) -> Option<(&mut Subscription, Load)> {
        let state = self.subs.get_mut(sub)?;
        let load = state.feed.batcher_mut()?.complete(number)?;
        Some((state, load))
    }

    /// Sees to it that a subscription that cannot go on now is looked at again in time.
    pub(super) fn set_timer(&mut self, sub: SubscriptionKey) {
        let state = self.subs.at(sub);
        let consumer = &self.consumers[state.consumer];
        let until = state
            .delivery_state
            .until_ms
            .max(consumer.delivery_state.until_ms);
        let at = if until > self.now_ms {
            Some(until)
        } else {
            let batcher = state.feed.batcher();
            batcher
                .and_then(|batcher| batcher.due_ms(self.policy(state.consumer)))
                .filter(|due| *due > self.now_ms)
        };
        let at = at.unwrap_or(0);
        if at == state.timer_ms {
            return;
        }
        let before = std::mem::replace(&mut self.subs.at_mut(sub).timer_ms, at);
        if before > 0 {
            self.timers.remove(&(before, sub));
        }
        if at > 0 {
            self.timers.insert((at, sub));
        }
    }

    /// Takes note of the time, Unix milliseconds, which must not go back: what waited for it goes
    /// on.
    pub fn set_time(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.give_back();
        while let Some((at, sub)) = self.timers.first().copied() {
            if at > self.now_ms {
                break;
            }
            self.timers.pop_first();
            if let Some(state) = self.subs.get_mut(sub) {
                state.timer_ms = 0;
                let consumer = state.consumer;
                self.end_pause(consumer);
                self.schedule(sub);
            }
        }
        self.write_again();
    }

    /// A pause of a consumer as a whole that is over is not left committed, for a server whose
    /// clock is behind.
    fn end_pause(&mut self, consumer: ConsumerKey) {
        let until_ms = &mut self.consumers[consumer].delivery_state.until_ms;
        if *until_ms > 0 && *until_ms <= self.now_ms {
            *until_ms = 0;
            self.queue_consumer_state(consumer);
        }
    }

    /// When the core wants to be told the time again; `None` where it does not wait for that.
    #[must_use]
    pub fn next_time(&self) -> Option<u64> {
        if !self.is_active() {
            return None;
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        let dead_letter = self.unwritten.iter().map(|(at, _)| *at).min();
        timer.into_iter().chain(dead_letter).min()
    }
}

impl End {
    /// Whether the callback did not end well with all of the batch.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Done => false,
            Self::Partly { failed, .. } => !failed.is_empty(),
            Self::Failed(_) => true,
        }
    }

    /// What a callback said of single entries counts if they were delivered to it. Sorts them.
    fn checked(self, load: &Load) -> Self {
        match self {
            Self::Partly { failed, .. } if failed.is_empty() => Self::Done,
            Self::Partly { mut failed, error } => {
                let delivered: Vec<_> = load.ids().collect();
                let foreign = failed
                    .iter()
                    .find(|id| delivered.binary_search(id).is_err());
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

    /// Whether an entry that was delivered failed.
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
