//! The main thread's side: asks the delivery core what to do, does it, and tells it what happened.
//!
//! A *tick* comes once per iteration of the server's event loop, before it sleeps, and, where the
//! server can, right after a command that added entries. What a tick dispatches:
//!
//! * to sync consumers, every entry that was added since the last tick, so that writers find their
//!   entries processed when their replies arrive; unless that holds up the server for longer than
//!   scripts may;
//! * everything else (backlogs, and batches for workers) as far as the time budget reaches; the
//!   rest is for the next tick, which then comes at once.

use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hashbrown::HashSet;

use gears_core::delivery::{
    ConsumerKey, ConsumerSpec, ControlMessage, Delivery, DeliveryState, Dispatch, EntryId, Event,
    KeyRef, Reach, ReadRequest, RecordBatch, Refusal, SubscriptionKey,
};
use gears_v8::ports::{Function, Reply, Server};

use super::bindings::{Binding, Bindings, Code};
use super::database_handles::DatabaseHandles;
use super::nesting::{DEPTH_MAX, Nesting};
use super::on_registered::RegisteredHooks;
use super::streams::{ConsumerName, Streams};
use super::trigger_table::TriggerTable;
use crate::executor::EnteredLibrary;
use crate::executor::LibraryExecutor;
use crate::executor::MainThreadExecutor;
use crate::executor::{Clock, Completion, Completions};
use crate::executor::{Responder, Target};

/// How long a consumer waits that was refused its stream, before it is tried again.
const REFUSED: Duration = Duration::from_millis(200);

/// Milliseconds after which the server is asked again whether it takes writes, at the latest.
const REFUSED_MS: u64 = 100;

/// What came of calling a function on the main thread.
pub(crate) enum Called {
    /// Nothing: other code of the library runs.
    Busy,
    /// A promise, for which its caller waits.
    Waits,
    /// The reply.
    Answered(Reply),
}

impl Called {
    /// The reply there is; none where the caller waits.
    pub(crate) fn into_reply(self, executor: &LibraryExecutor) -> Option<Reply> {
        match self {
            Self::Busy => Some(executor.busy()),
            Self::Waits => None,
            Self::Answered(reply) => Some(reply),
        }
    }
}

/// How far a tick may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickLimits {
    /// Only what sync consumers must be given before the writers get their replies.
    pub only_urgent: bool,
    /// Time for everything else.
    pub budget: Duration,
    /// How long scripts may hold up one event-loop iteration, whatever is urgent: what is left
    /// then is backlog.
    pub script_budget: Duration,
}

/// When a tick ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    /// For what is not urgent.
    end: Instant,
    /// For everything.
    pub(crate) latest: Instant,
}

/// See the module's description. Used by the main thread only.
pub(crate) struct Dispatcher {
    pub(crate) delivery: RefCell<Delivery>,
    pub(crate) bindings: Bindings,
    completions: Arc<Completions>,
    /// Subscriptions whose library was busy: for the next tick.
    pub(crate) stalled: RefCell<Vec<SubscriptionKey>>,
    /// Subscriptions whose owner may have the stream, as of this event-loop iteration.
    authorized: RefCell<HashSet<SubscriptionKey>>,
    /// Subscriptions whose owner may not have the stream, and when to try again.
    refused: RefCell<Vec<(SubscriptionKey, Instant)>>,
    pub(crate) nesting: Nesting,
    pub(crate) main_thread: MainThreadExecutor,
    pub(crate) triggers: TriggerTable,
    pub(crate) registered_hooks: RegisteredHooks,
    pub(crate) database_handles: DatabaseHandles,
    /// Code that was replaced, and may have entries that it did not finish.
    shutting_down: RefCell<Vec<Weak<LibraryExecutor>>>,
    /// Whether sync callbacks ran commands since progress was committed.
    pub(crate) acted: Cell<bool>,
    /// Whether it is known, of this event-loop iteration, whether the server takes writes.
    asked: Cell<bool>,
    /// Time that urgent work of this event-loop iteration has taken.
    urgent_time: Cell<Duration>,
    clock: Clock,
}

