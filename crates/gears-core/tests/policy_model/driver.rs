//! Everything around the delivery core: the event loop, the workers, the server's commands.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use gears_core::delivery::{
    Batch, BatchQueue, Checkpoint, ConsumerKey, ConsumerSpec, ControlMessage, DeadLetter,
    DeadLetterDeletion, Delivery, DeliveryState, Dispatch, Durable, End, EntryId, Event,
    FoundLetter, Item, LetterRequest, Mode, Reach, ReadRequest, Refusal, Start, SubscriptionKey,
    Terms,
};

use crate::outcome::Outcome;
use crate::overview::{check_backlog, check_overview, check_pages, count_backlog};
use crate::reference::Reference;
use crate::world::{self, Entry, NAMES, World};

/// Ticks after which everything must have come to rest, and decisions after which a tick must end.
const TICKS_TO_REST: usize = 500;

/// How far a tick of the event loop goes.
#[derive(Clone, Debug)]
pub(crate) struct Tick {
    pub(crate) dispatches: usize,
    /// Entries a read gives at most.
    pub(crate) read_limit: usize,
    /// Whether what was decided is committed, and at most how much progress.
    pub(crate) records: Option<usize>,
    pub(crate) trims: usize,
    /// Which dead letters can be written, one after another; the others are.
    pub(crate) dead_letters: Vec<bool>,
    /// How the first sync callbacks end: `None` for a promise. The others end well.
    pub(crate) outcomes: Vec<Option<Outcome>>,
    /// How many of them find their library busy.
    pub(crate) stalls: usize,
    /// Whether what workers report is heard of at the end only.
    pub(crate) is_deaf: bool,
    /// How far a change of many streams goes on.
    pub(crate) sweep: usize,
}

impl Tick {
    pub(crate) fn full() -> Self {
        Self {
            dispatches: usize::MAX,
            read_limit: usize::MAX,
            records: Some(usize::MAX),
            trims: usize::MAX,
            dead_letters: Vec::new(),
            outcomes: Vec::new(),
            stalls: 0,
            is_deaf: false,
            sweep: usize::MAX,
        }
    }
}

/// A batch on its way to a callback, or with it.
#[derive(Debug)]
struct Job {
    /// The window of its code.
    window: usize,
    place: Place,
    batch: Batch,
    since_ms: u64,
    /// How many failures were known when it was dispatched.
    knew: u64,
}

/// Where batches wait: those of a subscription with one code of its consumer.
type Place = (SubscriptionKey, usize);

/// What a worker reports.
#[derive(Debug)]
enum Report {
    Ended {
        job: (SubscriptionKey, u64),
        end: End,
        took_ms: u64,
        uncommitted: bool,
        /// Where it keeps others from beginning.
        stops: Option<Place>,
    },
    Begun(SubscriptionKey, u64),
    Returned(SubscriptionKey, u64),
}

/// The server around the delivery core, as a simulation.
#[derive(Debug)]
pub(crate) struct Driver {
    core: Delivery,
    world: World,
    reference: Reference,
    keys: Vec<ConsumerKey>,
    /// How often each consumer got new code.
    codes: Vec<usize>,
    /// What waits beside callbacks, in the order in which it came to be there.
    queues: Vec<(Place, BatchQueue<Job>)>,
    /// What callbacks have.
    jobs: Vec<Job>,
    /// What is to be done with the queues, each for one code.
    inbox: VecDeque<(usize, ControlMessage)>,
    reports: VecDeque<Report>,
    /// How many batches failed that stop what was dispatched before that is known.
    failures: HashMap<Place, u64>,
    /// How many of these were heard of.
    heard: HashMap<Place, u64>,
    stalled: Vec<SubscriptionKey>,
    /// Whether batches that can go together went so the last time.
    go_together: bool,
    /// Whether a consumer may be ahead of what is added.
    is_ahead: bool,
}

impl Driver {
    pub(crate) fn new(specs: Vec<ConsumerSpec>) -> Self {
        let mut core = Delivery::new(true);
        let keys = specs.iter().map(|spec| core.add_consumer(spec.clone()));
        let keys = keys.collect();
        let is_ahead = specs.iter().any(|spec| matches!(spec.start, Start::At(_)));
        let reference = Reference::new(specs);
        core.set_time(reference.now_ms);
        Self {
            core,
            world: World::default(),
            codes: vec![0; reference.specs().len()],
            reference,
            keys,
            queues: Vec::new(),
            jobs: Vec::new(),
            inbox: VecDeque::new(),
            reports: VecDeque::new(),
            failures: HashMap::new(),
            heard: HashMap::new(),
            stalled: Vec::new(),
            go_together: false,
            is_ahead,
        }
    }

