//! One consumer's interest in one stream: its cursor, what it waits for, and its counters.
//!
//! There are as many of these as there are streams times the consumers that match them, and most of
//! them rest. So what one at rest does not have lies elsewhere, behind a pointer; a test says how
//! large it is.

use super::batcher::Batcher;
use super::checkpoint::Checkpoint;
use super::consumer::ConsumerSpec;
use super::cursor::{Cursor, Reach};
use super::delivery_state::DeliveryState;
use super::feed::Feed;
use super::id::EntryId;
use super::policy::{Policy, Start};
use super::rare::Rare;
use super::tally::Tally;
use super::{ConsumerKey, StreamKey};

/// Why entries that wait beside the callback are recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recall {
    /// The server became a replica, or IDs come again: nothing of it is started.
    Demotion,
    /// The library has new code: what waits is for that, what runs stays with the old.
    Upgrade,
}

/// Whether a subscription can go on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It can.
    Running,
    /// It is not known yet where it begins: behind what is there now.
    StartUnresolved,
    /// What was dispatched could not be carried out, and waits for another tick.
    Refused,
    /// What waits beside the callback is being recalled.
    Recalling(Recall),
}

/// What a stream may hold behind the cursor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// Whether it may hold entries there.
    pub(super) has_unread: bool,
    /// Whether all that it holds there is counted.
    pub(super) is_counted: bool,
    /// How many more these are than `unread_new`: what was there before, or was put back; less than
    /// none where some were deleted.
    pub(super) more: i32,
    /// Entries added since the last read reached the end, not yet read.
    pub(super) unread_new: u64,
}

impl Tail {
    /// Nobody counted what is there.
    pub(super) const UNKNOWN: Self = Self {
        has_unread: true,
        is_counted: false,
        more: 0,
        unread_new: 0,
    };

    /// Entries were read. Those that were there first come first.
    pub(super) fn note_read(&mut self, count: u64) {
        let mut new = count;
        if self.more > 0 {
            let first = count.min(u64::from(self.more.unsigned_abs()));
            self.note_more(-i64::try_from(first).unwrap_or(i64::MAX));
            new -= first;
        }
        self.unread_new = self.unread_new.saturating_sub(new);
    }

    /// All was read.
    pub(super) fn note_end(&mut self) {
        *self = Self {
            has_unread: false,
            is_counted: true,
            more: 0,
            unread_new: 0,
        };
    }

    /// So many are there again, as far as they were not deleted meanwhile.
    pub(super) fn note_back(&mut self, count: i64) {
        if count != 0 {
            self.is_counted = false;
            self.note_more(count);
        }
    }

    /// So many more are there, or less.
    fn note_more(&mut self, count: i64) {
        let more = i64::from(self.more).saturating_add(count);
        let more = more.clamp(i32::MIN.into(), i32::MAX.into());
        self.more = i32::try_from(more).unwrap_or_default();
    }

    /// How many there are beside `others`, as far as they are counted.
    pub(super) fn count(&self, others: u64) -> u64 {
        let known = self.unread_new.saturating_add(others);
        known.saturating_add_signed(self.more.into())
    }

    /// There are so many, `others` among them.
    pub(super) fn expect(&mut self, count: u64, others: u64) {
        let known = self.unread_new.saturating_add(others);
        let more = count.saturating_sub(known);
        let less = known.saturating_sub(count);
        self.more = 0;
        self.note_more(i64::try_from(more).unwrap_or(i64::MAX));
        self.note_more(-i64::try_from(less).unwrap_or(i64::MAX));
    }
}

/// Of which lists of subscriptions one is an element, in a byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lists(u8);

/// A list of subscriptions.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum List {
    /// Those that may be dispatched.
    Ready = 1,
    /// Those whose progress is to be committed.
    Progress = 2,
    /// Those that may have changed since their standing was noted.
    Changed = 4,
    /// Those that may be packed.
    Resting = 8,
}

impl Lists {
    /// It is in the list from now on; whether it was not before.
    pub(super) fn enter(&mut self, list: List) -> bool {
        let is_new = self.0 & list as u8 == 0;
        self.0 |= list as u8;
        is_new
    }

