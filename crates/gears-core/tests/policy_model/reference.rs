//! All that happened, and the promises, checked by looking through the lists.

use std::sync::Arc;

use gears_core::delivery::{
    Batch, Checkpoint, ConsumerSpec, DeadLetter, Delivery, DeliveryState, End, EntryId, Mode,
    OnFailure, Policy, Scope, Start, SubscriptionKey, Tried, TrimBound,
};

use crate::interest::{Interest, Load, Place, accepts};
use crate::outcome::{Fate, failed, fate};
use crate::world::{Entry, Letter, NAMES, World, goes, stream_named};

#[derive(Debug)]
struct Consumer {
    spec: ConsumerSpec,
    policy: Arc<Policy>,
    paused: bool,
    aborted: Option<Arc<str>>,
    until_ms: u64,
    recorded: DeliveryState,
}

/// A dead letter that is to be written.
#[derive(Debug)]
struct Due {
    consumer: usize,
    stream: usize,
    id: EntryId,
    tried: Tried,
    error: Arc<str>,
    last_ms: u64,
    not_before_ms: u64,
    /// The dead letter that it comes in the place of.
    replaces: Option<Letter>,
}

/// The history of all that happened, and the checks of the promises against it.
#[derive(Debug)]
pub(crate) struct Reference {
    consumers: Vec<Consumer>,
    interests: Vec<Interest>,
    due: Vec<Due>,
    /// Dead letters whose entries are done after all.
    deletions: Vec<EntryId>,
    pub(crate) primary: bool,
    /// Whether the server refuses writes, and if so whether trims are let through.
    pub(crate) refused: Option<bool>,
    pub(crate) now_ms: u64,
}

impl Reference {
    pub(crate) fn new(specs: Vec<ConsumerSpec>) -> Self {
        let consumers = specs.into_iter().map(|spec| Consumer {
            policy: spec.policy.clone().unwrap_or_default(),
            spec,
            paused: false,
            aborted: None,
            until_ms: 0,
            recorded: DeliveryState::default(),
        });
        Self {
            consumers: consumers.collect(),
            interests: Vec::new(),
            due: Vec::new(),
            deletions: Vec::new(),
            primary: true,
            refused: None,
            now_ms: 1_000_000,
        }
    }

    pub(crate) fn specs(&self) -> Vec<ConsumerSpec> {
        self.consumers.iter().map(|one| one.spec.clone()).collect()
    }

    pub(crate) fn spec(&self, consumer: usize) -> &ConsumerSpec {
        &self.consumers[consumer].spec
    }

    pub(crate) fn has_dead_letters(&self, consumer: usize) -> bool {
        self.consumers[consumer].policy.dead_letter.is_some()
    }

    pub(crate) fn knows(&self, consumer: usize, stream: usize) -> bool {
        self.interests
            .iter()
            .any(|one| (one.consumer, one.stream) == (consumer, stream))
    }

    fn find(&mut self, consumer: usize, stream: usize) -> Option<&mut Interest> {
        self.interests
            .iter_mut()
            .find(|one| (one.consumer, one.stream) == (consumer, stream))
    }

    fn by_sub(&mut self, sub: SubscriptionKey) -> Option<&mut Interest> {
        self.interests.iter_mut().find(|one| one.sub == Some(sub))
    }

    // ---- streams ----------------------------------------------------------------------------

    pub(crate) fn added(&mut self, stream: usize, entry: Entry) {
        for at in 0..self.consumers.len() {
            let spec = &self.consumers[at].spec;
            if spec.matches(NAMES[stream]) && !self.knows(at, stream) {
                let interest = Interest::new(at, stream, spec.start);
                self.interests.push(interest);
            }
        }
        let now_ms = self.now_ms;
        for interest in self.interests.iter_mut().filter(|one| one.stream == stream) {
            let spec = &self.consumers[interest.consumer].spec;
            interest.added(entry, spec, now_ms, true);
        }
    }

    pub(crate) fn found(&mut self, stream: usize) {
        let interests = self.interests.iter_mut();
        let interests = interests.filter(|one| one.stream == stream);
        interests.for_each(Interest::loosen);
    }