    pub(crate) fn check(&mut self) {
        self.send_control_messages();
        for key in &self.keys {
            check_overview(&mut self.core, *key);
            check_pages(&mut self.core, *key);
            let ids = |_, name: &[u8]| ids_of(&self.world, name);
            // What is added in front of where it begins counts until that is read.
            check_backlog(&mut self.core, *key, ids, !self.is_ahead);
        }
        self.check_positions();
        self.reference.check_awake(&self.core, &self.stalled);
    }

    fn consumer(&self, which: u8) -> usize {
        usize::from(which) % self.keys.len()
    }

    // ---- commands ---------------------------------------------------------------------------

    pub(crate) fn add(&mut self, stream: usize, group: Option<u8>, wanted: bool, bytes: usize) {
        let entry = Entry {
            id: self.world.number(),
            group,
            wanted,
            bytes,
        };
        self.world.add(stream, entry);
        self.core.on(Event::Appended(self.world.key(stream)));
        self.reference.added(stream, entry);
        self.place(stream);
    }

    pub(crate) fn found(&mut self, stream: usize) {
        if self.world.is_there(stream) {
            self.core.on(Event::Found(self.world.key(stream)));
            self.reference.found(stream);
            self.place(stream);
        }
    }

    /// Where consumers begin with a stream is found out when it is heard of.
    fn place(&mut self, stream: usize) {
        while let Some(request) = self.core.next_start_request(self.world.key(stream)) {
            assert!(matches!(request.reach, Reach::Last(_)));
            self.read(&request, 0);
        }
    }

    pub(crate) fn remove(&mut self, stream: usize) {
        self.world.remove(stream);
        self.core.on(Event::Removed(self.world.key(stream)));
        self.reference.removed(stream);
    }

    pub(crate) fn swap(&mut self) {
        self.world.swap();
        self.core.on(Event::Swapped(0, 1));
    }

    pub(crate) fn move_away(&mut self, stream: usize) {
        if self.world.is_there(stream) {
            let from = self.world.key(stream);
            self.world.move_away(stream);
            let to = self.world.key(stream);
            self.core.on(Event::Moved { from, to });
            self.reference.found(stream);
        }
    }

    pub(crate) fn flush(&mut self) {
        for stream in 0..NAMES.len() {
            self.world.remove(stream);
            self.reference.removed(stream);
        }
        self.core.on(Event::Flushed(None));
    }

    pub(crate) fn pause(&mut self, which: u8, stream: Option<usize>) {
        let consumer = self.consumer(which);
        if self.reference.primary {
            self.core.pause(
                self.keys[consumer],
                stream.map(|stream| self.world.key(stream)),
            );
            self.reference.paused(consumer, stream);
        }
    }

    pub(crate) fn resume(&mut self, which: u8, stream: Option<usize>) {
        let consumer = self.consumer(which);
        if self.reference.primary {
            self.core.resume(
                self.keys[consumer],
                stream.map(|stream| self.world.key(stream)),
            );
            self.reference.consumer_resumed(consumer, stream);
        }
    }

    pub(crate) fn retry_now(&mut self, which: u8, stream: usize) {
        let consumer = self.consumer(which);
        if self.reference.primary && self.reference.knows(consumer, stream) {
            self.core
                .retry_now(self.keys[consumer], self.world.key(stream));
            self.reference.retried_now(consumer, stream);
        }
    }

    pub(crate) fn seek(&mut self, which: u8, stream: usize, at: usize) {
        self.is_ahead = true;
        let consumer = self.consumer(which);
        let entries = self.world.entries(stream);
        let position = entries.get(at % (entries.len() + 1));
        let position = position.map_or(EntryId::ZERO, |entry| entry.id);
        if self.reference.primary {
            self.core
                .seek(self.keys[consumer], self.world.key(stream), position);
            self.reference.sought(consumer, stream, position);
        }
    }

