//! What should have happened: plain lists of what each consumer was given of each stream.
//!
//! The delivery core keeps a cursor and bounds; here every entry is written down, and every
//! promise is checked by looking through the lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use gears_core::delivery::{
    Checkpoint, ConsumerKey, ConsumerSpec, Delivery, EntryId, Mode, Progress, Reach, ReadRequest,
    SHARE, StreamView, SubscriptionKey, Trim, TrimBound,
};

use crate::interest::{DeliveredEntry, Interest, Recall};
use crate::world::{Entry, Key, World, goes};

/// A consumer that is registered.
#[derive(Debug)]
struct Consumer {
    key: ConsumerKey,
    spec: ConsumerSpec,
    /// Number of its present code.
    code: u64,
}

/// The history of what each consumer was given, and the checks against it.
#[derive(Debug)]
pub(crate) struct Reference {
    consumers: Vec<Consumer>,
    /// In the order of discovery.
    interests: Vec<Interest>,
    /// Entries that were added so far.
    additions: u64,
    /// How far each incarnation was trimmed.
    trimmed: BTreeMap<u64, TrimBound>,
    pub(crate) primary: bool,
    pub(crate) loading: bool,
    /// Whether the server refuses writes, and if so whether trims are let through.
    pub(crate) refused: Option<bool>,
}