    pub(crate) fn removed(&mut self, stream: usize) {
        self.interests.retain(|one| one.stream != stream);
        self.due.retain(|due| due.stream != stream);
    }

    pub(crate) fn trimmed(&mut self, stream: usize, to: TrimBound) {
        let may_trim = self.refused.unwrap_or(true);
        assert!(self.primary && may_trim, "a trim that may not be");
        let interests = self.interests.iter_mut();
        let mut wanted = false;
        for interest in interests.filter(|one| one.stream == stream) {
            assert!(interest.unplaced.is_none(), "{interest:?}");
            wanted |= self.consumers[interest.consumer].spec.trim;
            for known in interest.entries.values() {
                let may_go = match known.place {
                    Place::Done | Place::Skipped => true,
                    Place::Free => known.rejected,
                    Place::Out | Place::Again | Place::GivenUp => false,
                };
                assert!(may_go || !goes(known.entry.id, to), "{to:?}: {known:?}");
            }
            interest.entries.retain(|id, _| !goes(*id, to));
        }
        assert!(wanted, "nobody wants a trim");
    }

    // ---- what people ask for -----------------------------------------------------------------------------

    pub(crate) fn paused(&mut self, consumer: usize, stream: Option<usize>) {
        match stream {
            None => self.consumers[consumer].paused = true,
            Some(stream) => {
                if let Some(interest) = self.find(consumer, stream) {
                    interest.paused = true;
                }
            }
        }
    }

    pub(crate) fn consumer_resumed(&mut self, consumer: usize, stream: Option<usize>) {
        let state = &mut self.consumers[consumer];
        let all_held = state.paused || state.aborted.is_some();
        if stream.is_none() {
            state.paused = false;
            state.aborted = None;
        }
        let is_blocked = state.paused || state.aborted.is_some();
        let interests = self.interests.iter_mut();
        for interest in interests.filter(|one| one.consumer == consumer) {
            if stream.is_none_or(|stream| stream == interest.stream) {
                let was_paused = interest.paused && stream.is_some();
                let was_held = was_paused || interest.aborted.is_some();
                interest.aborted = None;
                interest.paused &= stream.is_none();
                // Only what was held up is a backlog now.
                if (was_held || (all_held && stream.is_none())) && !interest.paused && !is_blocked {
                    interest.look_again();
                }
            }
        }
    }

    pub(crate) fn retried_now(&mut self, consumer: usize, stream: usize) {
        let Some(interest) = self.find(consumer, stream) else {
            return;
        };
        interest.until_ms = 0;
        self.consumers[consumer].until_ms = 0;
        let interests = self.interests.iter_mut();
        let interests = interests.filter(|one| one.consumer == consumer);
        interests.for_each(Interest::loosen);
    }

    pub(crate) fn sought(&mut self, consumer: usize, stream: usize, position: EntryId) {
        let spec = self.consumers[consumer].spec.clone();
        let now_ms = self.now_ms;
        let Some(interest) = self.find(consumer, stream) else {
            return;
        };
        let delivery_state = DeliveryState {
            paused: interest.paused,
            aborted: interest.aborted.clone(),
            ..DeliveryState::default()
        };
        let checkpoint = Checkpoint {
            position,
            pending: Vec::new(),
            delivery_state,
        };
        interest.restart(&checkpoint, &spec, now_ms);
        self.due
            .retain(|due| (due.consumer, due.stream) != (consumer, stream));
    }

    pub(crate) fn redriven(&mut self, consumer: usize, stream: usize, letters: &[EntryId]) {
        if let Some(interest) = self.find(consumer, stream) {
            interest.selected.extend(letters);
        }
    }

    /// Whether a dead letter is on its way, or another comes in its place.
    pub(crate) fn is_on_its_way(&self, consumer: usize, stream: usize, letter: EntryId) -> bool {
        let mut interests = self.interests.iter();
        let found = interests.find(|one| (one.consumer, one.stream) == (consumer, stream));
        let is_replaced = self.due.iter().any(|due| {
            let of = (due.consumer, due.stream) == (consumer, stream);
            of && due.replaces.is_some_and(|one| one.id == letter)
        });
        is_replaced || found.is_some_and(|interest| interest.has_letter(letter))
    }

