//! Everything around the delivery core: the driver that carries its decisions out, the workers
//! with their prefetch queues, which act and report when they like, and the server's commands.

use std::sync::Arc;
use std::time::Duration;

use gears_core::delivery::{
    Checkpoint, ConsumerKey, ConsumerSpec, ControlMessage, Delivery, Dispatch, Durable, EntryId,
    Event, Mode, Reach, ReadRequest, Refusal, SubscriptionKey,
};

use crate::code::{Code, Message, Outcome, Report};
use crate::overview::{check_backlog, check_overview, check_pages, count_backlog};
use crate::reference::Reference;
use crate::world::{Entry, Key, StaticKey, Step, World};

/// Ticks after which everything must have come to rest, and decisions after which a tick must end.
const TICKS_TO_REST: usize = 10_000;

/// How a callback ends, and what it does to the server before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Callback {
    Returns,
    Throws,
    /// Returns a promise: ends later.
    Promises,
    AddsTo(StaticKey),
    Deletes(StaticKey),
    Renames(StaticKey, StaticKey),
    FlushesAll,
}

/// How far a tick of the event loop goes.
#[derive(Clone, Debug)]
pub(crate) struct Tick {
    /// Decisions carried out beyond the urgent ones.
    pub(crate) dispatches: usize,
    pub(crate) records: usize,
    pub(crate) trims: usize,
    /// Entries that a sync callback may be given beyond those it must.
    pub(crate) budget: u64,
    /// Entries a read gives at most.
    pub(crate) read_limit: usize,
    /// What the first sync callbacks do; the others return.
    pub(crate) callbacks: Vec<Callback>,
    /// How many runs of sync callbacks find their library busy: they are for the next tick.
    pub(crate) stalls: usize,
    /// How far a change of many streams goes on.
    pub(crate) sweep: usize,
}

impl Tick {
    /// A tick without limits.
    pub(crate) fn full() -> Self {
        Self {
            dispatches: usize::MAX,
            records: usize::MAX,
            trims: usize::MAX,
            budget: u64::MAX,
            read_limit: usize::MAX,
            callbacks: Vec::new(),
            stalls: 0,
            sweep: usize::MAX,
        }
    }
}

/// The server around the delivery core, as a simulation.
#[derive(Debug)]
pub(crate) struct Driver {
    core: Delivery,
    reference: Reference,
    world: World,
    codes: Vec<Code>,
    numbers: u64,
    /// What the next sync callbacks do, the first one last.
    callbacks: Vec<Callback>,
    read_limit: usize,
    /// Runs of this tick that will find their library busy.
    stalls: usize,
    /// Subscriptions whose library was busy in the last tick.
    stalled: Vec<SubscriptionKey>,
    /// Whether the core was told of all entries that were deleted.
    is_told_all: bool,
}

impl Driver {
    pub(crate) fn new(primary: bool) -> Self {
        Self {
            core: Delivery::new(primary),
            reference: Reference::new(primary),
            world: World::default(),
            codes: Vec::new(),
            numbers: 0,
            callbacks: Vec::new(),
            read_limit: usize::MAX,
            stalls: 0,
            stalled: Vec::new(),
            is_told_all: true,
        }
    }

    /// Everything that must hold after every step.
    pub(crate) fn check(&mut self) {
        self.reference.check_views(&self.world, &self.core);
        self.reference.check_gates(&mut self.core);
        for consumer in self.reference.consumers() {
            check_overview(&mut self.core, consumer);
            check_pages(&mut self.core, consumer);
            let ids = |db, name: &[u8]| ids_of(&self.world, db, name);
            check_backlog(&mut self.core, consumer, ids, self.is_told_all);
        }
        self.reference
            .check_awake(&self.world, &self.core, &self.stalled);
    }

    // ---- libraries ------------------------------------------------------------------------

    pub(crate) fn add_consumer(&mut self, spec: ConsumerSpec) {
        let key = self.core.add_consumer(spec.clone());
        let number = self.add_code(key, spec.mode, spec.window);
        self.reference.add_consumer(key, spec, number);
    }

