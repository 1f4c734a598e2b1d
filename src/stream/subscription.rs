//! One consumer's interest in one stream: its cursor, its counters, and what it waits for.

use super::consumer::{ConsumerSpec, Mode};
use super::cursor::{Checkpoint, Cursor};
use super::id::EntryId;
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
    /// Those among them whose writers wait in this turn for a sync callback that can run.
    pub(super) owed: u64,
    /// Places of the window that are taken until the progress is on record.
    pub(super) held: usize,
    pub(super) recall: Recall,
    /// Entries up to this one that are in flight are with the code of an earlier upgrade.
    inherited: EntryId,
    pub(super) in_urgent: bool,
    pub(super) in_ready: bool,
    pub(super) in_progress: bool,
}

impl Subscription {
    pub(super) fn new(consumer: ConsumerKey, stream: StreamKey, discovered: u64) -> Self {
        Self {
            consumer,
            stream,
            discovered,
            cursor: Cursor::default(),
            stats: Stats::default(),
            behind: true,
            fresh: 0,
            owed: 0,
            held: 0,
            recall: Recall::None,
            inherited: EntryId::ZERO,
            in_urgent: false,
            in_ready: false,
            in_progress: false,
        }
    }

    /// How many entries may be read now.
    pub(super) fn room(&self, window: usize) -> usize {
        let ahead = match self.stats.latency_us() {
            None => AHEAD_FIRST,
            Some(latency) => {
                let entries = AHEAD_US.saturating_mul(window as u64) / latency;
                usize::try_from(entries).unwrap_or(AHEAD_MAX).min(AHEAD_MAX)
            }
        };
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

    /// Whether there is something to read or to run.
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

    /// The window less what earlier code of the library still works on.
    pub(super) fn lane_window(&self, window: usize) -> usize {
        if self.inherited == EntryId::ZERO {
            return window;
        }
        window.saturating_sub(self.cursor.unfinished_up_to(self.inherited))
    }

    /// Whether `id` is with earlier code of the library.
    pub(super) fn is_inherited(&self, id: EntryId) -> bool {
        id <= self.inherited
    }

    /// An entry is finished whose place in the window stays taken. Places of earlier code do not
    /// count: its lane starts nothing any more.
    pub(super) fn hold(&mut self, id: EntryId) {
        if self.recall != Recall::Upgrade && !self.is_inherited(id) {
            self.held += 1;
        }
    }

    /// Goes on from a checkpoint. Nothing is with a callback.
    pub(super) fn resume(&mut self, checkpoint: &Checkpoint) {
        self.cursor = Cursor::resume(checkpoint);
        self.inherited = EntryId::ZERO;
    }

    /// Ends a recall: what was not started will be read again.
    pub(super) fn end_recall(&mut self, started: EntryId) {
        self.cursor.note_started(started);
        self.cursor.put_back_waiting();
        if self.recall == Recall::Upgrade {
            self.inherited = self.cursor.started();
        }
        self.recall = Recall::None;
        self.behind = true;
    }
}