    pub(crate) fn redrive(&mut self, which: u8, stream: usize, most: usize) {
        let consumer = self.consumer(which);
        let knows = self.reference.knows(consumer, stream);
        if !(self.reference.primary && knows && self.reference.has_dead_letters(consumer)) {
            return;
        }
        let key = self.keys[consumer];
        let mut letters: Vec<EntryId> = Vec::new();
        let mut new = Vec::new();
        for dead_letter in &self.world.dead_letters {
            if (dead_letter.consumer, dead_letter.stream) == (consumer, stream)
                && dead_letter.db == self.world.key(stream).db
                && new.len() < most
                && !self.reference.is_deleted(dead_letter.id)
            {
                let is_redriven = self
                    .reference
                    .is_on_its_way(consumer, stream, dead_letter.id);
                let known = self
                    .core
                    .is_redriven(key, self.world.key(stream), dead_letter.id);
                assert_eq!(known, is_redriven, "{dead_letter:?}");
                letters.push(dead_letter.id);
                if !is_redriven {
                    new.push(dead_letter.id);
                }
            }
        }
        let count = self.core.redrive(key, self.world.key(stream), &letters);
        assert_eq!(count, new.len());
        self.reference.redriven(consumer, stream, &new);
    }

    pub(crate) fn skip(&mut self, which: u8, stream: usize, at: usize) {
        let consumer = self.consumer(which);
        if !self.reference.primary {
            return;
        }
        let ids = self.reference.skippable(consumer, stream);
        let Some(at) = at.checked_rem(ids.len()) else {
            return;
        };
        let id = ids[at];
        let mut entries = self.world.entries(stream).iter();
        let item = entries.find(|one| one.id == id).map(|one| one.item());
        let (key, error) = (self.world.key(stream), text("skipped"));
        let done = self
            .core
            .skip(self.keys[consumer], key, id, item, Arc::clone(&error));
        let may = self.reference.skipped(consumer, stream, id, &error);
        assert_eq!(done.is_ok(), may, "{id}: {done:?}");
    }

    /// Somebody deletes one of the dead letters.
    pub(crate) fn drop_letter(&mut self, at: usize, is_told: bool) {
        let Some(at) = at.checked_rem(self.world.dead_letters.len()) else {
            return;
        };
        let letter = self.world.dead_letters.remove(at);
        if !is_told {
            return;
        }
        let gone = [letter.id].into_iter().collect();
        self.core
            .forget_letters(self.keys[letter.consumer], letter.db, &gone);
        self.reference.letter_dropped(letter.id);
    }

    pub(crate) fn change_consumer(&mut self, which: u8, spec: ConsumerSpec) {
        self.is_ahead |= matches!(spec.start, Start::At(_));
        let consumer = self.consumer(which);
        self.core.change_consumer(self.keys[consumer], spec.clone());
        self.reference.changed(consumer, spec);
        // What was decided so far is for who has the old code.
        self.send_control_messages();
        self.codes[consumer] += 1;
    }

    // ---- the server -------------------------------------------------------------------------

    pub(crate) fn change_role(&mut self, primary: bool) {
        self.core.on(Event::RoleChanged { primary });
        self.reference.role_changed(primary);
    }

    /// The server refuses writes, or takes them again.
    pub(crate) fn refuse(&mut self, refused: Option<bool>) {
        let refusal = refused.map(|may_trim| Refusal {
            error: text("NOREPLICAS"),
            may_trim,
        });
        self.core.on(Event::WritesRefused(refusal));
        self.reference.refused = refused;
    }

    pub(crate) fn pass_time(&mut self, ms: u64) {
        self.reference.now_ms += ms;
        self.core.set_time(self.reference.now_ms);
    }

    /// Goes to the time that the core asked for; false where it asked for none.
    pub(crate) fn pass_to_next(&mut self) -> bool {
        let Some(at) = self.core.next_time() else {
            return false;
        };
        self.pass_time(at.saturating_sub(self.reference.now_ms));
        true
    }

    /// What is at rest is put away.
    /// What is not in use is put away, and somebody looks how much is left to do.
    pub(crate) fn pack(&mut self) {
        self.core.pack();
        for key in &self.keys {
            let ids = |_, name: &[u8]| ids_of(&self.world, name);
            count_backlog(&mut self.core, *key, 1, ids);
        }
    }