    pub(crate) fn consumer_count(&self) -> usize {
        self.reference.consumer_count()
    }

    pub(crate) fn change_consumer(&mut self, which: u8, window: usize, trim: bool, mode: Mode) {
        let Some(key) = self.reference.pick(which) else {
            return;
        };
        let prefix = Arc::clone(&self.reference.spec(key).prefix);
        let spec = ConsumerSpec::new(&prefix, window, trim, mode);
        self.core.change_consumer(key, spec.clone());
        self.reference.change_consumer(key, spec, self.numbers + 1);
        self.reference.learn(&self.world, &self.core);
        // Notices name a consumer, not its code: up to here they are for the old one.
        self.send_control_messages();
        if let Some(at) = self.current_code(key) {
            self.codes[at].current = false;
        }
        self.add_code(key, mode, window);
    }

    pub(crate) fn remove_consumer(&mut self, which: u8) {
        let Some(key) = self.reference.pick(which) else {
            return;
        };
        self.core.remove_consumer(key);
        self.reference.remove_consumer(key);
        self.reference.learn(&self.world, &self.core);
        self.send_control_messages();
        for code in self.codes.iter_mut().filter(|code| code.consumer == key) {
            while code.current && code.receive() {}
            let mut prefetches = code.prefetches.values();
            let waits = prefetches.any(|beside| beside.prefetch.waiting() > 0);
            assert!(!(code.current && waits), "nobody has what waits dropped");
            code.current = false;
            code.prefetches.clear();
            code.inbox.clear();
        }
    }

    fn add_code(&mut self, consumer: ConsumerKey, mode: Mode, window: usize) -> u64 {
        self.numbers += 1;
        let code = Code::new(self.numbers, consumer, mode, window);
        self.codes.push(code);
        self.numbers
    }

    fn current_code(&self, consumer: ConsumerKey) -> Option<usize> {
        let mut codes = self.codes.iter();
        codes.position(|code| code.current && code.consumer == consumer)
    }

    // ---- commands of clients --------------------------------------------------------------

    pub(crate) fn add(&mut self, key: StaticKey, step: Step, bytes: usize) {
        if self.world.add(key, step, bytes) {
            self.core.on(Event::Appended(key.to_ref()));
            self.reference.added(&self.world, key);
        }
    }

    /// XDEL; whether the core hears that something touched the stream is the server's affair.
    pub(crate) fn delete_entry(&mut self, key: StaticKey, at: usize, heard: bool) {
        if self.world.delete_entry(key, at) {
            self.entries_gone(key, heard);
        }
    }

    pub(crate) fn keep_last(&mut self, key: StaticKey, keep: usize, heard: bool) {
        if self.world.keep_last(key, keep) {
            self.entries_gone(key, heard);
        }
    }

    fn entries_gone(&mut self, key: StaticKey, heard: bool) {
        if let Some(stream) = self.world.get(key) {
            self.reference.order_lost(stream.incarnation);
        }
        self.is_told_all &= heard;
        if heard {
            self.found(key);
        }
    }

    pub(crate) fn remove(&mut self, key: StaticKey) {
        if let Some(stream) = self.world.remove(key) {
            self.reference.stream_ended(stream.incarnation);
        }
        // Also of keys that are no streams: the core must not mind.
        self.core.on(Event::Removed(key.to_ref()));
    }

    pub(crate) fn restore(&mut self, key: StaticKey, count: u64) {
        let entries = (1..=count).map(|n| Entry {
            id: EntryId::new(n, n),
            bytes: 10,
        });
        self.replace(key, |world| {
            world.put(key, entries.collect(), EntryId::new(count, count));
            true
        });
    }

    pub(crate) fn copy(&mut self, from: StaticKey, to: StaticKey) {
        self.replace(to, |world| world.copy(from, to));
    }

