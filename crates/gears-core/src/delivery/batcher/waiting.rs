//! The entries of one stream that were read and wait for a callback, and when they make up a batch.
//!
//! It is told what is known of those that are not read, too: they count.

use std::collections::VecDeque;

use hashbrown::HashSet;
use smallvec::SmallVec;

use super::super::arrivals::Arrivals;
use super::super::id::EntryId;
use super::super::policy::Policy;
use super::busy::Busy;
use super::load::{Entry, Load, Tried};
use super::{Batcher, Now};

/// Bytes at which a batch is full, however many entries it has.
const BATCH_BYTES: usize = 1 << 20;
/// Entries that are looked through for one whose group is free: what waits beyond the window.
const GROUPED_AHEAD: usize = 512;
/// Entries that are read at once where most of them may not be wanted.
const FILTERED_AHEAD: usize = 128;
/// Entries that are read ahead at most.
const AHEAD_MAX: usize = 512;

#[derive(Debug)]
struct One {
    entry: Entry,
    bytes: usize,
    since_ms: u64,
    tried: Tried,
}

/// What came of looking for a batch.
pub(super) enum Taken {
    /// It waits no more.
    Batch(Load),
    /// Those whose groups are free make up none yet.
    NotDue,
    /// Everything waits for its group.
    NoneFree,
}

/// Entries in the order of their IDs.
#[derive(Debug, Default)]
pub(in super::super) struct Waiting {
    entries: VecDeque<One>,
    bytes: usize,
    /// Whether what waits was there before anybody listened: it is dispatched to its end, be
    /// the last batch full or not.
    pub(in super::super) draining: bool,
    /// When what is not read came.
    arrivals: Arrivals,
    /// Entries of the batch at hand that were dispatched before, for their size.
    cut: usize,
}

impl Waiting {
    /// Puts an entry behind the others.
    pub(super) fn push(&mut self, entry: Entry, tried: Tried, now_ms: u64) {
        let bytes = entry.item.record().packed().len();
        let id = entry.item.id();
        let since_ms = self.arrivals.take(id).unwrap_or(now_ms);
        self.bytes += bytes;
        let one = One {
            entry,
            bytes,
            since_ms,
            tried,
        };
        let is_last = |last: &One| last.entry.item.id() < id;
        if self.entries.back().is_none_or(is_last) {
            self.entries.push_back(one);
        } else {
            // It comes again, before what waits.
            let at = self.entries.partition_point(is_last);
            self.entries.insert(at, one);
        }
    }

    /// Forgets the entries behind `last`; how many. What was tried with them is added to what is known
    /// of that.
    pub(in super::super) fn put_back(
        &mut self,
        last: EntryId,
        known: &mut Vec<(EntryId, Tried)>,
    ) -> u64 {
        let mut count = 0;
        while let Some(one) = self.entries.pop_back() {
            let id = one.entry.item.id();
            if id <= last {
                self.entries.push_back(one);
                break;
            }
            self.bytes -= one.bytes;
            count += 1;
            self.arrivals.put_back(id, one.since_ms);
            if one.tried.attempts > 0 {
                known.push((id, one.tried));
            }
        }
        known.sort_unstable_by_key(|(id, _)| *id);
        count
    }

    /// The last ID of the stream was set back to `last`: IDs above it are of other entries.
    pub(super) fn rewind(&mut self, last: EntryId) {
        self.put_back(last, &mut Vec::new());
        self.arrivals.rewind(last);
        self.cut = 0;
    }

    // --- what is known of the stream ------------------------------------------------------------

    /// It is not known how much waits in the stream.
    pub(in super::super) fn forget_count(&mut self) {
        self.arrivals.forget_fresh();
    }

    /// What is read now is all there is in the stream, and so many of it were never read before.
    pub(in super::super) fn note_end(&mut self, unread_new: u64) {
        self.arrivals.keep_last(unread_new);
    }