    /// The process is gone, and another goes on from what is committed, or from a dump.
    pub(crate) fn crash(&mut self, dump: bool, other_clock_ms: i64) {
        let mut records: Vec<(usize, usize, Checkpoint)> = self.reference.recorded();
        let mut states: Vec<DeliveryState> = self.reference.recorded_states();
        if dump {
            records.clear();
            for (consumer, key) in self.keys.iter().enumerate() {
                let views = self.core.streams_of(*key);
                records.extend(views.map(|view| {
                    assert!(view.is_start_resolved(), "where it begins is not on record");
                    let stream = self.world.stream_at(view.db, view.name);
                    (consumer, stream, view.checkpoint())
                }));
                states[consumer] = self.core.consumer_state_of(*key);
            }
        }
        self.queues.clear();
        self.jobs.clear();
        self.inbox.clear();
        self.reports.clear();
        self.failures.clear();
        self.heard.clear();
        self.stalled.clear();
        self.core = Delivery::new(true);
        let now_ms = self.reference.now_ms.saturating_add_signed(other_clock_ms);
        self.reference.now_ms = now_ms;
        self.core.set_time(now_ms);
        self.core.on(Event::Loading(true));
        self.keys.clear();
        for spec in self.reference.specs() {
            self.keys.push(self.core.add_consumer(spec));
        }
        for (consumer, delivery_state) in states.iter().enumerate() {
            self.core
                .set_consumer_state(self.keys[consumer], delivery_state);
        }
        for (consumer, stream, checkpoint) in &records {
            self.core.on(Event::Resumed {
                consumer: self.keys[*consumer],
                key: self.world.key(*stream),
                checkpoint,
            });
        }
        self.reference.restarted(&self.world, &records, states);
        self.core.on(Event::Loading(false));
        (0..NAMES.len()).for_each(|stream| self.found(stream));
    }

    // ---- workers ----------------------------------------------------------------------------

    /// A worker begins with so many batches.
    pub(crate) fn start(&mut self, count: usize) {
        for _ in 0..count {
            let mut queues = self.queues.iter_mut();
            let Some(job) = queues.find_map(|(_, queue)| queue.start()) else {
                return;
            };
            self.check_start(&job);
            self.reports
                .push_back(Report::Begun(job.place.0, job.batch.number));
            self.jobs.push(job);
        }
    }

    /// All that is promised of when a batch begins.
    fn check_start(&mut self, job: &Job) {
        let holds = |report: &&Report| matches!(report, Report::Ended { job: (sub, _), uncommitted: true, .. } if *sub == job.place.0);
        let held = self.reports.iter().filter(holds).count();
        let held = held + self.reference.uncommitted(job.place.0);
        let out = self
            .jobs
            .iter()
            .filter(|other| other.place.0 == job.place.0);
        assert!(out.clone().count() + held < job.window, "window: {job:?}");
        let failures = self.failures.get(&job.place).copied().unwrap_or(0);
        assert_eq!(job.knew, failures, "what failed was to be first: {job:?}");
        if self.reference.is_mixed(job.place.0) {
            return;
        }
        let shares = |other: &Job| {
            let mut groups = other.batch.groups.iter();
            groups.any(|group| job.batch.groups.contains(group))
        };
        for other in out {
            assert!(!shares(other), "a group is out twice: {job:?} {other:?}");
        }
        let mut queues = self.queues.iter_mut();
        if let Some((_, queue)) = queues.find(|(place, _)| *place == job.place) {
            for other in queue.waiting_mut() {
                let is_earlier = other.batch.number < job.batch.number;
                assert!(
                    !(is_earlier && shares(other)),
                    "{other:?} was first: {job:?}"
                );
            }
        }
    }

    /// Puts a batch beside its callback.
    fn send(&mut self, job: Job) {
        let place = job.place;
        let at = self.queues.iter().position(|(one, _)| *one == place);
        let at = at.unwrap_or_else(|| {
            let queue = BatchQueue::new(job.window, &Terms::from(&job.batch));
            self.queues.push((place, queue));
            self.queues.len() - 1
        });
        let number = job.batch.number;
        if !self.queues[at].1.push(Terms::from(&job.batch), job) {
            let back = Report::Returned(place.0, number);
            self.reports.push_back(back);
        }
    }

