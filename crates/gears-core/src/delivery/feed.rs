//! How a subscription's entries get to its callback.
//!
//! ```text
//! Prefetch  read ──> prefetch queue beside the callback, which keeps the window
//! Batched   read ──> batcher in the core ──> batch for a sync callback
//!                                        └─> batch queue beside an async one, which keeps the window
//! ```
//!
//! Consumers without a policy have the first, which costs the core nothing per entry but its place
//! in the cursor; the others have the second. A change of options may take a subscription from one
//! to the other, as soon as nothing of it is on its way.

use super::READ_BYTES;
use super::batcher::{Batch, Batcher, Now, Tried};
use super::consumer::{ConsumerSpec, Mode};
use super::id::EntryId;
use super::policy::{OnFailure, Policy, Scope};
use super::subscription::{FeedContext, Phase, Subscription};

/// Entries one read gives at most. One iterator costs about as much as reading a dozen entries.
pub(super) const READ_BATCH: usize = 128;
/// A consumer reads no further ahead than its callback gets through in that time: enough to keep
/// it busy over one tick of a loaded event loop, and little enough that an entry deleted by a
/// client is rarely dispatched after that.
const AHEAD_US: u64 = 5_000;
/// Entries read ahead at most, whatever the speed.
const AHEAD_MAX: usize = 4096;
/// Entries read ahead before the speed of the callback is known.
const AHEAD_FIRST: usize = 16;

/// The way from stream to callback that a subscription takes.
#[derive(Debug)]
pub(super) enum Feed {
    /// Through a prefetch queue.
    Prefetch,
    /// Through a batcher.
    Batched(Box<Batched>),
}

/// A batcher, and what it is to expect of the stream.
#[derive(Debug, Default)]
pub(super) struct Batched {
    pub(super) batcher: Batcher,
    /// Entries up to this one were read before, and are not news when they are read again.
    pub(super) newest_read: EntryId,
    /// How many of these are behind the cursor again.
    pub(super) unread_again: u64,
    /// Whether what is counted is all that is behind the cursor.
    pub(super) is_count_exact: bool,
}

/// What there is to know of the way to a callback on which nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FeedAtRest {
    pub(super) is_batched: bool,
    pub(super) is_count_exact: bool,
    pub(super) is_draining: bool,
}

impl Batched {
    /// Nothing is known of what the stream holds behind the cursor.
    fn rescan(&mut self) {
        self.is_count_exact = false;
        self.newest_read = EntryId::ZERO;
        self.unread_again = 0;
        let waiting = self.batcher.waiting_mut();
        waiting.forget_count();
        waiting.draining |= !waiting.is_empty();
    }

    /// It is not known any more how many entries are behind the cursor.
    fn forget_count(&mut self) {
        self.is_count_exact = false;
        self.batcher.waiting_mut().forget_count();
    }

    fn rewind(&mut self, last: EntryId) {
        self.newest_read = self.newest_read.min(last);
        self.batcher.rewind(last);
        self.is_count_exact = false;
    }
}

impl Feed {
    pub(super) fn new(spec: &ConsumerSpec) -> Self {
        match spec.policy {
            None => Self::Prefetch,
            Some(_) => Self::Batched(Box::default()),
        }
    }

    /// What there is to know of it where nothing is on its way and `read` was read last; `None`
    /// where there is more.
    pub(super) fn at_rest(&self, read: EntryId) -> Option<FeedAtRest> {
        let Self::Batched(batched) = self else {
            return Some(FeedAtRest {
                is_batched: false,
                is_count_exact: false,
                is_draining: false,
            });
        };
        // A field that is added has to be thought of here.
        let Batched {
            batcher,
            newest_read,
            unread_again,
            is_count_exact,
        } = &**batched;
        // What was read again is as good as never read before.
        let is_at_rest = *newest_read <= read && *unread_again == 0 && batcher.is_at_rest();
        is_at_rest.then_some(FeedAtRest {
            is_batched: true,
            is_count_exact: *is_count_exact,
            is_draining: batcher.waiting().draining,
        })
    }

    /// One on which nothing is.
    pub(super) fn of_rest(rest: FeedAtRest) -> Self {
        if !rest.is_batched {
            return Self::Prefetch;
        }
        let mut batched = Box::<Batched>::default();
        batched.is_count_exact = rest.is_count_exact;
        batched.batcher.waiting_mut().draining = rest.is_draining;
        Self::Batched(batched)
    }