    fn replace(&mut self, key: StaticKey, write: impl FnOnce(&mut World) -> bool) {
        let before = self.world.get(key).map(|stream| stream.incarnation);
        if write(&mut self.world) {
            if let Some(incarnation) = before {
                self.reference.stream_ended(incarnation);
            }
            self.core.on(Event::Replaced(key.to_ref()));
            self.reference.touched(&self.world, key);
        }
    }

    /// RENAME or MOVE of a stream. Onto itself as well: the core must not mind.
    pub(crate) fn rename(&mut self, from: StaticKey, to: StaticKey) {
        let Some(stream) = self.world.get(from) else {
            return;
        };
        let incarnation = stream.incarnation;
        if from != to
            && let Some(replaced) = self.world.rename(from, to)
        {
            self.reference.stream_ended(replaced.incarnation);
        }
        self.core.on(Event::Moved {
            from: from.to_ref(),
            to: to.to_ref(),
        });
        if from != to {
            self.reference.renamed(incarnation, to.name);
            self.reference.touched(&self.world, to);
        }
    }

    pub(crate) fn swap(&mut self, a: i32, b: i32) {
        self.world.swap(a, b);
        self.core.on(Event::Swapped(a, b));
    }

    pub(crate) fn flush(&mut self, db: Option<i32>) {
        for (key, stream) in self.world.streams() {
            if db.is_none_or(|db| key.db == db) {
                self.reference.stream_ended(stream.incarnation);
            }
        }
        self.world.flush(db);
        self.core.on(Event::Flushed(db));
    }

    // ---- the server -----------------------------------------------------------------------

    pub(crate) fn change_role(&mut self, primary: bool) {
        self.core.on(Event::RoleChanged { primary });
        self.reference.role_changed(primary);
        self.reference.learn(&self.world, &self.core);
    }

    /// The server refuses writes, or takes them again.
    pub(crate) fn refuse(&mut self, refused: Option<bool>) {
        let refusal = refused.map(|may_trim| Refusal {
            error: "NOREPLICAS".into(),
            may_trim,
        });
        if refusal.as_ref() != self.core.refusal() {
            self.core.on(Event::WritesRefused(refusal));
            self.reference.writes_refused(refused);
            self.reference.learn(&self.world, &self.core);
        }
    }

    pub(crate) fn set_loading(&mut self, loading: bool) {
        if loading {
            self.world.load_anew();
            self.reference.all_streams_ended();
        }
        self.reference.loading = loading;
        self.core.on(Event::Loading(loading));
        self.reference.learn(&self.world, &self.core);
    }

    /// The process is gone with all that it had in memory, and another goes on from what is on
    /// record: the last that was put there, or a dump of this moment.
    pub(crate) fn crash(&mut self, dump: bool, primary: bool) {
        let mut records = Vec::new();
        for (consumer, incarnation, recorded) in self.reference.recorded() {
            let mut streams = self.world.streams();
            let stream = streams.find(|(_, stream)| stream.incarnation == incarnation);
            let (key, _) = stream.expect("what is on record follows its stream");
            records.push((consumer, key, recorded));
        }
        if dump {
            records.clear();
            for (consumer, _) in self.reference.specs() {
                let views: Vec<_> = self.core.streams_of(consumer).collect();
                for view in views.iter().rev() {
                    let mut streams = self.world.streams();
                    let key = streams.find(|(key, _)| (key.db, key.name) == (view.db, view.name));
                    let (key, _) = key.expect("only streams are listed");
                    records.push((consumer, key, view.checkpoint()));
                }
            }
        }
        let specs = self.reference.specs();
        self.core = Delivery::new(primary);
        self.codes.clear();
        self.stalled.clear();
        self.world.end_tick();
        self.core.on(Event::Loading(true));
        let mut keys = Vec::new();
        for (_, spec) in &specs {
            let key = self.core.add_consumer(spec.clone());
            keys.push((key, self.add_code(key, spec.mode, spec.window)));
        }
        self.reference.restarted(&keys);
        self.reference.primary = primary;
        self.reference.refused = None;
        for (old, key, checkpoint) in records {
            let at = specs.iter().position(|(one, _)| *one == old);
            let (consumer, _) = keys[at.expect("it was among them")];
            self.resume(consumer, key, &checkpoint);
        }
        self.reference.loading = false;
        self.core.on(Event::Loading(false));
    }