    /// Dead letters were looked for, and these are there.
    pub(crate) fn letters_read(
        &mut self,
        consumer: usize,
        stream: usize,
        looked_for: &[EntryId],
        found: &[Letter],
    ) {
        assert!(self.primary && self.refused.is_none() && !self.is_blocked(consumer));
        let now_ms = self.now_ms;
        let ordered = self.consumers[consumer].policy.order_by.is_some();
        let interest = self.find(consumer, stream).expect("it is there");
        assert!(!interest.is_blocked(now_ms) && interest.redriven.is_empty());
        for id in looked_for {
            assert_eq!(interest.selected.pop_front(), Some(*id));
        }
        let loads = found.iter().map(|letter| Load {
            ids: vec![letter.entry.id],
            groups: letter.entry.group.filter(|_| ordered).into_iter().collect(),
            tried: Tried::default(),
            begun: false,
            saw_demotion: false,
            dead_letter: Some(*letter),
        });
        interest.redriven.extend(loads);
    }

    /// The entries that somebody may skip, or try to.
    pub(crate) fn skippable(&self, consumer: usize, stream: usize) -> Vec<EntryId> {
        let mut interests = self.interests.iter();
        let found = interests.find(|one| (one.consumer, one.stream) == (consumer, stream));
        let Some(interest) = found else {
            return Vec::new();
        };
        let again = interest.again.iter().flat_map(|load| &load.ids);
        let mut ids: Vec<_> = again.chain(interest.entries.keys()).copied().collect();
        ids.retain(|id| !interest.may_be_passed_over(*id));
        // Those that come again more often than the others.
        ids.extend_from_within(..interest.again.len());
        ids
    }

    /// Somebody skips an entry; whether that can be.
    pub(crate) fn skipped(
        &mut self,
        consumer: usize,
        stream: usize,
        id: EntryId,
        error: &Arc<str>,
    ) -> bool {
        let now_ms = self.now_ms;
        let of = |due: &Due| (due.consumer, due.stream, due.id) == (consumer, stream, id);
        if self.due.iter().any(of) {
            return false;
        }
        let policy = Arc::clone(&self.consumers[consumer].policy);
        let Some(interest) = self.find(consumer, stream) else {
            return false;
        };
        let Some((tried, replaces)) = interest.skip(id) else {
            return false;
        };
        let place = match policy.dead_letter {
            Some(_) => Place::GivenUp,
            None => Place::Done,
        };
        let mut told = tried;
        if told.attempts == 0 {
            told.first_ms = now_ms;
        }
        if let Some(old) = replaces {
            told.attempts += old.attempts;
            told.first_ms = old.first_ms;
        } else {
            interest.set(&[id], place);
            if let Some(known) = interest.entries.get_mut(&id) {
                known.tried = tried;
            }
        }
        let was_held = interest.aborted.take().is_some();
        interest.until_ms = 0;
        if was_held && !interest.paused {
            interest.look_again();
        }
        interest.loosen();
        // It may have been the last that was there before.
        interest.check_drained();
        if place == Place::GivenUp {
            self.due.push(Due {
                consumer,
                stream,
                id,
                tried: told,
                error: Arc::clone(error),
                last_ms: now_ms,
                not_before_ms: 0,
                replaces,
            });
        }
        if policy.scope == Scope::Consumer {
            let state = &mut self.consumers[consumer];
            let was_held = state.aborted.take().is_some();
            state.until_ms = 0;
            let is_paused = state.paused;
            let interests = self.interests.iter_mut();
            for interest in interests.filter(|one| one.consumer == consumer) {
                if was_held && !is_paused && !interest.paused && interest.aborted.is_none() {
                    interest.look_again();
                }
                interest.loosen();
            }
        }
        true
    }

    /// Somebody deleted a dead letter.
    pub(crate) fn letter_dropped(&mut self, letter: EntryId) {
        for interest in &mut self.interests {
            interest.drop_letter(letter);
        }
    }

