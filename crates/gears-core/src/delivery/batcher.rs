//! The entries of one stream that wait for a callback, and those that are with it, for a consumer
//! with a policy: what is put together, in what order, and what is tried again.
//!
//! ```text
//!             take                      release
//! read ──> waiting ──> batch ──> in flight ─────────> finished
//!                        ^          │ failed, or not started
//!                        └ requeued <┘
//! ```
//!
//! A *batch* is what one call of the callback gets: one entry, or several. Batches that come again
//! go before everything that waits, in the order of their entries, and with the same entries.
//!
//! Entries with an equal value of the policy's `order_by` field are in one *group*: of a group no
//! two batches are with the callback at once, and none is before what was added earlier.
//!
//! *In flight* is what was dispatched. For an async consumer that is more than the window: it waits
//! in a [batch queue](super::batch_queue) beside the callback, which keeps the window and the groups,
//! so that no place in the window is empty for the time of a round trip.
//!
//! Invariants: `waiting` and `requeued` ascend; no entry is in two places; a group is in `busy` as
//! long as a batch with one of its entries is in flight. A batch of several entries is in flight
//! with nothing before it of its groups.

mod busy;
mod load;

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use super::arrivals::Arrivals;
use super::filter::Filter;
use super::id::EntryId;
use super::policy::{OnFailure, Policy};
use super::record::Item;
use super::redrives::{FoundLetter, LetterPlace, Redriven, StreamRedrives};
use busy::Busy;
use load::{group_of, take_free};

pub use load::Tried;
pub(super) use load::{Entry, Load};

/// Bytes at which a batch is full, however many entries it has.
const BATCH_BYTES: usize = 1 << 20;
/// Entries that are looked through for one whose group is free: what waits beyond the window.
const GROUPED_AHEAD: usize = 512;
/// Entries that are read at once where most of them may not be wanted.
const FILTERED_AHEAD: usize = 128;
/// Entries that are read ahead at most.
const AHEAD_MAX: usize = 512;

/// Entries that share a fate: what one call of the callback gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Tells it from every other.
    pub number: u64,
    /// The entries, in order; at least one.
    pub items: SmallVec<[Item; 1]>,
    /// Whether they were dispatched before, and may be deleted from the stream by now.
    pub is_redelivery: bool,
    /// The groups of the entries, each once: of none are two batches with the callback at once.
    pub groups: SmallVec<[u64; 1]>,
    /// Whether nothing that was dispatched before that is known may begin after it failed.
    pub stops: bool,
    /// How many batches of the subscription are known to have failed.
    pub failures: u64,
}

#[derive(Debug)]
struct Waiting {
    entry: Entry,
    bytes: usize,
    since_ms: u64,
    tried: Tried,
}

/// What a batcher has to know to go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now<'a> {
    pub(super) policy: &'a Policy,
    /// Batches that may be in flight beside those that are, as long as none of them waits there
    /// for another of its group.
    pub(super) free: usize,
    /// Batches that may be in flight beside those that are, whatever they wait for there.
    pub(super) further: usize,
    /// Entries that are worth reading beyond these.
    pub(super) ahead: usize,
    /// Entries that wait and may be dispatched before those of other streams are.
    pub(super) allowance: usize,
    /// Unix milliseconds.
    pub(super) ms: u64,
    /// Whether there is nothing left to be read.
    pub(super) at_end: bool,
    /// Whether something is to be read before a batch is dispatched because its time has come:
    /// it waits in the stream, and belongs to that batch.
    pub(super) reads_on: bool,
}