    fn resume(&mut self, consumer: ConsumerKey, key: StaticKey, checkpoint: &Checkpoint) {
        self.core.on(Event::Resumed {
            consumer,
            key: key.to_ref(),
            checkpoint,
        });
        self.reference
            .resumed(&self.world, consumer, key, checkpoint);
    }

    /// A replica hears how far a consumer is on the primary: at the entry at a place, with some
    /// of those before it pending.
    pub(crate) fn follow(&mut self, which: u8, key: StaticKey, at: usize, pending: u8) {
        let (Some(consumer), Some(stream)) = (self.reference.pick(which), self.world.get(key))
        else {
            return;
        };
        if self.reference.is_active() || stream.entries.is_empty() {
            return;
        }
        let at = at % stream.entries.len();
        let upto = stream.entries[..=at].iter().rev().enumerate();
        let mut pending: Vec<_> = upto
            .filter(|(place, _)| *place < 8 && pending & (1 << place) != 0)
            .map(|(_, entry)| entry.id)
            .collect();
        pending.reverse();
        let checkpoint = Checkpoint {
            position: stream.entries[at].id,
            pending,
            ..Checkpoint::default()
        };
        self.resume(consumer, key, &checkpoint);
    }

    pub(crate) fn found(&mut self, key: StaticKey) {
        if self.world.get(key).is_some() {
            self.core.on(Event::Found(key.to_ref()));
            self.reference.touched(&self.world, key);
        }
    }

    pub(crate) fn scan(&mut self) {
        let keys: Vec<_> = self.world.streams().map(|(key, _)| key).collect();
        for key in keys {
            self.found(key);
        }
    }

    /// What is at rest is put away.
    pub(crate) fn count_backlog(&mut self, which: u8, most: usize) {
        let consumers = self.reference.consumers();
        if let Some(consumer) = consumers.get(usize::from(which) % consumers.len().max(1)) {
            let ids = |db, name: &[u8]| ids_of(&self.world, db, name);
            count_backlog(&mut self.core, *consumer, most, ids);
        }
    }

    pub(crate) fn pack(&mut self) {
        self.core.pack();
    }

    /// A change of many streams goes on.
    pub(crate) fn sweep(&mut self, most: usize) {
        self.core.sweep(most);
        self.reference.learn(&self.world, &self.core);
    }

    // ---- workers --------------------------------------------------------------------------

    /// The code at a place, if there is any.
    fn pick_code(&self, at: u8) -> Option<usize> {
        usize::from(at).checked_rem(self.codes.len())
    }

    pub(crate) fn receive(&mut self, which: u8, count: u8) {
        if let Some(at) = self.pick_code(which) {
            (0..count).for_each(|_| _ = self.codes[at].receive());
        }
    }

    /// A worker forgets its idle prefetch queues, once it has reported all of them.
    pub(crate) fn forget_idle(&mut self, which: u8) {
        if let Some(at) = self.pick_code(which)
            && self.codes[at].outbox.is_empty()
        {
            self.codes[at]
                .prefetches
                .retain(|_, beside| !beside.prefetch.is_idle());
        }
    }

    /// A worker starts entries of the prefetch queue at a place.
    pub(crate) fn start(&mut self, which: u8, prefetch: u8, count: u8) {
        let Some(at) = self.pick_code(which) else {
            return;
        };
        let code = &self.codes[at];
        if code.mode == Mode::Sync || code.prefetches.is_empty() {
            return;
        }
        let prefetch = usize::from(prefetch) % code.prefetches.len();
        let sub = *code
            .prefetches
            .keys()
            .nth(prefetch)
            .expect("it is among them");
        for _ in 0..count {
            let Some(id) = self.start_one(at, sub) else {
                break;
            };
            self.codes[at].outbox.push(Report::Started(sub, id));
        }
    }

