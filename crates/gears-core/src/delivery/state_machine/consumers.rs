//! Consumers come, change and go; and what is shown of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::arrival_order::ArrivalOrder;
use super::super::checkpoint::Checkpoint;
use super::super::consumer::ConsumerSpec;
use super::super::delivery_state::{DeliveryState, State};
use super::super::event::Refusal;
use super::super::id::EntryId;
use super::super::places::Places;
use super::super::policy::OnFailure;
use super::super::redrives::Redrives;
use super::super::spread::{Percentiles, RecentSpreads, Spread};
use super::super::standings::Standings;
use super::super::stats::Stats;
use super::super::subscription::Recall;
use super::super::subscriptions::Seen;
use super::super::times::Times;
use super::super::{ConsumerKey, SubscriptionKey};
use super::blocked::Obstacle;
use super::{Delivery, RegisteredConsumer};

/// One stream of a consumer, for people to look at.
#[derive(Debug)]
pub struct StreamView<'a> {
    /// Database of the stream.
    pub db: i32,
    /// Name of the stream.
    pub name: &'a [u8],
    /// Counters.
    pub stats: Stats,
    spread: Option<&'a Spread>,
    /// How it stands.
    pub state: State,
    state_of: Seen<'a>,
    now_ms: u64,
    refusal: Option<&'a Refusal>,
    blocked: Option<&'a Obstacle>,
}

impl StreamView<'_> {
    /// The last entry handed to the callback, before a restart if not since then; 0-0 where there
    /// was none.
    #[must_use]
    pub fn position(&self) -> EntryId {
        self.state_of.last_begun()
    }

    /// Entries with the callback now, ascending.
    #[must_use]
    pub fn in_flight(&self) -> Vec<EntryId> {
        self.state_of.in_flight()
    }

    /// Entries that are to be dispatched, again or behind others of their group, although later
    /// ones were: those that were with a callback when the server ended, or another was promoted,
    /// those that wait for a retry or for their dead letter, and those of dead letters. Ascending.
    #[must_use]
    pub fn redeliveries(&self) -> Vec<EntryId> {
        self.state_of.redeliveries()
    }

    /// How the times of its entries are spread. Only streams that finished entries among the last
    /// of their consumer have that; it is zeroes for the others.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        self.spread
            .map_or_else(Percentiles::default, Spread::percentiles)
    }

    /// What is to be committed of it.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.state_of.checkpoint(self.now_ms)
    }

    /// What went wrong last: what the server refuses now, or what a callback failed with.
    #[must_use]
    pub fn last_error(&self) -> Option<&Arc<str>> {
        let refused = self.refusal.map(|refusal| &refusal.error);
        refused.or(self.stats.last_error.as_ref())
    }

    /// Why it is blocked, if it is.
    #[must_use]
    pub fn blocked(&self) -> Option<Arc<str>> {
        let blocked = self.blocked;
        blocked.map(|obstacle| obstacle.reason(self.name, self.now_ms))
    }

    /// Why nothing is dispatched.
    #[must_use]
    pub fn delivery_state(&self) -> &DeliveryState {
        &self.state_of.delivery_state
    }

    /// Whether it is known where it begins: what is not can only begin anew after a restart.
    #[must_use]
    pub fn is_start_resolved(&self) -> bool {
        !self.state_of.is_start_unresolved()
    }

    /// How far it has read, whether or not that was dispatched.
    #[must_use]
    pub fn read(&self) -> EntryId {
        self.state_of.cursor.read()
    }

    /// Entries that were read and are not done, with those that are to be read again.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.state_of.cursor.unacknowledged() + self.state_of.cursor.redelivery_count()
    }

    /// The first entry that is not done, as far as it is known.
    #[must_use]
    pub fn oldest(&self) -> Option<EntryId> {
        self.state_of.cursor.oldest()
    }
}

/// Whether a consumer waits before it tries again what failed.
fn waits_for_retries(spec: &ConsumerSpec) -> bool {
    let policy = spec.policy.as_ref();
    policy.is_some_and(|policy| policy.on_failure == OnFailure::Retry)
}

impl Delivery {
    /// How many calls of a consumer's callback have failed.
    #[must_use]
    pub fn failures(&self, key: ConsumerKey) -> Option<u64> {
        Some(self.there(key)?.totals.failures)
    }

    /// Adds a consumer. It starts at the beginning of each stream that it matches; the owner
    /// tells of those that are there by [`Event::Found`].
    pub fn add_consumer(&mut self, spec: ConsumerSpec) -> ConsumerKey {
        let consumer = self.consumers.insert(RegisteredConsumer {
            spec,
            subs: Places::default(),
            order: ArrivalOrder::default(),
            suspended: false,
            leaving: false,
            recoded_at: 0,
            rescanned_at: 0,
            cleared_at: 0,
            delivery_state: DeliveryState::default(),
            totals: Stats::default(),
            times: Times::default(),
            errors: None,
            recent: RecentSpreads::default(),
            standings: Standings::default(),
            redrives: None,
            blocked: BTreeMap::new(),
            unlettered: BTreeMap::new(),
        });
        let spec = &self.consumers[consumer].spec;
        self.prefixes.insert(&spec.prefix, spec.exact, consumer);
        self.begin_epoch();
        consumer
    }

    /// Lets a consumer wait for new code: nothing is dispatched until then, and nothing is
    /// trimmed that it has not seen.
    pub fn suspend_consumer(&mut self, key: ConsumerKey) {
        if let Some(consumer) = self.consumers.get_mut(key) {
            consumer.suspended = true;
            consumer.blocked.clear();
            consumer.unlettered.clear();
            self.recall_all(key, Recall::Upgrade);
        }
    }