    /// All there was in the stream is read.
    pub(in super::super) fn note_all_read(&mut self) {
        self.arrivals.end_back();
    }

    /// An entry was added behind so many that are not read.
    pub(in super::super) fn note_added(&mut self, before: u64, policy: &Policy, now_ms: u64) {
        if policy.duration_ms > 0 && Batcher::counts(policy) {
            // Those that are read and wait come first.
            let before = before.saturating_add(self.entries.len() as u64);
            let begins = before.is_multiple_of(policy.batch.unwrap_or(1) as u64);
            self.arrivals.note_added(begins, policy.duration_ms, now_ms);
        }
    }

    // --- what is to be seen ---------------------------------------------------------------------

    pub(in super::super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries wait.
    pub(in super::super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Their bytes.
    pub(in super::super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is known of any entry.
    pub(super) fn is_at_rest(&self) -> bool {
        // A field that is added has to be thought of here.
        let Self {
            entries,
            bytes: _,
            draining: _,
            arrivals,
            cut,
        } = self;
        entries.is_empty() && arrivals.is_empty() && *cut == 0
    }

    /// What was tried with entries that wait.
    pub(super) fn tried(&self) -> impl Iterator<Item = (EntryId, Tried)> + '_ {
        let tried = self.entries.iter().filter(|one| one.tried.attempts > 0);
        tried.map(|one| (one.entry.item.id(), one.tried))
    }

    // --- when it makes up a batch ---------------------------------------------------------------

    /// How many entries are worth reading now.
    pub(in super::super) fn room(&self, now: Now<'_>) -> usize {
        let batch = now.policy.batch.unwrap_or(1);
        let ahead = match now.policy {
            Policy {
                order_by: Some(_), ..
            } => GROUPED_AHEAD,
            Policy { batch: Some(_), .. } => 0,
            // Reading one by one costs more than most callbacks.
            Policy {
                filter: Some(_), ..
            } => now.ahead.max(FILTERED_AHEAD),
            _ => now.ahead,
        };
        let ahead = ahead.min(AHEAD_MAX);
        // A window of large entries is not copied before its time: two batches do.
        let batches = now.free.max(now.further).max(1).saturating_add(1);
        let wanted = batches.saturating_mul(batch).saturating_add(ahead);
        if self.bytes >= 2 * BATCH_BYTES {
            return 0;
        }
        wanted.saturating_sub(self.entries.len())
    }

    /// Entries that make the batch at hand full. What was cut off it for its size counts.
    fn wanted(&self, policy: &Policy) -> usize {
        let batch = policy.batch.unwrap_or(1);
        batch.saturating_sub(self.cut).max(1)
    }

    /// Whether so many entries that are not read are worth reading.
    pub(in super::super) fn is_worth_reading(&self, unread: u64, now: Now<'_>) -> bool {
        let duration = now.policy.duration_ms;
        let first = self.entries.front().map(|one| one.since_ms);
        let first = first.or_else(|| self.arrivals.first_ms());
        self.draining
            || unread.saturating_add(self.entries.len() as u64) >= self.wanted(now.policy) as u64
            || (duration > 0 && first.is_none_or(|since| now.ms >= since.saturating_add(duration)))
    }

    /// Whether what waits makes up a batch.
    pub(in super::super) fn is_due(&self, now: Now<'_>) -> bool {
        let Some(first) = self.entries.front() else {
            return false;
        };
        if now.policy.batch.is_none() {
            return true;
        }
        self.entries.len() >= self.wanted(now.policy)
            || self.bytes >= BATCH_BYTES
            || self.is_over(first, now)
    }

    /// Whether a batch that begins with this entry is dispatched even if it is not full.
    fn is_over(&self, first: &One, now: Now<'_>) -> bool {
        let duration = now.policy.duration_ms;
        (now.at_end && (self.draining || first.tried.attempts > 0))
            || (duration > 0 && now.ms >= first.since_ms.saturating_add(duration) && !now.reads_on)
    }

    /// When what waits, and is of a free group, will make up a batch by itself.
    pub(super) fn due_ms(&self, policy: &Policy, is_free: impl Fn(u64) -> bool) -> Option<u64> {
        let mut waiting = self.entries.iter();
        let first = if self.entries.is_empty() {
            self.arrivals.first_ms()?
        } else {
            waiting
                .find(|one| one.entry.group.is_none_or(&is_free))?
                .since_ms
        };
        Some(first.saturating_add(policy.duration_ms))
    }

    // --- what waits no more ---------------------------------------------------------------------

    /// Takes a batch. Groups that are `busy` are passed over, and those with something `behind` which they
    /// come.
    pub(super) fn take(
        &mut self,
        now: Now<'_>,
        busy: Option<&Busy>,
        behind: Option<HashSet<u64>>,
    ) -> Taken {
        let most = now.policy.batch.unwrap_or(1);
        let wanted = self.wanted(now.policy);
        // Mostly they are those in front.
        let mut skipped = behind;
        let mut places: SmallVec<[usize; 16]> = SmallVec::new();
        let mut bytes = 0;
        let mut tried = None;
        let mut differs = false;
        for (at, one) in self.entries.iter().enumerate() {
            let group = one.entry.group;
            let is_busy = |group| busy.is_some_and(|busy| busy.contains(group));
            let is_behind = |group| skipped.as_ref().is_some_and(|one| one.contains(&group));
            if group.is_some_and(|group| is_busy(group) || is_behind(group)) {
                skipped.get_or_insert_default().extend(group);
                continue;
            }
            // What was tried differs from what was not: its attempts are its own.
            if tried.is_some_and(|tried| tried != one.tried) {
                differs = true;
                break;
            }
            tried = Some(one.tried);
            places.push(at);
            bytes += one.bytes;
            if places.len() >= most || bytes >= BATCH_BYTES {
                break;
            }
        }
        let Some(first) = places.first() else {
            return Taken::NoneFree;
        };
        let first = &self.entries[*first];
        let (is_full, is_large) = (places.len() >= wanted, bytes >= BATCH_BYTES);
        if !(is_full || is_large || differs || self.is_over(first, now)) {
            // Groups that are busy keep it from being full.
            return Taken::NotDue;
        }
        // The bound in bytes cuts a batch. The rest waits for no more than all of it would.
        let is_cut = is_large && !is_full;
        self.cut = if is_cut { self.cut + places.len() } else { 0 };
        let mut load = Load {
            entries: SmallVec::new(),
            tried: tried.unwrap_or_default(),
            letter: None,
            has_begun: false,
            saw_demotion: false,
        };
        let in_front = places.last() == Some(&(places.len() - 1));
        if in_front {
            let taken = self.entries.drain(..places.len());
            load.entries.extend(taken.map(|one| one.entry));
        } else {
            let mut places = places.iter().peekable();
            let mut kept = VecDeque::with_capacity(self.entries.len());
            for (at, one) in self.entries.drain(..).enumerate() {
                if places.next_if(|place| **place == at).is_some() {
                    load.entries.push(one.entry);
                } else {
                    kept.push_back(one);
                }
            }
            self.entries = kept;
        }
        self.bytes -= bytes;
        Taken::Batch(load)
    }

    /// Where an entry waits.
    pub(super) fn place_of(&self, id: EntryId) -> Option<usize> {
        let mut waiting = self.entries.iter();
        waiting.position(|one| one.entry.item.id() == id)
    }

    /// Takes the entry at a place if it was dispatched before, as all up to `resumed` was.
    pub(super) fn take_again(&mut self, place: usize, resumed: EntryId) -> Option<Load> {
        let one = &self.entries[place];
        let was_dispatched = one.tried.attempts > 0 || one.entry.item.id() <= resumed;
        let one = was_dispatched
            .then(|| self.entries.remove(place))
            .flatten()?;
        self.bytes -= one.bytes;
        Some(Load::of_one(one.entry.item, one.tried))
    }
}