    fn start_one(&mut self, at: usize, sub: SubscriptionKey) -> Option<EntryId> {
        let id = self.codes[at].start(sub)?;
        let Code { number, window, .. } = self.codes[at];
        self.reference
            .note_given(&self.world, sub, id, number, window);
        Some(id)
    }

    /// The callback is done with the running entry at a place.
    pub(crate) fn finish(&mut self, which: u8, running: u8, outcome: Outcome) {
        if let Some(at) = self.pick_code(which)
            && let Some(running) = usize::from(running).checked_rem(self.codes[at].running.len())
        {
            let (sub, id, uncommitted) = self.finish_one(at, running, outcome.wrote);
            let outbox = &mut self.codes[at].outbox;
            if outcome.at_once {
                let of_this = |report: &Report| matches!(report, Report::Started(one, last) if (*one, *last) == (sub, id));
                outbox.retain(|report| !of_this(report));
            }
            outbox.push(Report::Finished(sub, id, outcome, uncommitted));
        }
    }

    fn finish_one(
        &mut self,
        at: usize,
        running: usize,
        wrote: bool,
    ) -> (SubscriptionKey, EntryId, bool) {
        let (sub, id, uncommitted) = self.codes[at].finish(running, wrote);
        self.reference.note_done(sub, id, uncommitted);
        (sub, id, uncommitted)
    }

    /// Code that was replaced gives up the running entry at a place: its reports of that are told
    /// before, and no other comes.
    pub(crate) fn abandon(&mut self, which: u8, running: u8) {
        let Some(at) = self.pick_code(which) else {
            return;
        };
        let code = &mut self.codes[at];
        let Some(running) = usize::from(running).checked_rem(code.running.len()) else {
            return;
        };
        let is_recall = |report: &Report| matches!(report, Report::Recalled(..));
        let is_recalled = code.inbox.is_empty() && !code.outbox.iter().any(is_recall);
        if code.current || !is_recalled {
            return;
        }
        let (sub, id) = code.running.swap_remove(running);
        self.tell_start(at, sub, id);
        self.reference.abandoned(sub, id);
        self.core.on(Event::Abandoned { sub, id });
    }

    /// The main thread hears of reports, not always in the order in which they were made.
    pub(crate) fn deliver(&mut self, which: u8, first: u8, count: u8) {
        let Some(at) = self.pick_code(which) else {
            return;
        };
        for _ in 0..count {
            let outbox = &mut self.codes[at].outbox;
            let Some(report) = usize::from(first).checked_rem(outbox.len()) else {
                break;
            };
            let report = outbox.remove(report);
            if let Report::Finished(sub, id, Outcome { failed: true, .. }, _) = report {
                // It may come again: then its start would be told of that.
                self.tell_start(at, sub, id);
            }
            self.tell(&report);
        }
    }

    /// That code of this number started an entry is told now, if it was not.
    fn tell_start(&mut self, code: usize, sub: SubscriptionKey, id: EntryId) {
        let is_of_it = |report: &Report| matches!(report, Report::Started(one, last) if (*one, *last) == (sub, id));
        let told = self.codes[code]
            .outbox
            .extract_if(.., |report| is_of_it(report));
        let told: Vec<_> = told.collect();
        for report in told {
            self.tell(&report);
        }
    }