/// The waiting and the delivered entries of one subscription with a policy.
#[derive(Debug, Default)]
pub(super) struct Batcher {
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    requeued: VecDeque<Load>,
    /// Dead letters that are redriven, if any are.
    redrives: Option<Box<StreamRedrives>>,
    in_flight_attempts: HashMap<u64, Load>,
    busy: Busy,
    /// Whether everything that waits was found to be of busy groups, and none is free since.
    is_stuck: bool,
    /// The last entry that is known to have been with the callback.
    begun: EntryId,
    /// Batches up to this number are with the code of an earlier upgrade.
    on_old_code: u64,
    /// How many there are of these.
    with_old_code: usize,
    /// Batches that are done, and whose places beside the callback are taken until that is committed.
    held: usize,
    /// Batches that failed so far.
    failures: u64,
    /// Batches that ended well since one failed.
    calm: usize,
    /// Whether what waits was there before anybody listened: it is dispatched to its end, be
    /// the last batch full or not.
    pub(super) draining: bool,
    /// When what is not read came.
    arrivals: Arrivals,
    /// Entries of the batch at hand that were dispatched before, for their size.
    cut: usize,
}

impl Batcher {
    // --- what waits ---------------------------------------------------------------------------

    /// Puts an entry behind those that wait.
    pub(super) fn push(&mut self, item: Item, tried: Tried, policy: &Policy, now_ms: u64) {
        let bytes = item.record().packed().len();
        let group = group_of(&item, policy);
        let since_ms = self.arrivals.take(item.id()).unwrap_or(now_ms);
        self.waiting_bytes += bytes;
        self.is_stuck = false;
        let id = item.id();
        let one = Waiting {
            entry: Entry { item, group },
            bytes,
            since_ms,
            tried,
        };
        let is_last = |last: &Waiting| last.entry.item.id() < id;
        if self.waiting.back().is_none_or(is_last) {
            self.waiting.push_back(one);
        } else {
            // It comes again, before what waits.
            let at = self.waiting.partition_point(is_last);
            self.waiting.insert(at, one);
        }
    }

    /// How many entries are worth reading now.
    pub(super) fn room(&self, now: Now<'_>) -> usize {
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
        if self.waiting_bytes >= 2 * BATCH_BYTES {
            return 0;
        }
        wanted.saturating_sub(self.waiting.len())
    }

    /// Forgets the entries that wait behind `last`; how many. What was tried with them is added to
    /// what is known of that.
    pub(super) fn put_back(&mut self, last: EntryId, known: &mut Vec<(EntryId, Tried)>) -> u64 {
        let mut count = 0;
        while let Some(one) = self.waiting.pop_back() {
            let id = one.entry.item.id();
            if id <= last {
                self.waiting.push_back(one);
                break;
            }
            self.waiting_bytes -= one.bytes;
            count += 1;
            self.arrivals.put_back(id, one.since_ms);
            if one.tried.attempts > 0 {
                known.push((id, one.tried));
            }
        }
        known.sort_unstable_by_key(|(id, _)| *id);
        count
    }

    /// It is not known how much waits in the stream.
    pub(super) fn forget_count(&mut self) {
        self.arrivals.forget_fresh();
    }

    /// What is read now is all there is in the stream, and so many of it were never read before.
    pub(super) fn note_end(&mut self, unread_new: u64) {
        self.arrivals.keep_last(unread_new);
    }

    /// All there was in the stream is read.
    pub(super) fn note_all_read(&mut self) {
        self.arrivals.end_back();
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many entries wait that were not dispatched.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.requeued.is_empty()
            && self.redrives.is_none()
            && self.in_flight_attempts.is_empty()
    }

    /// Whether nothing is known of any entry.
    pub(super) fn is_at_rest(&self) -> bool {
        // A field that is added has to be thought of here.
        let Self {
            waiting,
            waiting_bytes: _,
            requeued,
            redrives,
            in_flight_attempts,
            busy,
            is_stuck: _,
            begun: _,
            on_old_code: _,
            with_old_code,
            held,
            failures,
            calm: _,
            draining: _,
            arrivals,
            cut,
        } = self;
        waiting.is_empty()
            && requeued.is_empty()
            && redrives.is_none()
            && in_flight_attempts.is_empty()
            && busy.is_empty()
            && *with_old_code == 0
            && *held == 0
            // Who keeps the batch queue counts them too.
            && *failures == 0
            && arrivals.is_empty()
            && *cut == 0
    }

    // --- batches --------------------------------------------------------------------------------

