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
//! ```text
//! batcher  what is in flight, and what comes again
//! waiting  what was read and not dispatched, and when it makes up a batch
//! load     the entries of a batch
//! busy     groups that have batches in flight
//! ahead    how far batches run ahead of the window
//! letters  dead letters that are redriven
//! view     what is to be seen
//! ```
//!
//! Invariants: `waiting` and `requeued` ascend; no entry is in two places; a group is in `busy` as
//! long as a batch with one of its entries is in flight. A batch of several entries is in flight
//! with nothing before it of its groups.

mod ahead;
mod busy;
mod letters;
mod load;
mod view;
mod waiting;

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use super::filter::Filter;
use super::id::EntryId;
use super::policy::{OnFailure, Policy};
use super::record::Item;
use ahead::Ahead;
use busy::Busy;
use letters::StreamRedrives;
use load::{group_of, take_free};
use waiting::{Taken, Waiting};

pub use load::Tried;
pub(super) use load::{Entry, Load};

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
    waiting: Waiting,
    requeued: VecDeque<Load>,
    /// Dead letters that are redriven, if any are.
    redrives: Option<Box<StreamRedrives>>,
    in_flight_attempts: HashMap<u64, Load>,
    busy: Busy,
    /// Whether everything that waits was found to be of busy groups, and none is free since.
    is_stuck: bool,
    /// The last entry that is known to have been with the callback.
    begun: EntryId,
    ahead: Ahead,
}

impl Batcher {
    // --- what waits ---------------------------------------------------------------------------

    /// Puts an entry behind those that wait.
    pub(super) fn push(&mut self, item: Item, tried: Tried, policy: &Policy, now_ms: u64) {
        let group = group_of(&item, policy);
        self.is_stuck = false;
        self.waiting.push(Entry { item, group }, tried, now_ms);
    }

    /// What was read and waits.
    pub(super) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// The same, to tell it what is known of the stream.
    pub(super) fn waiting_mut(&mut self) -> &mut Waiting {
        &mut self.waiting
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
            requeued,
            redrives,
            in_flight_attempts,
            busy,
            is_stuck: _,
            begun: _,
            ahead,
        } = self;
        waiting.is_at_rest()
            && requeued.is_empty()
            && redrives.is_none()
            && in_flight_attempts.is_empty()
            && busy.is_empty()
            && ahead.is_at_rest()
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
        has_room && (comes_again || (may_take && self.waiting.is_due(now)))
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

    /// When what waits will make up a batch by itself. What is behind others of its group waits
    /// for these.
    pub(super) fn due_ms(&self, policy: &Policy) -> Option<u64> {
        if policy.duration_ms == 0 {
            // What waits is not gone through for nothing.
            return None;
        }
        let behind = self.requeued_groups();
        let is_free = |group: u64| !self.busy.contains(group) && !behind.contains(&group);
        self.waiting.due_ms(policy, is_free)
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
            failures: self.ahead.failures(),
        };
        self.in_flight_attempts.insert(number, load);
        Some(batch)
    }

    /// Takes a batch of what waits.
    fn take(&mut self, now: Now<'_>) -> Option<Load> {
        if now.allowance == 0 {
            return None;
        }
        let busy = (!Self::queues(now)).then_some(&self.busy);
        // Mostly there are none.
        let behind = (!self.requeued.is_empty()).then(|| self.requeued_groups());
        match self.waiting.take(now, busy, behind) {
            Taken::Batch(load) => Some(load),
            Taken::NotDue => None,
            Taken::NoneFree => {
                self.is_stuck = true;
                None
            }
        }
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
        // Whatever is known of the batch here: so it is where the batch queue is.
        self.ahead.note_call(number, failed);
        let mut load = self.complete(number)?;
        load.has_begun = true;
        self.begun = self.begun.max(load.last_of_stream());
        Some(load)
    }

    /// The server became a replica.
    pub(super) fn note_demotion(&mut self) {
        for load in self.in_flight_attempts.values_mut() {
            load.saw_demotion = true;
        }
    }

    /// A batch is not in flight any more.
    pub(super) fn complete(&mut self, number: u64) -> Option<Load> {
        let load = self.in_flight_attempts.remove(&number)?;
        self.ahead.note_complete(number);
        let is_free = self.busy.release(&load.distinct_groups());
        self.is_stuck &= !is_free;
        Some(load)
    }

    // --- what runs ahead ------------------------------------------------------------------------

    /// How far batches run ahead of the window.
    pub(super) fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// The same, to tell it what happens to places beside the callback.
    pub(super) fn ahead_mut(&mut self) -> &mut Ahead {
        &mut self.ahead
    }

    /// What is in flight is with earlier code from now on.
    pub(super) fn begin_new_code(&mut self) {
        let last = self.in_flight_attempts.keys().copied().max();
        self.ahead
            .begin_new_code(last.unwrap_or(0), self.in_flight_attempts.len());
    }

    // --- what comes again -----------------------------------------------------------------------

    /// Has a batch redelivered, before everything that waits.
    pub(super) fn requeue(&mut self, mut load: Load) {
        if load.entries.is_empty() {
            return;
        }
        load.saw_demotion = false;
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
        if at.is_none()
            && let Some(place) = self.waiting.place_of(id)
        {
            let load = self.waiting.take_again(place, resumed)?;
            self.is_stuck = false;
            return Some(load);
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
        self.waiting.rewind(last);
        self.is_stuck = false;
        self.begun = self.begun.min(last);
        for load in &mut self.requeued {
            let is_redriven = load.letter.is_some();
            load.entries
                .retain(|entry| is_redriven || entry.item.id() <= last);
        }
        self.requeued.retain(|load| !load.entries.is_empty());
    }
}
