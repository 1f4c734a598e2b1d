//! What became of every entry of one stream for one consumer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gears_core::delivery::{
    Batch, Checkpoint, ConsumerSpec, EntryId, Item, Policy, Start, SubscriptionKey, Tried,
};

use crate::reference::{LONGEST_PAUSE_MS, left};
use crate::world::{self, Entry};

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The consumer began behind it.
    Skipped,
    /// It waits to be dispatched.
    Free,
    /// It is with the callback.
    Out,
    /// It comes again.
    Again,
    /// It is given up, and its dead letter is not written.
    GivenUp,
    Done,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) entry: Entry,
    pub(crate) place: Place,
    pub(crate) tried: Tried,
    /// When its coming was announced.
    pub(crate) since_ms: u64,
    /// Whether a filter that was in force since it came lets it through.
    pub(crate) accepted: bool,
    /// Whether one does not: it may have been passed over.
    pub(crate) rejected: bool,
    /// Dead letters that were written since it was to be dispatched.
    pub(crate) dead_letters: usize,
}

/// What is dispatched at once, or was.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) ids: Vec<EntryId>,
    pub(crate) groups: Vec<u8>,
    pub(crate) tried: Tried,
    /// Whether it is known to have been with the callback.
    pub(crate) begun: bool,
    /// Whether the server became a replica since it was dispatched.
    pub(crate) saw_demotion: bool,
    /// The dead letter it comes from.
    pub(crate) dead_letter: Option<world::Letter>,
}

/// The history of one stream for one consumer.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Interest {
    pub(crate) consumer: usize,
    pub(crate) stream: usize,
    pub(crate) sub: Option<SubscriptionKey>,
    pub(crate) entries: BTreeMap<EntryId, Known>,
    pub(crate) flying: BTreeMap<u64, Load>,
    pub(crate) again: Vec<Load>,
    /// Dead letters that are to be read.
    pub(crate) selected: VecDeque<EntryId>,
    pub(crate) redriven: VecDeque<Load>,
    /// Places that are uncommitted for sure.
    pub(crate) uncommitted: usize,
    pub(crate) recalled: bool,
    pub(crate) paused: bool,
    pub(crate) aborted: Option<Arc<str>>,
    pub(crate) until_ms: u64,
    /// Whether what waits must be drained: it was there before, or came while something kept the
    /// consumer from listening.
    backlog: bool,
    /// Whether what waits may be drained: until the end of the stream was seen, and nothing waits.
    loose: bool,
    /// Whether the end was seen since something came.
    saw_end: bool,
    /// Nothing up to here is dispatched that is still to come.
    begins_behind: EntryId,
    /// Entries that came while it was not known where to begin.
    pub(crate) unplaced: Option<u64>,
    /// Whether the field that orders changed: what is under way goes by the old one.
    pub(crate) mixed: bool,
    /// Whether the last batch was cut for its size: the rest of its batch does not wait for others.
    cut: bool,
    pub(crate) recorded: Option<Checkpoint>,
}

pub(crate) fn accepts(spec: &ConsumerSpec, entry: Entry) -> bool {
    let policy = spec.policy.as_ref();
    policy.is_none_or(|policy| policy.filter.is_none()) || entry.wanted
}

fn groups<'a>(policy: &Policy, entries: impl Iterator<Item = &'a Known>) -> Vec<u8> {
    let entries = entries.filter(|_| policy.order_by.is_some());
    entries.filter_map(|known| known.entry.group).collect()
}

impl Interest {
    pub(crate) fn new(consumer: usize, stream: usize, start: Start) -> Self {
        let begins_behind = match start {
            Start::At(first) => first.before(),
            Start::Earliest | Start::Latest => EntryId::ZERO,
        };
        Self {
            begins_behind,
            consumer,
            stream,
            sub: None,
            entries: BTreeMap::new(),
            flying: BTreeMap::new(),
            again: Vec::new(),
            selected: VecDeque::new(),
            redriven: VecDeque::new(),
            uncommitted: 0,
            recalled: false,
            paused: false,
            aborted: None,
            until_ms: 0,
            backlog: false,
            loose: false,
            saw_end: false,
            unplaced: (start == Start::Latest).then_some(0),
            mixed: false,
            cut: false,
            recorded: None,
        }
    }