    /// Whether [`Batcher::release`] may have something to give. Groups are not looked at, but for
    /// what is known of them.
    pub(super) fn is_ready(&self, now: Now<'_>) -> bool {
        let has_room = now.free > 0 || now.further > 0;
        let may_take = now.allowance > 0 && (!self.is_stuck || Self::queues(now));
        let redrives = self.redrives.as_ref();
        let comes_again =
            !self.requeued.is_empty() || redrives.is_some_and(|one| !one.read.is_empty());
        has_room && (comes_again || (may_take && self.is_due(now)))
    }

    /// Whether what is dispatched now may wait for its group beside the callback. A batch of
    /// several entries would keep several groups waiting.
    fn queues(now: Now<'_>) -> bool {
        now.further > 0 && now.policy.batch.unwrap_or(1) == 1
    }

    /// Whether entries can be counted without reading them: a batch is read when it is full, or
    /// its time has come. What is deleted before is not dispatched.
    pub(super) fn counts(policy: &Policy) -> bool {
        policy.batch.is_some() && policy.order_by.is_none() && policy.filter.is_none()
    }

    /// An entry was added behind so many that are not read.
    pub(super) fn note_added(&mut self, before: u64, policy: &Policy, now_ms: u64) {
        if policy.duration_ms > 0 && Self::counts(policy) {
            // Those that are read and wait come first.
            let before = before.saturating_add(self.waiting.len() as u64);
            let begins = before.is_multiple_of(policy.batch.unwrap_or(1) as u64);
            self.arrivals.note_added(begins, policy.duration_ms, now_ms);
        }
    }

    /// Entries that make the batch at hand full. What was cut off it for its size counts.
    fn wanted(&self, policy: &Policy) -> usize {
        let batch = policy.batch.unwrap_or(1);
        batch.saturating_sub(self.cut).max(1)
    }

    /// Whether so many entries that are not read are worth reading.
    pub(super) fn is_worth_reading(&self, unread: u64, now: Now<'_>) -> bool {
        let duration = now.policy.duration_ms;
        let first = self.waiting.front().map(|one| one.since_ms);
        let first = first.or_else(|| self.arrivals.first_ms());
        self.draining
            || unread.saturating_add(self.waiting.len() as u64) >= self.wanted(now.policy) as u64
            || (duration > 0 && first.is_none_or(|since| now.ms >= since.saturating_add(duration)))
    }

    /// Whether what waits makes up a batch.
    pub(super) fn is_due(&self, now: Now<'_>) -> bool {
        let Some(first) = self.waiting.front() else {
            return false;
        };
        if now.policy.batch.is_none() {
            return true;
        }
        self.waiting.len() >= self.wanted(now.policy)
            || self.waiting_bytes >= BATCH_BYTES
            || self.is_over(first, now)
    }

    /// Whether a batch that begins with this entry is dispatched even if it is not full.
    fn is_over(&self, first: &Waiting, now: Now<'_>) -> bool {
        let duration = now.policy.duration_ms;
        (now.at_end && (self.draining || first.tried.attempts > 0))
            || (duration > 0 && now.ms >= first.since_ms.saturating_add(duration) && !now.reads_on)
    }

    /// When what waits will make up a batch by itself. What is behind others of its group waits
    /// for these.
    pub(super) fn due_ms(&self, policy: &Policy) -> Option<u64> {
        if policy.duration_ms == 0 {
            // What waits is not gone through for nothing.
            return None;
        }
        let behind = self.requeued_groups();
        let is_free = |group: &u64| !self.busy.contains(*group) && !behind.contains(group);
        let mut waiting = self.waiting.iter();
        let first = if self.waiting.is_empty() {
            self.arrivals.first_ms()?
        } else {
            waiting
                .find(|one| one.entry.group.as_ref().is_none_or(is_free))?
                .since_ms
        };
        Some(first.saturating_add(policy.duration_ms))
    }