    pub(crate) fn changed(&mut self, consumer: usize, spec: ConsumerSpec) {
        let before = &mut self.consumers[consumer];
        let spec = ConsumerSpec {
            prefix: Arc::clone(&before.spec.prefix),
            exact: before.spec.exact,
            ..spec
        };
        let policy = spec.policy.clone().unwrap_or_default();
        let mixes = policy.order_by != before.policy.order_by;
        let waits = policy.on_failure == OnFailure::Retry;
        if !waits {
            // Nothing waits for a retry that will not come.
            before.until_ms = 0;
        }
        before.policy = policy;
        before.spec = spec;
        let spec = &self.consumers[consumer].spec;
        let interests = self.interests.iter_mut();
        for interest in interests.filter(|one| one.consumer == consumer) {
            interest.uncommitted = 0;
            interest.until_ms = if waits { interest.until_ms } else { 0 };
            interest.mixed |= mixes;
            interest.loosen();
            interest.sift_again(spec);
            for known in interest.entries.values_mut() {
                let accepts = accepts(spec, known.entry);
                known.accepted |= accepts;
                known.rejected |= !accepts;
            }
        }
    }

    // ---- the server -------------------------------------------------------------------------

    pub(crate) fn role_changed(&mut self, primary: bool) {
        if primary && !self.primary {
            self.interests.iter_mut().for_each(Interest::look_again);
        }
        if self.primary && !primary {
            let loads = self
                .interests
                .iter_mut()
                .flat_map(|one| one.flying.values_mut());
            loads.for_each(|load| load.saw_demotion = true);
        }
        if self.primary != primary {
            self.refused = None;
        }
        self.primary = primary;
    }

    pub(crate) fn recorded(&self) -> Vec<(usize, usize, Checkpoint)> {
        let recorded = self.interests.iter().filter_map(|one| {
            let checkpoint = one.recorded.clone()?;
            Some((one.consumer, one.stream, checkpoint))
        });
        recorded.collect()
    }

    pub(crate) fn recorded_states(&self) -> Vec<DeliveryState> {
        let consumers = self.consumers.iter();
        consumers.map(|one| one.recorded.clone()).collect()
    }

    pub(crate) fn restarted(
        &mut self,
        world: &World,
        records: &[(usize, usize, Checkpoint)],
        delivery_states: Vec<DeliveryState>,
    ) {
        self.primary = true;
        self.refused = None;
        self.due.clear();
        for (consumer, delivery_state) in self.consumers.iter_mut().zip(delivery_states) {
            consumer.paused = delivery_state.paused;
            consumer.aborted.clone_from(&delivery_state.aborted);
            consumer.until_ms = delivery_state.until_ms
                - delivery_state
                    .as_of_ms
                    .saturating_sub(self.now_ms)
                    .min(delivery_state.until_ms);
            assert!(consumer.until_ms <= self.now_ms + LONGEST_PAUSE_MS);
            consumer.recorded = delivery_state;
        }
        for interest in &mut self.interests {
            let (consumer, stream) = (interest.consumer, interest.stream);
            let spec = &self.consumers[consumer].spec;
            let mut found = records.iter();
            let found = found.find(|one| (one.0, one.1) == (consumer, stream));
            if let Some((_, _, checkpoint)) = found {
                interest.restart(checkpoint, spec, self.now_ms);
                interest.recorded = Some(checkpoint.clone());
            } else {
                *interest = Interest::new(consumer, stream, spec.start);
                for entry in world.entries(stream) {
                    interest.added(*entry, spec, self.now_ms, false);
                }
                interest.look_again();
            }
        }
        self.deletions.clear();
    }

    // ---- committed --------------------------------------------------------------------------