    pub(super) fn contains(self, list: List) -> bool {
        self.0 & list as u8 != 0
    }

    pub(super) fn is_in_none(self) -> bool {
        self.0 == 0
    }

    /// It was taken out of the list.
    pub(super) fn leave(&mut self, list: List) {
        self.0 &= !(list as u8);
    }
}

/// What a subscription has to know of its consumer and of the world to go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct FeedContext<'a> {
    pub(super) spec: &'a ConsumerSpec,
    /// How many entries may be read before another stream is read.
    pub(super) allowance: u64,
    /// How many entries of one stream may run ahead of its window, for a consumer with a policy.
    pub(super) ahead: usize,
    /// Unix milliseconds.
    pub(super) now_ms: u64,
}

impl<'a> FeedContext<'a> {
    pub(super) fn policy(&self) -> &'a Policy {
        self.spec.policy()
    }
}

/// One consumer's interest in one stream.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) consumer: ConsumerKey,
    pub(super) stream: StreamKey,
    /// Its place in the consumer's list, newest last.
    pub(super) discovered: u64,
    pub(super) cursor: Cursor,
    pub(super) tail: Tail,
    /// Why nothing is dispatched, as far as that outlives the process.
    pub(super) delivery_state: Rare<DeliveryState>,
    pub(super) feed: Feed,
    /// Entries up to this one that are in flight are with the code of an earlier upgrade.
    pub(super) on_old_code: Rare<EntryId>,
    /// When it was asked to be looked at again; 0 for never.
    pub(super) timer_ms: u64,
    /// Places of the window that are taken until the progress is committed.
    pub(super) uncommitted_slots: u32,
    pub(super) phase: Phase,
    /// The lists that it is in.
    pub(super) lists: Lists,
    /// Whether it got further while nothing was committed: replicas are to know where they are
    /// those of a primary again.
    pub(super) missed_commit: bool,
    pub(super) tally: Tally,
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
        let phase = match spec.start {
            Start::Latest => Phase::StartUnresolved,
            Start::Earliest | Start::At(_) => Phase::Running,
        };
        Self {
            consumer,
            stream,
            discovered,
            cursor: Cursor::resume(&Checkpoint {
                position,
                ..Checkpoint::default()
            }),
            tail: Tail::UNKNOWN,
            delivery_state: Rare::default(),
            feed: Feed::new(spec),
            on_old_code: Rare::default(),
            timer_ms: 0,
            uncommitted_slots: 0,
            phase,
            lists: Lists::default(),
            missed_commit: false,
            tally: Tally::default(),
        }
    }

    // --- where it stands ------------------------------------------------------------------------

    /// Whether it is not known yet where to begin.
    pub(super) fn is_start_unresolved(&self) -> bool {
        self.phase == Phase::StartUnresolved
    }

    /// Whether what waits beside the callback is being recalled.
    pub(super) fn is_recalling(&self) -> bool {
        matches!(self.phase, Phase::Recalling(_))
    }

    /// What was dispatched could not be carried out.
    pub(super) fn refuse(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::Refused;
        }
    }

    /// What could not be carried out can be tried again.
    pub(super) fn end_refusal(&mut self) {
        if self.phase == Phase::Refused {
            self.phase = Phase::Running;
        }
    }

    /// What the next read is to give.
    pub(super) fn reach(&self) -> Reach {
        if self.is_start_unresolved() {
            Reach::Last(self.tail.unread_new)
        } else {
            self.cursor.reach()
        }
    }

    /// Whether nothing is left to be read, as far as it is known.
    pub(super) fn is_at_end(&self) -> bool {
        !self.tail.has_unread && !self.cursor.has_redeliveries()
    }

    /// Whether something of it may lie beside a callback, or be with it.
    pub(super) fn has_delivered(&self) -> bool {
        self.cursor.unacknowledged() > 0
            || self.uncommitted_slots > 0
            || !self.feed.is_idle()
            || self
                .feed
                .batcher()
                .is_some_and(|one| one.ahead().has_failed())
    }

    // --- the window -----------------------------------------------------------------------------

    /// The window less what earlier code of the library still works on.
    pub(super) fn prefetch_window(&self, window: usize) -> usize {
        if *self.on_old_code == EntryId::ZERO {
            return window;
        }
        window.saturating_sub(self.cursor.kept_up_to(*self.on_old_code))
    }

    /// Whether `id` is with earlier code of the library.
    pub(super) fn is_on_old_code(&self, id: EntryId) -> bool {
        id <= *self.on_old_code && !self.cursor.is_lost(id)
    }

    /// An entry is finished whose place in the window stays taken. Places of earlier code do not
    /// count: its prefetch queue starts nothing any more.
    pub(super) fn note_uncommitted(&mut self, id: EntryId) {
        if self.phase != Phase::Recalling(Recall::Upgrade) && !self.is_on_old_code(id) {
            self.uncommitted_slots += 1;
        }
    }

    // --- checkpoints ----------------------------------------------------------------------------

    /// What is to be committed of it.
    pub(super) fn checkpoint(&self, now_ms: u64) -> Checkpoint {
        let mut delivery_state = (*self.delivery_state).clone();
        delivery_state.tried.extend(self.feed.tried());
        delivery_state.tried.sort_unstable_by_key(|(id, _)| *id);
        Checkpoint {
            delivery_state: delivery_state.recorded(now_ms),
            ..self.position()
        }
    }

    /// Where it would have to go on: what waits beside the callback, and never was with it, is as
    /// good as not read.
    pub(super) fn position(&self) -> Checkpoint {
        self.cursor.checkpoint_up_to(self.begun_bound())
    }

    /// The last entry that was with the callback, before a restart if not since then; 0-0 where
    /// there was none.
    pub(super) fn last_begun(&self) -> EntryId {
        self.cursor.position_up_to(self.begun_bound())
    }

    /// What is behind this entry never was with the callback.
    fn begun_bound(&self) -> EntryId {
        let batcher = self.feed.batcher();
        batcher.and_then(Batcher::begun).unwrap_or(EntryId::MAX)
    }

    /// Goes on from a checkpoint. Nothing is with a callback.
    pub(super) fn resume(&mut self, checkpoint: &Checkpoint, now_ms: u64) {
        self.cursor = Cursor::resume(checkpoint);
        self.on_old_code = Rare::default();
        self.missed_commit = false;
        if self.is_start_unresolved() {
            self.phase = Phase::Running;
        }
        self.delivery_state = checkpoint.delivery_state.resumed(now_ms).into();
    }

    /// Gives memory back that nothing is kept in.
    pub(super) fn tidy(&mut self) {
        self.cursor.tidy();
        self.delivery_state.tidy();
        if self.cursor.unacknowledged() == 0 {
            self.on_old_code.tidy();
        }
    }

    /// The server became a replica, which refuses what callbacks write. What is with one and fails from
    /// now on is redelivered once the server is a primary again, if the data is still the same.
    pub(super) fn note_demotion(&mut self) {
        match self.feed.batcher_mut() {
            Some(batcher) => batcher.note_demotion(),
            None => self.cursor.note_demotion(),
        }
    }

    // --- recalls --------------------------------------------------------------------------------

    /// Ends a recall: what was not started will be read again.
    pub(super) fn end_recall(&mut self, started: EntryId, back: &[EntryId]) {
        let Phase::Recalling(why) = self.phase else {
            return;
        };
        self.phase = Phase::Running;
        self.tail.has_unread = true;
        if self.feed.is_batched() {
            // What was with it came back before this.
            return;
        }
        self.cursor.note_started(started);
        for id in back {
            // Others were never started: they are put back all at once.
            if *id <= self.cursor.started() {
                self.cursor.lose(*id);
            }
        }
        self.cursor.note_lost_started();
        let count = self.cursor.put_back_waiting();
        self.tail.note_back(count);
        if why == Recall::Upgrade {
            self.cursor.forget_losses();
            self.on_old_code = self.cursor.started().into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside its counters, which one at rest has, too.
    #[test]
    fn a_subscription_at_rest_is_small() {
        assert_eq!(size_of::<Subscription>(), 144);
    }
}