impl Dispatcher {
    /// A dispatcher of an empty core.
    #[must_use]
    pub(crate) fn new(primary: bool, completions: Arc<Completions>) -> Self {
        Self {
            delivery: RefCell::new(Delivery::new(primary)),
            bindings: Bindings::default(),
            completions,
            stalled: RefCell::default(),
            authorized: RefCell::default(),
            refused: RefCell::default(),
            nesting: Nesting::default(),
            main_thread: MainThreadExecutor::default(),
            triggers: TriggerTable::default(),
            registered_hooks: RegisteredHooks::default(),
            database_handles: DatabaseHandles::default(),
            shutting_down: RefCell::default(),
            acted: Cell::default(),
            asked: Cell::default(),
            urgent_time: Cell::default(),
            clock: Clock::start(),
        }
    }

    /// Tells the core a fact.
    pub(crate) fn on(&self, event: Event<'_>) {
        if let Event::Appended(key) = event {
            self.nesting.note_appended(key);
            // A batch may begin with it.
            self.set_time();
        }
        if let Event::Resumed { .. } = event {
            // What is committed may be of another clock.
            self.set_time();
        }
        if let Event::RoleChanged { primary } = event {
            self.registered_hooks.call_again();
            if !primary {
                self.triggers.drop_waiting("the server became a replica");
            }
        }
        let moves = match event {
            Event::Swapped(a, b) => {
                self.database_handles.swap(a, b);
                self.nesting.swapped(a, b);
                false
            }
            Event::Moved { from, to } => {
                self.nesting.moved(from, to);
                true
            }
            _ => false,
        };
        self.delivery.borrow_mut().on(event);
        if moves {
            // Before anything more of it is started.
            self.send_control_messages();
        }
    }

    /// Sets why nothing is dispatched of any stream of a consumer, as it was committed.
    pub(crate) fn set_consumer_state(&self, consumer: ConsumerKey, delivery_state: &DeliveryState) {
        self.set_time();
        self.update(|delivery| delivery.set_consumer_state(consumer, delivery_state));
    }

    /// Finds out where consumers begin with a stream of which that is not known yet. To be called
    /// with every event that tells of a stream, before anything else happens to that.
    pub(crate) fn place(&self, streams: &dyn Streams, key: KeyRef<'_>) {
        while let Some(request) = self.update(|core| core.next_start_request(key)) {
            self.answer_start_request(streams, &request);
        }
    }

    fn answer_start_request(&self, streams: &dyn Streams, request: &ReadRequest) {
        if let Reach::Last(skip) = request.reach {
            let position = streams.last(request, skip);
            let sub = request.sub;
            self.on(Event::StartResolved { sub, position });
        }
    }

    /// The number that the database has now which had this one when the server started.
    #[must_use]
    pub(crate) fn database_of(&self, home: i32) -> i32 {
        self.database_handles.number(home)
    }

    /// What a consumer's callback needs for streams of this database.
    pub(crate) fn binding(&self, consumer: ConsumerKey, db: i32) -> Option<Binding> {
        self.bindings.get(consumer, self.database_handles.of(db))
    }

    /// A script added an entry.
    pub(crate) fn note_added(&self, key: KeyRef<'_>, id: EntryId) {
        if self.delivery.borrow().has_sync_consumer(key) {
            self.nesting.note_added(key, id);
        }
    }

    /// Why an entry must not be added to this stream now, if it must not.
    pub(crate) fn refuses_append(&self, key: KeyRef<'_>) -> Option<String> {
        (self.nesting.is_too_deep() && self.delivery.borrow().has_sync_consumer(key)).then(|| {
            format!(
                "ERR callbacks of stream consumers are nested too deeply: this entry would be processed {DEPTH_MAX} callbacks away from the one a client added"
            )
        })
    }

    /// Calls a function here and now. Where its caller has to wait and nobody can, `wait` gives the
    /// error.
    pub(crate) fn call_function(
        &self,
        executor: &Arc<LibraryExecutor>,
        function: &Function,
        arguments: &[&[u8]],
        server: &dyn Server,
        patience: Duration,
        wait: &mut dyn FnMut() -> Result<Box<dyn Responder>, Reply>,
    ) -> Called {
        let called = self.main_thread.with(executor, patience, |library| {
            library.call_function(function, arguments, server, wait)
        });
        match called {
            None => Called::Busy,
            Some(None) => Called::Waits,
            Some(Some(reply)) => Called::Answered(reply),
        }
    }

    /// Whether a sync function of a library could be called now. Where not, another tick comes
    /// when that may be.
    #[must_use]
    pub(crate) fn is_free(&self, executor: &Arc<LibraryExecutor>) -> bool {
        self.main_thread.is_free(executor)
    }