    /// A dead letter is to be written; gives its entry.
    pub(crate) fn dead_letter(
        &mut self,
        consumer: usize,
        dead_letter: &DeadLetter,
        written: bool,
    ) -> Entry {
        let id = dead_letter.item.id();
        let replaced = dead_letter.replaces.as_ref().map(|one| one.letter);
        let stream = stream_named(&dead_letter.stream);
        let now_ms = self.now_ms;
        let at = self.due.iter().position(|due| {
            let replaces = due.replaces.map(|one| one.id);
            (due.consumer, due.stream, due.id, replaces) == (consumer, stream, id, replaced)
        });
        let at = at.expect("nobody gave it up");
        let due = &mut self.due[at];
        assert!(due.not_before_ms <= now_ms, "tried again too early");
        let tried = Tried {
            attempts: dead_letter.attempts,
            first_ms: dead_letter.first_ms,
        };
        assert_eq!((tried, dead_letter.last_ms), (due.tried, due.last_ms));
        assert_eq!(dead_letter.error, due.error);
        let old = due.replaces;
        if written {
            self.due.swap_remove(at);
        } else {
            due.not_before_ms = now_ms + 1000;
        }
        if let Some(old) = old {
            let redrives = dead_letter.replaces.as_ref().map(|one| one.redrives);
            assert_eq!(redrives, Some(old.redrives + 1));
            assert!(old.entry.is(dead_letter.item.record()), "{dead_letter:?}");
            if written {
                self.deletions.push(old.id);
            }
            return old.entry;
        }
        let interest = self.find(consumer, stream).expect("it is there");
        let known = interest.entries.get_mut(&id).expect("it is there");
        assert_eq!(known.place, Place::GivenUp);
        assert!(known.entry.is(dead_letter.item.record()), "{dead_letter:?}");
        if written {
            known.place = Place::Done;
            known.dead_letters += 1;
            assert_eq!(known.dead_letters, 1, "{known:?}");
        }
        known.entry
    }

    pub(crate) fn is_deleted(&self, dead_letter: EntryId) -> bool {
        self.deletions.contains(&dead_letter)
    }

    pub(crate) fn deletions(&mut self, dead_letter: EntryId) {
        let at = self.deletions.iter().position(|one| *one == dead_letter);
        self.deletions.swap_remove(at.expect("its entry is done"));
    }

    pub(crate) fn consumer_state_recorded(
        &mut self,
        consumer: usize,
        delivery_state: DeliveryState,
    ) {
        let consumer = &mut self.consumers[consumer];
        assert_eq!(delivery_state.paused, consumer.paused);
        assert_eq!(delivery_state.aborted, consumer.aborted);
        assert_eq!(
            delivery_state.until_ms,
            left(consumer.until_ms, self.now_ms)
        );
        consumer.recorded = delivery_state;
    }

    pub(crate) fn progress(&mut self, consumer: usize, stream: usize, checkpoint: Checkpoint) {
        let now_ms = self.now_ms;
        let interest = self.find(consumer, stream).expect("it is there");
        assert!(interest.unplaced.is_none(), "nobody knows where it begins");
        interest.check_record(&checkpoint, now_ms);
        interest.uncommitted = 0;
        interest.recorded = Some(checkpoint);
    }

    pub(crate) fn nothing_is_recorded(&mut self) {
        self.interests
            .iter_mut()
            .for_each(|one| one.uncommitted = 0);
    }

    // ---- entries ----------------------------------------------------------------------------

    pub(crate) fn placed(
        &mut self,
        consumer: usize,
        stream: usize,
        skip: usize,
        position: EntryId,
    ) {
        let interest = self.find(consumer, stream).expect("it is there");
        assert_eq!(interest.unplaced, Some(skip as u64), "{interest:?}");
        interest.placed(position);
    }

    pub(crate) fn fetched(&mut self, consumer: usize, stream: usize, end: bool) {
        let interest = self.find(consumer, stream).expect("it is there");
        assert!(interest.unplaced.is_none() && !interest.recalled);
        interest.fetched(end);
    }

    pub(crate) fn dispatch(
        &mut self,
        consumer: usize,
        stream: usize,
        sub: SubscriptionKey,
        batch: &Batch,
    ) {
        assert!(self.primary, "handed over on a replica");
        assert!(
            self.refused.is_none(),
            "handed over while writes are refused"
        );
        let now_ms = self.now_ms;
        assert!(!self.is_blocked(consumer), "the consumer is blocked");
        let policy = Arc::clone(&self.consumers[consumer].policy);
        let is_async = self.consumers[consumer].spec.mode == Mode::Async;
        let window = self.consumers[consumer].spec.window;
        let interest = self.find(consumer, stream).expect("it is there");
        assert!(!interest.is_blocked(now_ms), "it is blocked: {interest:?}");
        assert!(interest.sub.is_none() || interest.sub == Some(sub));
        interest.sub = Some(sub);
        // What runs ahead of the window waits beside the callback.
        let window = (!is_async).then_some(window);
        interest.dispatch(batch, &policy, window, now_ms);
        if !is_async {
            interest.begin(batch.number);
        }
        for item in &batch.items {
            let known = interest.entries.get(&item.id());
            assert!(known.is_none_or(|known| known.entry.is(item.record())));
        }
    }

