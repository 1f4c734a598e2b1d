//! One consumer's interest in one stream: its cursor, its counters, and what it waits for.

use std::collections::BTreeSet;

use super::batcher::{Batcher, Now};
use super::consumer::{ConsumerSpec, Mode};
use super::cursor::{Checkpoint, Cursor, Reach};
use super::delivery_state::DeliveryState;
use super::id::EntryId;
use super::policy::{Policy, Start};
use super::stats::Stats;
use super::{ConsumerKey, READ_BYTES, StreamKey};

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

/// Whether entries that wait beside the callback are being recalled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Recall {
    #[default]
    None,
    /// The server became a replica, or IDs come again: nothing of it is started.
    Demotion,
    /// The library has new code: what waits is for that, what runs stays with the old.
    Upgrade,
}

/// See the module's description.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each list it may be in"
)]
pub(super) struct Subscription {
    pub(super) consumer: ConsumerKey,
    pub(super) stream: StreamKey,
    /// Its place in the consumer's list, newest last.
    pub(super) discovered: u64,
    pub(super) cursor: Cursor,
    pub(super) stats: Stats,
    /// Whether the stream may hold entries behind the cursor.
    pub(super) has_unread: bool,
    /// Entries added since the last read reached the end, not yet read.
    pub(super) unread_new: u64,
    /// Entries up to this one were read before, and are not news when they are read again.
    pub(super) newest_read: EntryId,
    /// How many of these are behind the cursor again.
    pub(super) unread_again: u64,
    /// Places of the window that are taken until the progress is committed.
    pub(super) uncommitted_slots: usize,
    pub(super) recall: Recall,
    /// Entries up to this one that are in flight are with the code of an earlier upgrade.
    on_old_code: EntryId,
    /// Whether it is not known yet where to begin: behind what is there now.
    start_unresolved: bool,
    /// Why nothing is dispatched.
    pub(super) delivery_state: DeliveryState,
    /// What waits and what is with the callback, for a consumer with a policy.
    pub(super) batcher: Option<Box<Batcher>>,
    /// Whether `unread_new` and `back` count all that is behind the cursor.
    pub(super) is_count_exact: bool,
    /// Entries that were given up, and whose dead letters are not written.
    pub(super) dead_lettering: BTreeSet<EntryId>,
    /// Whether what was dispatched could not be carried out, and waits for another tick.
    pub(super) refused: bool,
    /// When it was asked to be looked at again.
    pub(super) timer: Option<u64>,
    pub(super) in_ready: bool,
    pub(super) in_progress: bool,
    /// Whether it got further while nothing was committed: replicas are to know where they are
    /// those of a primary again.
    pub(super) missed_commit: bool,
}

impl Subscription {
    pub(super) fn new(
        consumer: ConsumerKey,
        stream: StreamKey,
        discovered: u64,
        spec: &ConsumerSpec,
    ) -> Self {
        let position = match spec.start {
            Start::At(first) => first.before(),
            Start::Earliest | Start::Latest => EntryId::ZERO,
        };
        Self {
            consumer,
            stream,
            discovered,
            cursor: Cursor::resume(&Checkpoint {
                position,
                ..Checkpoint::default()
            }),
            stats: Stats::default(),
            has_unread: true,
            unread_new: 0,
            newest_read: EntryId::ZERO,
            unread_again: 0,
            uncommitted_slots: 0,
            recall: Recall::None,
            on_old_code: EntryId::ZERO,
            start_unresolved: spec.start == Start::Latest,
            delivery_state: DeliveryState::default(),
            batcher: spec.policy.as_ref().map(|_| Box::default()),
            is_count_exact: false,
            dead_lettering: BTreeSet::new(),
            refused: false,
            timer: None,
            in_ready: false,
            in_progress: false,
            missed_commit: false,
        }
    }

    /// How many entries are worth reading beyond the window.
    pub(super) fn ahead(&self, window: usize) -> usize {
        match self.stats.latency_us() {
            None => AHEAD_FIRST,
            Some(latency) => {
                let entries = AHEAD_US.saturating_mul(window as u64) / latency;
                usize::try_from(entries).unwrap_or(AHEAD_MAX).min(AHEAD_MAX)
            }
        }
    }