    /// Leaves the isolate slot where the main thread may still be. To be called before it sleeps,
    /// and before another library is loaded.
    pub(crate) fn leave_isolate(&self) {
        self.main_thread.leave();
    }

    /// Looks at the core.
    pub(crate) fn inspect<R>(&self, look: impl FnOnce(&Delivery) -> R) -> R {
        look(&self.delivery.borrow())
    }

    /// Whether sync callbacks have to run before the writers get their replies.
    #[must_use]
    pub(crate) fn has_urgent(&self) -> bool {
        let delivery = self.delivery.borrow();
        (self.triggers.is_due() && self.may_call()) || delivery.has_urgent()
    }

    /// Whether there is anything to do in a tick.
    #[must_use]
    pub(crate) fn has_work(&self) -> bool {
        let delivery = self.delivery.borrow();
        let has_calls = self.triggers.has_work() || self.registered_hooks.has_work();
        (has_calls && self.may_call()) || delivery.has_work()
    }

    /// Adds a consumer with its code.
    pub(crate) fn add_consumer(
        &self,
        name: ConsumerName,
        spec: ConsumerSpec,
        code: Code<'_>,
    ) -> ConsumerKey {
        let binding = Binding::new(name, code, &spec);
        let key = self.delivery.borrow_mut().add_consumer(spec);
        self.bind(key, binding);
        key
    }

    /// Adds a consumer that waits for its code.
    pub(crate) fn add_suspended_consumer(&self, spec: ConsumerSpec) -> ConsumerKey {
        let mut delivery = self.delivery.borrow_mut();
        let key = delivery.add_consumer(spec);
        delivery.suspend_consumer(key);
        key
    }

    /// Takes a consumer's code away: it waits for other code.
    pub(crate) fn suspend_consumer(&self, key: ConsumerKey) {
        self.delivery.borrow_mut().suspend_consumer(key);
        self.send_control_messages();
        self.bindings.remove(key);
    }

    /// Gives a consumer new code and owner, and all it asks for but the keys that it wants.
    pub(crate) fn change_consumer(
        &self,
        key: ConsumerKey,
        name: ConsumerName,
        spec: ConsumerSpec,
        code: Code<'_>,
    ) {
        let binding = Binding::new(name, code, &spec);
        self.delivery.borrow_mut().change_consumer(key, spec);
        // The recalls are for the code that has the entries.
        self.send_control_messages();
        self.bind(key, binding);
    }

    /// Removes a consumer with its progress.
    pub(crate) fn remove_consumer(&self, key: ConsumerKey) {
        self.delivery.borrow_mut().remove_consumer(key);
        // What was read ahead is removed from the task queue of the code that has it.
        self.send_control_messages();
        self.bindings.remove(key);
    }

    /// Lets the code of a library end. What it does not finish within some time is dispatched
    /// again, to the code that took its place. To be called when its consumers have that.
    pub(crate) fn shut_down(&self, executor: &Arc<LibraryExecutor>, deleted: bool) {
        executor.shut_down(deleted);
        // It lives as long as its worker has something to do, and is over with it then.
        self.shutting_down
            .borrow_mut()
            .push(Arc::downgrade(executor));
    }

    /// Takes back what code has not finished that was replaced some time ago; until then, looks
    /// after what it waits for. To be called now and then.
    pub(crate) fn reclaim_unfinished(&self) {
        let goes_on = |one: &Weak<LibraryExecutor>| {
            let executor = one.upgrade().filter(|executor| !executor.give_up());
            executor.inspect(LibraryExecutor::pump).is_some()
        };
        self.shutting_down.borrow_mut().retain(goes_on);
    }

    fn bind(&self, key: ConsumerKey, binding: Binding) {
        // Another owner may have other rights.
        self.authorized.borrow_mut().clear();
        self.bindings.insert(key, binding);
    }