    /// An entry came.
    pub(crate) fn added(
        &mut self,
        entry: Entry,
        spec: &ConsumerSpec,
        now_ms: u64,
        unread_new: bool,
    ) {
        let before = entry.id <= self.begins_behind;
        let accepted = accepts(spec, entry);
        if let Some(count) = &mut self.unplaced {
            *count += u64::from(unread_new);
        }
        let known = Known {
            entry,
            place: if before { Place::Skipped } else { Place::Free },
            tried: Tried::default(),
            since_ms: now_ms,
            accepted,
            rejected: !accepted,
            dead_letters: 0,
        };
        self.entries.insert(entry.id, known);
        self.saw_end = false;
    }

    /// It begins behind this entry.
    pub(crate) fn placed(&mut self, position: EntryId) {
        self.unplaced = None;
        for (_, known) in self.entries.range_mut(..=position) {
            known.place = Place::Skipped;
        }
    }

    /// Nothing is known of what it has not read.
    pub(crate) fn look_again(&mut self) {
        // Where it began with what came last, that is as good as new.
        let mut known = self.entries.values();
        let waits = known.any(|known| known.place == Place::Free && !known.rejected);
        self.backlog |= waits && self.unplaced.is_none();
        self.loosen();
    }

    /// What waits may be drained.
    pub(crate) fn loosen(&mut self) {
        self.loose = true;
        self.saw_end = false;
    }

    /// It read; with whether to the stream's end.
    pub(crate) fn fetched(&mut self, end: bool) {
        self.saw_end |= end;
        self.check_drained();
    }

    /// What waited may all be gone.
    pub(crate) fn check_drained(&mut self) {
        let mut known = self.entries.values();
        let waits = known.any(|known| known.place == Place::Free && !known.rejected);
        if !waits {
            self.backlog = false;
            self.mixed &= !(self.flying.is_empty() && self.again.is_empty());
        }
        let mut known = self.entries.values();
        let may_wait = known.any(|known| known.place == Place::Free && known.accepted);
        self.loose &= may_wait || !self.saw_end;
    }

    pub(crate) fn set(&mut self, ids: &[EntryId], place: Place) {
        for id in ids {
            if let Some(known) = self.entries.get_mut(id) {
                known.place = place;
            }
        }
    }

    /// Values that order these entries of a batch.
    pub(crate) fn groups_of(&self, ids: &[EntryId], load: &Load) -> Vec<u8> {
        if load.dead_letter.is_some() {
            return load.groups.clone();
        }
        let known = ids.iter().filter_map(|id| self.entries.get(id));
        let groups = known.filter_map(|known| known.entry.group);
        groups.filter(|group| load.groups.contains(group)).collect()
    }

    /// Gives entries back to be dispatched before all others.
    pub(crate) fn requeue(&mut self, mut load: Load, spec: &ConsumerSpec) -> bool {
        load.saw_demotion = false;
        if load.dead_letter.is_none() {
            load.ids.retain(|id| self.entries.contains_key(id));
            self.set(&load.ids, Place::Again);
            self.sift(&mut load, spec);
        }
        if load.ids.is_empty() {
            return false;
        }
        for id in &load.ids {
            if let Some(known) = self
                .entries
                .get_mut(id)
                .filter(|_| load.dead_letter.is_none())
            {
                known.tried = load.tried;
            }
        }
        let at = self.again.partition_point(|one| one.ids[0] < load.ids[0]);
        self.again.insert(at, load);
        true
    }

    /// Entries of a batch failed since the server became a replica: they come again.
    pub(crate) fn end_unheard(&mut self, mut load: Load, ids: Vec<EntryId>, spec: &ConsumerSpec) {
        load.groups = self.groups_of(&ids, &load);
        load.ids = ids;
        load.begun = true;
        self.requeue(load, spec);
    }

    /// What the filter does not want is done, also if it was to come again.
    fn sift(&mut self, load: &mut Load, spec: &ConsumerSpec) {
        let is_unwanted = |id: &mut EntryId| !accepts(spec, self.entries[id].entry);
        let unwanted: Vec<_> = load.ids.extract_if(.., is_unwanted).collect();
        load.groups = self.groups_of(&load.ids, load);
        self.set(&unwanted, Place::Done);
    }