    /// The callback is done with one of the batches.
    pub(crate) fn end(&mut self, at: usize, outcome: Outcome, uncommitted: bool) {
        if self.jobs.is_empty() {
            self.start(1);
        }
        if let Some(at) = at.checked_rem(self.jobs.len()) {
            let job = self.jobs.remove(at);
            self.end_job(&job, outcome, uncommitted);
        }
    }

    /// Code that was replaced gives up one of the batches that it began with.
    pub(crate) fn abandon(&mut self, at: usize) {
        if let Some(at) = at.checked_rem(self.jobs.len()) {
            let job = self.jobs.remove(at);
            let number = job.batch.number;
            if let Some(queue) = self.queue(job.place) {
                let back = queue.finish(number, false, false);
                assert!(back.is_empty(), "nothing failed");
            }
            self.reports
                .push_back(Report::Returned(job.place.0, number));
        }
    }

    fn end_job(&mut self, job: &Job, outcome: Outcome, uncommitted: bool) {
        let ids: Vec<_> = job.batch.items.iter().map(Item::id).collect();
        let end = outcome.end(&ids);
        let failed = end.is_failure();
        let stops = (failed && job.batch.stops).then_some(job.place);
        if let Some(place) = stops {
            *self.failures.entry(place).or_default() += 1;
        }
        self.reports.push_back(Report::Ended {
            job: (job.place.0, job.batch.number),
            end,
            took_ms: self.reference.now_ms - job.since_ms,
            uncommitted,
            stops,
        });
        let number = job.batch.number;
        if let Some(queue) = self.queue(job.place) {
            let back = queue.finish(number, uncommitted, failed);
            let back = back.into_iter();
            let back = back.map(|job| Report::Returned(job.place.0, job.batch.number));
            self.reports.extend(back);
        }
    }

    fn queue(&mut self, place: Place) -> Option<&mut BatchQueue<Job>> {
        let mut queues = self.queues.iter_mut();
        let found = queues.find(|(one, _)| *one == place);
        found.map(|(_, queue)| queue)
    }

    /// The main thread hears what workers reported.
    pub(crate) fn hear(&mut self) {
        while let Some(report) = self.reports.pop_front() {
            match report {
                Report::Begun(sub, batch) => {
                    self.reference.begun(sub, batch);
                    self.core.on(Event::Begun { sub, batch });
                }
                Report::Returned(sub, batch) => self.give_back(sub, batch, false),
                Report::Ended {
                    job: (sub, batch),
                    end,
                    took_ms,
                    uncommitted,
                    stops,
                } => {
                    if let Some(place) = stops {
                        *self.heard.entry(place).or_default() += 1;
                    }
                    self.reference.ended(sub, batch, &end, took_ms, uncommitted);
                    self.core.on(Event::Ended {
                        sub,
                        batch,
                        end,
                        took: Duration::from_millis(took_ms),
                        now_ms: self.reference.now_ms,
                        uncommitted,
                    });
                }
            }
        }
    }

    /// A worker takes note of what it was told.
    pub(crate) fn receive(&mut self, count: usize) {
        for _ in 0..count {
            let Some((code, message)) = self.inbox.pop_front() else {
                return;
            };
            match message {
                ControlMessage::Recall { sub, .. } => {
                    for (_, queue) in self.queues.iter_mut().filter(|((one, _), _)| *one == sub) {
                        let back = queue.take_waiting().into_iter();
                        let back = back.map(|job| Report::Returned(sub, job.batch.number));
                        self.reports.extend(back);
                    }
                    self.hear();
                    self.reference.recalled(sub);
                    let started = EntryId::ZERO;
                    self.core.on(Event::Recalled {
                        sub,
                        started,
                        back: Vec::new(),
                    });
                }
                ControlMessage::Drop { sub, .. } => {
                    self.queues.retain(|((one, _), _)| *one != sub);
                }
                ControlMessage::SlotsReleased { sub, places, .. } => {
                    if let Some(queue) = self.queue((sub, code)) {
                        queue.release(places);
                    }
                }
                ControlMessage::Window { .. } | ControlMessage::Moved { .. } => {}
            }
        }
    }

    fn give_back(&mut self, sub: SubscriptionKey, batch: u64, yields: bool) {
        self.reference.returned(sub, batch);
        self.core.on(Event::Returned { sub, batch, yields });
    }