    /// One tick. See the module's description.
    pub(crate) fn tick(&self, streams: &dyn Streams, limits: TickLimits) {
        self.catch_up();
        if !limits.only_urgent {
            // Who was let in before may have changed what the server takes.
            self.asked.set(false);
        }
        self.ask(streams);
        let start = Instant::now();
        let deadline = Deadline {
            end: start + limits.budget,
            latest: start + limits.script_budget.saturating_sub(self.urgent_time.get()),
        };
        // Without memory triggers run: only what needs some is refused.
        if self.may_call() {
            self.run_due_triggers(streams, deadline);
            if !limits.only_urgent {
                self.send_ready_triggers();
                self.call_hooks(streams, limits.script_budget);
            }
        }
        if !limits.only_urgent {
            self.go_on_with_left();
        }
        while let Some(dispatch) = self.update(|core| core.next_dispatch(limits.only_urgent)) {
            self.carry_out(streams, dispatch, deadline);
            if !limits.only_urgent && Instant::now() >= deadline.end {
                break;
            }
        }
        while let Some(dispatch) = self.update(|core| core.next_dispatch(true)) {
            self.carry_out(streams, dispatch, deadline);
        }
        // What a busy library has not done yet is as deep in the next tick.
        let has_stalled = !self.stalled.borrow().is_empty();
        if !has_stalled && !self.delivery.borrow().has_dispatches() {
            self.nesting.end();
        }
        // What was written goes with the progress that it means, and a dead letter with the
        // failure: a dump that is taken next knows of both or of neither. Without that, progress
        // may wait for the end of the event-loop iteration, and the next one of the same stream
        // take its place.
        let has_dead_letters = self.inspect(Delivery::has_dead_letters);
        if !limits.only_urgent || self.acted.get() || has_dead_letters {
            self.commit(streams);
        }
        self.send_control_messages();
        if limits.only_urgent {
            self.urgent_time
                .set(self.urgent_time.get() + start.elapsed());
            return;
        }
        self.urgent_time.set(Duration::ZERO);
        self.asked.set(false);
        self.authorized.borrow_mut().clear();
        self.triggers.end_round();
        while let Some(trim) = self.update(Delivery::next_trim) {
            streams.trim(&trim);
            if Instant::now() >= deadline.end {
                break;
            }
        }
        if self.has_work() {
            self.completions.wake();
        }
    }

    /// Asks the server whether it takes writes, once in an event-loop iteration, where it
    /// matters.
    fn ask(&self, streams: &dyn Streams) {
        let (wants, next) = {
            let delivery = self.delivery.borrow();
            let has_calls = self.triggers.has_work() || self.registered_hooks.has_work();
            let wants = has_calls || delivery.wants_to_write();
            // Where all is with workers, it is they who find out.
            let waits = delivery.refusal().is_some() || streams.blocks_wait();
            (wants || waits, delivery.next_stream())
        };
        if wants && !self.asked.replace(true) {
            self.note_refusal(streams.refusal(next.as_deref().unwrap_or_default()));
        }
    }

    fn note_refusal(&self, refusal: Option<Refusal>) {
        let is_news = self.delivery.borrow().refusal() != refusal.as_ref();
        if is_news {
            self.on(Event::WritesRefused(refusal));
        }
    }

    /// Whether triggers and hooks may be called: they are not redelivered.
    fn may_call(&self) -> bool {
        let delivery = self.delivery.borrow();
        delivery.refusal().is_none_or(|refusal| refusal.may_trim)
    }

    /// Whether the server refused writes when it was asked last.
    pub(crate) fn is_refused(&self) -> bool {
        self.delivery.borrow().refusal().is_some()
    }

    /// Whether there is no memory any more for what callbacks write.
    pub(crate) fn is_full(&self, streams: &dyn Streams) -> bool {
        let is_full = streams.is_full();
        if is_full {
            self.note_refusal(streams.refusal(b""));
        }
        is_full
    }

    /// Puts committed what the core decided: dead letters with the progress that they mean.
    pub(crate) fn commit(&self, streams: &dyn Streams) {
        self.acted.set(false);
        self.write_dead_letters(streams);
        while let Some(progress) = self.update(Delivery::next_progress) {
            if let Some(name) = self.bindings.name(progress.consumer) {
                streams.record(&name, &progress);
            }
        }
        while let Some((consumer, delivery_state)) = self.update(Delivery::next_consumer_state) {
            if let Some(name) = self.bindings.name(consumer) {
                streams.commit_consumer_state(&name, &delivery_state);
            }
        }
    }