    /// A callback has a batch.
    pub(crate) fn begin(&mut self, number: u64) {
        if let Some(load) = self.flying.get_mut(&number) {
            load.begun = true;
        }
    }

    /// The consumer has another filter.
    pub(crate) fn sift_again(&mut self, spec: &ConsumerSpec) {
        let loads = std::mem::take(&mut self.again);
        let count = |loads: &[Load]| loads.iter().map(|load| load.ids.len()).sum::<usize>();
        let before = count(&loads);
        // Of two with the same entry, one of them from its dead letter, the first stays the first.
        for load in loads.into_iter().rev() {
            self.requeue(load, spec);
        }
        let waits = |known: &Known| {
            let is_done = matches!(known.place, Place::Done | Place::Skipped);
            !is_done && known.tried.attempts > 0
        };
        // What only waited beside the callback did not fail.
        let has_begun = self.again.iter().any(|load| load.begun);
        if count(&self.again) < before && !has_begun && !self.entries.values().any(waits) {
            self.until_ms = 0;
        }
    }

    /// Goes on as somebody else would who knows no more than this: what is with callbacks ends
    /// unheard.
    pub(crate) fn restart(&mut self, checkpoint: &Checkpoint, spec: &ConsumerSpec, now_ms: u64) {
        // The server that put it committed had a clock that was so much ahead.
        let ahead_ms = checkpoint.delivery_state.as_of_ms.saturating_sub(now_ms);
        self.sub = None;
        self.flying.clear();
        self.again.clear();
        self.selected.clear();
        self.redriven.clear();
        self.uncommitted = 0;
        self.recalled = false;
        self.paused = checkpoint.delivery_state.paused;
        self.aborted.clone_from(&checkpoint.delivery_state.aborted);
        self.until_ms = checkpoint.delivery_state.until_ms.saturating_sub(ahead_ms);
        assert!(self.until_ms <= now_ms + LONGEST_PAUSE_MS, "{checkpoint:?}");
        self.unplaced = None;
        self.begins_behind = checkpoint.position;
        self.mixed = false;
        for (id, known) in &mut self.entries {
            let is_pending = checkpoint.pending.binary_search(id).is_ok();
            known.place = if *id <= checkpoint.position && !is_pending {
                Place::Done
            } else {
                Place::Free
            };
            let mut tried = checkpoint.delivery_state.tried.iter();
            let tried = tried.find(|(one, _)| one == id);
            known.tried = tried.map(|(_, tried)| *tried).unwrap_or_default();
            known.tried.first_ms -= ahead_ms.min(known.tried.first_ms);
            known.since_ms = known.since_ms.min(now_ms);
            let accepts = accepts(spec, known.entry);
            known.accepted = accepts;
            known.rejected = !accepts;
            if known.place == Place::Free {
                known.dead_letters = 0;
            }
        }
        self.backlog = false;
        self.look_again();
    }

    /// Whether a dead letter waits, or is with the callback.
    pub(crate) fn has_letter(&self, letter: EntryId) -> bool {
        let loads = self.again.iter().chain(&self.redriven);
        let mut loads = loads.chain(self.flying.values());
        let is_it = |load: &Load| load.dead_letter.is_some_and(|one| one.id == letter);
        self.selected.contains(&letter) || loads.any(is_it)
    }

    /// Somebody skips an entry; what was tried with it and the dead letter that it is from, if it
    /// comes again.
    pub(crate) fn skip(&mut self, id: EntryId) -> Option<(Tried, Option<world::Letter>)> {
        let has = |load: &Load| load.ids.contains(&id);
        let own = |load: &Load| load.dead_letter.is_none() && has(load);
        let mut again = self.again.iter();
        let known = self.entries.get(&id).copied();
        let waits = known.filter(|known| known.place == Place::Free);
        let waits = waits.filter(|known| known.tried.attempts > 0 || id <= self.begins_behind);
        let own = again.position(own);
        if own.is_none()
            && let Some(known) = waits
        {
            return Some((known.tried, None));
        }
        let at = own.or_else(|| self.again.iter().position(has))?;
        let (tried, letter) = (self.again[at].tried, self.again[at].dead_letter);
        self.again[at].ids.retain(|one| *one != id);
        if self.again[at].ids.is_empty() {
            self.again.remove(at);
        } else {
            let groups = self.groups_of(&self.again[at].ids, &self.again[at]);
            self.again[at].groups = groups;
            self.again.sort_by_key(|load| load.ids[0]);
        }
        Some((tried, letter))
    }