    fn is_blocked(&self, consumer: usize) -> bool {
        let consumer = &self.consumers[consumer];
        consumer.paused || consumer.aborted.is_some() || consumer.until_ms > self.now_ms
    }

    pub(crate) fn begun(&mut self, sub: SubscriptionKey, number: u64) {
        if let Some(interest) = self.by_sub(sub) {
            interest.begin(number);
        }
    }

    pub(crate) fn returned(&mut self, sub: SubscriptionKey, number: u64) {
        let mut interests = self.interests.iter_mut();
        if let Some(interest) = interests.find(|one| one.sub == Some(sub))
            && let Some(load) = interest.flying.remove(&number)
        {
            interest.requeue(load, &self.consumers[interest.consumer].spec);
        }
    }

    /// How many places of a subscription are taken until the next commit.
    pub(crate) fn uncommitted(&self, sub: SubscriptionKey) -> usize {
        let mut interests = self.interests.iter();
        let interest = interests.find(|one| one.sub == Some(sub));
        interest.map_or(0, |interest| interest.uncommitted)
    }

    /// Whether the field that orders changed while something was under way.
    pub(crate) fn is_mixed(&self, sub: SubscriptionKey) -> bool {
        let mut interests = self.interests.iter();
        interests.any(|one| one.sub == Some(sub) && one.mixed)
    }

    pub(crate) fn recall_asked(&mut self, sub: SubscriptionKey) {
        if let Some(interest) = self.by_sub(sub) {
            interest.recalled = true;
        }
    }

    pub(crate) fn recalled(&mut self, sub: SubscriptionKey) {
        if let Some(interest) = self.by_sub(sub) {
            interest.recalled = false;
        }
    }

    pub(crate) fn ended(
        &mut self,
        sub: SubscriptionKey,
        number: u64,
        end: &End,
        took_ms: u64,
        uncommitted: bool,
    ) {
        let now_ms = self.now_ms;
        let Some(interest) = self.interests.iter_mut().find(|one| one.sub == Some(sub)) else {
            return;
        };
        let Some(mut load) = interest.flying.remove(&number) else {
            return;
        };
        interest.uncommitted += usize::from(uncommitted && !interest.recalled);
        let failed = failed(end, &load.ids);
        let (ids, failure) = match failed {
            Some((ids, failure)) => (ids, Some(failure)),
            None => (Vec::new(), None),
        };
        load.ids.retain(|id| !ids.contains(id));
        if load.dead_letter.is_none() {
            interest.set(&load.ids, Place::Done);
        } else if failure.is_none() {
            self.deletions.extend(load.dead_letter.map(|one| one.id));
        }
        let Some(failure) = failure else {
            return;
        };
        let consumer = &mut self.consumers[interest.consumer];
        if load.saw_demotion {
            return interest.end_unheard(load, ids, &consumer.spec);
        }
        let mut tried = load.tried;
        if tried.attempts == 0 {
            tried.first_ms = now_ms - took_ms;
        }
        tried.attempts += 1;
        let fate = fate(&consumer.policy, ids.len(), tried, &failure, now_ms);
        let mut again = Vec::new();
        match fate {
            Fate::Again(_) | Fate::Stop => again.push((ids, tried)),
            Fate::Halves(_) => {
                let (first, second) = ids.split_at(ids.len() / 2);
                again.push((first.to_vec(), Tried::default()));
                again.push((second.to_vec(), Tried::default()));
            }
            Fate::Over if consumer.policy.dead_letter.is_none() => {
                if load.dead_letter.is_none() {
                    interest.set(&ids, Place::Done);
                }
            }
            Fate::Over => {
                let replaces = load.dead_letter;
                if let Some(old) = replaces {
                    tried.attempts += old.attempts;
                    tried.first_ms = old.first_ms;
                } else {
                    interest.set(&ids, Place::GivenUp);
                }
                for id in ids {
                    if let Some(known) = interest.entries.get_mut(&id)
                        && replaces.is_none()
                    {
                        known.tried = tried;
                    }
                    self.due.push(Due {
                        consumer: interest.consumer,
                        stream: interest.stream,
                        id,
                        tried,
                        error: Arc::clone(&failure.error),
                        last_ms: now_ms,
                        not_before_ms: 0,
                        replaces,
                    });
                }
                return;
            }
        }
        let mut is_redelivery = false;
        for (ids, tried) in again {
            let groups = interest.groups_of(&ids, &load);
            let dead_letter = load.dead_letter;
            let load = Load {
                ids,
                groups,
                tried,
                begun: true,
                saw_demotion: false,
                dead_letter,
            };
            is_redelivery |= interest.requeue(load, &consumer.spec);
        }
        let scope = consumer.policy.scope;
        let (aborted, until_ms) = match scope {
            Scope::Stream => (&mut interest.aborted, &mut interest.until_ms),
            Scope::Consumer => (&mut consumer.aborted, &mut consumer.until_ms),
        };
        match fate {
            Fate::Again(_) | Fate::Halves(_) if !is_redelivery => {}
            Fate::Again(delay) | Fate::Halves(delay) => *until_ms = (*until_ms).max(now_ms + delay),
            Fate::Stop => *aborted = Some(Arc::clone(&failure.error)),
            Fate::Over => {}
        }
    }