    /// The next batch, which is in flight from now on.
    pub(super) fn release(&mut self, number: u64, now: Now<'_>) -> Option<Batch> {
        if !self.is_ready(now) {
            return None;
        }
        let before = take_free(&mut self.requeued, &self.busy);
        // The entries of dead letters may be gone from their stream: the dead letters hold them.
        let is_redelivery = before.as_ref().is_some_and(|load| load.letter.is_none());
        let mut load = match before.or_else(|| self.take_redriven()) {
            Some(load) => load,
            None => self.take(now)?,
        };
        if load.letter.is_none()
            && let Some(redrives) = &mut self.redrives
        {
            redrives.note_other();
        }
        let most = now.policy.batch.unwrap_or(1);
        if load.entries.len() > most {
            // The policy has changed.
            let rest = load.split_at(most);
            self.requeue(rest);
        }
        let groups = load.distinct_groups();
        self.busy.hold(&groups);
        let items = load.entries.iter().map(|entry| entry.item.clone());
        let batch = Batch {
            number,
            items: items.collect(),
            is_redelivery,
            groups,
            stops: now.policy.on_failure != OnFailure::Continue,
            failures: self.failures,
        };
        self.in_flight_attempts.insert(number, load);
        Some(batch)
    }

    /// Takes a batch of what waits.
    fn take(&mut self, now: Now<'_>) -> Option<Load> {
        if now.allowance == 0 {
            return None;
        }
        let most = now.policy.batch.unwrap_or(1);
        let wanted = self.wanted(now.policy);
        let queues = Self::queues(now);
        // Mostly they are those in front.
        let mut skipped = (!self.requeued.is_empty()).then(|| self.requeued_groups());
        let mut places: SmallVec<[usize; 16]> = SmallVec::new();
        let mut bytes = 0;
        let mut tried = None;
        let mut differs = false;
        for (at, one) in self.waiting.iter().enumerate() {
            let group = one.entry.group;
            let is_busy = |group| !queues && self.busy.contains(group);
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
            self.is_stuck = true;
            return None;
        };
        let first = &self.waiting[*first];
        let (is_full, is_large) = (places.len() >= wanted, bytes >= BATCH_BYTES);
        if !(is_full || is_large || differs || self.is_over(first, now)) {
            // Groups that are busy keep it from being full.
            return None;
        }
        // The bound in bytes cuts a batch. The rest waits for no more than all of it would.
        let is_cut = is_large && !is_full;
        self.cut = if is_cut { self.cut + places.len() } else { 0 };
        let mut load = Load {
            entries: SmallVec::new(),
            tried: tried.unwrap_or_default(),
            letter: None,
            has_begun: false,
        };
        let in_front = places.last() == Some(&(places.len() - 1));
        if in_front {
            let taken = self.waiting.drain(..places.len());
            load.entries.extend(taken.map(|one| one.entry));
        } else {
            let mut places = places.iter().peekable();
            let mut kept = VecDeque::with_capacity(self.waiting.len());
            for (at, one) in self.waiting.drain(..).enumerate() {
                if places.next_if(|place| **place == at).is_some() {
                    load.entries.push(one.entry);
                } else {
                    kept.push_back(one);
                }
            }
            self.waiting = kept;
        }
        self.waiting_bytes -= bytes;
        Some(load)
    }

    /// Takes entries out of a batch that is in flight, given as ascending IDs; whether any is left.
    pub(super) fn leave_out(&mut self, number: u64, ids: &[EntryId]) -> bool {
        let Some(load) = self.in_flight_attempts.get_mut(&number) else {
            return true;
        };
        let before = load.distinct_groups();
        load.entries
            .retain(|entry| ids.binary_search(&entry.item.id()).is_err());
        let is_left = !load.entries.is_empty();
        self.busy.hold(&load.distinct_groups());
        let is_free = self.busy.release(&before);
        self.is_stuck &= !is_free;
        is_left
    }

    /// Groups with entries that come again: those that wait are behind them.
    fn requeued_groups(&self) -> HashSet<u64> {
        self.requeued.iter().flat_map(Load::groups).collect()
    }

    /// A batch is with the callback.
    pub(super) fn note_begun(&mut self, number: u64) {
        if let Some(load) = self.in_flight_attempts.get_mut(&number) {
            load.has_begun = true;
            self.begun = self.begun.max(load.last_of_stream());
        }
    }