    /// Whether an entry may be passed over without anybody noticing.
    pub(crate) fn may_be_passed_over(&self, id: EntryId) -> bool {
        let known = self.entries.get(&id);
        known.is_some_and(|known| known.place == Place::Free && known.rejected)
    }

    /// Somebody deleted a dead letter.
    pub(crate) fn drop_letter(&mut self, letter: EntryId) {
        let is_left = |load: &Load| load.dead_letter.is_none_or(|one| one.id != letter);
        self.selected.retain(|one| *one != letter);
        self.redriven.retain(is_left);
        self.again.retain(is_left);
    }

    /// Whether none of these values is with the callback.
    fn is_free(&self, load: &Load) -> bool {
        let busy = self.flying.values().flat_map(|load| &load.groups);
        let mut busy = busy.filter(|group| load.groups.contains(group));
        busy.next().is_none()
    }

    /// What must be dispatched before everything that waits.
    fn next_again(&self, list: &[&Load]) -> Option<usize> {
        let mut skipped: Vec<u8> = Vec::new();
        for (at, load) in list.iter().enumerate() {
            let is_behind = load.groups.iter().any(|group| skipped.contains(group));
            if self.is_free(load) && !is_behind {
                return Some(at);
            }
            skipped.extend(&load.groups);
        }
        None
    }

    /// A batch is dispatched. All the promises about what it may be.
    pub(crate) fn dispatch(
        &mut self,
        batch: &Batch,
        policy: &Policy,
        window: Option<usize>,
        now_ms: u64,
    ) {
        let ids: &[EntryId] = &batch.items.iter().map(Item::id).collect::<Vec<_>>();
        let taken = self.flying.len() + self.uncommitted;
        assert!(window.is_none_or(|window| taken < window), "{self:?}");
        assert!(!self.recalled, "entries are being taken back");
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        let runs_ahead = window.is_none() && policy.batch.unwrap_or(1) == 1;
        let load = self.take(ids, batch.is_redelivery, policy, (runs_ahead, now_ms));
        if load.dead_letter.is_none() {
            self.set(ids, Place::Out);
        }
        self.flying.insert(batch.number, load);
        self.check_drained();
    }

    /// What has more entries than a batch may have by now comes in several.
    fn cut(&mut self, at: usize, policy: &Policy) {
        let most = policy.batch.unwrap_or(1);
        if self.again[at].ids.len() > most {
            let rest = self.again[at].ids.split_off(most);
            let groups = self.groups_of(&rest, &self.again[at]);
            let own = self.groups_of(&self.again[at].ids, &self.again[at]);
            let load = Load {
                ids: rest,
                groups,
                dead_letter: None,
                ..self.again[at]
            };
            self.again[at].groups = own;
            let place = self.again.partition_point(|one| one.ids[0] < load.ids[0]);
            self.again.insert(place, load);
        }
    }

    fn take(
        &mut self,
        ids: &[EntryId],
        is_redelivery: bool,
        policy: &Policy,
        (runs_ahead, now_ms): (bool, u64),
    ) -> Load {
        if self.mixed {
            // Which of them is first depends on a field that does not order any more.
            let is_it = |load: &Load| load.dead_letter.is_none() == is_redelivery;
            let mut again = self.again.iter();
            let starts = |load: &Load| is_it(load) && load.ids.starts_with(ids);
            if let Some(at) = again.position(starts) {
                self.cut(at, policy);
                if self.again[at].ids == ids {
                    return self.again.remove(at);
                }
            }
        } else if let Some(at) = self.next_again(&self.again.iter().collect::<Vec<_>>()) {
            self.cut(at, policy);
            let load = self.again.remove(at);
            assert_eq!(load.ids, ids, "what comes again goes first: {self:?}");
            assert_eq!(load.dead_letter.is_none(), is_redelivery, "{load:?}");
            return load;
        }
        assert!(!is_redelivery, "{ids:?} were not dispatched before");
        let first = self.next_again(&self.redriven.iter().collect::<Vec<_>>());
        if let Some(at) = first
            && (!self.mixed || self.redriven[at].ids == ids)
        {
            let load = self.redriven.remove(at).expect("it was just found");
            assert_eq!(load.ids, ids, "redriven before what waits: {self:?}");
            return load;
        }
        self.take_waiting(ids, policy, (runs_ahead, now_ms))
    }

