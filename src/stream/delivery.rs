//! The state machine of the delivery core. See the room's description for what it promises.
//!
//! Streams learn their consumers lazily: each carries the *epoch* of the set of consumers it was
//! matched against, and is matched again before the next decision about it. So registering a
//! consumer costs nothing per stream, and still no trim overlooks it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use slotmap::SlotMap;
use smallvec::SmallVec;

use super::cursor::{Cursor, TrimBound};
use super::event::{Event, HandOver, KeyRef, Notice, ReadRequest, Trim};
use super::id::EntryId;
use super::names::Names;
use super::prefix::PrefixIndex;
use super::stats::Stats;
use super::subscription::{Recall, Subscription};
use super::{ConsumerKey, StreamKey, SubscriptionKey};

/// Where a consumer's callback runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On the server's main thread, before the writer of the entry gets its reply.
    Sync,
    /// On a worker.
    Async,
}

/// What a consumer asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Keys that start with it are consumed.
    pub prefix: Arc<[u8]>,
    /// Entries of one stream that may be with the callback at once; at least 1.
    pub window: usize,
    /// Whether streams are trimmed behind their slowest consumer.
    pub trim: bool,
    /// Where the callback runs.
    pub mode: Mode,
}

#[derive(Debug)]
struct Consumer {
    spec: ConsumerSpec,
    /// In the order of discovery.
    subs: BTreeMap<u64, SubscriptionKey>,
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

/// One stream of a consumer, for people to look at.
#[derive(Debug)]
pub struct StreamView<'a> {
    /// Database of the stream.
    pub db: i32,
    /// Name of the stream.
    pub name: &'a [u8],
    /// Counters.
    pub stats: &'a Stats,
    cursor: &'a Cursor,
}

