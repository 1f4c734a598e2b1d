//! The state machine of the delivery core. See the room's description for what it promises.
//!
//! Streams learn their consumers lazily: each carries the *epoch* of the set of consumers it was
//! matched against, and is matched again before the next decision about it. So registering a
//! consumer costs nothing per stream, and still no trim overlooks it.
//!
//! Here are the state and the facts about entries; beside it what comes of consumers and of
//! streams, and the decisions.

mod batches;
mod consumers;
mod control;
mod decisions;
mod durable;
mod failures;
#[cfg(test)]
mod policy_tests;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use slotmap::SlotMap;
use smallvec::SmallVec;

use super::arrival_order::ArrivalOrder;
use super::consumer::{ConsumerSpec, Mode};
use super::cursor::{Checkpoint, TrimBound};
use super::dead_letter::{DeadLetter, DeadLetterDeletion};
use super::delivery_state::DeliveryState;
use super::event::{ControlMessage, Event, KeyRef, Refusal};
use super::id::EntryId;
use super::names::Names;
use super::prefix::PrefixIndex;
use super::subscription::{Facts, Phase, Recall, Subscription};
use super::urgent::Urgent;
use super::{ConsumerKey, StreamKey, SubscriptionKey};

pub use consumers::StreamView;

#[derive(Debug)]
struct Consumer {
    spec: ConsumerSpec,
    /// In the order of discovery.
    subs: BTreeMap<u64, SubscriptionKey>,
    /// How its streams are read, if they are async and their prefetch queues keep the window.
    order: ArrivalOrder,
    /// Whether it has no code to run, and waits for some.
    suspended: bool,
    /// Why nothing is dispatched of any stream.
    delivery_state: DeliveryState,
}

impl Consumer {
    /// What one of its subscriptions has to know to go on.
    fn facts(&self, sub: SubscriptionKey, now_ms: u64) -> Facts<'_> {
        let shared = self.order.is_shared();
        let allowance = shared.then(|| self.order.allowance(sub)).flatten();
        Facts {
            spec: &self.spec,
            allowance: allowance.unwrap_or(u64::MAX),
            now_ms,
        }
    }
}

#[derive(Debug)]
struct Stream {
    db: i32,
    name: Arc<[u8]>,
    subs: SmallVec<[SubscriptionKey; 2]>,
    matched_at: u64,
    trimmed: TrimBound,
    trim_queued: bool,
}

/// See the module's description.
#[derive(Debug)]
pub struct Delivery {
    consumers: SlotMap<ConsumerKey, Consumer>,
    streams: SlotMap<StreamKey, Stream>,
    subs: SlotMap<SubscriptionKey, Subscription>,
    names: Names,
    prefixes: PrefixIndex<ConsumerKey>,
    epoch: u64,
    discovered: u64,
    primary: bool,
    loading: bool,
    /// Why nothing can be written now.
    refusal: Option<Refusal>,
    urgent: Urgent,
    ready: VecDeque<SubscriptionKey>,
    progress: VecDeque<SubscriptionKey>,
    trims: VecDeque<StreamKey>,
    control_messages: VecDeque<ControlMessage>,
    /// Unix milliseconds, as it was last told.
    now_ms: u64,
    /// When subscriptions are to be looked at again.
    timers: BTreeSet<(u64, SubscriptionKey)>,
    /// Batches that were dispatched so far.
    batches: u64,
    dead_letters: VecDeque<DeadLetter>,
    /// Dead letters that could not be written, and when to try again.
    unwritten: Vec<(u64, DeadLetter)>,
    deletions: VecDeque<DeadLetterDeletion>,
    /// Consumers whose delivery state is to be committed.
    consumer_states: VecDeque<ConsumerKey>,
    /// Subscriptions of which it may not be known yet where they begin.
    start_unresolved: Vec<SubscriptionKey>,
}