    fn send_control_messages(&mut self) {
        while let Some(message) = self.core.next_control_message() {
            let (ControlMessage::Drop { consumer, .. }
            | ControlMessage::Recall { consumer, .. }
            | ControlMessage::Window { consumer, .. }
            | ControlMessage::Moved { consumer, .. }
            | ControlMessage::SlotsReleased { consumer, .. }) = message;
            if let ControlMessage::Recall { sub, .. } = message {
                self.reference.recall_asked(sub);
            }
            let consumer = self.keys.iter().position(|key| *key == consumer);
            let code = self.codes[consumer.expect("it is there")];
            self.inbox.push_back((code, message));
        }
    }

    // ---- ticks ------------------------------------------------------------------------------

    pub(crate) fn tick(&mut self, tick: &Tick) {
        let mut outcomes: VecDeque<_> = tick.outcomes.iter().copied().collect();
        let mut stalls = tick.stalls;
        let limit = tick.read_limit;
        if !tick.is_deaf {
            self.hear();
        }
        self.pass_time(0);
        self.core.sweep(tick.sweep);
        for sub in std::mem::take(&mut self.stalled) {
            self.core.on(Event::Yielded(sub));
        }
        let mut count = 0;
        while let Some(dispatch) = self.core.next_dispatch(true) {
            count += 1;
            assert!(count < TICKS_TO_REST, "a tick does not end");
            self.carry_out(dispatch, limit, &mut outcomes, &mut stalls);
        }
        assert!(!self.core.has_urgent());
        for count in 0..tick.dispatches {
            assert!(count < TICKS_TO_REST, "there is always more to do");
            let Some(dispatch) = self.core.next_dispatch(false) else {
                break;
            };
            self.carry_out(dispatch, limit, &mut outcomes, &mut stalls);
        }
        if !self.reference.primary {
            assert!(self.core.next_durable().is_none(), "on record on a replica");
            self.reference.nothing_is_recorded();
            self.hear();
            return;
        }
        if let Some(records) = tick.records {
            self.commit(&tick.dead_letters, records);
        }
        for _ in 0..tick.trims {
            let Some(trim) = self.core.next_trim() else {
                break;
            };
            let stream = self.world.stream_at(trim.db, &trim.name);
            self.reference.trimmed(stream, trim.to);
            self.world.trim(stream, trim.to);
        }
        self.hear();
    }

    /// Writes what is to be written, until so much progress is.
    fn commit(&mut self, accepted: &[bool], records: usize) {
        let mut accepted = accepted.iter();
        let mut left = records;
        while left > 0 || self.core.has_dead_letters() {
            match self.core.next_durable() {
                None => return,
                Some(Durable::DeadLetter(dead_letter)) => {
                    let written = accepted.next().is_none_or(|accepted| *accepted);
                    self.write_dead_letter(dead_letter, written);
                }
                Some(Durable::DeadLetterDeletion(deletion)) => self.delete_dead_letters(deletion),
                Some(Durable::Progress(progress)) => {
                    left = left.saturating_sub(1);
                    let consumer = self.keys.iter().position(|key| *key == progress.consumer);
                    let stream = self.world.stream_at(progress.db, &progress.name);
                    let consumer = consumer.expect("it is there");
                    self.reference
                        .progress(consumer, stream, progress.checkpoint);
                }
                Some(Durable::ConsumerState {
                    consumer,
                    delivery_state,
                }) => {
                    let consumer = self.keys.iter().position(|one| *one == consumer);
                    self.reference
                        .consumer_state_recorded(consumer.expect("it is there"), delivery_state);
                }
            }
        }
    }

    fn write_dead_letter(&mut self, dead_letter: DeadLetter, written: bool) {
        assert!(self.reference.refused.is_none());
        let consumer = self
            .keys
            .iter()
            .position(|key| *key == dead_letter.consumer);
        let consumer = consumer.expect("it is there");
        let entry = self.reference.dead_letter(consumer, &dead_letter, written);
        let event = if written {
            let replaced = dead_letter.replaces.as_ref();
            let mut letters = self.world.dead_letters.iter();
            // What somebody deleted meanwhile does not come again.
            if replaced.is_none_or(|old| letters.any(|one| one.is(old.letter, old.db))) {
                let id = self.world.number();
                self.world.dead_letters.push(world::Letter {
                    id,
                    consumer,
                    stream: self.world.stream_at(dead_letter.db, &dead_letter.stream),
                    db: dead_letter.db,
                    entry,
                    attempts: dead_letter.attempts,
                    first_ms: dead_letter.first_ms,
                    redrives: replaced.map_or(0, |old| old.redrives),
                });
            }
            Event::DeadLetterWritten(dead_letter)
        } else {
            let error = "the dead letter was refused".into();
            Event::DeadLetterRefused { dead_letter, error }
        };
        self.core.on(event);
    }

