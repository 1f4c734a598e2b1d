//! Key-space triggers, from the main thread's side: an event to those it concerns, sync callbacks
//! after the command, async ones to their workers.
//!
//! An event comes in the middle of a command. Then it is only looked at: filters, rights, the
//! value, a function of the script's that may read. What comes of it waits in the trigger's
//! backlog, for the turn after the command, or for a worker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gears_core::keyspace::{TriggerKey, TriggerSpec};
use gears_core::stream::{Delivery, Mode};
use gears_v8::ports::{CallbackId, Database, Flags, Grant, Held, Notification};

use super::driver::{Deadline, Driver};
use super::on_stage::OnStage;
use super::runner::Runner;
use super::streams::Streams;
use super::triggers::{
    Binding, Due, EventLimits, Firing, KeyEvent, TriggerCall, TriggerCode, TriggerView, in_db,
};

/// Bytes that an event takes beside its key and value.
const EVENT_BYTES: usize = 160;

const TOO_LARGE: &str = "the key's value is larger than trigger-queue-memory";
const NO_ROOM: &str = "too many events wait (trigger-queue-length, trigger-queue-memory)";

impl Driver {
    /// Adds a trigger with its code.
    pub(crate) fn add_trigger(&self, spec: TriggerSpec, code: TriggerCode<'_>) -> TriggerKey {
        let key = self.triggers.core.borrow_mut().add(spec);
        let binding = Binding::new(code, Arc::default());
        self.triggers.bindings.borrow_mut().insert(key, binding);
        key
    }

    /// Gives a trigger new code, owner and wishes. What waits for it, and what was counted, stays;
    /// but events that the old code has begun with are its own to end.
    pub(crate) fn change_trigger(&self, key: TriggerKey, spec: TriggerSpec, code: TriggerCode<'_>) {
        let desk = &self.triggers;
        let (mode, Some(before)) = (spec.mode, desk.mode(key)) else {
            return;
        };
        let Some(old) = desk.binding(key) else {
            return;
        };
        desk.core.borrow_mut().change(key, spec);
        let new = Binding::new(code, Arc::clone(&old.state));
        desk.bindings.borrow_mut().insert(key, new);
        match before {
            Mode::Sync => desk.leave_due_to(key, &old),
            Mode::Async => {
                let begun = old.state.take_begun();
                old.runner.send_firings(&old.call(key, before), begun);
            }
        }
        let mut due = desk.due.borrow_mut();
        match (before, mode) {
            // Each event keeps its place among those of others.
            (Mode::Sync, Mode::Sync) => {}
            (Mode::Async, Mode::Sync) => {
                let waiting = old.state.waiting();
                due.extend((0..waiting).map(|_| Due::Next(key)));
            }
            (_, Mode::Async) => {
                due.retain(|one| !matches!(one, Due::Next(next) if *next == key));
                desk.ready.borrow_mut().push(key);
            }
        }
    }

    /// Removes a trigger, with what waits for it.
    pub(crate) fn remove_trigger(&self, key: TriggerKey) {
        let desk = &self.triggers;
        desk.core.borrow_mut().remove(key);
        desk.due.borrow_mut().retain(|one| one.key() != key);
        desk.overflows.borrow_mut().remove(key);
        if let Some(binding) = desk.bindings.borrow_mut().remove(key) {
            binding.state.is_removed.store(true, Ordering::Release);
            binding.state.backlog.lock().clear("it was removed");
        }
    }

    /// What users see of a trigger.
    #[must_use]
    pub(crate) fn view_trigger(&self, key: TriggerKey) -> Option<TriggerView> {
        let binding = self.triggers.binding(key)?;
        let backlog = binding.state.backlog.lock();
        Some(TriggerView {
            spec: self.triggers.core.borrow().spec(key)?.clone(),
            label: binding.label.clone(),
            stats: backlog.stats.clone(),
            waiting: backlog.waiting(),
        })
    }

    /// Counts anew.
    pub(crate) fn clear_trigger_stats(&self, key: TriggerKey) {
        if let Some(binding) = self.triggers.binding(key) {
            binding.state.backlog.lock().clear_stats();
        }
    }

    /// Whether there are triggers.
    #[must_use]
    pub(crate) fn has_triggers(&self) -> bool {
        !self.triggers.core.borrow().is_empty()
    }

    /// Whether any trigger wants to hear of reads that found nothing.
    #[must_use]
    pub(crate) fn triggers_want_misses(&self) -> bool {
        self.triggers.core.borrow().want_misses()
    }

    /// Whether any trigger has a function that looks at events as they happen.
    #[must_use]
    pub(crate) fn triggers_look(&self) -> bool {
        let bindings = self.triggers.bindings.borrow();
        bindings.values().any(|one| one.on_fired.is_some())
    }