    /// The callback is done with a batch, with a failure or without.
    pub(super) fn end(&mut self, number: u64, failed: bool) -> Option<Load> {
        // Whoever has the batch queue counts alike, whatever is known of the batch here. That of earlier
        // code is not the one that is there now.
        if number > self.on_old_code {
            self.note_call(failed);
        }
        let mut load = self.complete(number)?;
        load.has_begun = true;
        self.begun = self.begun.max(load.last_of_stream());
        Some(load)
    }

    /// A batch is not in flight any more.
    pub(super) fn complete(&mut self, number: u64) -> Option<Load> {
        let load = self.in_flight_attempts.remove(&number)?;
        self.with_old_code -= usize::from(number <= self.on_old_code);
        let is_free = self.busy.release(&load.distinct_groups());
        self.is_stuck &= !is_free;
        Some(load)
    }

    // --- what runs ahead ------------------------------------------------------------------------

    /// How many batches beyond the window may wait beside the callback, where so many entries are
    /// worth that. A failure has them come back, so it takes as many that end well before there are
    /// as many again. Before the first failure all streams of a consumer have as many, so that none
    /// runs away from the others. Places of earlier code are known here alone.
    pub(super) fn ahead(&self, entries: usize, policy: &Policy) -> usize {
        if self.with_old_code > 0 {
            return 0;
        }
        let most = entries.min(AHEAD_MAX) / policy.batch.unwrap_or(1);
        if self.failures == 0 {
            most
        } else {
            most.min(self.calm)
        }
    }

    fn note_call(&mut self, failed: bool) {
        if failed {
            self.failures += 1;
            self.calm = 0;
        } else {
            self.calm = self.calm.saturating_add(1);
        }
    }

    /// Whether one ever ended with a failure: who keeps the batch queue remembers that.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// What is in flight is with earlier code from now on.
    pub(super) fn begin_new_code(&mut self) {
        self.on_old_code = self.in_flight_attempts.keys().copied().max().unwrap_or(0);
        self.with_old_code = self.in_flight_attempts.len();
        self.held = 0;
    }

    /// A batch is done whose place is taken until that is committed.
    pub(super) fn note_held(&mut self, number: u64) {
        self.held += usize::from(number > self.on_old_code);
    }

    /// How many such places there are.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Places of such batches, which are free now.
    pub(super) fn take_held(&mut self) -> usize {
        std::mem::take(&mut self.held)
    }

    /// Has a batch redelivered, before everything that waits.
    pub(super) fn requeue(&mut self, load: Load) {
        if load.entries.is_empty() {
            return;
        }
        let first = load.first();
        let at = self.requeued.partition_point(|one| one.first() < first);
        self.requeued.insert(at, load);
    }

    /// Takes one entry out of what comes again, with what was tried with it: out of its batch, or of
    /// what waits if it was dispatched before, as all up to `resumed` was. One of a dead letter only
    /// where the stream's own is not among them.
    pub(super) fn take_again(&mut self, id: EntryId, resumed: EntryId) -> Option<Load> {
        let has = |load: &Load| load.ids().any(|one| one == id);
        let own = |load: &Load| load.letter.is_none() && has(load);
        let at = self.requeued.iter().position(own);
        let waiting = || {
            let mut waiting = self.waiting.iter();
            waiting.position(|one| one.entry.item.id() == id)
        };
        if at.is_none()
            && let Some(at) = waiting()
        {
            let was_dispatched = self.waiting[at].tried.attempts > 0 || id <= resumed;
            let one = was_dispatched.then(|| self.waiting.remove(at)).flatten()?;
            self.waiting_bytes -= one.bytes;
            self.is_stuck = false;
            return Some(Load::of_one(one.entry.item, one.tried));
        }
        let at = at.or_else(|| self.requeued.iter().position(has))?;
        let load = &mut self.requeued[at];
        if load.entries.len() == 1 {
            self.is_stuck = false;
            return self.requeued.remove(at);
        }
        let place = load.ids().position(|one| one == id)?;
        let entry = load.entries.remove(place);
        let tried = load.tried;
        self.is_stuck = false;
        // Without its first entry a batch may belong elsewhere.
        self.requeued.make_contiguous().sort_by_key(Load::first);
        Some(Load::of_one(entry.item, tried))
    }