    fn delete_dead_letters(&mut self, deletion: DeadLetterDeletion) {
        assert_eq!(*deletion.from, *world::DEAD);
        for dead_letter in deletion.dead_letters {
            self.reference.deletions(dead_letter);
            let letters = &mut self.world.dead_letters;
            letters.retain(|one| !one.is(dead_letter, deletion.db));
            let is_left = letters.iter().any(|one| one.id == dead_letter);
            assert!(!is_left, "deleted elsewhere");
        }
    }

    fn carry_out(
        &mut self,
        dispatch: Dispatch,
        limit: usize,
        outcomes: &mut VecDeque<Option<Outcome>>,
        stalls: &mut usize,
    ) {
        match dispatch {
            Dispatch::Read(request) => self.read(&request, limit),
            Dispatch::Run { .. } => panic!("every consumer has a policy"),
            Dispatch::ReadLetters(request) => self.read_letters(request, limit),
            Dispatch::Deliver {
                sub,
                consumer,
                batch,
            } => {
                let mut batches = vec![batch];
                // Every other time, those that can go together do.
                self.go_together = !self.go_together;
                if self.go_together {
                    self.core.add_batches(sub, &mut batches);
                }
                for batch in batches {
                    self.deliver(sub, consumer, batch, outcomes, stalls);
                }
            }
        }
        self.send_control_messages();
    }

    fn deliver(
        &mut self,
        sub: SubscriptionKey,
        consumer: ConsumerKey,
        batch: Batch,
        outcomes: &mut VecDeque<Option<Outcome>>,
        stalls: &mut usize,
    ) {
        let (db, name) = self.core.stream_of(sub).expect("it is there");
        let consumer = self.keys.iter().position(|key| *key == consumer);
        let consumer = consumer.expect("it is there");
        let stream = self.world.stream_at(db, &name);
        self.reference.dispatch(consumer, stream, sub, &batch);
        let place = (sub, self.codes[consumer]);
        let job = Job {
            window: self.reference.spec(consumer).window,
            place,
            batch,
            since_ms: self.reference.now_ms,
            knew: self.heard.get(&place).copied().unwrap_or(0),
        };
        if self.reference.spec(consumer).mode == Mode::Async {
            self.send(job);
        } else if *stalls > 0 {
            *stalls -= 1;
            self.give_back(sub, job.batch.number, true);
            self.stalled.push(sub);
        } else if let Some(outcome) = outcomes.pop_front().unwrap_or(Some(Outcome::Well)) {
            self.end_job(&job, outcome, false);
            self.hear();
        } else {
            self.reports
                .push_back(Report::Begun(job.place.0, job.batch.number));
            self.jobs.push(job);
        }
    }

    fn read_letters(&mut self, request: LetterRequest, limit: usize) {
        let sub = request.sub;
        assert_eq!(*request.from, *world::DEAD);
        let (db, name) = self.core.stream_of(sub).expect("it is there");
        let stream = self.world.stream_at(db, &name);
        let consumer = self.keys.iter().position(|key| *key == request.consumer);
        let consumer = consumer.expect("it is there");
        let mut asked = request.letters;
        asked.truncate(limit);
        let letters = asked.iter().filter_map(|id| {
            let mut letters = self.world.dead_letters.iter();
            letters.find(|one| one.is(*id, request.db)).copied()
        });
        let letters: Vec<_> = letters.collect();
        self.reference
            .letters_read(consumer, stream, &asked, &letters);
        let found = letters.iter().map(|one| FoundLetter {
            letter: one.id,
            item: one.entry.item(),
            attempts: one.attempts,
            first_ms: one.first_ms,
            redrives: one.redrives,
        });
        self.core.on(Event::LettersRead {
            sub,
            looked_for: asked.len(),
            found: found.collect(),
        });
    }

