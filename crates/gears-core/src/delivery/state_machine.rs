//! The state machine of the delivery core. See the room's description for what it promises.
//!
//! Streams learn their consumers lazily: each carries the *epoch* of the set of consumers it was
//! matched against, and is matched again before the next decision about it. So registering a
//! consumer costs nothing per stream, and still no trim overlooks it. Likewise they learn what
//! became of their consumers, and of the server: see [`sweep`].
//!
//! Here are the state and what each fact changes, by name; beside it, one file each, what comes
//! of entries, consumers, streams and the server, and the decisions.

mod batches;
mod blocked;
mod checkpoints;
mod consumers;
mod control;
mod counting;
mod decisions;
mod durable;
mod entries;
mod failures;
mod memory;
mod overview;
mod page;
#[cfg(test)]
mod policy_tests;
mod redriving;
mod scheduling;
mod server;
mod skipping;
mod streams;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use slotmap::SlotMap;

use super::arrival_order::ArrivalOrder;
use super::consumer::{ConsumerSpec, Mode};
use super::consumer_errors::ConsumerErrors;
use super::dead_letter::{DeadLetter, DeadLetterDeletion};
use super::delivery_state::DeliveryState;
use super::discarded::Discarded;
use super::event::{ControlMessage, Event, KeyRef, Refusal};
use super::id::EntryId;
use super::names::Names;
use super::places::Places;
use super::prefix::PrefixIndex;
use super::redrives::ConsumerRedrives;
use super::spread::RecentSpreads;
use super::standings::Standings;
use super::stats::Stats;
use super::subscription::{FeedContext, Subscription};
use super::subscriptions::Subscriptions;
use super::times::Times;
use super::tracked::TrackedStreams;
use super::urgent::Urgent;
use super::{ConsumerKey, SHARE, StreamKey, SubscriptionKey};

use blocked::Obstacle;
use sweep::Sweep;

pub use blocked::StalledCall;
pub use consumers::StreamView;
pub use counting::{CountRequest, Counted};
pub use overview::{Backlog, Overview};
pub use page::{Choice, Page, Row};
pub use skipping::NoSkip;

#[derive(Debug)]
struct RegisteredConsumer {
    spec: ConsumerSpec,
    /// In the order of discovery.
    subs: Places,
    /// How its streams are read, if it is async and they [keep](Feed::keeps_arrival_order) that order.
    order: ArrivalOrder,
    /// Whether it has no code to run, and waits for some.
    suspended: bool,
    /// Whether it was removed, and only its subscriptions are left.
    leaving: bool,
    /// The epoch in which it got its code.
    recoded_at: u32,
    /// The epoch since which nothing is known of what its streams hold.
    rescanned_at: u32,
    /// The epoch since which it counts anew.
    cleared_at: u32,
    /// Why nothing is dispatched of any stream.
    delivery_state: DeliveryState,
    /// What was counted of all streams, those that are gone included.
    totals: Stats,
    /// How long entries took over the last minutes.
    times: Times,
    /// What went wrong, if anything did.
    errors: Option<Box<ConsumerErrors>>,
    /// Of the streams that finished entries last.
    recent: RecentSpreads,
    /// How it stands with its streams, as far as it was noted.
    standings: Standings,
    /// Its dead letters that were redriven, if any were.
    redrives: Option<Box<ConsumerRedrives>>,
    /// The streams that are blocked, and by what.
    blocked: BTreeMap<SubscriptionKey, Obstacle>,
    /// The streams of which a dead letter could not be written the last time, each with what was said.
    unlettered: BTreeMap<SubscriptionKey, Obstacle>,
}