impl StreamView<'_> {
    /// The last entry handed to the callback; 0-0 where there was none.
    #[must_use]
    pub fn last_started(&self) -> EntryId {
        self.cursor.started()
    }

    /// Entries with the callback now, ascending.
    pub fn in_flight(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.cursor.in_flight()
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct Delivery {
    consumers: SlotMap<ConsumerKey, Consumer>,
    streams: SlotMap<StreamKey, Stream>,
    subs: SlotMap<SubscriptionKey, Subscription>,
    names: Names,
    prefixes: PrefixIndex,
    epoch: u64,
    discovered: u64,
    primary: bool,
    loading: bool,
    urgent: VecDeque<SubscriptionKey>,
    ready: VecDeque<SubscriptionKey>,
    trims: VecDeque<StreamKey>,
    notices: VecDeque<Notice>,
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
            urgent: VecDeque::new(),
            ready: VecDeque::new(),
            trims: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    // ---- consumers ------------------------------------------------------------------------

    /// Adds a consumer. It starts at the beginning of each stream that it matches; the owner
    /// tells of those that are there by [`Event::Found`].
    pub fn add_consumer(&mut self, spec: ConsumerSpec) -> ConsumerKey {
        let prefix = Arc::clone(&spec.prefix);
        let consumer = self.consumers.insert(Consumer {
            spec,
            subs: BTreeMap::new(),
        });
        self.prefixes.insert(&prefix, consumer);
        self.epoch += 1;
        consumer
    }

    /// Gives a consumer new code. Cursors and counters stay; what waits beside the old code is
    /// recalled, what is with it ends there and counts against the window meanwhile.
    pub fn change_consumer(&mut self, key: ConsumerKey, window: usize, trim: bool, mode: Mode) {
        let Some(consumer) = self.consumers.get_mut(key) else {
            return;
        };
        consumer.spec.window = window;
        consumer.spec.trim = trim;
        consumer.spec.mode = mode;
        let subs: Vec<_> = consumer.subs.values().copied().collect();
        for sub in subs {
            self.recall(sub, Recall::Upgrade);
            self.queue_trim(self.subs[sub].stream);
            self.schedule(sub);
        }
    }

    /// Removes a consumer with all it knows. Its callbacks that are running end unheard.
    pub fn remove_consumer(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.remove(key) else {
            return;
        };
        self.prefixes.remove(&consumer.spec.prefix, key);
        self.epoch += 1;
        for sub in consumer.subs.into_values() {
            let Some(sub_state) = self.subs.remove(sub) else {
                continue;
            };
            let stream = &mut self.streams[sub_state.stream];
            stream.subs.retain(|one| *one != sub);
            if stream.subs.is_empty() {
                self.untrack(sub_state.stream);
            } else {
                self.queue_trim(sub_state.stream);
            }
        }
    }

    /// What a consumer asked for.
    #[must_use]
    pub fn spec(&self, key: ConsumerKey) -> Option<&ConsumerSpec> {
        self.consumers.get(key).map(|consumer| &consumer.spec)
    }

    /// The streams a consumer knows, the latest discovered first.
    pub fn streams_of(&self, key: ConsumerKey) -> impl Iterator<Item = StreamView<'_>> {
        self.consumers
            .get(key)
            .into_iter()
            .flat_map(|consumer| consumer.subs.values().rev())
            .map(|sub| {
                let sub = &self.subs[*sub];
                let stream = &self.streams[sub.stream];
                StreamView {
                    db: stream.db,
                    name: &stream.name,
                    stats: &sub.stats,
                    cursor: &sub.cursor,
                }
            })
    }

    /// How many streams a consumer knows.
    #[must_use]
    pub fn stream_count(&self, key: ConsumerKey) -> usize {
        self.consumers.get(key).map_or(0, |one| one.subs.len())
    }

    // ---- facts ----------------------------------------------------------------------------

    /// Takes note of a fact. Facts about subscriptions that are no more are ignored.
    pub fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Appended(key) if !self.loading => self.touched(key, 1),
            Event::Found(key) if !self.loading => self.touched(key, 0),
            Event::Removed(key) if !self.loading => self.drop_named(key),
            Event::Replaced(key) if !self.loading => {
                self.drop_named(key);
                self.touched(key, 0);
            }
            Event::Moved { from, to } if !self.loading => self.moved(from, to),
            Event::Swapped(a, b) if !self.loading => self.swapped(a, b),
            Event::Appended(_)
            | Event::Found(_)
            | Event::Removed(_)
            | Event::Replaced(_)
            | Event::Moved { .. }
            | Event::Swapped(..) => {}
            Event::Flushed(db) => self.flushed(db),
            Event::RoleChanged { primary } => self.role_changed(primary),
            Event::Loading(loading) => {
                self.flushed(None);
                self.loading = loading;
            }
            Event::Read { sub, entries, end } => self.read(sub, entries, end),
            Event::Started { sub, id } => {
                if let Some(sub) = self.subs.get_mut(sub) {
                    sub.cursor.note_started(id);
                }
            }
            Event::Finished {
                sub,
                id,
                took,
                now_ms,
                error,
            } => {
                let Some(state) = self.subs.get_mut(sub) else {
                    return;
                };
                if state.cursor.note_finished(id) {
                    state.stats.note_finished(id, took, now_ms, error);
                    self.after_finish(sub, id);
                }
            }
            Event::Recalled { sub, started } => {
                if let Some(state) = self.subs.get_mut(sub)
                    && state.recall != Recall::None
                {
                    state.end_recall(started);
                    self.schedule(sub);
                }
            }
            Event::Yielded(sub) => self.schedule(sub),
        }
    }

    fn touched(&mut self, key: KeyRef<'_>, appended: u64) {
        let stream = match self.names.get(key) {
            Some(stream) => stream,
            None if self.prefixes.matches(key.name) => self.track(key),
            None => return,
        };
        self.refresh(stream);
        // By index: scheduling needs the whole core, and the list does not change meanwhile.
        for at in 0..self.streams[stream].subs.len() {
            let sub = self.streams[stream].subs[at];
            let state = &mut self.subs[sub];
            state.behind = true;
            state.fresh += appended;
            state.owed += appended;
            self.schedule(sub);
        }
    }

    fn read(&mut self, sub: SubscriptionKey, entries: &[(EntryId, usize)], end: bool) {
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        for (id, bytes) in entries {
            state.cursor.note_read(*id, *bytes);
        }
        let count = entries.len() as u64;
        state.fresh = state.fresh.saturating_sub(count);
        state.owed = state.owed.saturating_sub(count);
        if end {
            state.behind = false;
            state.fresh = 0;
            state.owed = 0;
        }
        if self.consumers[state.consumer].spec.mode == Mode::Async {
            self.schedule(sub);
        }
    }

    fn after_finish(&mut self, sub: SubscriptionKey, id: EntryId) {
        let state = &self.subs[sub];
        let (consumer, stream) = (state.consumer, state.stream);
        let spec = &self.consumers[consumer].spec;
        if state.is_inherited(id) {
            self.notices.push_back(Notice::Window {
                consumer,
                sub,
                window: state.lane_window(spec.window),
            });
        }
        self.queue_trim(stream);
        self.schedule(sub);
    }

    fn moved(&mut self, from: KeyRef<'_>, to: KeyRef<'_>) {
        if from == to {
            return;
        }
        self.drop_named(to);
        let Some(stream) = self.names.remove(from) else {
            self.touched(to, 0);
            return;
        };
        let name: Arc<[u8]> = to.name.into();
        let state = &mut self.streams[stream];
        state.db = to.db;
        state.name = Arc::clone(&name);
        // Consumers that match only the new name join when it is matched again.
        state.matched_at = 0;
        let mut leave = Vec::new();
        state.subs.retain(|sub| {
            let prefix = &self.consumers[self.subs[*sub].consumer].spec.prefix;
            let stays = name.starts_with(prefix);
            if !stays {
                leave.push(*sub);
            }
            stays
        });
        self.names.insert(to.db, name, stream);
        for sub in leave {
            self.drop_subscription(sub);
        }
        self.touched(to, 0);
        if self.streams[stream].subs.is_empty() {
            self.untrack(stream);
        } else {
            self.queue_trim(stream);
        }
    }

    fn swapped(&mut self, a: i32, b: i32) {
        self.names.swap(a, b);
        for db in [a, b] {
            for stream in self.names.of_database(db) {
                self.streams[stream].db = db;
            }
        }
    }

    fn flushed(&mut self, db: Option<i32>) {
        let streams: Vec<_> = match db {
            Some(db) => self.names.of_database(db),
            None => self.streams.keys().collect(),
        };
        for stream in streams {
            self.drop_stream(stream);
        }
    }

    fn role_changed(&mut self, primary: bool) {
        if self.primary == primary {
            return;
        }
        self.primary = primary;
        let subs: Vec<_> = self.subs.keys().collect();
        for sub in subs {
            if primary {
                self.subs[sub].behind = true;
                self.queue_trim(self.subs[sub].stream);
                self.schedule(sub);
            } else {
                self.recall(sub, Recall::Demotion);
                self.schedule(sub);
            }
        }
    }

    // ---- decisions ------------------------------------------------------------------------

    /// The next thing to hand over, in fair order. With `only_urgent`, only what a sync consumer
    /// must be given before the writers of this turn get their replies.
    pub fn next_hand_over(&mut self, only_urgent: bool) -> Option<HandOver> {
        while let Some(sub) = self.urgent.pop_front() {
            let Some(state) = self.subs.get_mut(sub) else {
                continue;
            };
            state.in_urgent = false;
            let consumer = state.consumer;
            // Where the run cannot be carried out now, the writers do not wait for another.
            let must = std::mem::take(&mut state.owed);
            if must > 0 && self.is_runnable(sub) {
                return Some(HandOver::Run {
                    sub,
                    consumer,
                    must,
                });
            }
            self.schedule(sub);
        }
        if only_urgent {
            return None;
        }
        while let Some(sub) = self.ready.pop_front() {
            let Some(state) = self.subs.get_mut(sub) else {
                continue;
            };
            state.in_ready = false;
            let consumer = state.consumer;
            if !self.is_runnable(sub) {
                continue;
            }
            return Some(match self.consumers[consumer].spec.mode {
                Mode::Sync => HandOver::Run {
                    sub,
                    consumer,
                    must: 0,
                },
                Mode::Async => HandOver::Read(self.read_request(sub)?),
            });
        }
        None
    }

    /// What a consumer may read now; `None` where it is at the end or has no room.
    pub fn read_request(&mut self, sub: SubscriptionKey) -> Option<ReadRequest> {
        if !self.is_active() {
            return None;
        }
        let state = self.subs.get(sub)?;
        let max = state.room(self.consumers[state.consumer].spec.window);
        if !state.behind || max == 0 || state.recall != Recall::None {
            return None;
        }
        let stream = &self.streams[state.stream];
        Some(ReadRequest {
            sub,
            consumer: state.consumer,
            db: stream.db,
            name: Arc::clone(&stream.name),
            after: state.cursor.read(),
            max,
            fresh: state.fresh,
        })
    }

    /// The next stream to trim. Each comes once, however many entries were finished.
    pub fn next_trim(&mut self) -> Option<Trim> {
        while let Some(key) = self.trims.pop_front() {
            let Some(stream) = self.streams.get_mut(key) else {
                continue;
            };
            stream.trim_queued = false;
            if !self.is_active() {
                continue;
            }
            self.refresh(key);
            let stream = &self.streams[key];
            let mut wanted = false;
            let mut to = TrimBound::Everything;
            for sub in &stream.subs {
                let sub = &self.subs[*sub];
                wanted |= self.consumers[sub.consumer].spec.trim;
                to = to.min(sub.cursor.trim_bound());
            }
            if wanted && to > stream.trimmed {
                let stream = &mut self.streams[key];
                stream.trimmed = to;
                return Some(Trim {
                    db: stream.db,
                    name: Arc::clone(&stream.name),
                    to,
                });
            }
        }
        None
    }

    /// The next thing the keeper of the lanes has to know.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Whether there is anything to hand over or to trim.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.is_active()
            && !(self.urgent.is_empty() && self.ready.is_empty() && self.trims.is_empty())
    }

    /// Whether a sync consumer has entries of this turn to process.
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

    /// Whether the subscription is still there, and may start entries.
    #[must_use]
    pub fn may_start(&self, sub: SubscriptionKey) -> bool {
        self.is_active()
            && self
                .subs
                .get(sub)
                .is_some_and(|state| state.recall == Recall::None)
    }

    /// The window of a subscription's lane.
    #[must_use]
    pub fn lane_window(&self, sub: SubscriptionKey) -> usize {
        self.subs.get(sub).map_or(0, |state| {
            state.lane_window(self.consumers[state.consumer].spec.window)
        })
    }

    // ---- bookkeeping ----------------------------------------------------------------------

    fn is_runnable(&self, sub: SubscriptionKey) -> bool {
        let state = &self.subs[sub];
        self.is_active() && state.is_runnable(&self.consumers[state.consumer].spec)
    }

    fn schedule(&mut self, sub: SubscriptionKey) {
        if !self.subs.contains_key(sub) {
            return;
        }
        let runnable = self.is_runnable(sub);
        let state = &mut self.subs[sub];
        let is_sync = self.consumers[state.consumer].spec.mode == Mode::Sync;
        if !(runnable && is_sync) {
            // No writer waits for what cannot be run in its turn.
            state.owed = 0;
        }
        if !runnable {
            return;
        }
        if state.owed > 0 {
            if !state.in_urgent {
                state.in_urgent = true;
                self.urgent.push_back(sub);
            }
        } else if !state.in_ready {
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
        if state.recall != Recall::None {
            // One answer ends both. What is in flight is with the old code if either says so.
            if why == Recall::Upgrade {
                state.recall = why;
            }
        } else if state.cursor.unfinished() > 0 {
            state.recall = why;
            self.notices.push_back(Notice::Recall {
                consumer: state.consumer,
                sub,
            });
        }
    }

    fn track(&mut self, key: KeyRef<'_>) -> StreamKey {
        let name: Arc<[u8]> = key.name.into();
        let stream = self.streams.insert(Stream {
            db: key.db,
            name: Arc::clone(&name),
            subs: SmallVec::new(),
            matched_at: 0,
            // No entry is below it, so there is nothing to gain from trimming to it.
            trimmed: TrimBound::Below(EntryId::new(0, 1)),
            trim_queued: false,
        });
        self.names.insert(key.db, name, stream);
        stream
    }

    /// Subscribes the consumers that match a stream and do not know it yet.
    fn refresh(&mut self, key: StreamKey) {
        let stream = &mut self.streams[key];
        if stream.matched_at == self.epoch {
            return;
        }
        stream.matched_at = self.epoch;
        let name = Arc::clone(&stream.name);
        for consumer in self.prefixes.matching(&name) {
            let known = stream
                .subs
                .iter()
                .any(|sub| self.subs[*sub].consumer == consumer);
            if !known {
                self.discovered += 1;
                let sub = self
                    .subs
                    .insert(Subscription::new(consumer, key, self.discovered));
                stream.subs.push(sub);
                self.consumers[consumer].subs.insert(self.discovered, sub);
            }
        }
        for at in 0..self.streams[key].subs.len() {
            self.schedule(self.streams[key].subs[at]);
        }
    }

    fn drop_named(&mut self, key: KeyRef<'_>) {
        if let Some(stream) = self.names.get(key) {
            self.drop_stream(stream);
        }
    }

    fn drop_stream(&mut self, stream: StreamKey) {
        for sub in std::mem::take(&mut self.streams[stream].subs) {
            self.drop_subscription(sub);
        }
        self.untrack(stream);
    }

    fn drop_subscription(&mut self, sub: SubscriptionKey) {
        if let Some(state) = self.subs.remove(sub) {
            self.consumers[state.consumer]
                .subs
                .remove(&state.discovered);
            if state.cursor.unfinished() > 0 {
                self.notices.push_back(Notice::Drop {
                    consumer: state.consumer,
                    sub,
                });
            }
        }
    }

    fn untrack(&mut self, stream: StreamKey) {
        if let Some(state) = self.streams.remove(stream) {
            self.names.remove(KeyRef {
                db: state.db,
                name: &state.name,
            });
        }
    }
}

#[cfg(test)]
mod tests;