    fn tell(&mut self, report: &Report) {
        let (event, alive) = match report.clone() {
            Report::Started(sub, id) => (
                Event::Started { sub, id },
                self.reference.told_started(sub, id),
            ),
            Report::Recalled(sub, started, back) => (
                Event::Recalled { sub, started, back },
                self.reference.told_recalled(sub),
            ),
            Report::Finished(sub, id, outcome, uncommitted) => {
                let Outcome {
                    took_ms, now_ms, ..
                } = outcome;
                let error: Option<Arc<str>> =
                    outcome.failed.then(|| format!("{id} at {now_ms}").into());
                let alive = (self.reference).told_finished(sub, id, took_ms, now_ms, error.clone());
                let event = Event::Finished {
                    sub,
                    id,
                    took: Duration::from_millis(took_ms),
                    now_ms,
                    error,
                    uncommitted,
                };
                (event, alive)
            }
        };
        let before = (!alive).then(|| format!("{:?}", self.core));
        self.core.on(event);
        if let Some(before) = before {
            let after = format!("{:?}", self.core);
            assert_eq!(
                before, after,
                "a report for a dead subscription changed something"
            );
        }
    }

    // ---- ticks of the event loop ----------------------------------------------------------

    pub(crate) fn tick(&mut self, tick: &Tick) {
        self.callbacks = tick.callbacks.iter().rev().copied().collect();
        self.read_limit = tick.read_limit.max(1);
        self.stalls = tick.stalls;
        self.sweep(tick.sweep);
        for sub in std::mem::take(&mut self.stalled) {
            self.core.on(Event::Yielded(sub));
        }
        self.send_control_messages();
        let mut runs = 0;
        while self.core.has_urgent()
            && let Some(dispatch) = self.core.next_dispatch(true)
        {
            runs += 1;
            assert!(runs < TICKS_TO_REST, "a tick does not end");
            let is_run = matches!(dispatch, Dispatch::Run { .. });
            assert!(is_run, "only sync callbacks are urgent");
            self.carry_out(dispatch, tick.budget);
        }
        assert!(!self.core.has_urgent(), "something urgent is left");
        self.reference.learn(&self.world, &self.core);
        self.reference.check_urgent_done(&self.world);
        self.world.end_tick();
        for dispatches in 0..tick.dispatches {
            assert!(dispatches < TICKS_TO_REST, "there is always more to do");
            let Some(dispatch) = self.core.next_dispatch(false) else {
                break;
            };
            self.carry_out(dispatch, tick.budget);
        }
        self.reference.learn(&self.world, &self.core);
        self.commit(tick.records);
        self.send_control_messages();
        for _ in 0..tick.trims {
            let trim = self.core.next_trim();
            self.reference.learn(&self.world, &self.core);
            let Some(trim) = trim else {
                break;
            };
            self.reference.check_trim(&self.world, &trim);
            let key = Key {
                db: trim.db,
                name: &trim.name,
            };
            self.world.trim(key, trim.to);
        }
        self.callbacks.clear();
        self.reference.end_tick(&self.world);
    }

    fn commit(&mut self, records: usize) {
        for _ in 0..records {
            let durable = self.core.next_durable();
            self.reference.learn(&self.world, &self.core);
            let Some(Durable::Progress(progress)) = durable else {
                if !self.reference.is_active() {
                    self.reference.nothing_is_recorded();
                }
                return;
            };
            self.reference.check_progress(&self.world, &progress);
        }
    }

    fn send_control_messages(&mut self) {
        while let Some(message) = self.core.next_control_message() {
            let (consumer, message) = match message {
                ControlMessage::Drop { consumer, sub } => (consumer, Message::Drop(sub)),
                ControlMessage::Recall { consumer, sub } => {
                    self.reference.recall_asked(sub);
                    (consumer, Message::Recall(sub))
                }
                ControlMessage::Window {
                    consumer,
                    sub,
                    window,
                } => {
                    self.reference.note_window(sub, window);
                    (consumer, Message::Window(sub, window))
                }
                ControlMessage::SlotsReleased {
                    consumer,
                    sub,
                    places,
                } => (consumer, Message::SlotsReleased(sub, places)),
                ControlMessage::Moved { .. } => continue,
            };
            if let Some(at) = self.current_code(consumer) {
                self.codes[at].inbox.push_back(message);
            }
        }
        self.reference.check_control_messages();
    }