    // ---- rest -------------------------------------------------------------------------------

    /// Nothing that could go on waits without the core knowing.
    pub(crate) fn check_awake(&self, core: &Delivery, stalled: &[SubscriptionKey]) {
        if !self.primary || self.refused.is_some() || core.has_work() {
            return;
        }
        for interest in &self.interests {
            let consumer = &self.consumers[interest.consumer];
            let is_stalled = interest.sub.is_some_and(|sub| stalled.contains(&sub));
            let is_stopped = consumer.paused || consumer.aborted.is_some() || interest.is_stopped();
            if is_stopped || is_stalled || interest.recalled {
                continue;
            }
            let until_ms = interest.until_ms.max(consumer.until_ms);
            let next_ms = core.next_time().unwrap_or(u64::MAX);
            if until_ms > self.now_ms {
                assert!(next_ms <= until_ms, "a retry is forgotten: {interest:?}");
            } else {
                interest.check_awake(
                    &consumer.policy,
                    consumer.spec.window,
                    self.now_ms,
                    next_ms - self.now_ms,
                );
            }
        }
    }

    pub(crate) fn is_stopped(&self, consumer: usize) -> bool {
        let consumer = &self.consumers[consumer];
        consumer.paused || consumer.aborted.is_some()
    }

    pub(crate) fn is_stream_stopped(&self, consumer: usize, stream: usize) -> bool {
        let mut interests = self.interests.iter();
        let found = interests.find(|one| (one.consumer, one.stream) == (consumer, stream));
        found.is_some_and(Interest::is_stopped)
    }

    pub(crate) fn check_complete(&self) {
        assert!(self.due.is_empty(), "{:?}", self.due);
        assert!(self.deletions.is_empty(), "letters are left");
        for interest in &self.interests {
            interest.check_complete(&self.consumers[interest.consumer].policy);
            assert!(interest.unplaced.is_none());
        }
    }
}

/// No pause of this model is longer.
pub(crate) const LONGEST_PAUSE_MS: u64 = 300;

/// When a pause ends, as it is committed: not at all if that is over.
pub(crate) fn left(until_ms: u64, now_ms: u64) -> u64 {
    if until_ms > now_ms { until_ms } else { 0 }
}

/// Where consumers of this model begin.
pub(crate) fn starts() -> [Start; 3] {
    [
        Start::Earliest,
        Start::Latest,
        Start::At(EntryId::new(1, 6)),
    ]
}
