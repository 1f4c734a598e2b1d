//! Key-space triggers, from the main thread's side: an event to those it concerns, sync callbacks
//! after the command, async ones to their workers.
//!
//! An event comes in the middle of a command. Then it is only looked at: filters, rights, the
//! value, a function of the script's that may read. What comes of it waits in the trigger's
//! backlog, for the turn after the command, or for a worker, which takes from the backlog by
//! itself. So an upgrade finds there what its old code has not begun.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;
use slotmap::SecondaryMap;

use crate::engine::{CallbackId, Flags, Grant, Held, Label, Notification, Outcome, Server};
use crate::keyspace::{
    Backlog, Bounds, Full, KeyType, KeyValue, TriggerKey, TriggerSpec, TriggerStats, Triggers,
};
use crate::stream::{KeyRef, Mode};

use super::driver::{Deadline, Driver};
use super::runner::Runner;
use super::streams::{ConsumerName, Streams};

/// Bytes that an event takes beside its key and value.
const EVENT_BYTES: usize = 160;
/// Names of events that are kept.
const NAMES_KEPT: usize = 1000;
/// How often an overflow is told in the log at most.
const WARN: Duration = Duration::from_secs(1);

/// What happened to a key, while the server waits.
pub trait KeyEvent {
    /// What happened.
    fn event(&self) -> &[u8];

    /// To which key.
    fn key(&self) -> KeyRef<'_>;

    /// What the key holds now.
    fn key_type(&self) -> KeyType;

    /// The key's value; `None` where it has more bytes than that.
    fn value(&self, most: usize) -> Option<KeyValue>;

    /// Whether a user may read the key.
    ///
    /// # Errors
    /// With what the user lacks.
    fn may_read(&self, user: &str) -> Result<(), String>;

    /// Whether scripts can be run here.
    fn is_on_main_thread(&self) -> bool;

    /// Runs `work` with the server as it is to that user, for reading.
    fn look(&self, grant: &Grant, work: &mut dyn FnMut(&dyn Server));
}

/// An event that waits for a callback.
pub(super) struct Firing {
    event: Arc<str>,
    db: i32,
    key: Box<[u8]>,
    value: Option<KeyValue>,
    held: Option<Held>,
    since: Instant,
}

/// What waits for a trigger and what is counted of it: used by the main thread and by a worker.
#[derive(Default)]
pub struct TriggerState(Mutex<Backlog<Firing>>);

impl TriggerState {
    pub(super) fn take(&self) -> Option<Firing> {
        self.0.lock().take()
    }

    /// The next one, if it is of that database.
    fn take_in(&self, db: i32) -> Option<Firing> {
        let mut backlog = self.0.lock();
        let is_there = backlog.first().is_some_and(|firing| firing.db == db);
        if is_there { backlog.take() } else { None }
    }

    /// The callback is done with an event.
    pub(super) fn end(&self, since: Instant, error: Option<Arc<str>>) {
        let took = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.lock().end(took, error);
    }

    fn waiting(&self) -> usize {
        self.0.lock().waiting()
    }
}

/// How a worker calls a trigger.
#[derive(Clone)]
pub(super) struct TriggerCall {
    pub(super) key: TriggerKey,
    pub(super) state: Arc<TriggerState>,
    callback: CallbackId,
    /// What an async callback acts with; `None` for a sync one.
    background: Option<Arc<Grant>>,
}

impl TriggerCall {
    /// The grant for the database of an event.
    fn grant_for(&self, firing: &Firing) -> Option<Arc<Grant>> {
        let grant = self.background.as_ref()?;
        Some(if grant.db == firing.db {
            Arc::clone(grant)
        } else {
            in_db(grant, firing.db)
        })
    }

    /// Calls the callback in a session; gives the event's time with what came of it.
    pub(super) fn run(
        &self,
        firing: &Firing,
        session: &mut dyn crate::engine::Session,
        server: &dyn Server,
        token: u64,
    ) -> (Instant, Outcome) {
        let grant = self.grant_for(firing);
        let call = Notification {
            callback: self.callback,
            background: grant.as_ref(),
            event: &firing.event,
            key: &firing.key,
            value: firing.value.as_ref(),
            held: firing.held.as_ref(),
            token,
        };
        (firing.since, session.notify(&call, server))
    }
}

fn in_db(grant: &Grant, db: i32) -> Arc<Grant> {
    Arc::new(Grant {
        db,
        ..grant.clone()
    })
}

/// A trigger's code, and in whose name it acts.
pub struct TriggerCode<'a> {
    /// What it is called.
    pub name: ConsumerName,
    /// The library's runner.
    pub runner: &'a Arc<Runner>,
    /// The callback there.
    pub callback: CallbackId,
    /// What to call in the middle of the command.
    pub on_fired: Option<CallbackId>,
    /// The library's owner.
    pub user: &'a Arc<str>,
    /// What it says of itself.
    pub label: Label,
}