    fn take_waiting(
        &mut self,
        ids: &[EntryId],
        policy: &Policy,
        (runs_ahead, now_ms): (bool, u64),
    ) -> Load {
        let most = policy.batch.unwrap_or(1);
        assert!(!ids.is_empty() && ids.len() <= most, "{ids:?}");
        let known: Vec<_> = ids.iter().map(|id| &self.entries[id]).collect();
        for known in &known {
            assert_eq!(known.place, Place::Free, "{known:?}");
            assert!(known.accepted, "the filter rejects {known:?}");
            assert_eq!(known.tried, self.entries[&ids[0]].tried, "{ids:?}");
        }
        let load = Load {
            ids: ids.to_vec(),
            groups: groups(policy, known.iter().copied()),
            tried: known[0].tried,
            begun: false,
            saw_demotion: false,
            dead_letter: None,
        };
        self.check_order(&load, policy, runs_ahead);
        let bytes: usize = known.iter().map(|known| known.entry.bytes).sum();
        let is_large = bytes + ids.len() * 100 >= 1 << 20;
        let first = known[0];
        let is_due = policy.duration_ms > 0 && now_ms >= first.since_ms + policy.duration_ms;
        let last = ids[ids.len() - 1];
        let mut behind = self.entries.range(last..).skip(1).map(|(_, known)| known);
        let differs = |known: &Known| known.place == Place::Free && known.tried != first.tried;
        assert!(
            ids.len() == most
                || self.loose
                // What was added before the entry it begins with was counted, too.
                || self.begins_behind != EntryId::ZERO
                || is_due
                || first.tried.attempts > 0
                || is_large
                || self.cut
                || behind.any(differs),
            "{ids:?} is not full: {self:?}"
        );
        self.cut = is_large && ids.len() < most;
        load
    }

    /// Nothing is dispatched before what was added earlier, but for what its group keeps.
    fn check_order(&self, load: &Load, policy: &Policy, runs_ahead: bool) {
        if self.mixed {
            return;
        }
        // What runs ahead waits for its value beside the callback.
        let is_free = runs_ahead || self.is_free(load);
        assert!(is_free, "values are out already: {self:?}");
        let ordered = policy.order_by.is_some();
        let behind = |list: &[Load], group| list.iter().any(|load| load.groups.contains(&group));
        let mut waiting: Vec<u8> = Vec::new();
        let last = load.ids[load.ids.len() - 1];
        for (id, known) in self.entries.range(..=last) {
            let group = known.entry.group.filter(|_| ordered);
            if load.ids.contains(id) {
                let early = group
                    .is_some_and(|group| waiting.contains(&group) || behind(&self.again, group));
                assert!(!early, "{id} is before its turn: {self:?}");
            } else if known.place == Place::Free && !known.rejected {
                let waits = group.is_some_and(|group| {
                    let mut busy = self.flying.values().flat_map(|load| &load.groups);
                    busy.any(|busy| *busy == group)
                        || waiting.contains(&group)
                        || behind(&self.again, group)
                });
                assert!(waits, "{id} is left out by {load:?}: {self:?}");
                waiting.extend(group);
            }
        }
    }

