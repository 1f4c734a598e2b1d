//! Key-space triggers, from the main thread's side: an event to those it concerns, sync callbacks
//! after the command, async ones to their workers.
//!
//! An event comes in the middle of a command. Then it is only looked at: filters, rights, the
//! value, a function of the script's that may read. What comes of it waits in the trigger's
//! backlog, for the tick after the command, or for a worker.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gears_core::delivery::{Delivery, Mode};
use gears_core::triggers::{TriggerKey, TriggerSpec};
use gears_v8::ports::{CallbackId, Credentials, Database, Flags, RetainedValue, TriggerEventCall};

use super::database_handles::DatabaseHandles;
use super::deadline::Deadline;
use super::delivery_core::DeliveryCore;
use super::due_triggers::{DueEvent, DueTriggers};
use super::stream_access::Streams;
use super::trigger_table::{
    EventLimits, KeyEvent, TriggerBinding, TriggerCode, TriggerTable, TriggerView,
};
use crate::executor::{
    EnteredLibrary, LibraryExecutor, MainThreadExecutor, TriggerCall, TriggerEvent, in_db,
};

/// Bytes that an event takes beside its key and value.
const EVENT_BYTES: usize = 160;

const TOO_LARGE: &str = "the key's value is larger than trigger-queue-memory";
const REPLACED: &str = "the code that it began with was replaced";
const NO_ROOM: &str = "too many events wait (trigger-queue-length, trigger-queue-memory)";

/// The main thread's side of triggers: takes key events, runs pre-hooks and sync callbacks.
/// Used under the server's lock only.
pub(crate) struct TriggerDispatch {
    core: Rc<DeliveryCore>,
    database_handles: Rc<DatabaseHandles>,
    main_thread: Rc<MainThreadExecutor>,
    table: TriggerTable,
    due: DueTriggers,
}

impl TriggerDispatch {
    pub(super) fn new(
        core: Rc<DeliveryCore>,
        database_handles: Rc<DatabaseHandles>,
        main_thread: Rc<MainThreadExecutor>,
    ) -> Self {
        Self {
            core,
            database_handles,
            main_thread,
            table: TriggerTable::default(),
            due: DueTriggers::default(),
        }
    }

    /// Adds a trigger with its code.
    pub(crate) fn add(&self, spec: TriggerSpec, code: TriggerCode<'_>) -> TriggerKey {
        let key = self.table.registered.borrow_mut().add(spec);
        let binding = TriggerBinding::new(code, Arc::default());
        self.table.bindings.borrow_mut().insert(key, binding);
        key
    }

    /// Gives a trigger new code, owner and options. What waits for it, and what was counted, stays;
    /// but events whose pre-hook ran in the old code are left to that.
    pub(crate) fn change(&self, key: TriggerKey, spec: TriggerSpec, code: TriggerCode<'_>) {
        let table = &self.table;
        let (mode, Some(before)) = (spec.mode, table.mode(key)) else {
            return;
        };
        let Some(old) = table.binding(key) else {
            return;
        };
        table.registered.borrow_mut().change(key, spec);
        let new = TriggerBinding::new(code, Arc::clone(&old.state));
        table.bindings.borrow_mut().insert(key, new);
        if old.state.is_paused() {
            // Nothing of it is due, and the old code is gone when it goes on.
            return old.state.end_retained(REPLACED);
        }
        match before {
            Mode::Sync => self.due.leave_to(key, &old),
            Mode::Async => {
                let retained = old.state.take_retained();
                old.executor
                    .send_trigger_events(&old.call(key, before), retained);
            }
        }
        match (before, mode) {
            // Each event keeps its place among those of others.
            (Mode::Sync, Mode::Sync) => {}
            (Mode::Async, Mode::Sync) => self.due.push(key, old.state.waiting()),
            (_, Mode::Async) => {
                self.due.remove_next(key);
                self.due.note_ready(key);
            }
        }
    }

    /// Pauses a trigger, or has it go on: what waits for it then comes behind what waits for others.
    pub(crate) fn set_paused(&self, key: TriggerKey, is_paused: bool) {
        let (Some(binding), Some(mode)) = (self.table.binding(key), self.table.mode(key)) else {
            return;
        };
        let state = &binding.state;
        if state.is_paused.swap(is_paused, Ordering::AcqRel) == is_paused {
            return;
        }
        match mode {
            _ if is_paused => self.due.remove_next(key),
            Mode::Sync => self.due.push(key, state.waiting()),
            Mode::Async => self.due.note_ready(key),
        }
    }

    /// Removes a trigger, with what waits for it.
    pub(crate) fn remove(&self, key: TriggerKey) {
        let table = &self.table;
        table.registered.borrow_mut().remove(key);
        self.due.remove(key);
        table.overflows.borrow_mut().remove(key);
        if let Some(binding) = table.bindings.borrow_mut().remove(key) {
            binding.state.is_removed.store(true, Ordering::Release);
            binding.state.backlog.lock().clear("it was removed");
        }
    }