impl Delivery {
    /// A core without consumers.
    #[must_use]
    pub fn new(primary: bool) -> Self {
        Self {
            consumers: SlotMap::with_key(),
            streams: SlotMap::with_key(),
            subs: SlotMap::with_key(),
            names: Names::default(),
            prefixes: PrefixIndex::default(),
            epoch: 0,
            discovered: 0,
            primary,
            loading: false,
            refusal: None,
            urgent: Urgent::default(),
            ready: VecDeque::new(),
            progress: VecDeque::new(),
            trims: VecDeque::new(),
            control_messages: VecDeque::new(),
            now_ms: 0,
            timers: BTreeSet::new(),
            batches: 0,
            dead_letters: VecDeque::new(),
            unwritten: Vec::new(),
            deletions: VecDeque::new(),
            consumer_states: VecDeque::new(),
            start_unresolved: Vec::new(),
        }
    }

    /// Takes note of a fact. Facts about subscriptions that are no more are ignored.
    pub fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Appended(key) => self.touched(key, 1),
            Event::Found(key) => self.touched(key, 0),
            Event::Removed(key) => self.drop_named(key),
            Event::Replaced(key) => {
                self.drop_named(key);
                self.touched(key, 0);
            }
            Event::Moved { from, to } => self.moved(from, to),
            Event::Rewound { key, last } => self.rewound(key, last),
            Event::Swapped(a, b) => self.swapped(a, b),
            Event::Flushed(db) => self.flushed(db),
            Event::RoleChanged { primary } => self.role_changed(primary),
            Event::Loading(loading) => self.loading(loading),
            Event::WritesRefused(refusal) => self.writes_refused(refusal),
            Event::Resumed {
                consumer,
                key,
                checkpoint,
            } => self.resumed(consumer, key, checkpoint),
            Event::Read { sub, entries, end } => self.read(sub, entries, end),
            Event::Fetched { sub, batch, end } => self.fetched(sub, batch, end),
            Event::StartResolved { sub, position } => self.start_resolved(sub, position),
            Event::Ended {
                sub,
                batch,
                end,
                took,
                now_ms,
                uncommitted,
            } => self.ended(sub, batch, end, took, now_ms, uncommitted),
            Event::Returned { sub, batch, yields } => self.returned(sub, batch, yields),
            Event::Gone { sub, batch, ids } => self.gone(sub, batch, &ids),
            Event::DeadLetterWritten(dead_letter) => self.dead_letter_written(&dead_letter),
            Event::DeadLetterRefused { dead_letter, error } => {
                self.dead_letter_refused(dead_letter, error);
            }
            Event::Started { sub, id } => {
                if let Some(state) = self.subs.get_mut(sub) {
                    if id > state.cursor.started() {
                        self.urgent.note_started(sub);
                    }
                    state.cursor.note_started(id);
                    // Large entries may have waited for this one to start.
                    self.schedule(sub);
                }
            }
            Event::Finished {
                sub,
                id,
                took,
                now_ms,
                error,
                uncommitted,
            } => {
                let Some(state) = self.subs.get_mut(sub) else {
                    return;
                };
                if uncommitted {
                    state.note_uncommitted(id);
                }
                let is_on_old_code = state.is_on_old_code(id);
                if id > state.cursor.started() {
                    self.urgent.note_started(sub);
                }
                if state.cursor.note_finished(id) {
                    state.stats.note_call(error.is_some());
                    state.stats.note_finished(id, took, now_ms, error);
                    self.after_finish(sub, is_on_old_code);
                }
                self.queue_commit(sub);
            }
            Event::Recalled { sub, started, back } => {
                if let Some(state) = self.subs.get_mut(sub)
                    && state.is_recalling()
                {
                    state.end_recall(started, &back);
                    state.adopt(&self.consumers[state.consumer].spec);
                    self.schedule(sub);
                }
            }
            Event::Abandoned { sub, id } => self.abandoned(sub, id),
            Event::Refused { sub, error } => {
                if let Some(state) = self.subs.get_mut(sub) {
                    state.stats.note_error(error);
                    state.refuse();
                    self.urgent.forget(sub);
                    self.schedule_next_in_order(sub);
                }
            }
            Event::Yielded(sub) => {
                if let Some(state) = self.subs.get_mut(sub) {
                    state.end_refusal();
                }
                self.schedule(sub);
            }
        }
    }

    fn read(&mut self, sub: SubscriptionKey, entries: &[(EntryId, usize)], end: bool) {
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        if state.cursor.note_read(entries) {
            // Something of old was redelivered, which says nothing about what is new.
            self.after_redelivery(sub, entries.is_empty());
            return;
        }
        let count = entries.len() as u64;
        state.tail.unread_new = state.tail.unread_new.saturating_sub(count);
        let consumer = &mut self.consumers[state.consumer];
        consumer.order.take(sub, count);
        if end {
            state.tail.has_unread = false;
            state.tail.unread_new = 0;
            consumer.order.forget(sub);
        }
        if consumer.spec.mode == Mode::Async {
            self.schedule(sub);
        }
    }

    /// An entry that was dispatched before was read again, or is gone: then it is done, which
    /// replicas do not see for themselves.
    fn after_redelivery(&mut self, sub: SubscriptionKey, is_gone: bool) {
        if is_gone {
            self.queue_commit(sub);
        }
        let state = &self.subs[sub];
        if state.cursor.unacknowledged() == 0 {
            // What held back a trim may be gone.
            self.queue_trim(state.stream);
        }
        self.schedule(sub);
    }

    fn after_finish(&mut self, sub: SubscriptionKey, is_on_old_code: bool) {
        let stream = self.subs[sub].stream;
        if is_on_old_code {
            self.tell_window(sub);
        }
        self.queue_trim(stream);
        self.schedule(sub);
    }

    /// The prefetch queue has another window.
    fn tell_window(&mut self, sub: SubscriptionKey) {
        let state = &self.subs[sub];
        let consumer = state.consumer;
        let window = state.prefetch_window(self.consumers[consumer].spec.window);
        self.control_messages.push_back(ControlMessage::Window {
            consumer,
            sub,
            window,
        });
    }

    /// Code that was replaced does not finish an entry. It is read again, before what only waits.
    fn abandoned(&mut self, sub: SubscriptionKey, id: EntryId) {
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        if state.cursor.lose(id) {
            state.tail.has_unread = true;
            self.recall(sub, Recall::Demotion);
            // Not before that: what waits may not take its place.
            self.tell_window(sub);
            self.schedule(sub);
        }
    }

    fn role_changed(&mut self, primary: bool) {
        if self.primary == primary {
            return;
        }
        self.primary = primary;
        // What the server refuses in its new role has to be told anew.
        self.refusal = None;
        let subs: Vec<_> = self.subs.keys().collect();
        for sub in subs {
            if primary {
                self.rescan(sub);
                if std::mem::take(&mut self.subs[sub].missed_commit) {
                    self.queue_commit(sub);
                }
            } else {
                self.recall(sub, Recall::Demotion);
                self.schedule(sub);
            }
        }
    }

    /// A data set begins or ended to be loaded. What becomes of its keys while it is loaded from
    /// a log of commands is followed; nothing is dispatched.
    fn loading(&mut self, loading: bool) {
        if loading {
            self.flushed(None);
        }
        self.loading = loading;
        let subs: Vec<_> = self.subs.keys().collect();
        for sub in subs {
            self.rescan(sub);
        }
    }

    /// The server refuses what clients write, or takes it again. Meanwhile callbacks could do
    /// nothing but fail, so nothing is dispatched, and what waits beside them is recalled.
    fn writes_refused(&mut self, refusal: Option<Refusal>) {
        let was_refused = self.refusal.is_some();
        self.refusal = refusal;
        if was_refused == self.refusal.is_some() {
            return;
        }
        let subs: Vec<_> = self.subs.keys().collect();
        for sub in subs {
            if self.refusal.is_some() {
                self.recall(sub, Recall::Demotion);
            }
            self.schedule(sub);
        }
    }

    /// Why nothing can be written now, as it was told last.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Whether trims are let through.
    fn may_trim(&self) -> bool {
        self.refusal.as_ref().is_none_or(|refusal| refusal.may_trim)
    }

    /// Nothing is known of what the stream holds behind the cursor.
    fn rescan(&mut self, sub: SubscriptionKey) {
        let state = &mut self.subs[sub];
        self.consumers[state.consumer].order.forget(sub);
        state.rescan();
        self.queue_trim(self.subs[sub].stream);
        self.schedule(sub);
    }

    /// How far a consumer was in a stream. What it did here since is another server's past: its
    /// callbacks that run end unheard.
    fn resumed(&mut self, consumer: ConsumerKey, key: KeyRef<'_>, checkpoint: &Checkpoint) {
        if let Some(sub) = self.subscription(consumer, key) {
            self.resume_from(sub, checkpoint);
        }
    }

    /// A consumer's interest in a stream, which need not be known yet; `None` where it does not
    /// want it.
    fn subscription(&mut self, consumer: ConsumerKey, key: KeyRef<'_>) -> Option<SubscriptionKey> {
        if !self.consumers.get(consumer)?.spec.matches(key.name) {
            return None;
        }
        let stream = self.names.get(key).unwrap_or_else(|| self.track(key));
        self.refresh(stream);
        let mut subs = self.streams[stream].subs.iter().copied();
        subs.find(|sub| self.subs[*sub].consumer == consumer)
    }

    /// Sets a subscription to a checkpoint. What it has with callbacks ends unheard.
    fn resume_from(&mut self, mut sub: SubscriptionKey, checkpoint: &Checkpoint) {
        let state = &self.subs[sub];
        if state.cursor.unacknowledged() > 0 || state.is_recalling() || !state.feed.is_idle() {
            sub = self.renew(sub);
        }
        self.subs[sub].resume(checkpoint, self.now_ms);
        self.rescan(sub);
    }

    /// Whether there is anything to dispatch, to commit, or to trim.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.has_dispatches()
            || (self.is_active()
                && !(self.progress.is_empty()
                    && self.consumer_states.is_empty()
                    && !self.has_writes()))
    }

    /// Whether there is anything to write or to trim, and the server takes it.
    fn has_writes(&self) -> bool {
        self.has_dead_letters() || (!self.trims.is_empty() && self.may_trim())
    }

    /// Whether there are dead letters to write or to delete, and the server takes that.
    #[must_use]
    pub fn has_dead_letters(&self) -> bool {
        self.refusal.is_none() && !(self.dead_letters.is_empty() && self.deletions.is_empty())
    }

    /// Whether it matters if the server takes writes: something waits for that, or would be
    /// dispatched, written or trimmed.
    #[must_use]
    pub fn wants_to_write(&self) -> bool {
        self.is_active() && (self.refusal.is_some() || self.has_dispatches() || self.has_writes())
    }

    /// The stream of what is dispatched next, if there is anything.
    #[must_use]
    pub fn next_stream(&self) -> Option<Arc<[u8]>> {
        let mut next = self.urgent.subs().chain(self.ready.iter().copied());
        next.find_map(|sub| Some(self.stream_of(sub)?.1))
    }

    /// Whether there is anything to dispatch.
    #[must_use]
    pub fn has_dispatches(&self) -> bool {
        self.is_active() && !(self.urgent.is_empty() && self.ready.is_empty())
    }

    /// Whether a sync consumer has entries of this tick to process.
    #[must_use]
    pub fn has_urgent(&self) -> bool {
        self.is_active() && !self.urgent.is_empty()
    }

    /// Whether streams are consumed here and now: on a primary that is not loading.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.primary && !self.loading
    }

    /// Whether a consumer knows the stream of this name.
    #[must_use]
    pub fn is_tracked(&self, key: KeyRef<'_>) -> bool {
        self.names.get(key).is_some()
    }

    /// Whether an entry of this stream would be given to a sync callback.
    #[must_use]
    pub fn has_sync_consumer(&self, key: KeyRef<'_>) -> bool {
        self.prefixes
            .matching(key.name)
            .any(|consumer| self.consumers[consumer].spec.mode == Mode::Sync)
    }

    /// The stream of a subscription: its database and name.
    #[must_use]
    pub fn stream_of(&self, sub: SubscriptionKey) -> Option<(i32, Arc<[u8]>)> {
        let stream = &self.streams[self.subs.get(sub)?.stream];
        Some((stream.db, Arc::clone(&stream.name)))
    }

    /// Whether the subscription is still there, and may start entries.
    #[must_use]
    pub fn may_start(&self, sub: SubscriptionKey) -> bool {
        self.is_active()
            && self
                .subs
                .get(sub)
                .is_some_and(|state| !state.is_recalling() && !self.is_blocked(state))
    }

    /// Whether nothing of a stream can be dispatched now.
    fn is_blocked(&self, state: &Subscription) -> bool {
        let consumer = &self.consumers[state.consumer];
        self.refusal.is_some()
            || state.delivery_state.holds(self.now_ms)
            || consumer.delivery_state.holds(self.now_ms)
    }

    /// The window of a subscription's prefetch queue.
    #[must_use]
    pub fn prefetch_window(&self, sub: SubscriptionKey) -> usize {
        self.subs.get(sub).map_or(0, |state| {
            state.prefetch_window(self.consumers[state.consumer].spec.window)
        })
    }

    fn is_sync(&self, sub: SubscriptionKey) -> bool {
        self.consumers[self.subs[sub].consumer].spec.mode == Mode::Sync
    }

    fn is_runnable(&self, sub: SubscriptionKey) -> bool {
        let state = &self.subs[sub];
        let consumer = &self.consumers[state.consumer];
        if state.is_start_unresolved() {
            // Nothing keeps it from that: what is added from now on is not to be left out.
            return self.is_active();
        }
        if !self.is_active() || consumer.suspended || self.is_blocked(state) {
            return false;
        }
        state.is_runnable(consumer.facts(sub, self.now_ms))
    }

    fn schedule(&mut self, sub: SubscriptionKey) {
        if self.subs.contains_key(sub) {
            self.schedule_one(sub);
            self.schedule_next_in_order(sub);
        }
    }

    /// What a stream can do says how far others of its consumer may be read.
    fn schedule_next_in_order(&mut self, sub: SubscriptionKey) {
        let state = &self.subs[sub];
        let consumer = state.consumer;
        if self.consumers[consumer].order.is_alone(sub) {
            return;
        }
        if self.consumers[consumer].order.contains(sub) {
            self.note_open(consumer, sub);
        }
        if let Some(first) = self.consumers[consumer].order.first()
            && first != sub
        {
            self.schedule_one(first);
        }
    }

    /// Says in the order of its consumer's streams whether this one is open.
    fn note_open(&mut self, consumer: ConsumerKey, sub: SubscriptionKey) {
        let is_open = self.is_open(&self.subs[sub]);
        self.consumers[consumer].order.set_open(sub, is_open);
    }

    /// Whether a stream could start an entry, if its prefetch queue had one.
    fn is_open(&self, state: &Subscription) -> bool {
        let consumer = &self.consumers[state.consumer];
        // Places that wait for their commit are free before this tick ends.
        !(consumer.suspended || state.phase != Phase::Running || self.is_blocked(state))
            && self.is_active()
            && state.cursor.in_flight_count() < state.prefetch_window(consumer.spec.window)
    }

    fn schedule_one(&mut self, sub: SubscriptionKey) {
        if !self.is_runnable(sub) {
            // No writer waits for what cannot be run in its tick.
            self.urgent.forget(sub);
            self.set_timer(sub);
            return;
        }
        let is_urgent = self.urgent.contains(sub);
        let state = &mut self.subs[sub];
        if !is_urgent && !state.in_ready {
            state.in_ready = true;
            self.ready.push_back(sub);
        }
    }

    fn queue_trim(&mut self, stream: StreamKey) {
        let state = &mut self.streams[stream];
        if !state.trim_queued {
            state.trim_queued = true;
            self.trims.push_back(stream);
        }
    }

    fn recall(&mut self, sub: SubscriptionKey, why: Recall) {
        let state = &mut self.subs[sub];
        // What is read again was added before what is counted.
        self.consumers[state.consumer].order.forget(sub);
        if state.is_recalling() {
            // One answer ends both. What is in flight is with the old code if either says so.
            if why == Recall::Upgrade {
                state.phase = Phase::Recalling(why);
            }
            return;
        }
        let is_out = match state.feed.batcher() {
            Some(batcher) => batcher.in_flight_count() > 0,
            None => state.cursor.unacknowledged() > 0,
        };
        state.put_back();
        if is_out {
            state.phase = Phase::Recalling(why);
            self.control_messages.push_back(ControlMessage::Recall {
                consumer: state.consumer,
                sub,
            });
        }
    }
}