    /// What is committed claims nothing as done that is not, and nothing that is done as not.
    pub(crate) fn check_record(&self, checkpoint: &Checkpoint, now_ms: u64) {
        for (id, known) in &self.entries {
            let is_pending = checkpoint.pending.binary_search(id).is_ok();
            let is_done = match known.place {
                Place::Skipped | Place::Done => true,
                Place::Free => known.rejected && !is_pending,
                Place::Out | Place::Again | Place::GivenUp => false,
            };
            let claimed = *id <= checkpoint.position && !is_pending;
            assert!(is_done || !claimed, "{known:?} is not done: {checkpoint:?}");
            assert!(
                !(is_done && is_pending),
                "{known:?} is done: {checkpoint:?}"
            );
            let tried = checkpoint
                .delivery_state
                .tried
                .iter()
                .find(|(one, _)| one == id);
            let tried = tried.map(|(_, tried)| *tried).unwrap_or_default();
            let expected = if is_done {
                Tried::default()
            } else {
                known.tried
            };
            assert_eq!(tried, expected, "{known:?}: {checkpoint:?}");
        }
        assert_eq!(checkpoint.delivery_state.paused, self.paused);
        assert_eq!(checkpoint.delivery_state.aborted, self.aborted);
        assert_eq!(
            checkpoint.delivery_state.until_ms,
            left(self.until_ms, now_ms)
        );
    }

    pub(crate) fn is_blocked(&self, now_ms: u64) -> bool {
        self.paused || self.aborted.is_some() || self.until_ms > now_ms
    }

    /// Whether only an order lets it go on.
    pub(crate) fn is_stopped(&self) -> bool {
        self.paused || self.aborted.is_some()
    }

    /// Nothing could be dispatched now; and what waits for its time is not forgotten, which the
    /// core asked for in so many milliseconds.
    pub(crate) fn check_awake(&self, policy: &Policy, window: usize, now_ms: u64, asked_ms: u64) {
        assert!(self.unplaced.is_none(), "nobody asks where it begins");
        assert!(
            self.selected.is_empty() || !self.redriven.is_empty(),
            "letters are forgotten: {self:?}"
        );
        // Those that wait for their value take no place.
        let mut firsts = self.flying.values().enumerate();
        let behind = |(at, load): (usize, &Load)| {
            let mut before = self.flying.values().take(at).flat_map(|load| &load.groups);
            before.any(|group| load.groups.contains(group))
        };
        let lanes = firsts.by_ref().filter(|one| !behind(*one)).count();
        if lanes + self.uncommitted >= window || self.mixed {
            return;
        }
        let lists: [Vec<&Load>; 2] = [self.again.iter().collect(), self.redriven.iter().collect()];
        for list in &lists {
            assert_eq!(self.next_again(list), None, "forgotten: {self:?}");
        }
        let busy: Vec<_> = self.flying.values().chain(&self.again).collect();
        let is_busy = |known: &Known| {
            let group = known.entry.group.filter(|_| policy.order_by.is_some());
            group.is_some_and(|group| busy.iter().any(|load| load.groups.contains(&group)))
        };
        let waiting = self
            .entries
            .values()
            .filter(|known| known.place == Place::Free && !known.rejected && !is_busy(known));
        let waiting: Vec<_> = waiting.collect();
        let count = waiting.len();
        let batch = policy.batch.unwrap_or(1);
        assert!(count < batch, "{count} are forgotten: {self:?}");
        let counts = policy.order_by.is_none() && policy.filter.is_none() && !self.loose;
        let bounded = waiting.first().filter(|_| policy.duration_ms > 0);
        if let Some(first) = bounded {
            // What is read at once, or was there before, waits from then on.
            let since_ms = if counts { first.since_ms } else { now_ms };
            let left_ms = (since_ms + policy.duration_ms).saturating_sub(now_ms);
            assert!(asked_ms <= left_ms, "it waits too long: {self:?}");
        }
    }

    /// Everything is done, but for what may wait for its batch to be full.
    pub(crate) fn check_complete(&self, policy: &Policy) {
        assert!(self.flying.is_empty() && self.again.is_empty(), "{self:?}");
        assert!(
            self.selected.is_empty() && self.redriven.is_empty() && self.uncommitted == 0,
            "{self:?}"
        );
        let known = self.entries.values();
        let left = known.filter(|known| match known.place {
            Place::Skipped | Place::Done => false,
            Place::Free => !known.rejected,
            Place::Out | Place::Again | Place::GivenUp => true,
        });
        let left = left.count();
        let may_wait = policy.duration_ms == 0 && !self.backlog;
        let batch = policy.batch.filter(|_| may_wait).unwrap_or(1);
        assert!(left < batch, "{left} are left: {self:?}");
    }
}