#[derive(Clone)]
struct Binding {
    name: ConsumerName,
    runner: Arc<Runner>,
    callback: CallbackId,
    on_fired: Option<CallbackId>,
    grant: Arc<Grant>,
    state: Arc<TriggerState>,
    label: Label,
}

impl Binding {
    fn new(code: TriggerCode<'_>, state: Arc<TriggerState>) -> Self {
        Self {
            name: code.name,
            runner: Arc::clone(code.runner),
            callback: code.callback,
            on_fired: code.on_fired,
            grant: Arc::new(Grant {
                user: Arc::clone(code.user),
                db: 0,
                flags: Flags::default(),
            }),
            state,
            label: code.label,
        }
    }

    fn call(&self, key: TriggerKey, mode: Mode) -> TriggerCall {
        TriggerCall {
            key,
            state: Arc::clone(&self.state),
            callback: self.callback,
            background: (mode == Mode::Async).then(|| Arc::clone(&self.grant)),
        }
    }
}

/// A trigger as users see it.
pub struct TriggerView {
    /// What it asked for.
    pub spec: TriggerSpec,
    /// What it says of itself.
    pub label: Label,
    /// What was counted.
    pub stats: TriggerStats,
    /// Events that wait.
    pub waiting: usize,
}

/// See the module's description. Used under the server's lock only.
#[derive(Default)]
pub(super) struct TriggerDesk {
    core: RefCell<Triggers>,
    bindings: RefCell<SecondaryMap<TriggerKey, Binding>>,
    /// Sync triggers, once for each event, in the order in which their callbacks are to run.
    due: RefCell<VecDeque<TriggerKey>>,
    /// Async triggers that have something new for their workers.
    ready: RefCell<Vec<TriggerKey>>,
    bounds: Cell<Option<Bounds>>,
    names: RefCell<HashMap<Box<[u8]>, Arc<str>>>,
    /// Triggers with a backlog that was full, when that was told, and how many were dropped since.
    overflows: RefCell<SecondaryMap<TriggerKey, (Instant, u64)>>,
}

impl TriggerDesk {
    /// The name of an event as text.
    fn name_of(&self, event: &[u8]) -> Arc<str> {
        let mut names = self.names.borrow_mut();
        if let Some(name) = names.get(event) {
            return Arc::clone(name);
        }
        if names.len() >= NAMES_KEPT {
            names.clear();
        }
        let name: Arc<str> = String::from_utf8_lossy(event).into();
        names.insert(event.into(), Arc::clone(&name));
        name
    }

    fn binding(&self, key: TriggerKey) -> Option<Binding> {
        self.bindings.borrow().get(key).cloned()
    }

    /// Whether sync callbacks wait.
    pub(super) fn is_due(&self) -> bool {
        !self.due.borrow().is_empty()
    }

    /// Whether the main thread has something to do.
    pub(super) fn has_work(&self) -> bool {
        self.is_due() || !self.ready.borrow().is_empty()
    }

    /// Drops all that waits, for this reason.
    pub(super) fn drop_waiting(&self, reason: &str) {
        self.due.borrow_mut().clear();
        self.ready.borrow_mut().clear();
        for binding in self.bindings.borrow().values() {
            let dropped = binding.state.0.lock().clear(reason);
            if dropped > 0 {
                log::warn!(
                    "{}: {dropped} events dropped: {reason}",
                    told(&binding.name)
                );
            }
        }
    }

    /// There was no room for an event.
    fn note_dropped(&self, key: TriggerKey, binding: &Binding, reason: &str) {
        binding.state.0.lock().stats.last_error = Some(reason.into());
        let mut overflows = self.overflows.borrow_mut();
        let now = Instant::now();
        let count = match overflows.get_mut(key) {
            Some((told, more)) if now.duration_since(*told) < WARN => {
                *more += 1;
                return;
            }
            Some((told, more)) => {
                *told = now;
                std::mem::take(more) + 1
            }
            None => {
                overflows.insert(key, (now, 0));
                1
            }
        };
        log::warn!("{}: {count} events dropped: {reason}", told(&binding.name));
    }
}

fn told(name: &ConsumerName) -> String {
    format!("trigger '{}' of library '{}'", name.consumer, name.library)
}

const NO_ROOM: &str = "too many events wait (trigger-queue-length, trigger-queue-memory)";

impl Driver {
    /// How much may wait for each trigger.
    pub fn bound_triggers(&self, bounds: Bounds) {
        self.triggers.bounds.set(Some(bounds));
    }