impl Reference {
    pub(crate) fn new(primary: bool) -> Self {
        Self {
            consumers: Vec::new(),
            interests: Vec::new(),
            additions: 0,
            trimmed: BTreeMap::new(),
            primary,
            loading: false,
            refused: None,
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.primary && !self.loading
    }

    /// Whether entries may be dispatched.
    pub(crate) fn is_open(&self) -> bool {
        self.is_active() && self.refused.is_none()
    }

    // ---- consumers ------------------------------------------------------------------------

    pub(crate) fn consumers(&self) -> Vec<ConsumerKey> {
        self.consumers.iter().map(|one| one.key).collect()
    }

    pub(crate) fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    /// The consumer at a place, if there is any at all.
    pub(crate) fn pick(&self, at: u8) -> Option<ConsumerKey> {
        let at = usize::from(at).checked_rem(self.consumers.len())?;
        Some(self.consumers[at].key)
    }

    pub(crate) fn spec(&self, key: ConsumerKey) -> &ConsumerSpec {
        &self.consumer(key).spec
    }

    fn consumer(&self, key: ConsumerKey) -> &Consumer {
        let found = self.consumers.iter().find(|one| one.key == key);
        found.expect("the core names only consumers that are there")
    }

    pub(crate) fn add_consumer(&mut self, key: ConsumerKey, spec: ConsumerSpec, code: u64) {
        self.consumers.push(Consumer { key, spec, code });
    }

    pub(crate) fn change_consumer(&mut self, key: ConsumerKey, spec: ConsumerSpec, code: u64) {
        let found = self.consumers.iter_mut().find(|one| one.key == key);
        *found.expect("it was picked") = Consumer { key, spec, code };
        let interests = self.interests.iter_mut();
        interests
            .filter(|one| one.consumer == key)
            .for_each(Interest::take_back);
    }

    pub(crate) fn remove_consumer(&mut self, key: ConsumerKey) {
        self.consumers.retain(|one| one.key != key);
        self.interests.retain(|one| one.consumer != key);
        self.forget_unknown();
    }

    /// How far a stream was trimmed is known only as long as the stream is.
    fn forget_unknown(&mut self) {
        let interests = &self.interests;
        (self.trimmed).retain(|stream, _| interests.iter().any(|one| one.incarnation == *stream));
    }

    // ---- keys and the server --------------------------------------------------------------

    /// The core was told of a stream: who matches it knows it now.
    pub(crate) fn touched(&mut self, world: &World, key: Key<'_>) {
        let Some(stream) = world.get(key) else {
            return;
        };
        for consumer in &self.consumers {
            if key.name.starts_with(&consumer.spec.prefix)
                && self.find(consumer.key, stream.incarnation).is_none()
            {
                self.interests
                    .push(Interest::new(consumer.key, stream.incarnation));
            }
        }
    }

    /// The core was told of an entry that was added, the last of its stream.
    pub(crate) fn added(&mut self, world: &World, key: Key<'_>) {
        let Some(stream) = world.get(key) else {
            return;
        };
        self.additions += 1;
        let is_new = stream.entries.len() == 1 && self.is_open();
        let known = self.interests.len();
        self.touched(world, key);
        let last = stream.entries.last().map(|entry| entry.id);
        for (at, interest) in self.interests.iter_mut().enumerate() {
            if interest.incarnation == stream.incarnation {
                if is_new && at >= known {
                    interest.added = Some(BTreeMap::new());
                }
                if let (Some(added), Some(last)) = (&mut interest.added, last) {
                    added.insert(last, self.additions);
                }
            }
        }
    }

    /// What the core counted of a stream is not what there is.
    pub(crate) fn order_lost(&mut self, incarnation: u64) {
        let interests = self.interests.iter_mut();
        let interests = interests.filter(|one| one.incarnation == incarnation);
        interests.for_each(|one| one.added = None);
    }

    /// A callback wrote to a stream while it ran: that may wait for the next tick.
    pub(crate) fn touched_by_callback(&mut self, world: &World, key: Key<'_>) {
        if let Some(stream) = world.get(key) {
            let incarnation = stream.incarnation;
            let interests = self.interests.iter_mut();
            interests
                .filter(|one| one.incarnation == incarnation)
                .for_each(|one| one.was_idle = false);
        }
    }

    pub(crate) fn stream_ended(&mut self, incarnation: u64) {
        self.interests.retain(|one| one.incarnation != incarnation);
    }

    /// A stream has this name now.
    pub(crate) fn renamed(&mut self, incarnation: u64, name: &[u8]) {
        let consumers = &self.consumers;
        self.interests.retain(|one| {
            let consumer = consumers
                .iter()
                .find(|consumer| consumer.key == one.consumer);
            one.incarnation != incarnation
                || consumer.is_some_and(|consumer| name.starts_with(&consumer.spec.prefix))
        });
        self.forget_unknown();
    }

    pub(crate) fn all_streams_ended(&mut self) {
        self.interests.clear();
    }

    pub(crate) fn role_changed(&mut self, primary: bool) {
        if self.primary && !primary {
            self.interests.iter_mut().for_each(Interest::demote);
        }
        if self.primary != primary {
            self.refused = None;
            self.interests.iter_mut().for_each(|one| one.added = None);
        }
        self.primary = primary;
    }

    pub(crate) fn writes_refused(&mut self, refused: Option<bool>) {
        if self.refused.is_none() && refused.is_some() {
            self.interests.iter_mut().for_each(Interest::take_back);
        }
        self.refused = refused;
    }

    // ---- an entry's way -------------------------------------------------------------------

    /// The core decided on a read: checks that it skips and repeats nothing, and which
    /// subscription stands for which consumer and stream.
    pub(crate) fn check_read(&mut self, world: &World, request: &ReadRequest) {
        assert!(self.is_open(), "a read that may not be");
        assert!(request.max > 0, "a read of nothing");
        let key = Key {
            db: request.db,
            name: &request.name,
        };
        let stream = world
            .get(key)
            .expect("only streams that are there are read");
        let taken = self
            .interests
            .iter()
            .find(|one| one.sub == Some(request.sub));
        let found = self.find(request.consumer, stream.incarnation);
        let at = found.expect("only known streams are read");
        let interest = &self.interests[at];
        assert!(
            taken.is_none_or(|one| std::ptr::eq(one, interest)),
            "one subscription for two streams or consumers"
        );
        assert!(
            interest.sub.is_none_or(|sub| sub == request.sub),
            "two for one"
        );
        assert_eq!(
            interest.recall,
            Recall::None,
            "a read while entries are taken back"
        );
        for entry in &stream.entries {
            let is_read = interest.was_read(entry.id);
            let right = match request.reach {
                Reach::Behind(after) => is_read == (entry.id <= after),
                Reach::Only(id) if entry.id < id => is_read,
                Reach::Only(id) => entry.id != id || !is_read,
                Reach::Last(_) => panic!("every consumer starts at the beginning"),
            };
            assert!(right, "{} is read: {is_read}, {request:?}", entry.id);
        }
        self.interests[at].sub = Some(request.sub);
    }

    /// Entries of one stream of an async consumer were read. None is so far ahead of what was added
    /// before to another of its streams whose window has room, and that is not read yet.
    pub(crate) fn check_order(&self, world: &World, sub: SubscriptionKey, ids: &[EntryId]) {
        let mut interests = self.interests.iter();
        let interest = interests.find(|one| one.sub == Some(sub));
        let interest = interest.expect("it was just read for");
        let spec = self.spec(interest.consumer);
        let Some(added) = interest.added.as_ref().filter(|_| !ids.is_empty()) else {
            return;
        };
        if spec.mode == Mode::Sync || interest.recall != Recall::None {
            return;
        }
        for (other, mut entries) in self.with_entries(world) {
            let is_open = other.recall == Recall::None
                && other.consumer == interest.consumer
                && other.incarnation != interest.incarnation
                && other.told_in_flight().count() < spec.window;
            let Some(other_added) = other.added.as_ref().filter(|_| is_open) else {
                continue;
            };
            if let Some(first) = entries.find(|entry| !other.was_read(entry.id))
                && let Some(since) = other_added.get(&first.id)
            {
                let read = interest.read.iter().chain(ids);
                let ahead = read.filter(|id| added.get(id).is_some_and(|at| at > since));
                let ahead = ahead.count();
                assert!(ahead < SHARE, "{ahead} before {first:?}: {other:?}");
            }
        }
    }

    pub(crate) fn note_read(&mut self, sub: SubscriptionKey, id: EntryId) {
        let interest = self.by_sub(sub).expect("it was just read for");
        interest.read.push(id);
    }

    /// What is left of the window beside entries that earlier code works on.
    pub(crate) fn prefetch_window(&self, sub: SubscriptionKey) -> usize {
        let interest = self.interests.iter().find(|one| one.sub == Some(sub));
        let interest = interest.expect("it was read for");
        let consumer = self.consumer(interest.consumer);
        let inherited = interest.given.iter();
        let inherited = inherited.filter(|given| given.code != consumer.code && !given.told_done);
        consumer.spec.window.saturating_sub(inherited.count())
    }

    /// A callback is given an entry. Whose subscription is no more may be given what waited.
    pub(crate) fn note_given(
        &mut self,
        world: &World,
        sub: SubscriptionKey,
        id: EntryId,
        code: u64,
        window: usize,
    ) {
        let open = self.is_open();
        let Some(interest) = self.by_sub(sub) else {
            return;
        };
        assert!(interest.read.contains(&id), "{id} was given and never read");
        assert!(!interest.was_given(id), "{id} was given twice");
        let is_again = interest.abandoned.contains(&id);
        let last = interest.given.iter().map(|given| given.id).max();
        assert!(
            is_again || last.is_none_or(|last| last < id),
            "{id} was given out of order"
        );
        assert!(
            open || interest.recall != Recall::None,
            "{id} was given and should not be"
        );
        let (in_flight, uncommitted) = (interest.in_flight(), interest.uncommitted(code));
        assert!(
            in_flight + uncommitted < window,
            "{id} makes {in_flight} + {uncommitted} + 1 in a window of {window}"
        );
        let stream = world
            .streams()
            .find(|(_, stream)| stream.incarnation == interest.incarnation);
        let (_, stream) = stream.expect("the interest ends with its stream");
        for entry in stream.entries.iter().filter(|entry| entry.id < id) {
            let was_given = interest.was_given(entry.id) || interest.abandoned.contains(&entry.id);
            assert!(was_given, "{} was skipped", entry.id);
        }
        interest.given.push(DeliveredEntry {
            id,
            code,
            done: false,
            told_done: false,
            uncommitted: false,
            untold: is_again,
        });
    }

    /// Code that was replaced gave an entry up.
    pub(crate) fn abandoned(&mut self, sub: SubscriptionKey, id: EntryId) {
        if let Some(interest) = self.by_sub(sub) {
            interest.given.retain(|given| given.id != id);
            interest.read.retain(|one| *one != id);
            interest.abandoned.insert(id);
            interest.demoted.remove(&id);
            interest.added = None;
            interest.was_idle = false;
            if interest.recall == Recall::None && interest.told_unfinished() > 0 {
                // What waits is for behind it.
                interest.recall = Recall::Due;
            }
        }
    }

    pub(crate) fn note_done(&mut self, sub: SubscriptionKey, id: EntryId, uncommitted: bool) {
        if let Some(interest) = self.by_sub(sub) {
            let given = interest.given.iter_mut().find(|given| given.id == id);
            let given = given.expect("it was given");
            given.done = true;
            given.uncommitted = uncommitted;
        }
    }

    // ---- what is committed ----------------------------------------------------------------

    /// What is committed claims as done what the core knows to be done, and nothing else.
    pub(crate) fn check_progress(&mut self, world: &World, progress: &Progress) {
        assert!(self.is_active(), "progress on a replica or while loading");
        let key = Key {
            db: progress.db,
            name: &progress.name,
        };
        let stream = world.get(key).expect("only of what is there");
        let at = self.find(progress.consumer, stream.incarnation);
        let interest = &mut self.interests[at.expect("only of what is known")];
        let Checkpoint {
            position, pending, ..
        } = &progress.checkpoint;
        let given = interest.given.iter().map(|given| given.id);
        for id in given.chain(stream.entries.iter().map(|entry| entry.id)) {
            let claimed = id <= *position && !pending.contains(&id);
            let done = interest.told_done(id);
            assert_eq!(claimed, done, "{id} on record: {progress:?}, {interest:?}");
        }
        interest.recorded = Some(progress.checkpoint.clone());
        interest.note_recorded();
    }

    /// Nothing is committed here: nobody waits for that.
    pub(crate) fn nothing_is_recorded(&mut self) {
        self.interests.iter_mut().for_each(Interest::note_recorded);
    }

    /// What is committed, in the order of discovery.
    pub(crate) fn recorded(&self) -> Vec<(ConsumerKey, u64, Checkpoint)> {
        let recorded = |one: &Interest| {
            let checkpoint = one.recorded.clone()?;
            Some((one.consumer, one.incarnation, checkpoint))
        };
        self.interests.iter().filter_map(recorded).collect()
    }

    /// The process is gone; consumers have these names now.
    pub(crate) fn restarted(&mut self, keys: &[(ConsumerKey, u64)]) {
        self.interests.clear();
        self.trimmed.clear();
        for (consumer, (key, code)) in self.consumers.iter_mut().zip(keys) {
            consumer.key = *key;
            consumer.code = *code;
        }
    }

    pub(crate) fn specs(&self) -> Vec<(ConsumerKey, ConsumerSpec)> {
        let consumers = self.consumers.iter();
        consumers.map(|one| (one.key, one.spec.clone())).collect()
    }

    /// The core was told how far a consumer is in a stream.
    pub(crate) fn resumed(
        &mut self,
        world: &World,
        consumer: ConsumerKey,
        key: Key<'_>,
        checkpoint: &Checkpoint,
    ) {
        if !key.name.starts_with(&self.spec(consumer).prefix) {
            return;
        }
        self.touched(world, key);
        let stream = world.get(key).expect("only of what is there");
        let at = self.find(consumer, stream.incarnation);
        let interest = &mut self.interests[at.expect("it was just touched")];
        interest.resume(checkpoint, &stream.entries);
    }

    pub(crate) fn recall_asked(&mut self, sub: SubscriptionKey) {
        if let Some(interest) = self.by_sub(sub) {
            assert_eq!(
                interest.recall,
                Recall::Due,
                "asked to take back for no reason"
            );
            interest.recall = Recall::Asked;
        }
    }

    /// A prefetch queue is told of its window; several times where it grew several times.
    pub(crate) fn note_window(&mut self, sub: SubscriptionKey, window: usize) {
        if self.by_sub(sub).is_some() && window == self.prefetch_window(sub) {
            self.by_sub(sub).expect("it was just there").window_due = false;
        }
    }

    /// All control messages were sent.
    pub(crate) fn check_control_messages(&self) {
        for interest in &self.interests {
            assert_ne!(interest.recall, Recall::Due, "not taken back: {interest:?}");
            assert!(
                !interest.window_due,
                "a prefetch queue does not hear of its window: {interest:?}"
            );
        }
    }

    // ---- reports; false where the subscription is no more ---------------------------------

    pub(crate) fn told_started(&mut self, sub: SubscriptionKey, id: EntryId) -> bool {
        let Some(interest) = self.by_sub(sub) else {
            return false;
        };
        interest.told_started = interest.told_started.max(id);
        let given = interest.given.iter_mut().find(|given| given.id == id);
        if let Some(given) = given {
            given.untold = false;
        }
        true
    }

    pub(crate) fn told_finished(
        &mut self,
        sub: SubscriptionKey,
        id: EntryId,
        took_ms: u64,
        now_ms: u64,
        error: Option<Arc<str>>,
    ) -> bool {
        let Some(consumer) = self.by_sub(sub).map(|interest| interest.consumer) else {
            return false;
        };
        let code = self.consumer(consumer).code;
        let interest = self.by_sub(sub).expect("it was just there");
        let given = interest.given.iter_mut().find(|given| given.id == id);
        let given = given.expect("it was given");
        assert!(given.done && !given.told_done);
        if interest.demoted.remove(&id) && error.is_some() {
            interest.told_started = interest.told_started.max(id);
            self.abandoned(sub, id);
            return true;
        }
        given.told_done = true;
        interest.finished += 1;
        interest.window_due |= given.code != code && interest.recall == Recall::None;
        interest.told_started = interest.told_started.max(id);
        interest.total_processed_ms += took_ms;
        interest.total_lag_ms += now_ms.saturating_sub(id.ms);
        interest.last_error = error.or(interest.last_error.take());
        true
    }

    pub(crate) fn told_recalled(&mut self, sub: SubscriptionKey) -> bool {
        let Some(interest) = self.by_sub(sub) else {
            return false;
        };
        assert_eq!(interest.recall, Recall::Asked);
        interest.recall = Recall::None;
        interest.read = interest.given.iter().map(|given| given.id).collect();
        let demoted = interest
            .demoted
            .iter()
            .filter(|id| interest.read.contains(id));
        interest.demoted = demoted.copied().collect();
        let last = interest.given.iter().map(|given| given.id).max();
        let last = last.unwrap_or(EntryId::ZERO);
        interest.told_started = interest.told_started.max(last);
        true
    }

    // ---- ticks of the event loop ----------------------------------------------------------

    /// A sync callback may be held to what was added in this tick, and to no more.
    pub(crate) fn check_must(&mut self, world: &World, sub: SubscriptionKey, must: u64) {
        let interest = self.by_sub(sub).expect("only what is there is run");
        let incarnation = interest.incarnation;
        let stream = world
            .streams()
            .find(|(_, stream)| stream.incarnation == incarnation);
        let (_, stream) = stream.expect("the interest ends with its stream");
        let added = stream.added_this_turn.iter();
        let most = added.filter(|id| !interest.was_given(**id)).count() as u64;
        assert!(
            must <= most,
            "{must} must be dispatched, {most} of this tick are not"
        );
    }

    /// What sync consumers that had nothing to do must be given was dispatched.
    pub(crate) fn check_urgent_done(&self, world: &World) {
        for (interest, entries) in self.with_entries(world) {
            let window = self.spec(interest.consumer).window;
            if self.is_open() && interest.was_idle && interest.in_flight() < window {
                for entry in entries {
                    let given = interest.was_given(entry.id);
                    assert!(given, "{} waits though its writer gets a reply", entry.id);
                }
            }
        }
    }

    /// A sync callback could not be run: what it must be given may wait for the next tick.
    pub(crate) fn run_stalled(&mut self, sub: SubscriptionKey) {
        if let Some(interest) = self.by_sub(sub) {
            interest.was_idle = false;
        }
    }

    pub(crate) fn end_tick(&mut self, world: &World) {
        let active = self.is_open();
        let entries_given: Vec<bool> = self
            .with_entries(world)
            .map(|(interest, mut entries)| entries.all(|entry| interest.was_given(entry.id)))
            .collect();
        for (at, given) in entries_given.into_iter().enumerate() {
            let mode = self.spec(self.interests[at].consumer).mode;
            let interest = &mut self.interests[at];
            interest.was_idle = active
                && mode == Mode::Sync
                && interest.recall == Recall::None
                && interest.told_unfinished() == 0
                && given;
        }
    }

    // ---- checks ---------------------------------------------------------------------------

    /// Trims may subscribe consumers to streams that others know: takes over which.
    pub(crate) fn learn(&mut self, world: &World, core: &Delivery) {
        for consumer in self.consumers.iter().map(|one| one.key).collect::<Vec<_>>() {
            let views: Vec<_> = core.streams_of(consumer).collect();
            for view in views.iter().rev() {
                let stream = world.get(key_of(view)).expect("only streams are listed");
                let known = self
                    .interests
                    .iter()
                    .any(|one| one.incarnation == stream.incarnation);
                assert!(known, "a stream nobody told of");
                if self.find(consumer, stream.incarnation).is_none() {
                    self.interests
                        .push(Interest::new(consumer, stream.incarnation));
                }
            }
        }
    }

    /// A trim takes nothing that a matching consumer is not done with, and somebody wants it.
    pub(crate) fn check_trim(&mut self, world: &World, trim: &Trim) {
        let may_trim = self.refused.unwrap_or(true);
        assert!(self.is_active() && may_trim, "a trim that may not be");
        let key = Key {
            db: trim.db,
            name: &trim.name,
        };
        let stream = world.get(key).expect("only what is there is trimmed");
        let matching = self.consumers.iter();
        let matching = matching.filter(|one| key.name.starts_with(&one.spec.prefix));
        assert!(
            matching.clone().any(|one| one.spec.trim),
            "nobody wants a trim"
        );
        for consumer in matching {
            let at = self.find(consumer.key, stream.incarnation);
            let interest = at.map(|at| &self.interests[at]);
            for entry in stream
                .entries
                .iter()
                .filter(|entry| goes(entry.id, trim.to))
            {
                assert!(
                    interest.is_some_and(|interest| interest.told_done(entry.id)),
                    "{} is trimmed and {consumer:?} is not done with it",
                    entry.id
                );
            }
        }
        let before = self.trimmed.insert(stream.incarnation, trim.to);
        assert!(before < Some(trim.to), "trimmed again");
    }

    /// What the core shows of itself is what is written down here.
    pub(crate) fn check_views(&self, world: &World, core: &Delivery) {
        assert_eq!(core.is_active(), self.is_active());
        assert!(self.is_active() || !(core.has_work() || core.has_urgent()));
        for consumer in &self.consumers {
            assert_eq!(core.spec(consumer.key), Some(&consumer.spec));
            let newest_first = self.interests.iter().rev();
            let mut expected = newest_first.filter(|one| one.consumer == consumer.key);
            let mut count = 0;
            for view in core.streams_of(consumer.key) {
                let interest = expected.next().expect("no more streams than are known");
                let stream = world.get(key_of(&view)).expect("only streams are listed");
                assert_eq!(
                    stream.incarnation, interest.incarnation,
                    "order of discovery"
                );
                let position = interest.told_started.max(interest.resumed);
                assert_eq!(view.position(), position, "{interest:?}");
                assert!(
                    view.in_flight().into_iter().eq(interest.told_in_flight()),
                    "in flight"
                );
                assert_eq!(view.stats.finished, interest.finished);
                assert_eq!(view.stats.total_processed_ms, interest.total_processed_ms);
                assert_eq!(view.stats.total_lag_ms, interest.total_lag_ms);
                assert_eq!(view.stats.last_error, interest.last_error);
                count += 1;
            }
            assert!(expected.next().is_none(), "a known stream is missing");
            assert_eq!(core.stream_count(consumer.key), count);
        }
    }

    /// Nothing is given on replicas, while loading, or while entries are recalled.
    pub(crate) fn check_gates(&self, core: &mut Delivery) {
        for interest in &self.interests {
            if let Some(sub) = interest.sub {
                let open = self.is_open() && interest.recall == Recall::None;
                assert_eq!(core.may_start(sub), open);
                assert!(open || core.read_request(sub).is_none());
            }
        }
    }

    /// Nothing that could go on waits without the core knowing.
    pub(crate) fn check_awake(&self, world: &World, core: &Delivery, stalled: &[SubscriptionKey]) {
        let waits_for_others = |interest: &Interest| {
            let mut interests = self.interests.iter();
            self.spec(interest.consumer).mode == Mode::Async
                && interests.any(|one| one.consumer == interest.consumer && one.has_waiting())
        };
        if !self.is_open() || core.has_work() {
            return;
        }
        for (interest, mut entries) in self.with_entries(world) {
            let spec = self.spec(interest.consumer);
            let is_stalled = interest.sub.is_some_and(|sub| stalled.contains(&sub));
            if interest.recall != Recall::None || is_stalled {
                continue;
            }
            // Where an entry waits for its callback, the next one may have to wait in the stream:
            // it may be large; and so may one of another stream, if it was added later. The start
            // of the one that waits lets the core go on.
            let nothing_waits = !(interest.has_waiting() || waits_for_others(interest));
            let has_room = interest.told_unfinished() < spec.window && nothing_waits;
            let unread = entries.any(|entry| !interest.was_read(entry.id));
            assert!(
                !(has_room && unread),
                "unread entries are forgotten: {interest:?}"
            );
            let can_run = interest.told_in_flight().count() < spec.window;
            let waiting = interest.read.len() > interest.given.len();
            let forgotten = spec.mode == Mode::Sync && can_run && waiting;
            assert!(!forgotten, "waiting entries are forgotten: {interest:?}");
        }
    }

    /// Every consumer that knows a stream is done with all of it.
    pub(crate) fn check_known_complete(&self, world: &World) {
        for (interest, entries) in self.with_entries(world) {
            assert_eq!(interest.recall, Recall::None);
            assert_eq!(interest.told_unfinished(), 0, "{interest:?}");
            for entry in entries {
                assert!(
                    interest.told_done(entry.id),
                    "{} is left: {interest:?}",
                    entry.id
                );
            }
        }
    }

    /// Every consumer is done with every stream that it matches, and what may go went.
    pub(crate) fn check_complete(&self, world: &World) {
        self.check_known_complete(world);
        for (key, stream) in world.streams() {
            for consumer in &self.consumers {
                if key.name.starts_with(&consumer.spec.prefix) {
                    let known = self.find(consumer.key, stream.incarnation).is_some();
                    assert!(known, "{key:?} was never found by {consumer:?}");
                    let left = stream.entries.len();
                    assert!(!consumer.spec.trim || left == 0, "{left} left in {key:?}");
                }
            }
        }
    }

    fn find(&self, consumer: ConsumerKey, incarnation: u64) -> Option<usize> {
        let mut interests = self.interests.iter();
        interests.position(|one| one.consumer == consumer && one.incarnation == incarnation)
    }

    fn by_sub(&mut self, sub: SubscriptionKey) -> Option<&mut Interest> {
        self.interests.iter_mut().find(|one| one.sub == Some(sub))
    }

    /// All interests, with what their streams hold.
    fn with_entries<'a>(
        &'a self,
        world: &'a World,
    ) -> impl Iterator<Item = (&'a Interest, std::slice::Iter<'a, Entry>)> {
        self.interests.iter().map(|interest| {
            let mut streams = world.streams();
            let stream = streams.find(|(_, stream)| stream.incarnation == interest.incarnation);
            let (_, stream) = stream.expect("the interest ends with its stream");
            (interest, stream.entries.iter())
        })
    }
}

fn key_of<'a>(view: &StreamView<'a>) -> Key<'a> {
    Key {
        db: view.db,
        name: view.name,
    }
}