    /// Whether its entries go to the callback in about the order in which all of an async consumer's
    /// streams got theirs. What is put together, or waits for others of its group, has to wait for entries
    /// that come later.
    pub(super) fn keeps_arrival_order(&self, policy: Option<&Policy>) -> bool {
        match self {
            Self::Prefetch => true,
            Self::Batched(_) => {
                policy.is_some_and(|policy| policy.batch.is_none() && policy.order_by.is_none())
            }
        }
    }

    pub(super) fn is_batched(&self) -> bool {
        self.batcher().is_some()
    }

    /// How many entries are behind the cursor that were before it.
    fn unread_again(&self) -> u64 {
        match self {
            Self::Prefetch => 0,
            Self::Batched(batched) => batched.unread_again,
        }
    }

    pub(super) fn batcher(&self) -> Option<&Batcher> {
        match self {
            Self::Prefetch => None,
            Self::Batched(batched) => Some(&batched.batcher),
        }
    }

    pub(super) fn batcher_mut(&mut self) -> Option<&mut Batcher> {
        match self {
            Self::Prefetch => None,
            Self::Batched(batched) => Some(&mut batched.batcher),
        }
    }

    /// Whether no batch is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.batcher().is_none_or(Batcher::is_idle)
    }

    /// What was tried with entries on their way.
    pub(super) fn tried(&self) -> Vec<(EntryId, Tried)> {
        self.batcher().map_or_else(Vec::new, Batcher::tried)
    }
}

impl Subscription {
    // --- what is known of the stream ------------------------------------------------------------

    /// The stream was touched, and so many entries were added to it.
    pub(super) fn note_added(&mut self, count: u64, policy: Option<&Policy>, now_ms: u64) {
        if let Feed::Batched(batched) = &mut self.feed {
            if count == 0 {
                // What nobody counted may be there.
                batched.is_count_exact = false;
            }
            match policy {
                None => {}
                Some(_) if count == 0 => batched.batcher.waiting_mut().forget_count(),
                Some(policy) => {
                    let before = self.tail.unread_new + batched.unread_again;
                    batched
                        .batcher
                        .waiting_mut()
                        .note_added(before, policy, now_ms);
                }
            }
        }
        self.tail.has_unread = true;
        self.tail.unread_new += count;
        if count == 0 {
            self.tail.is_counted = false;
        }
    }

    /// Nothing is known of what the stream holds behind the cursor.
    pub(super) fn rescan(&mut self) {
        let count = self.unread();
        self.tail.has_unread = true;
        self.tail.is_counted = false;
        if !self.is_start_unresolved() {
            // Whatever is there was there before.
            self.tail.unread_new = 0;
        }
        if let Feed::Batched(batched) = &mut self.feed {
            batched.rescan();
        }
        self.expect_unread(count);
    }

    /// How many entries are behind the cursor, as far as they are counted.
    pub(super) fn unread(&self) -> u64 {
        self.tail.count(self.feed.unread_again())
    }

    /// So many entries are behind the cursor.
    pub(super) fn expect_unread(&mut self, count: u64) {
        self.tail.expect(count, self.feed.unread_again());
    }

    /// How many entries are not done, as far as they are counted.
    pub(super) fn backlog(&self) -> u64 {
        let read = self.cursor.unacknowledged() + self.cursor.redelivery_count();
        self.unread().saturating_add(read as u64)
    }

    /// Whether nobody counted all of what is behind the cursor.
    pub(super) fn is_uncounted(&self) -> bool {
        self.tail.has_unread && !self.tail.is_counted && !self.is_start_unresolved()
    }

    /// Other options may want other entries than those that were counted.
    pub(super) fn forget_count(&mut self) {
        if let Feed::Batched(batched) = &mut self.feed {
            batched.forget_count();
        }
    }

    /// The last ID of the stream was set back to `last`: IDs above it are of other entries.
    pub(super) fn rewind(&mut self, last: EntryId) {
        self.cursor.rewind(last);
        if !self.delivery_state.tried.is_empty() {
            self.delivery_state.tried.retain(|(id, _)| *id <= last);
        }
        if let Feed::Batched(batched) = &mut self.feed {
            batched.rewind(last);
        }
        self.tail.has_unread = true;
        self.tail.is_counted = false;
    }

    // --- what it can do -------------------------------------------------------------------------

    /// How many entries are worth reading beyond the window.
    fn ahead(&self, window: usize) -> usize {
        match self.tally.latency_us() {
            None => AHEAD_FIRST,
            Some(latency) => {
                let entries = AHEAD_US.saturating_mul(window as u64) / latency;
                usize::try_from(entries).unwrap_or(AHEAD_MAX).min(AHEAD_MAX)
            }
        }
    }