impl RegisteredConsumer {
    /// Counts an entry that is finished of one of its streams.
    fn note_finished(
        &mut self,
        (sub, state): (SubscriptionKey, &mut Subscription),
        id: EntryId,
        took: Duration,
        now_ms: u64,
        error: Option<Arc<str>>,
    ) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.recent.note(sub, id, took_us, now_ms);
        self.times.note(id, took_us, now_ms);
        self.totals.note_finished(id, took, now_ms, error.clone());
        state.tally.note_finished(id, took, now_ms, error);
    }

    /// What one of its subscriptions has to know to go on.
    fn feed_context(&self, sub: SubscriptionKey, now_ms: u64) -> FeedContext<'_> {
        let shared = self.order.is_shared();
        let allowance = shared.then(|| self.order.allowance(sub)).flatten();
        FeedContext {
            spec: &self.spec,
            allowance: allowance.unwrap_or(u64::MAX),
            // Callbacks do not get through all streams alike: none is to be far ahead of the others.
            ahead: if self.subs.len() > 1 {
                SHARE
            } else {
                usize::MAX
            },
            now_ms,
        }
    }
}

/// The delivery core: it takes facts ([`Event`]) and gives decisions.
#[derive(Debug)]
pub struct Delivery {
    consumers: SlotMap<ConsumerKey, RegisteredConsumer>,
    streams: TrackedStreams,
    subs: Subscriptions,
    names: Names,
    prefixes: PrefixIndex<ConsumerKey>,
    /// Of the set of consumers and of what became of them; 0 is of none.
    epoch: u32,
    /// Changes that not all streams know of.
    sweeps: VecDeque<Sweep>,
    /// What is left in memory of streams that are forgotten.
    discarded: Discarded,
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
            streams: TrackedStreams::default(),
            subs: Subscriptions::default(),
            names: Names::default(),
            prefixes: PrefixIndex::default(),
            epoch: 0,
            sweeps: VecDeque::new(),
            discarded: Discarded::default(),
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
        self.note_standings_if_many();
        if self.is_sweeping() && event.sub().is_some_and(|sub| self.is_leaving(sub)) {
            return;
        }
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
            Event::LettersRead {
                sub,
                looked_for,
                found,
            } => self.letters_read(sub, looked_for, found),
            Event::StartResolved { sub, position } => self.start_resolved(sub, position),
            Event::Begun { sub, batch } => self.begun(sub, batch),
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
                self.dead_letter_refused(dead_letter, &error);
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
                self.finished(sub, id, (took, now_ms), error.as_ref(), uncommitted);
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
            Event::Refused { sub, error } => self.refused_to_owner(sub, &error),
            Event::Authorized(sub) => self.authorized(sub),
            Event::Yielded(sub) => self.yielded(sub),
        }
    }

    /// Whether a consumer knows the stream of this name.
    #[must_use]
    pub fn is_tracked(&self, key: KeyRef<'_>) -> bool {
        self.names.get(key, &self.streams).is_some()
    }

    /// Whether an entry of this stream would be delivered to a sync callback.
    #[must_use]
    pub fn has_sync_consumer(&self, key: KeyRef<'_>) -> bool {
        self.prefixes
            .matching(key.name)
            .any(|consumer| self.consumers[consumer].spec.mode == Mode::Sync)
    }

    /// The stream of a subscription: its database and name.
    #[must_use]
    pub fn stream_of(&self, sub: SubscriptionKey) -> Option<(i32, Arc<[u8]>)> {
        if !self.subs.contains_key(sub) {
            return None;
        }
        let stream = &self.streams[self.subs.stream_of(sub)];
        Some((self.names.db(stream.home), Arc::clone(&stream.name)))
    }

    /// The window of a subscription's prefetch queue.
    #[must_use]
    pub fn prefetch_window(&self, sub: SubscriptionKey) -> usize {
        self.subs.get(sub).map_or(0, |state| {
            state.prefetch_window(self.consumers[state.consumer].spec.window)
        })
    }

    fn is_sync(&self, sub: SubscriptionKey) -> bool {
        self.consumers[self.subs.consumer_of(sub)].spec.mode == Mode::Sync
    }
}