    fn carry_out(&mut self, dispatch: Dispatch, budget: u64) {
        self.reference.learn(&self.world, &self.core);
        match dispatch {
            Dispatch::Read(request) => {
                let at = self.current_code(request.consumer).expect("it has code");
                assert_eq!(self.codes[at].mode, Mode::Async, "read for a sync callback");
                self.read(at, &request);
            }
            Dispatch::Deliver { .. } | Dispatch::ReadLetters(_) => {
                panic!("no consumer has a policy")
            }
            Dispatch::Run {
                sub,
                consumer,
                must,
                others_wait,
            } => {
                let at = self.current_code(consumer).expect("it has code");
                assert_eq!(self.codes[at].mode, Mode::Sync, "run of an async callback");
                // Where nothing was read before, this says which stream it is about.
                if let Some(request) = self.core.read_request(sub) {
                    self.reference.check_read(&self.world, &request);
                }
                self.reference.check_must(&self.world, sub, must);
                if self.stalls > 0 {
                    self.stalls -= 1;
                    self.reference.run_stalled(sub);
                    self.stalled.push(sub);
                } else {
                    self.run(at, sub, must, if others_wait { 0 } else { budget });
                }
            }
        }
    }

    /// Carries a read out; how many entries it gave.
    fn read(&mut self, at: usize, request: &ReadRequest) -> usize {
        let sub = request.sub;
        self.reference.check_read(&self.world, request);
        let key = Key {
            db: request.db,
            name: &request.name,
        };
        let stream = self.world.get(key).expect("it was just checked");
        let behind = stream.entries.iter().filter(|entry| match request.reach {
            Reach::Behind(after) => entry.id > after,
            Reach::Only(id) => entry.id == id,
            Reach::Last(_) => panic!("every consumer starts at the beginning"),
        });
        let entries: Vec<_> = behind
            .clone()
            .take(request.max.min(self.read_limit))
            .map(|entry| (entry.id, entry.bytes))
            .collect();
        let end = behind.count() == entries.len();
        self.core.on(Event::Read {
            sub,
            entries: &entries,
            end,
        });
        let window = self.core.prefetch_window(sub);
        assert_eq!(
            window,
            self.reference.prefetch_window(sub),
            "window of a prefetch queue"
        );
        let ids: Vec<_> = entries.iter().map(|(id, _)| *id).collect();
        self.reference.check_order(&self.world, sub, &ids);
        for id in &ids {
            self.reference.note_read(sub, *id);
        }
        match self.codes[at].mode {
            Mode::Sync => self.codes[at].push(sub, ids, window),
            Mode::Async => self.codes[at]
                .inbox
                .push_back(Message::Push(sub, ids, window)),
        }
        entries.len()
    }

    /// Runs a sync callback over what waits and what can be read.
    fn run(&mut self, at: usize, sub: SubscriptionKey, must: u64, budget: u64) {
        // Here and now: a notice of it may still be on its way.
        if let Some(beside) = self.codes[at].prefetches.get_mut(&sub) {
            beside.prefetch.set_window(self.core.prefetch_window(sub));
        }
        let mut handed_over = 0;
        let limit = must.saturating_add(budget);
        while handed_over < limit.max(1) && self.core.may_start(sub) {
            if self.codes[at]
                .prefetches
                .get(&sub)
                .is_none_or(|beside| beside.prefetch.waiting() == 0)
            {
                let Some(request) = self.core.read_request(sub) else {
                    break;
                };
                let is_redo = matches!(request.reach, Reach::Only(_));
                if self.read(at, &request) == 0 && !is_redo {
                    break;
                }
            } else if let Some(id) = self.start_one(at, sub) {
                handed_over += 1;
                self.call_back(at, sub, id);
            } else {
                break;
            }
        }
        self.core.on(Event::Yielded(sub));
    }