    /// How many entries may be read now.
    pub(super) fn room(&self, context: FeedContext<'_>) -> usize {
        if !self.tail.has_unread {
            return 0;
        }
        match &self.feed {
            Feed::Prefetch => {
                let allowance = usize::try_from(context.allowance).unwrap_or(usize::MAX);
                self.prefetch_room(context.spec.window).min(allowance)
            }
            Feed::Batched(batched) => self.batcher_room(batched, context),
        }
    }

    fn prefetch_room(&self, window: usize) -> usize {
        let ahead = self.ahead(window);
        let unacknowledged = self.cursor.unacknowledged();
        // Large entries are not copied before their time, whatever the window.
        let enough = unacknowledged >= window || self.cursor.has_waiting();
        if enough && self.cursor.unacknowledged_bytes() >= READ_BYTES {
            return 0;
        }
        window
            .saturating_add(ahead)
            .saturating_sub(unacknowledged)
            .min(READ_BATCH)
    }

    fn batcher_room(&self, batched: &Batched, context: FeedContext<'_>) -> usize {
        let now = self.now(&batched.batcher, context);
        let is_countable = batched.is_count_exact
            && Batcher::counts(now.policy)
            && !self.cursor.has_redeliveries();
        let unread = self.tail.unread_new + batched.unread_again;
        if is_countable && !batched.batcher.waiting().is_worth_reading(unread, now) {
            return 0;
        }
        batched.batcher.waiting().room(now)
    }

    /// Whether there is something to read, to run or to dispatch.
    pub(super) fn is_runnable(&self, context: FeedContext<'_>) -> bool {
        match &self.feed {
            Feed::Prefetch => {
                // One that was refused is tried again with whatever comes.
                !self.is_recalling() && self.is_prefetch_runnable(context)
            }
            Feed::Batched(batched) => {
                self.phase == Phase::Running
                    && (batched
                        .batcher
                        .is_ready(self.now(&batched.batcher, context))
                        || self.room(context) > 0
                        || batched.batcher.wants_letters())
            }
        }
    }

    fn is_prefetch_runnable(&self, context: FeedContext<'_>) -> bool {
        match context.spec.mode {
            Mode::Async => self.room(context) > 0,
            Mode::Sync => {
                (self.room(context) > 0 || self.cursor.has_waiting())
                    && self.cursor.in_flight_count() < context.spec.window
            }
        }
    }

    /// How many batches beyond the window may wait beside the callback, where so many entries are
    /// worth that.
    fn batches_ahead(&self, batcher: &Batcher, entries: usize, spec: &ConsumerSpec) -> usize {
        let policy = spec.policy();
        // What fails elsewhere is not known beside this stream's callback.
        let stops_others =
            policy.scope == Scope::Consumer && policy.on_failure != OnFailure::Continue;
        let bytes = self.cursor.unacknowledged_bytes();
        if spec.mode == Mode::Sync
            || stops_others
            || self.prefetch_window(spec.window) < spec.window
            // Places of earlier code, which who keeps the batch queue does not know of.
            || self.uncommitted_slots as usize > batcher.ahead().held()
            || bytes.saturating_sub(batcher.waiting().bytes()) >= READ_BYTES
        {
            return 0;
        }
        batcher.ahead().batches(entries, policy)
    }