    /// Adds a trigger with its code.
    pub fn add_trigger(&self, spec: TriggerSpec, code: TriggerCode<'_>) -> TriggerKey {
        let key = self.triggers.core.borrow_mut().add(spec);
        let binding = Binding::new(code, Arc::default());
        self.triggers.bindings.borrow_mut().insert(key, binding);
        key
    }

    /// Gives a trigger new code, owner and wishes. What waits for it, and what was counted, stays.
    pub fn change_trigger(&self, key: TriggerKey, spec: TriggerSpec, code: TriggerCode<'_>) {
        let desk = &self.triggers;
        let mode = spec.mode;
        desk.core.borrow_mut().change(key, spec);
        let mut bindings = desk.bindings.borrow_mut();
        if let Some(binding) = bindings.get_mut(key) {
            let state = Arc::clone(&binding.state);
            let waiting = state.waiting();
            *binding = Binding::new(code, state);
            // It may be waited for in another way now.
            let mut due = desk.due.borrow_mut();
            due.retain(|one| *one != key);
            match mode {
                Mode::Sync => due.extend(std::iter::repeat_n(key, waiting)),
                Mode::Async => desk.ready.borrow_mut().push(key),
            }
        }
    }

    /// Removes a trigger, with what waits for it.
    pub fn remove_trigger(&self, key: TriggerKey) {
        let desk = &self.triggers;
        desk.core.borrow_mut().remove(key);
        desk.due.borrow_mut().retain(|one| *one != key);
        desk.overflows.borrow_mut().remove(key);
        if let Some(binding) = desk.bindings.borrow_mut().remove(key) {
            binding.state.0.lock().clear("it was removed");
        }
    }

    /// What users see of a trigger.
    #[must_use]
    pub fn view_trigger(&self, key: TriggerKey) -> Option<TriggerView> {
        let binding = self.triggers.binding(key)?;
        let backlog = binding.state.0.lock();
        Some(TriggerView {
            spec: self.triggers.core.borrow().spec(key)?.clone(),
            label: binding.label.clone(),
            stats: backlog.stats.clone(),
            waiting: backlog.waiting(),
        })
    }

    /// Counts anew.
    pub fn clear_trigger_stats(&self, key: TriggerKey) {
        if let Some(binding) = self.triggers.binding(key) {
            binding.state.0.lock().clear_stats();
        }
    }

    /// Whether there are triggers, and whether any wants to hear of reads that found nothing.
    #[must_use]
    pub fn has_triggers(&self) -> bool {
        !self.triggers.core.borrow().is_empty()
    }

    /// See [`Triggers::want_misses`].
    #[must_use]
    pub fn triggers_want_misses(&self) -> bool {
        self.triggers.core.borrow().want_misses()
    }

    /// Whether any trigger has a function that looks at events as they happen.
    #[must_use]
    pub fn triggers_look(&self) -> bool {
        let bindings = self.triggers.bindings.borrow();
        bindings.values().any(|one| one.on_fired.is_some())
    }

    /// Something happened to a key. `patience`: how long the main thread waits for a library.
    pub fn on_key_event(&self, happened: &dyn KeyEvent, patience: Duration) {
        if !self.inspect(crate::stream::Delivery::is_active) {
            return;
        }
        let desk = &self.triggers;
        let place = happened.key();
        let concerned = desk
            .core
            .borrow()
            .concerned(happened.event(), place.name, || happened.key_type());
        if concerned.is_empty() {
            return;
        }
        let since = Instant::now();
        let event = desk.name_of(happened.event());
        for key in concerned {
            let Some(binding) = desk.binding(key) else {
                continue;
            };
            if let Err(lack) = happened.may_read(&binding.grant.user) {
                binding.state.0.lock().refuse(lack.into());
                continue;
            }
            let firing = Firing {
                event: Arc::clone(&event),
                db: place.db,
                key: place.name.into(),
                value: None,
                held: None,
                since,
            };
            self.fire(happened, key, &binding, firing, patience);
        }
    }