    /// Gives a consumer new code, and all of its specification but for the keys it wants. Cursors
    /// and counters stay; what waits beside the old code is recalled, what is with it ends there
    /// and counts against the window meanwhile.
    pub fn change_consumer(&mut self, key: ConsumerKey, spec: ConsumerSpec) {
        let Some(consumer) = self.consumers.get_mut(key) else {
            return;
        };
        consumer.spec = ConsumerSpec {
            prefix: Arc::clone(&consumer.spec.prefix),
            exact: consumer.spec.exact,
            ..spec
        };
        consumer.suspended = false;
        if !waits_for_retries(&consumer.spec) {
            consumer.delivery_state.until_ms = 0;
        }
        self.begin_epoch();
        let consumer = &mut self.consumers[key];
        consumer.recoded_at = self.epoch;
        consumer.order = ArrivalOrder::default();
        self.start_sweep(key);
    }

    /// A subscription of a consumer that has new code.
    pub(super) fn adopt_code(&mut self, sub: SubscriptionKey) {
        self.recall(sub, Recall::Upgrade);
        let state = self.subs.at_mut(sub);
        let consumer = state.consumer;
        state.uncommitted_slots = 0;
        if let Some(batcher) = state.feed.batcher_mut() {
            batcher.begin_new_code();
        }
        state.end_refusal();
        state.forget_count();
        if !waits_for_retries(&self.consumers[consumer].spec) {
            state.delivery_state.end_pause();
        }
        self.sift(sub);
        let state = self.subs.at_mut(sub);
        if !state.is_recalling() {
            state.adopt(&self.consumers[consumer].spec);
        }
        self.queue_trim(self.subs.stream_of(sub));
    }

    /// Removes a consumer with all it knows. Its callbacks that are running end unheard, what waits
    /// beside them is dropped.
    pub fn remove_consumer(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(key).filter(|one| !one.leaving) else {
            return;
        };
        consumer.leaving = true;
        let spec = &consumer.spec;
        self.prefixes.remove(&spec.prefix, spec.exact, key);
        self.begin_epoch();
        self.start_sweep(key);
    }

    /// What a consumer asked for.
    #[must_use]
    pub fn spec(&self, key: ConsumerKey) -> Option<&ConsumerSpec> {
        self.there(key).map(|consumer| &consumer.spec)
    }

    /// Counts anew for a consumer.
    pub fn clear_stats(&mut self, key: ConsumerKey) {
        if self.there(key).is_none() {
            return;
        }
        self.note_all_standings();
        self.begin_epoch();
        let consumer = &mut self.consumers[key];
        consumer.totals.clear();
        consumer.times.clear();
        consumer.errors = None;
        consumer.recent = RecentSpreads::default();
        consumer.standings.clear_failing();
        if let Some(redrives) = &mut consumer.redrives {
            redrives.done = Redrives::default();
        }
        consumer.cleared_at = self.epoch;
        self.start_sweep(key);
    }

    /// The streams a consumer knows, the latest discovered first.
    pub fn streams_of(&self, key: ConsumerKey) -> impl Iterator<Item = StreamView<'_>> {
        self.there(key)
            .into_iter()
            .flat_map(|consumer| consumer.subs.subs().rev())
            .map(|at| self.view(self.subs.key_at(at)))
    }

    pub(super) fn view(&self, sub: SubscriptionKey) -> StreamView<'_> {
        let key = sub;
        let sub = self.subs.at(key);
        let stream = &self.streams[sub.stream];
        let consumer = &self.consumers[sub.consumer];
        let is_cleared = stream.matched_at < consumer.cleared_at;
        let blocked = consumer.obstacle(key);
        StreamView {
            db: self.names.db(stream.home),
            name: &stream.name,
            stats: if is_cleared {
                Stats::default()
            } else {
                sub.tally.stats()
            },
            spread: consumer.recent.get(key),
            // What is blocked is neither paused nor aborted, and that says more than that it waits.
            state: if blocked.is_some() {
                State::Blocked
            } else {
                self.or_refused(sub.delivery_state.state(self.now_ms))
            },
            blocked,
            state_of: sub,
            now_ms: self.now_ms,
            refusal: self.refusal(),
        }
    }

    /// How it stands where nothing else holds it up.
    pub(super) fn or_refused(&self, state: State) -> State {
        if state == State::Running && self.refusal.is_some() {
            State::Refused
        } else {
            state
        }
    }

    /// Why nothing is dispatched of any of a consumer's streams, as it is committed.
    #[must_use]
    pub fn consumer_state_of(&self, key: ConsumerKey) -> DeliveryState {
        let consumer = self.consumers.get(key);
        let delivery_state = consumer.map(|one| one.delivery_state.clone());
        delivery_state.unwrap_or_default().recorded(self.now_ms)
    }

    /// The consumer that a subscription is of.
    #[must_use]
    pub fn consumer_of(&self, sub: SubscriptionKey) -> Option<ConsumerKey> {
        let is_there = self.subs.contains_key(sub);
        is_there.then(|| self.subs.consumer_of(sub))
    }

    /// How many streams a consumer knows.
    #[must_use]
    pub fn stream_count(&self, key: ConsumerKey) -> usize {
        self.there(key).map_or(0, |one| one.subs.len())
    }

    /// A consumer that was not removed.
    pub(super) fn there(&self, key: ConsumerKey) -> Option<&RegisteredConsumer> {
        self.consumers.get(key).filter(|one| !one.leaving)
    }
}
