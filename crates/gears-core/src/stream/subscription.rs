//! One consumer's interest in one stream: its cursor, its counters, and what it waits for.

use std::collections::BTreeSet;

use super::consumer::{ConsumerSpec, Mode};
use super::cursor::{Checkpoint, Cursor, Reach};
use super::hold::Hold;
use super::id::EntryId;
use super::plan::{Now, Plan};
use super::policy::{Policy, Start};
use super::stats::Stats;
use super::{ConsumerKey, READ_BYTES, StreamKey};

/// Entries one read gives at most. One iterator costs about as much as reading a dozen entries.
const READ_BATCH: usize = 128;
/// A consumer reads no further ahead than its callback gets through in that time: enough to keep
/// it busy over one turn of a loaded event loop, and little enough that an entry deleted by a
/// client is rarely handed over after that.
const AHEAD_US: u64 = 5_000;
/// Entries read ahead at most, whatever the speed.
const AHEAD_MAX: usize = 4096;
/// Entries read ahead before the speed of the callback is known.
const AHEAD_FIRST: usize = 16;

/// Whether entries that wait beside the callback are being taken back.
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
    pub(super) behind: bool,
    /// Entries added since the last read reached the end, not yet read.
    pub(super) fresh: u64,
    /// Entries up to this one were read before, and are not news when they are read again.
    pub(super) seen: EntryId,
    /// How many of these are behind the cursor again.
    pub(super) back: u64,
    /// Places of the window that are taken until the progress is on record.
    pub(super) held: usize,
    pub(super) recall: Recall,
    /// Entries up to this one that are in flight are with the code of an earlier upgrade.
    inherited: EntryId,
    /// Whether it is not known yet where to begin: behind what is there now.
    unplaced: bool,
    /// Why nothing is handed over.
    pub(super) hold: Hold,
    /// What waits and what is with the callback, for a consumer with a policy.
    pub(super) plan: Option<Box<Plan>>,
    /// Whether `fresh` and `back` count all that is behind the cursor.
    pub(super) counted: bool,
    /// Entries that were given up, and whose dead letters are not written.
    pub(super) dying: BTreeSet<EntryId>,
    /// Whether what was handed over could not be carried out, and waits for another turn.
    pub(super) refused: bool,
    /// When it was asked to be looked at again.
    pub(super) timer: Option<u64>,
    pub(super) in_ready: bool,
    pub(super) in_progress: bool,
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
            behind: true,
            fresh: 0,
            seen: EntryId::ZERO,
            back: 0,
            held: 0,
            recall: Recall::None,
            inherited: EntryId::ZERO,
            unplaced: spec.start == Start::Latest,
            hold: Hold::default(),
            plan: spec.policy.as_ref().map(|_| Box::default()),
            counted: false,
            dying: BTreeSet::new(),
            refused: false,
            timer: None,
            in_ready: false,
            in_progress: false,
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
        let unfinished = self.cursor.unfinished();
        // Large entries are not copied before their time, whatever the window.
        let enough = unfinished >= window || self.cursor.has_waiting();
        if enough && self.cursor.unfinished_bytes() >= READ_BYTES {
            return 0;
        }
        window
            .saturating_add(ahead)
            .saturating_sub(unfinished)
            .min(READ_BATCH)
    }

    /// Whether there is something to read or to run, for a consumer without a policy.
    pub(super) fn is_runnable(&self, spec: &ConsumerSpec) -> bool {
        if self.recall != Recall::None {
            return false;
        }
        let readable = self.behind && self.room(spec.window) > 0;
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
        if self.unplaced {
            Reach::Last(self.fresh)
        } else {
            self.cursor.reach()
        }
    }

    /// Whether nothing is left to be read, as far as it is known.
    pub(super) fn is_at_end(&self) -> bool {
        !self.behind && !self.cursor.has_redo()
    }

    /// Whether something of it may lie beside a callback, or be with it.
    pub(super) fn has_given(&self) -> bool {
        let is_planning = self.plan.as_ref().is_some_and(|plan| !plan.is_idle());
        self.cursor.unfinished() > 0 || self.held > 0 || is_planning
    }

    /// Whether it is not known yet where to begin.
    pub(super) fn is_unplaced(&self) -> bool {
        self.unplaced
    }

    /// How many units may be handed over beside those that are, for a consumer with a policy.
    pub(super) fn free(&self, window: usize) -> usize {
        let flying = self.plan.as_ref().map_or(0, |plan| plan.flying());
        self.lane_window(window)
            .saturating_sub(flying)
            .saturating_sub(self.held)
    }

    /// What its plan has to know to go on.
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

    /// Puts back what waits and was not handed over: it will be read again.
    pub(super) fn put_back(&mut self) {
        let last = self.cursor.started();
        let Some(plan) = &mut self.plan else {
            return;
        };
        let count = plan.put_back(last, &mut self.hold.tried);
        if count > 0 {
            self.behind = true;
            self.back += count;
            self.seen = self.seen.max(self.cursor.read());
            self.cursor.put_back_waiting();
        }
    }

    /// Gives up the plan where the consumer has no policy any more and nothing is on its way, or
    /// takes to one.
    pub(super) fn adopt(&mut self, spec: &ConsumerSpec) {
        match &self.plan {
            None if spec.policy.is_some() => {
                let mut plan = Plan::default();
                // What is there may have come before anybody counted.
                plan.draining = !self.is_at_end();
                self.plan = Some(Box::new(plan));
            }
            // Lanes know nothing of places that units hold.
            Some(plan) if spec.policy.is_none() && plan.is_idle() && self.held == 0 => {
                self.plan = None;
            }
            _ => {}
        }
    }

    /// What is to be put on record of it.
    pub(super) fn checkpoint(&self, now_ms: u64) -> Checkpoint {
        let mut checkpoint = self.cursor.checkpoint();
        checkpoint.hold = self.hold.clone();
        if let Some(plan) = &self.plan {
            checkpoint.hold.tried.extend(plan.tried());
            checkpoint.hold.tried.sort_unstable_by_key(|(id, _)| *id);
        }
        checkpoint.hold = checkpoint.hold.recorded(now_ms);
        checkpoint
    }

    /// The window less what earlier code of the library still works on.
    pub(super) fn lane_window(&self, window: usize) -> usize {
        if self.inherited == EntryId::ZERO {
            return window;
        }
        window.saturating_sub(self.cursor.kept_up_to(self.inherited))
    }

    /// Whether `id` is with earlier code of the library.
    pub(super) fn is_inherited(&self, id: EntryId) -> bool {
        id <= self.inherited && !self.cursor.is_lost(id)
    }

    /// An entry is finished whose place in the window stays taken. Places of earlier code do not
    /// count: its lane starts nothing any more.
    pub(super) fn keep_place(&mut self, id: EntryId) {
        if self.recall != Recall::Upgrade && !self.is_inherited(id) {
            self.held += 1;
        }
    }

    /// Goes on from a checkpoint. Nothing is with a callback.
    pub(super) fn resume(&mut self, checkpoint: &Checkpoint, now_ms: u64) {
        self.cursor = Cursor::resume(checkpoint);
        self.inherited = EntryId::ZERO;
        self.unplaced = false;
        self.hold = checkpoint.hold.resumed(now_ms);
    }

    /// Ends a recall: what was not started will be read again.
    pub(super) fn end_recall(&mut self, started: EntryId, back: &[EntryId]) {
        if self.plan.is_some() {
            // What was with it came back before this.
            self.recall = Recall::None;
            self.behind = true;
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
            self.inherited = self.cursor.started();
        }
        self.recall = Recall::None;
        self.behind = true;
    }
}