    /// How many entries may be read now.
    pub(super) fn room(&self, window: usize) -> usize {
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

    /// Whether there is something to read or to run, for a consumer without a policy.
    pub(super) fn is_runnable(&self, spec: &ConsumerSpec) -> bool {
        if self.recall != Recall::None {
            return false;
        }
        let readable = self.has_unread && self.room(spec.window) > 0;
        match spec.mode {
            Mode::Async => readable,
            Mode::Sync => {
                (readable || self.cursor.has_waiting())
                    && self.cursor.in_flight_count() < spec.window
            }
        }
    }

    /// What the next read is to give.
    pub(super) fn reach(&self) -> Reach {
        if self.start_unresolved {
            Reach::Last(self.unread_new)
        } else {
            self.cursor.reach()
        }
    }

    /// Whether nothing is left to be read, as far as it is known.
    pub(super) fn is_at_end(&self) -> bool {
        !self.has_unread && !self.cursor.has_redeliveries()
    }

    /// Whether something of it may lie beside a callback, or be with it.
    pub(super) fn has_delivered(&self) -> bool {
        let is_batching = self
            .batcher
            .as_ref()
            .is_some_and(|batcher| !batcher.is_idle());
        self.cursor.unacknowledged() > 0 || self.uncommitted_slots > 0 || is_batching
    }

    /// Whether it is not known yet where to begin.
    pub(super) fn is_start_unresolved(&self) -> bool {
        self.start_unresolved
    }

    /// How many batches may be dispatched beside those that are, for a consumer with a policy.
    pub(super) fn free(&self, window: usize) -> usize {
        let in_flight = self
            .batcher
            .as_ref()
            .map_or(0, |batcher| batcher.in_flight_count());
        self.prefetch_window(window)
            .saturating_sub(in_flight)
            .saturating_sub(self.uncommitted_slots)
    }

    /// What its batcher has to know to go on.
    pub(super) fn now<'a>(&self, policy: &'a Policy, window: usize, now_ms: u64) -> Now<'a> {
        Now {
            policy,
            free: self.free(window),
            ahead: self.ahead(window),
            ms: now_ms,
            at_end: self.is_at_end(),
            reads_on: false,
        }
    }

    /// Puts back what waits and was not dispatched: it will be read again.
    pub(super) fn put_back(&mut self) {
        let last = self.cursor.started();
        let Some(batcher) = &mut self.batcher else {
            return;
        };
        let count = batcher.put_back(last, &mut self.delivery_state.tried);
        if count > 0 {
            self.has_unread = true;
            self.unread_again += count;
            self.newest_read = self.newest_read.max(self.cursor.read());
            self.cursor.put_back_waiting();
        }
    }

    /// Gives up the batcher where the consumer has no policy any more and nothing is on its way, or
    /// takes to one.
    pub(super) fn adopt(&mut self, spec: &ConsumerSpec) {
        match &self.batcher {
            None if spec.policy.is_some() => {
                let mut batcher = Batcher::default();
                // What is there may have come before anybody counted.
                batcher.draining = !self.is_at_end();
                self.batcher = Some(Box::new(batcher));
            }
            // Prefetch queues know nothing of places that batches hold.
            Some(batcher)
                if spec.policy.is_none() && batcher.is_idle() && self.uncommitted_slots == 0 =>
            {
                self.batcher = None;
            }
            _ => {}
        }
    }

    /// What is to be committed of it.
    pub(super) fn checkpoint(&self, now_ms: u64) -> Checkpoint {
        let mut checkpoint = self.cursor.checkpoint();
        checkpoint.delivery_state = self.delivery_state.clone();
        if let Some(batcher) = &self.batcher {
            checkpoint.delivery_state.tried.extend(batcher.tried());
            checkpoint
                .delivery_state
                .tried
                .sort_unstable_by_key(|(id, _)| *id);
        }
        checkpoint.delivery_state = checkpoint.delivery_state.recorded(now_ms);
        checkpoint
    }

    /// The window less what earlier code of the library still works on.
    pub(super) fn prefetch_window(&self, window: usize) -> usize {
        if self.on_old_code == EntryId::ZERO {
            return window;
        }
        window.saturating_sub(self.cursor.kept_up_to(self.on_old_code))
    }

    /// Whether `id` is with earlier code of the library.
    pub(super) fn is_on_old_code(&self, id: EntryId) -> bool {
        id <= self.on_old_code && !self.cursor.is_lost(id)
    }

    /// An entry is finished whose place in the window stays taken. Places of earlier code do not
    /// count: its prefetch queue starts nothing any more.
    pub(super) fn note_uncommitted(&mut self, id: EntryId) {
        if self.recall != Recall::Upgrade && !self.is_on_old_code(id) {
            self.uncommitted_slots += 1;
        }
    }

    /// Goes on from a checkpoint. Nothing is with a callback.
    pub(super) fn resume(&mut self, checkpoint: &Checkpoint, now_ms: u64) {
        self.cursor = Cursor::resume(checkpoint);
        self.on_old_code = EntryId::ZERO;
        self.start_unresolved = false;
        self.missed_commit = false;
        self.delivery_state = checkpoint.delivery_state.resumed(now_ms);
    }

    /// Ends a recall: what was not started will be read again.
    pub(super) fn end_recall(&mut self, started: EntryId, back: &[EntryId]) {
        if self.batcher.is_some() {
            // What was with it came back before this.
            self.recall = Recall::None;
            self.has_unread = true;
            return;
        }
        self.cursor.note_started(started);
        for id in back {
            // Others were never started: they are put back all at once.
            if *id <= self.cursor.started() {
                self.cursor.lose(*id);
            }
        }
        self.cursor.put_back_waiting();
        if self.recall == Recall::Upgrade {
            self.cursor.forget_losses();
            self.on_old_code = self.cursor.started();
        }
        self.recall = Recall::None;
        self.has_unread = true;
    }
}