    /// What users see of a trigger.
    #[must_use]
    pub(crate) fn view(&self, key: TriggerKey) -> Option<TriggerView> {
        let binding = self.table.binding(key)?;
        let backlog = binding.state.backlog.lock();
        Some(TriggerView {
            spec: self.table.registered.borrow().spec(key)?.clone(),
            metadata: binding.metadata.clone(),
            stats: backlog.stats.clone(),
            waiting: backlog.waiting(),
            is_paused: binding.state.is_paused(),
        })
    }

    /// Counts anew.
    pub(crate) fn clear_stats(&self, key: TriggerKey) {
        if let Some(binding) = self.table.binding(key) {
            binding.state.backlog.lock().clear_stats();
        }
    }

    /// Whether there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.registered.borrow().is_empty()
    }

    /// Whether any trigger wants to hear of reads that found nothing.
    #[must_use]
    pub(crate) fn want_misses(&self) -> bool {
        self.table.registered.borrow().want_misses()
    }

    /// Whether any trigger has a pre-hook.
    #[must_use]
    pub(crate) fn has_pre_hooks(&self) -> bool {
        let bindings = self.table.bindings.borrow();
        bindings.values().any(|one| one.on_fired.is_some())
    }

    /// Something happened to a key.
    pub(crate) fn on_key_event(&self, happened: &dyn KeyEvent, limits: EventLimits) {
        if !self.core.inspect(Delivery::is_active) {
            return;
        }
        let table = &self.table;
        let place = happened.key();
        let concerned = table
            .registered
            .borrow()
            .concerned(happened.event(), place.name, || happened.key_type());
        if concerned.is_empty() || !happened.is_of_this_server() {
            return;
        }
        let since = Instant::now();
        let event = table.name_of(happened.event());
        for key in concerned {
            let Some(binding) = table.binding(key) else {
                continue;
            };
            if let Err(lack) = table.authorize(happened, &binding.credentials.user) {
                binding.state.backlog.lock().refuse(lack.into());
                continue;
            }
            let trigger_event = TriggerEvent {
                event: Arc::clone(&event),
                db: self.database_handles.of(place.db),
                key: place.name.into(),
                value: None,
                retained: None,
                since,
            };
            self.note_event(happened, key, &binding, trigger_event, limits);
        }
    }

    /// Puts an event into a trigger's backlog, with what its callback is to get.
    fn note_event(
        &self,
        happened: &dyn KeyEvent,
        key: TriggerKey,
        binding: &TriggerBinding,
        mut trigger_event: TriggerEvent,
        EventLimits { bounds, patience }: EventLimits,
    ) {
        let table = &self.table;
        let Some((mode, reads)) = table
            .registered
            .borrow()
            .spec(key)
            .map(|one| (one.mode, one.read_value))
        else {
            return;
        };
        let lose = |reason| {
            binding.state.backlog.lock().lose(reason);
            table.note_dropped(key, binding, reason);
        };
        let bytes = EVENT_BYTES + trigger_event.key.len();
        // For what there is no room for nothing is copied, and no script is run.
        let room = binding.state.backlog.lock().room(bounds);
        let Some(room) = room.and_then(|room| room.checked_sub(bytes)) else {
            return lose(NO_ROOM);
        };
        if reads {
            trigger_event.value = happened.value(room);
            if trigger_event.value.is_none() {
                let is_all = room + bytes == bounds.bytes;
                return lose(if is_all { TOO_LARGE } else { NO_ROOM });
            }
        }
        if let Some(function) = binding.on_fired {
            match self.run_pre_hook(happened, binding, function, &trigger_event, patience) {
                Ok(retained) => trigger_event.retained = Some(retained),
                Err(error) => return binding.state.backlog.lock().refuse(error),
            }
        }
        let value = trigger_event
            .value
            .as_ref()
            .map_or(0, |value| value.packed().len());
        let bytes = bytes + value;
        let mut backlog = binding.state.backlog.lock();
        if !backlog.has_room(bytes, bounds) {
            // What the script read has brought other events.
            drop(backlog);
            return lose(NO_ROOM);
        }
        backlog.push(trigger_event, bytes);
        drop(backlog);
        match mode {
            // It waits in the backlog alone.
            _ if binding.state.is_paused() => {}
            Mode::Sync => self.due.push(key, 1),
            Mode::Async => self.due.note_ready(key),
        }
    }

    /// Runs a pre-hook, while the event happens.
    fn run_pre_hook(
        &self,
        happened: &dyn KeyEvent,
        binding: &TriggerBinding,
        function: CallbackId,
        trigger_event: &TriggerEvent,
        patience: Duration,
    ) -> Result<RetainedValue, Arc<str>> {
        let nowhere = "on_trigger_fired cannot run while other code of a library does";
        if !happened.is_on_main_thread() {
            return Err(nowhere.into());
        }
        let credentials = Credentials {
            db: trigger_event.db,
            flags: Flags::NO_WRITES,
            ..(*binding.credentials).clone()
        };
        let call = TriggerEventCall {
            callback: function,
            background: None,
            event: &trigger_event.event,
            key: &trigger_event.key,
            value: trigger_event.value.as_ref(),
            retained: None,
            token: 0,
        };
        let retained = self
            .main_thread
            .with(&binding.executor, patience, |library| {
                let mut retained = Err(nowhere.into());
                happened.run_pre_hook(&credentials, &mut |server| {
                    if library
                        .enter_within_command(server, |run| retained = run.run_pre_hook(&call))
                    {
                        self.due.note_to_resume(&binding.executor);
                    }
                });
                retained
            });
        retained.unwrap_or_else(|| Err(nowhere.into()))
    }

    /// Runs sync callbacks that wait, as long as there is time.
    pub(super) fn run_due(&self, streams: &dyn Streams, deadline: Deadline) {
        if !self.due.is_due() {
            return;
        }
        let mut stalled: Vec<DueEvent> = Vec::new();
        let mut busy: Vec<Arc<LibraryExecutor>> = Vec::new();
        let mut now = self.core.now();
        while now < deadline.latest {
            let Some(due) = self.due.pop() else {
                break;
            };
            let key = due.key();
            let (binding, mut retained) = match due {
                DueEvent::Retained(retained) => (retained.1, Some(retained.2)),
                DueEvent::Next(_) => match self.table.binding(key) {
                    Some(binding) => (binding, None),
                    None => continue,
                },
            };
            let is_retained = retained.is_some();
            let is_busy = busy.iter().any(|one| Arc::ptr_eq(one, &binding.executor));
            let patience = deadline.latest.saturating_duration_since(now);
            let ran = !is_busy
                && self
                    .main_thread
                    .with(&binding.executor, patience, |library| {
                        let call = binding.call(key, Mode::Sync);
                        let trigger_event = retained.take().or_else(|| call.state.take());
                        if let Some(trigger_event) = trigger_event {
                            let follow = |db| {
                                let is_one = !is_retained && self.due.is_next(key);
                                let is_time = || self.core.look() < deadline.latest;
                                let next = || self.next_due(&call, db);
                                (is_one && is_time()).then(next).flatten()
                            };
                            run_due(streams, library, &binding, &call, trigger_event, &follow);
                        }
                    })
                    .is_some();
            if !ran {
                busy.push(Arc::clone(&binding.executor));
                stalled.push(match retained {
                    Some(trigger_event) => {
                        DueEvent::Retained(Box::new((key, binding, trigger_event)))
                    }
                    None => DueEvent::Next(key),
                });
            }
            now = self.core.look();
        }
        self.due.put_back(stalled);
    }

    /// The next event that is due and of this trigger, if it is of that database.
    fn next_due(&self, call: &TriggerCall, db: Database) -> Option<TriggerEvent> {
        let trigger_event = call.state.take_in(db)?;
        self.due.pop();
        Some(trigger_event)
    }

    /// Whether sync callbacks wait.
    pub(super) fn is_due(&self) -> bool {
        self.due.is_due()
    }

    /// Whether the main thread has something to do for triggers.
    pub(super) fn has_work(&self) -> bool {
        self.due.has_work()
    }

    /// Drops all that waits, for this reason.
    pub(super) fn drop_waiting(&self, reason: &str) {
        self.due.drop_all(reason);
        self.table.drop_waiting(reason);
    }

    /// An event-loop iteration ends.
    pub(super) fn end_iteration(&self) {
        self.table.end_iteration();
    }

    /// Has workers resume the continuations that could not run in the middle of a command.
    pub(crate) fn resume_workers(&self) {
        for executor in self.due.take_to_resume() {
            executor.resume_continuations();
        }
    }

    /// Tells the workers of what is new for them.
    pub(super) fn send_ready(&self) {
        for key in self.due.take_ready() {
            if let Some(binding) = self.table.binding(key) {
                binding
                    .executor
                    .send_trigger(binding.call(key, Mode::Async));
            }
        }
    }
}

/// Runs a sync callback over an event, and over those that follow in the same batch.
fn run_due(
    streams: &dyn Streams,
    library: &EnteredLibrary<'_>,
    binding: &TriggerBinding,
    call: &TriggerCall,
    trigger_event: TriggerEvent,
    follow: &dyn Fn(Database) -> Option<TriggerEvent>,
) {
    let db = trigger_event.db;
    let credentials = in_db(&binding.credentials, db);
    let mut next = Some(trigger_event);
    streams.act(&credentials, &mut |server| {
        library.enter(server, |run| {
            while let Some(trigger_event) = next.take() {
                run.run_trigger_event(call, &trigger_event);
                next = follow(db);
            }
        });
    });
}