    /// Whether an entry is with the callback or beside it.
    pub(super) fn is_dispatched(&self, id: EntryId) -> bool {
        let mut loads = self.in_flight_attempts.values();
        loads.any(|load| load.ids().any(|one| one == id))
    }

    /// Leaves out of what comes again the entries that a filter does not want.
    pub(super) fn sift(&mut self, filter: &Filter) -> Vec<EntryId> {
        let mut unwanted = Vec::new();
        for load in &mut self.requeued {
            load.sift(filter, &mut unwanted);
        }
        self.requeued.retain(|load| !load.entries.is_empty());
        self.is_stuck = false;
        // Without its first entry a batch may belong elsewhere.
        self.requeued.make_contiguous().sort_by_key(Load::first);
        unwanted
    }

    /// The last ID of the stream was set back to `last`: IDs above it are of other entries.
    pub(super) fn rewind(&mut self, last: EntryId) {
        self.put_back(last, &mut Vec::new());
        self.arrivals.rewind(last);
        self.cut = 0;
        self.is_stuck = false;
        self.begun = self.begun.min(last);
        for load in &mut self.requeued {
            let is_redriven = load.letter.is_some();
            load.entries
                .retain(|entry| is_redriven || entry.item.id() <= last);
        }
        self.requeued.retain(|load| !load.entries.is_empty());
    }

    // --- dead letters ---------------------------------------------------------------------------

    /// Has the entries of dead letters dispatched, behind what comes again; how many that are not
    /// on their way.
    pub(super) fn redrive(&mut self, letters: &[EntryId], place: &LetterPlace) -> usize {
        let redrives = self.redrives.get_or_insert_default();
        let count = redrives.select(letters, place);
        self.tidy_redrives();
        count
    }

    /// Whether dead letters are to be read.
    pub(super) fn wants_letters(&self) -> bool {
        self.redrives.as_ref().is_some_and(|one| one.wants_read())
    }

    /// Which dead letters are to be read now; `at_once` where the stream's own entries do not wait.
    pub(super) fn letters_to_read(&self, at_once: bool) -> Option<(LetterPlace, Vec<EntryId>)> {
        let redrives = self.redrives.as_ref()?;
        let is_time = at_once || redrives.is_next();
        is_time.then(|| redrives.next_read()).flatten()
    }

    /// So many of those that were to be read were looked for, and these are there.
    pub(super) fn note_letters(
        &mut self,
        looked_for: usize,
        found: Vec<FoundLetter>,
        policy: &Policy,
    ) {
        let Some(redrives) = &mut self.redrives else {
            return;
        };
        let mut found = found.into_iter().peekable();
        for _ in 0..looked_for {
            let Some((letter, place)) = redrives.take_selected() else {
                break;
            };
            let Some(one) = found.next_if(|one| one.letter == letter) else {
                // Somebody deleted it.
                redrives.end(letter);
                continue;
            };
            let group = group_of(&one.item, policy);
            let item = one.item;
            redrives.read.push_back(Load {
                entries: SmallVec::from_elem(Entry { item, group }, 1),
                tried: Tried::default(),
                letter: Some(Box::new(Redriven {
                    letter,
                    place,
                    attempts: one.attempts,
                    first_ms: one.first_ms,
                    redrives: one.redrives,
                })),
                has_begun: false,
            });
        }
        self.tidy_redrives();
    }

    fn take_redriven(&mut self) -> Option<Load> {
        let redrives = self.redrives.as_mut()?;
        take_free(&mut redrives.read, &self.busy)
    }

    /// A dead letter is not on its way any more: it is deleted, or stays where it is.
    pub(super) fn end_redrive(&mut self, letter: EntryId) {
        if let Some(redrives) = &mut self.redrives {
            redrives.end(letter);
        }
        self.tidy_redrives();
    }