    /// Puts an event into a trigger's backlog, with what its callback is to get.
    fn fire(
        &self,
        happened: &dyn KeyEvent,
        key: TriggerKey,
        binding: &Binding,
        mut firing: Firing,
        patience: Duration,
    ) {
        let desk = &self.triggers;
        let Some((mode, reads)) = desk
            .core
            .borrow()
            .spec(key)
            .map(|one| (one.mode, one.read_value))
        else {
            return;
        };
        let bounds = desk.bounds.get().unwrap_or(Bounds {
            length: usize::MAX,
            bytes: usize::MAX,
        });
        if reads {
            firing.value = happened.value(bounds.bytes);
            if firing.value.is_none() {
                let mut backlog = binding.state.0.lock();
                backlog.stats.triggered += 1;
                backlog.stats.dropped += 1;
                drop(backlog);
                let reason = "the key's value is larger than trigger-queue-memory";
                return desk.note_dropped(key, binding, reason);
            }
        }
        if let Some(function) = binding.on_fired {
            match self.look(happened, binding, function, &firing, patience) {
                Ok(held) => firing.held = Some(held),
                Err(error) => return binding.state.0.lock().refuse(error),
            }
        }
        let value = firing
            .value
            .as_ref()
            .map_or(0, |value| value.packed().len());
        let bytes = EVENT_BYTES + firing.key.len() + value;
        let pushed = binding.state.0.lock().push(firing, bytes, bounds);
        if let Err(Full) = pushed {
            return desk.note_dropped(key, binding, NO_ROOM);
        }
        match mode {
            Mode::Sync => desk.due.borrow_mut().push_back(key),
            Mode::Async => {
                let mut ready = desk.ready.borrow_mut();
                if ready.last() != Some(&key) && !ready.contains(&key) {
                    ready.push(key);
                }
            }
        }
    }

    /// Has a function of the script's look at an event while it happens.
    fn look(
        &self,
        happened: &dyn KeyEvent,
        binding: &Binding,
        function: CallbackId,
        firing: &Firing,
        patience: Duration,
    ) -> Result<Held, Arc<str>> {
        let nowhere = "on_trigger_fired cannot run while other code of a library does";
        if !happened.is_on_main_thread() {
            return Err(nowhere.into());
        }
        let grant = Grant {
            db: firing.db,
            flags: Flags::NO_WRITES,
            ..(*binding.grant).clone()
        };
        let call = Notification {
            callback: function,
            background: None,
            event: &firing.event,
            key: &firing.key,
            value: firing.value.as_ref(),
            held: None,
            token: 0,
        };
        let looked = self.podium.with(&binding.runner, patience, |stage| {
            let mut looked = Err(nowhere.into());
            happened.look(&grant, &mut |server| {
                stage.enter(|session| looked = stage.fire(session, server, &call));
            });
            looked
        });
        looked.unwrap_or_else(|| Err(nowhere.into()))
    }

    /// Runs sync callbacks that wait, as long as there is time.
    pub(super) fn run_due_triggers(&self, streams: &dyn Streams, deadline: Deadline) {
        let desk = &self.triggers;
        let mut stalled: Vec<TriggerKey> = Vec::new();
        let mut busy: Vec<Arc<Runner>> = Vec::new();
        while Instant::now() < deadline.latest {
            let Some(key) = desk.due.borrow_mut().pop_front() else {
                break;
            };
            let Some(binding) = desk.binding(key) else {
                continue;
            };
            if busy.iter().any(|one| Arc::ptr_eq(one, &binding.runner)) {
                stalled.push(key);
                continue;
            }
            let patience = deadline.latest.saturating_duration_since(Instant::now());
            let call = binding.call(key, Mode::Sync);
            let ran = self.podium.with(&binding.runner, patience, |stage| {
                if let Some(firing) = call.state.take() {
                    let grant = if binding.grant.db == firing.db {
                        Arc::clone(&binding.grant)
                    } else {
                        in_db(&binding.grant, firing.db)
                    };
                    let mut next = Some(firing);
                    streams.act(&grant, &mut |server| {
                        stage.enter(|session| {
                            // As far as the order of all goes on with the same.
                            while let Some(firing) = next.take() {
                                stage.run_trigger(session, server, &call, &firing);
                                if Instant::now() < deadline.latest {
                                    next = self.next_due(key, &call, firing.db);
                                }
                            }
                        });
                    });
                }
            });
            if ran.is_none() {
                busy.push(Arc::clone(&binding.runner));
                stalled.push(key);
            }
        }
        let mut due = desk.due.borrow_mut();
        for key in stalled.into_iter().rev() {
            due.push_front(key);
        }
    }

    /// The next event that is due, if it is of the same trigger and database.
    fn next_due(&self, key: TriggerKey, call: &TriggerCall, db: i32) -> Option<Firing> {
        let mut due = self.triggers.due.borrow_mut();
        if due.front() != Some(&key) {
            return None;
        }
        let firing = call.state.take_in(db)?;
        due.pop_front();
        Some(firing)
    }

    /// Tells the workers of what is new for them.
    pub(super) fn send_ready_triggers(&self) {
        for key in self.triggers.ready.take() {
            if let Some(binding) = self.triggers.binding(key) {
                binding.runner.send_trigger(binding.call(key, Mode::Async));
            }
        }
    }
}