    /// Something happened to a key.
    pub(crate) fn on_key_event(&self, happened: &dyn KeyEvent, limits: EventLimits) {
        if !self.inspect(Delivery::is_active) {
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
            if let Err(lack) = desk.admit(happened, &binding.grant.user) {
                binding.state.backlog.lock().refuse(lack.into());
                continue;
            }
            let firing = Firing {
                event: Arc::clone(&event),
                db: self.homes.of(place.db),
                key: place.name.into(),
                value: None,
                held: None,
                since,
            };
            self.fire(happened, key, &binding, firing, limits);
        }
    }

    /// Puts an event into a trigger's backlog, with what its callback is to get.
    fn fire(
        &self,
        happened: &dyn KeyEvent,
        key: TriggerKey,
        binding: &Binding,
        mut firing: Firing,
        EventLimits { bounds, patience }: EventLimits,
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
        let lose = |reason| {
            binding.state.backlog.lock().lose(reason);
            desk.note_dropped(key, binding, reason);
        };
        let bytes = EVENT_BYTES + firing.key.len();
        // For what there is no room for nothing is copied, and no script is run.
        let room = binding.state.backlog.lock().room(bounds);
        let Some(room) = room.and_then(|room| room.checked_sub(bytes)) else {
            return lose(NO_ROOM);
        };
        if reads {
            firing.value = happened.value(room);
            if firing.value.is_none() {
                let is_all = room + bytes == bounds.bytes;
                return lose(if is_all { TOO_LARGE } else { NO_ROOM });
            }
        }
        if let Some(function) = binding.on_fired {
            match self.look(happened, binding, function, &firing, patience) {
                Ok(held) => firing.held = Some(held),
                Err(error) => return binding.state.backlog.lock().refuse(error),
            }
        }
        let value = firing
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
        backlog.push(firing, bytes);
        drop(backlog);
        match mode {
            Mode::Sync => desk.due.borrow_mut().push_back(Due::Next(key)),
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
        if !desk.is_due() {
            return;
        }
        let mut stalled: Vec<Due> = Vec::new();
        let mut busy: Vec<Arc<Runner>> = Vec::new();
        while Instant::now() < deadline.latest {
            let Some(due) = desk.due.borrow_mut().pop_front() else {
                break;
            };
            let key = due.key();
            let (binding, mut begun) = match due {
                Due::Begun(begun) => (begun.1, Some(begun.2)),
                Due::Next(_) => match desk.binding(key) {
                    Some(binding) => (binding, None),
                    None => continue,
                },
            };
            let is_begun = begun.is_some();
            let is_busy = busy.iter().any(|one| Arc::ptr_eq(one, &binding.runner));
            let patience = deadline.latest.saturating_duration_since(Instant::now());
            let ran = !is_busy
                && self
                    .podium
                    .with(&binding.runner, patience, |stage| {
                        let call = binding.call(key, Mode::Sync);
                        let firing = begun.take().or_else(|| call.state.take());
                        if let Some(firing) = firing {
                            let follow = |db| {
                                let is_time = Instant::now() < deadline.latest;
                                let next = || self.next_due(key, &call, db);
                                (is_time && !is_begun).then(next).flatten()
                            };
                            run_due(streams, stage, &binding, &call, firing, &follow);
                        }
                    })
                    .is_some();
            if !ran {
                busy.push(Arc::clone(&binding.runner));
                stalled.push(match begun {
                    Some(firing) => Due::Begun(Box::new((key, binding, firing))),
                    None => Due::Next(key),
                });
            }
        }
        let mut due = desk.due.borrow_mut();
        for one in stalled.into_iter().rev() {
            due.push_front(one);
        }
    }

    /// The next event that is due, if it is of the same trigger and database.
    fn next_due(&self, key: TriggerKey, call: &TriggerCall, db: Database) -> Option<Firing> {
        let mut due = self.triggers.due.borrow_mut();
        if !matches!(due.front(), Some(Due::Next(next)) if *next == key) {
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

/// Runs a sync callback over an event, and over those that follow in the same unit.
fn run_due(
    streams: &dyn Streams,
    stage: &OnStage<'_>,
    binding: &Binding,
    call: &TriggerCall,
    firing: Firing,
    follow: &dyn Fn(Database) -> Option<Firing>,
) {
    let db = firing.db;
    let grant = in_db(&binding.grant, db);
    let mut next = Some(firing);
    streams.act(&grant, &mut |server| {
        stage.enter(|session| {
            while let Some(firing) = next.take() {
                stage.run_trigger(session, server, call, &firing);
                next = follow(db);
            }
        });
    });
}