    /// Dead letters that somebody deleted are not dispatched; what is with the callback ends.
    pub(super) fn forget_letters(&mut self, home: i32, letters: &HashSet<EntryId>) {
        if let Some(redrives) = &mut self.redrives {
            redrives.forget(home, letters);
            self.requeued.retain(|load| {
                let gone = load.letter.as_ref().filter(|one| one.is_of(home, letters));
                if let Some(gone) = gone {
                    redrives.end(gone.letter);
                }
                gone.is_none()
            });
        }
        self.tidy_redrives();
    }

    fn tidy_redrives(&mut self) {
        self.redrives.take_if(|redrives| redrives.is_empty());
    }

    /// How many dead letters are on their way, and how many of these are with the callback.
    pub(super) fn redrive_counts(&self) -> (usize, usize) {
        let all = self.redrives.as_ref().map_or(0, |redrives| redrives.len());
        let loads = self.in_flight_attempts.values();
        let running = loads.filter(|load| load.has_begun && load.letter.is_some());
        (all, running.count())
    }

    // --- what is to be seen ---------------------------------------------------------------------

    pub(super) fn in_flight_count(&self) -> usize {
        self.in_flight_attempts.len()
    }

    /// How many batches in flight wait for no other of their group.
    pub(super) fn lanes(&self) -> usize {
        self.in_flight_attempts.len() - self.busy.behind()
    }

    /// Bytes of the entries that wait in the core.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// How many entries are with the callback.
    pub(super) fn entries_in_flight(&self) -> usize {
        let loads = self.in_flight_attempts.values();
        let begun = loads.filter(|load| load.has_begun);
        begun.map(|load| load.entries.len()).sum()
    }

    /// IDs with the callback, ascending.
    pub(super) fn in_flight(&self) -> Vec<EntryId> {
        self.dispatched(|load| load.has_begun)
    }

    /// IDs with the callback or beside it, ascending.
    pub(super) fn beside(&self) -> Vec<EntryId> {
        self.dispatched(|_| true)
    }

    fn dispatched(&self, is_wanted: impl Fn(&Load) -> bool) -> Vec<EntryId> {
        let loads = self.in_flight_attempts.values();
        let loads = loads.filter(|load| is_wanted(load));
        let mut ids: Vec<_> = loads.flat_map(Load::ids).collect();
        ids.sort_unstable();
        ids
    }

    /// Where it is enough to resume, if that is before the last entry that was dispatched: what is
    /// behind never was with the callback.
    pub(super) fn begun(&self) -> Option<EntryId> {
        let loads = self.requeued.iter().chain(self.in_flight_attempts.values());
        let waiting = loads.filter(|load| !load.has_begun && load.letter.is_none());
        let first = waiting.map(Load::first).min()?;
        Some(self.begun.max(first.before()))
    }

    /// IDs that come again of what was with the callback before.
    pub(super) fn requeued_again(&self) -> impl Iterator<Item = EntryId> + '_ {
        let loads = self.requeued.iter().filter(|load| load.has_begun);
        loads.flat_map(Load::ids)
    }

    /// Whether anything comes again that was with the callback before, or was tried by then.
    pub(super) fn is_tried(&self) -> bool {
        self.requeued_again().next().is_some() || !self.tried().is_empty()
    }

    /// Whether a dead letter is being redelivered.
    pub(super) fn is_redriven(&self, dead_letter: EntryId) -> bool {
        let redrives = self.redrives.as_ref();
        redrives.is_some_and(|redrives| redrives.contains(dead_letter))
    }

    /// What was tried with entries that are not done, ascending.
    pub(super) fn tried(&self) -> Vec<(EntryId, Tried)> {
        let loads = self.requeued.iter().chain(self.in_flight_attempts.values());
        let loads = loads.filter(|load| load.tried.attempts > 0 && load.letter.is_none());
        let mut tried: Vec<_> = loads
            .flat_map(|load| load.ids().map(|id| (id, load.tried)))
            .collect();
        let waiting = self.waiting.iter().filter(|one| one.tried.attempts > 0);
        tried.extend(waiting.map(|one| (one.entry.item.id(), one.tried)));
        tried.sort_unstable_by_key(|(id, _)| *id);
        tried
    }
}