    /// What a sync callback does with an entry. The core hears of the entry when the call is over.
    fn call_back(&mut self, at: usize, sub: SubscriptionKey, id: EntryId) {
        let callback = self.callbacks.pop().unwrap_or(Callback::Returns);
        match callback {
            Callback::Promises => {
                self.tell(&Report::Started(sub, id));
                return;
            }
            Callback::Returns | Callback::Throws => {}
            Callback::AddsTo(key) => {
                self.add(key, Step::Next, 10);
                self.reference.touched_by_callback(&self.world, key);
            }
            Callback::Deletes(key) => self.remove(key),
            Callback::Renames(from, to) => self.rename(from, to),
            Callback::FlushesAll => self.flush(None),
        }
        let mut running = self.codes[at].running.iter();
        let running = running
            .position(|one| *one == (sub, id))
            .expect("it was started");
        self.finish_one(at, running, true);
        let outcome = Outcome {
            failed: matches!(callback, Callback::Throws),
            at_once: true,
            wrote: true,
            took_ms: 0,
            now_ms: 5,
        };
        self.tell(&Report::Finished(sub, id, outcome, false));
    }

    // ---- rest -----------------------------------------------------------------------------

    /// Lets everything go on until nothing is left to do, and checks that nothing was forgotten.
    pub(crate) fn settle(&mut self) {
        self.come_to_rest();
        if self.reference.is_open() {
            self.reference.check_known_complete(&self.world);
            self.scan();
            self.come_to_rest();
            self.reference.check_complete(&self.world);
            self.check_committed();
        }
        self.codes.retain(|code| code.current);
    }

    /// Where nothing is left to do, what a dump would know is what was committed: replicas know
    /// it, too.
    fn check_committed(&self) {
        for (consumer, incarnation, recorded) in self.reference.recorded() {
            for view in self.core.streams_of(consumer) {
                let key = Key {
                    db: view.db,
                    name: view.name,
                };
                let stream = self.world.get(key);
                if stream.is_some_and(|stream| stream.incarnation == incarnation) {
                    let now = view.checkpoint();
                    assert_eq!(
                        now.pending, recorded.pending,
                        "{consumer:?}, {:?}",
                        view.name
                    );
                    assert_eq!(
                        now.position, recorded.position,
                        "{consumer:?}, {:?}",
                        view.name
                    );
                }
            }
        }
    }

    fn come_to_rest(&mut self) {
        let outcome = Outcome {
            failed: false,
            at_once: false,
            wrote: true,
            took_ms: 1,
            now_ms: 9,
        };
        for _ in 0..TICKS_TO_REST {
            self.tick(&Tick::full());
            for at in 0..self.codes.len() {
                while self.codes[at].receive() {}
                let subs: Vec<_> = self.codes[at].prefetches.keys().copied().collect();
                if self.codes[at].mode == Mode::Async {
                    for sub in subs {
                        while let Some(id) = self.start_one(at, sub) {
                            self.codes[at].outbox.push(Report::Started(sub, id));
                        }
                    }
                }
                while let Some(last) = self.codes[at].running.len().checked_sub(1) {
                    let (sub, id, uncommitted) = self.finish_one(at, last, outcome.wrote);
                    self.codes[at]
                        .outbox
                        .push(Report::Finished(sub, id, outcome, uncommitted));
                }
                while let Some(report) = self.codes[at].outbox.pop() {
                    self.tell(&report);
                }
            }
            self.check();
            self.send_control_messages();
            let at_rest = self.codes.iter().all(Code::is_at_rest);
            if at_rest && self.stalled.is_empty() && !self.core.has_work() {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Ends a sequence as a primary with everything loaded and done.
    pub(crate) fn end(&mut self) {
        if self.reference.loading {
            self.set_loading(false);
        }
        self.change_role(true);
        self.refuse(None);
        self.settle();
        assert!(!self.core.has_work() && !self.core.has_urgent());
    }
}

/// IDs of the entries of a stream.
fn ids_of(world: &World, db: i32, name: &[u8]) -> Vec<EntryId> {
    let stream = world.get(Key { db, name });
    stream.map_or_else(Vec::new, |stream| {
        stream.entries.iter().map(|entry| entry.id).collect()
    })
}