    /// Changes the core, or asks it for a decision; it is not borrowed any more afterwards.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Delivery) -> R) -> R {
        change(&mut self.delivery.borrow_mut())
    }

    /// When another tick is wanted, in Unix milliseconds as [`Dispatcher::set_time`] tells them.
    #[must_use]
    pub(crate) fn next_time(&self) -> Option<u64> {
        let next = self.delivery.borrow().next_time();
        let look = self.is_refused().then(|| self.time() + REFUSED_MS);
        next.into_iter().chain(look).min()
    }

    /// The time that passed since the dispatcher was made, put on top of the wall clock as it was
    /// then: it does not jump.
    #[must_use]
    pub(crate) fn time(&self) -> u64 {
        self.clock.wall_ms(Instant::now())
    }

    pub(crate) fn set_time(&self) {
        self.delivery.borrow_mut().set_time(self.time());
    }

    fn carry_out(&self, streams: &dyn Streams, dispatch: Dispatch, deadline: Deadline) {
        match dispatch {
            Dispatch::Read(request) => self.read_ahead(streams, &request),
            Dispatch::Run {
                sub,
                consumer,
                must,
                others_wait,
            } => {
                let most = if others_wait { must } else { u64::MAX };
                self.run(streams, sub, consumer, must..=most, deadline);
            }
            Dispatch::Deliver {
                sub,
                consumer,
                batch,
            } => self.deliver(streams, sub, consumer, batch, deadline),
        }
    }

    /// Makes sure that another tick comes soon.
    pub(crate) fn wake(&self) {
        self.completions.wake();
    }

    /// Takes note of what the workers reported, and tells them what they have to know. Part of
    /// every tick; alone where there is none, on a replica.
    pub(crate) fn catch_up(&self) {
        self.set_time();
        self.take_completions();
        if !self.delivery.borrow().is_active() {
            // Nothing is committed here; what waited for it goes on.
            while self.update(Delivery::next_progress).is_some() {}
        }
        self.send_control_messages();
    }

    fn take_completions(&self) {
        self.hear();
        let mut delivery = self.delivery.borrow_mut();
        for sub in self.stalled.take() {
            delivery.on(Event::Yielded(sub));
        }
        let mut refused = self.refused.borrow_mut();
        if !refused.is_empty() {
            let now = Instant::now();
            refused.retain(|(sub, until)| {
                let waits = now < *until;
                if !waits {
                    delivery.on(Event::Yielded(*sub));
                }
                waits
            });
        }
    }

    /// Tells the core what workers reported.
    fn hear(&self) {
        let mut completions = Vec::new();
        self.completions.take(&mut completions);
        self.tell(&mut completions);
    }

    fn send_control_messages(&self) {
        loop {
            let Some(message) = self.delivery.borrow_mut().next_control_message() else {
                return;
            };
            let (ControlMessage::Drop { consumer, .. }
            | ControlMessage::Recall { consumer, .. }
            | ControlMessage::Window { consumer, .. }
            | ControlMessage::Moved { consumer, .. }
            | ControlMessage::SlotsReleased { consumer, .. }) = message;
            match (self.bindings.executor(consumer), message) {
                (Some(executor), ControlMessage::Moved { sub, .. }) => {
                    let place = self.inspect(|delivery| delivery.stream_of(sub));
                    if let Some((db, stream)) = place
                        && let Some(binding) = self.binding(consumer, db)
                    {
                        executor.relocate(sub, &stream, &binding.credentials);
                    }
                }
                (Some(executor), message) => {
                    executor.carry_out(&message);
                    if let ControlMessage::Recall { .. } = message {
                        self.hear();
                    }
                }
                // Without code nothing waits beside it.
                (None, ControlMessage::Recall { sub, .. }) => self.on(Event::Recalled {
                    sub,
                    started: EntryId::ZERO,
                    back: Vec::new(),
                }),
                (None, _) => {}
            }
        }
    }

    /// Whether the owner may have the stream. Where not, it is tried again a little later: nothing
    /// is lost.
    pub(crate) fn authorize(
        &self,
        streams: &dyn Streams,
        sub: SubscriptionKey,
        binding: &Binding,
        stream: &[u8],
    ) -> bool {
        if self.authorized.borrow().contains(&sub) {
            return true;
        }
        let Err(error) = streams.authorize(&binding.credentials, stream, binding.trims) else {
            self.authorized.borrow_mut().insert(sub);
            return true;
        };
        self.on(Event::Refused {
            sub,
            error: error.into(),
        });
        let mut refused = self.refused.borrow_mut();
        let again = Instant::now() + REFUSED;
        match refused.iter_mut().find(|(other, _)| *other == sub) {
            Some((_, until)) => *until = again,
            None => refused.push((sub, again)),
        }
        false
    }

    /// Reads entries and tells the core. What is for a consumer with a policy stays there.
    fn read(&self, streams: &dyn Streams, request: &ReadRequest) -> RecordBatch {
        let sub = request.sub;
        if request.batched {
            let (batch, end) = streams.read(request);
            self.on(Event::Fetched { sub, batch, end });
            return RecordBatch::default();
        }
        let (batch, end) = streams.read(request);
        let entries: Vec<_> = batch.sizes().collect();
        self.on(Event::Read {
            sub: request.sub,
            entries: &entries,
            end,
        });
        batch
    }

    /// Reads entries for an async callback and sends them to its worker.
    fn read_ahead(&self, streams: &dyn Streams, request: &ReadRequest) {
        if let Reach::Last(_) = request.reach {
            // That needs neither code nor rights.
            self.answer_start_request(streams, request);
            return;
        }
        let Some(binding) = self.binding(request.consumer, request.db) else {
            return;
        };
        if !self.authorize(streams, request.sub, &binding, &request.name) {
            return;
        }
        let batch = self.read(streams, request);
        // Reading may find the key expired, and the subscription gone with it.
        if batch.is_empty() || !self.delivery.borrow().may_start(request.sub) {
            return;
        }
        let window = self.delivery.borrow().prefetch_window(request.sub);
        binding.executor.send_records(
            request.sub,
            &binding.target,
            &request.name,
            &binding.credentials,
            window,
            batch,
        );
    }

    /// Runs a sync callback over as many entries as it must get now, and over more while there is
    /// time.
    fn run(
        &self,
        streams: &dyn Streams,
        sub: SubscriptionKey,
        consumer: ConsumerKey,
        count: RangeInclusive<u64>,
        deadline: Deadline,
    ) {
        let Some((db, name)) = self.delivery.borrow().stream_of(sub) else {
            return;
        };
        let Some(binding) = self.binding(consumer, db) else {
            return;
        };
        if !self.authorize(streams, sub, &binding, &name) {
            return;
        }
        let patience = if *count.start() > 0 {
            deadline.latest
        } else {
            deadline.end
        };
        let patience = patience.saturating_duration_since(Instant::now());
        let ran = self
            .main_thread
            .with(&binding.executor, patience, |library| {
                library.set_window(sub, self.delivery.borrow().prefetch_window(sub));
                streams.act(&binding.credentials, &mut |server| {
                    let target = &binding.target;
                    self.run_entries(streams, server, library, target, sub, &count, deadline);
                })
            });
        self.acted.set(self.acted.get() || ran == Some(true));
        self.nesting.pause();
        if ran.is_none() {
            self.stalled.borrow_mut().push(sub);
            return;
        }
        self.on(Event::Yielded(sub));
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one step of `run`")]
    fn run_entries(
        &self,
        streams: &dyn Streams,
        server: &dyn Server,
        library: &EnteredLibrary<'_>,
        target: &Target,
        sub: SubscriptionKey,
        count: &RangeInclusive<u64>,
        deadline: Deadline,
    ) {
        let clock = Clock::start();
        let mut completions = Vec::new();
        let mut started = 0;
        library.enter(|session| {
            let mut now = Instant::now();
            loop {
                if !self.delivery.borrow().may_start(sub) || self.is_full(streams) {
                    break;
                }
                let is_enough = started >= *count.start() && now >= deadline.end;
                if started >= *count.end() || now >= deadline.latest || is_enough {
                    break;
                }
                let mut begin = |id| {
                    if let Some((db, name)) = self.delivery.borrow().stream_of(sub) {
                        self.nesting.begin(KeyRef { db, name: &name }, id);
                    }
                };
                let ran = library.run_entry(session, server, sub, &clock, now, &mut begin);
                let Some(after) = ran else {
                    // Nothing waits, or the window is full.
                    let Some(request) = self.next_read(sub) else {
                        break;
                    };
                    let batch = self.read(streams, &request);
                    if batch.is_empty() {
                        if let Reach::Only(_) = request.reach {
                            // That one is gone; there may be more.
                            continue;
                        }
                        break;
                    }
                    let window = self.delivery.borrow().prefetch_window(sub);
                    library.push_records(sub, target, &request.name, window, batch);
                    now = Instant::now();
                    continue;
                };
                now = after;
                started += 1;
                library.take_completions(&mut completions);
                self.tell(&mut completions);
            }
        });
    }

    fn next_read(&self, sub: SubscriptionKey) -> Option<ReadRequest> {
        self.delivery.borrow_mut().read_request(sub)
    }

    pub(crate) fn tell(&self, completions: &mut Vec<Completion>) {
        let mut delivery = self.delivery.borrow_mut();
        for completion in completions.drain(..) {
            delivery.on(completion);
        }
    }
}