    /// What its batcher has to know to go on.
    pub(super) fn now<'a>(&self, batcher: &Batcher, context: FeedContext<'a>) -> Now<'a> {
        let spec = context.spec;
        let policy = context.policy();
        let window = self.prefetch_window(spec.window);
        let room = window.saturating_sub(self.uncommitted_slots as usize);
        let entries = self.ahead(spec.window);
        let ahead = self.batches_ahead(batcher, entries.min(context.ahead), spec);
        let further = if ahead > 0 { room + ahead } else { 0 };
        Now {
            policy,
            free: room.saturating_sub(batcher.lanes()),
            further: further.saturating_sub(batcher.in_flight_count()),
            ahead: entries.saturating_sub(ahead.saturating_mul(policy.batch.unwrap_or(1))),
            allowance: usize::try_from(context.allowance).unwrap_or(usize::MAX),
            ms: context.now_ms,
            at_end: self.is_at_end(),
            reads_on: false,
        }
    }

    /// Whether another entry could go to the callback, or wait beside it.
    pub(super) fn has_place(&self, context: FeedContext<'_>) -> bool {
        match &self.feed {
            // Places that wait for their commit are free before this tick ends. What is with earlier
            // code is in flight, too.
            Feed::Prefetch => self.cursor.in_flight_count() < context.spec.window,
            Feed::Batched(batched) => {
                let now = self.now(&batched.batcher, context);
                now.free > 0 || now.further > 0
            }
        }
    }

    // --- what it does ---------------------------------------------------------------------------

    /// The next batch for the callback, if there is one: it is with that from now on.
    pub(super) fn release(&mut self, number: u64, context: FeedContext<'_>) -> Option<Batch> {
        if self.is_start_unresolved() {
            return None;
        }
        let reads_on = Batcher::counts(context.policy()) && self.room(context) > 0;
        let now = Now {
            reads_on,
            ..self.now(self.feed.batcher()?, context)
        };
        let batcher = self.feed.batcher_mut()?;
        let batch = batcher.release(number, now)?;
        if context.spec.mode == Mode::Sync {
            batcher.note_begun(number);
        }
        if let Some(last) = batch.items.last() {
            self.cursor.note_started(last.id());
        }
        self.end_drain();
        Some(batch)
    }

    /// A backlog is drained when nothing of it is left.
    pub(super) fn end_drain(&mut self) {
        if let Some(batcher) = self.feed.batcher_mut()
            && batcher.waiting().draining
            && !self.tail.has_unread
            && batcher.waiting().is_empty()
        {
            batcher.waiting_mut().draining = false;
        }
    }

    /// Puts back what waits in the core and was not dispatched: it will be read again.
    pub(super) fn put_back(&mut self) {
        let last = self.cursor.started();
        let Feed::Batched(batched) = &mut self.feed else {
            return;
        };
        let mut tried = Vec::new();
        let count = batched.batcher.waiting_mut().put_back(last, &mut tried);
        if !tried.is_empty() {
            self.delivery_state.add_tried(tried);
        }
        if count > 0 {
            self.tail.has_unread = true;
            batched.unread_again += count;
            batched.newest_read = batched.newest_read.max(self.cursor.read());
            // Not all of what waits in the batcher was read from behind the cursor.
            let back = self.cursor.put_back_waiting();
            let counted = i64::try_from(count).unwrap_or(i64::MAX);
            self.tail.note_back(back);
            self.tail.note_back(-counted);
        }
    }

    /// Takes to the feed that the consumer's options ask for, as soon as nothing is on its way in
    /// the other.
    pub(super) fn adopt(&mut self, spec: &ConsumerSpec) {
        match &self.feed {
            Feed::Prefetch if spec.policy.is_some() => {
                let mut batched = Box::<Batched>::default();
                // What is there may have come before anybody counted.
                batched.batcher.waiting_mut().draining = !self.is_at_end();
                self.feed = Feed::Batched(batched);
            }
            // Prefetch queues know nothing of places that batches hold.
            Feed::Batched(batched)
                if spec.policy.is_none()
                    && batched.batcher.is_idle()
                    && self.uncommitted_slots == 0 =>
            {
                let count = self.unread();
                self.feed = Feed::Prefetch;
                self.expect_unread(count);
            }
            Feed::Prefetch | Feed::Batched(_) => {}
        }
    }

    // --- what is to be seen ---------------------------------------------------------------------

    /// Entries with the callback now, ascending.
    pub(super) fn in_flight(&self) -> Vec<EntryId> {
        match &self.feed {
            Feed::Prefetch => self.cursor.in_flight().collect(),
            Feed::Batched(batched) => batched.batcher.in_flight(),
        }
    }

    /// How many entries are with the callback now.
    pub(super) fn in_flight_count(&self) -> usize {
        match &self.feed {
            Feed::Prefetch => self.cursor.in_flight_count(),
            Feed::Batched(batched) => batched.batcher.entries_in_flight(),
        }
    }

    /// Entries that are to be dispatched although later ones were, ascending.
    pub(super) fn redeliveries(&self) -> Vec<EntryId> {
        let mut ids = match &self.feed {
            Feed::Prefetch => self.cursor.redeliveries().collect(),
            Feed::Batched(batched) => {
                // What is committed as pending: a replica that is promoted dispatches the same.
                let mut ids = self.position().pending;
                let beside = batched.batcher.beside();
                ids.retain(|id| beside.binary_search(id).is_err());
                ids.extend(batched.batcher.requeued_again());
                ids
            }
        };
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}