    fn read(&mut self, request: &ReadRequest, limit: usize) {
        let ReadRequest {
            sub, reach, max, ..
        } = *request;
        let stream = self.world.stream_at(request.db, &request.name);
        let consumer = self.keys.iter().position(|key| *key == request.consumer);
        let consumer = consumer.expect("it is there");
        let entries = self.world.entries(stream);
        let after = match reach {
            Reach::Last(skip) => {
                let skip = usize::try_from(skip).expect("few entries");
                let at = entries.len().checked_sub(skip + 1);
                let position = at.map_or(EntryId::ZERO, |at| entries[at].id);
                self.reference.placed(consumer, stream, skip, position);
                self.core.on(Event::StartResolved { sub, position });
                return;
            }
            Reach::Only(id) => {
                let found: Vec<_> = entries.iter().filter(|one| one.id == id).copied().collect();
                let batch = world::batch(&found);
                let end = false;
                self.core.on(Event::Fetched { sub, batch, end });
                return;
            }
            Reach::Behind(after) => after,
        };
        assert!(max > 0);
        let behind = entries.iter().filter(|one| one.id > after);
        let found: Vec<_> = behind.clone().take(max.min(limit)).copied().collect();
        let end = behind.count() == found.len();
        self.reference.fetched(consumer, stream, end);
        let batch = world::batch(&found);
        self.core.on(Event::Fetched { sub, batch, end });
    }

    // ---- rest -------------------------------------------------------------------------------

    /// Ends a sequence: everything that can go on does, every callback ends well.
    pub(crate) fn finish(&mut self) {
        self.hear();
        self.change_role(true);
        self.refuse(None);
        for which in 0..u8::try_from(self.keys.len()).expect("two at most") {
            let consumer = usize::from(which);
            if self.reference.is_stopped(consumer) {
                self.resume(which, None);
            }
            for stream in 0..NAMES.len() {
                if self.reference.is_stream_stopped(consumer, stream) {
                    self.resume(which, Some(stream));
                }
            }
        }
        for _ in 0..TICKS_TO_REST {
            self.send_control_messages();
            self.receive(self.inbox.len());
            self.tick(&Tick::full());
            self.start(usize::MAX);
            for job in std::mem::take(&mut self.jobs) {
                self.end_job(&job, Outcome::Well, true);
            }
            self.hear();
            self.check();
            let rests = self.inbox.is_empty() && self.stalled.is_empty();
            if rests && !self.core.has_work() && !self.pass_to_next() {
                self.reference.check_complete();
                self.check_views();
                self.check_committed();
                self.check_redrives();
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// What is shown of a stream is what a dump would know of it: a replica shows the same.
    fn check_positions(&self) {
        for key in &self.keys {
            for view in self.core.streams_of(*key) {
                assert_eq!(
                    view.position(),
                    view.checkpoint().position,
                    "{:?}",
                    view.name
                );
            }
        }
    }

    /// Where nothing is left to do, what a dump would know is what was committed: replicas know
    /// it, too.
    fn check_committed(&self) {
        for (consumer, stream, recorded) in self.reference.recorded() {
            for view in self.core.streams_of(self.keys[consumer]) {
                if self.world.stream_at(view.db, view.name) == stream {
                    let now = view.checkpoint();
                    assert_eq!(now.pending, recorded.pending, "{consumer}, {stream}");
                    assert_eq!(now.position, recorded.position, "{consumer}, {stream}");
                }
            }
        }
    }

    /// No dead letter is taken for one that is on its way.
    fn check_redrives(&mut self) {
        for key in &self.keys {
            let view = self.core.redrives(*key).expect("it is there");
            assert_eq!((view.waiting, view.running), (0, 0));
        }
    }

    fn check_views(&self) {
        for key in &self.keys {
            // A batch may wait to be full while later entries, of other groups then, are done.
            let policy = self.core.spec(*key).and_then(|spec| spec.policy.clone());
            let may_wait = policy.is_some_and(|policy| policy.batch.is_some());
            for view in self.core.streams_of(*key) {
                assert!(
                    view.in_flight().is_empty() && (may_wait || view.redeliveries().is_empty())
                );
            }
        }
    }
}

/// Texts that reports carry.
pub(crate) fn text(text: &str) -> Arc<str> {
    text.into()
}

/// IDs of the entries of a stream.
fn ids_of(world: &World, name: &[u8]) -> Vec<EntryId> {
    let entries = world.entries(world::stream_named(name)).iter();
    entries.map(|entry| entry.id).collect()
}
