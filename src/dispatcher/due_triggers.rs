//! What has to be done for key-space triggers when the command is over: sync callbacks to run,
//! workers to tell, and code to go on with.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use gears_core::triggers::TriggerKey;

use super::trigger_table::TriggerBinding;
use crate::executor::{LibraryExecutor, TriggerEvent};

/// An event for a sync callback.
pub(super) enum Due {
    /// The next one that waits for the trigger.
    Next(TriggerKey),
    /// One that code began with that was replaced since, and that belongs to it: what
    /// `on_trigger_fired` made of its data is in the old code's memory.
    Begun(Box<(TriggerKey, TriggerBinding, TriggerEvent)>),
}

impl Due {
    pub(super) fn key(&self) -> TriggerKey {
        match self {
            Self::Next(key) => *key,
            Self::Begun(begun) => begun.0,
        }
    }
}

/// See the module's description. Used under the server's lock only.
#[derive(Default)]
pub(super) struct DueTriggers {
    /// What sync callbacks are to run, once for each event, in that order.
    due: RefCell<VecDeque<Due>>,
    /// Async triggers that have something new for their workers.
    ready: RefCell<Vec<TriggerKey>>,
    /// Libraries with code that may go on and was left where it was, in the middle of a command.
    left: RefCell<Vec<Arc<LibraryExecutor>>>,
}

impl DueTriggers {
    /// Whether sync callbacks wait.
    pub(super) fn is_due(&self) -> bool {
        !self.due.borrow().is_empty()
    }

    /// Whether the main thread has something to do.
    pub(super) fn has_work(&self) -> bool {
        self.is_due() || !self.ready.borrow().is_empty()
    }

    /// Puts so many events of a sync trigger behind all others.
    pub(super) fn push(&self, key: TriggerKey, count: usize) {
        let next = (0..count).map(|_| Due::Next(key));
        self.due.borrow_mut().extend(next);
    }

    /// Takes the next one.
    pub(super) fn pop(&self) -> Option<Due> {
        self.due.borrow_mut().pop_front()
    }

    /// Whether the next one is of that trigger.
    pub(super) fn is_next(&self, key: TriggerKey) -> bool {
        matches!(self.due.borrow().front(), Some(Due::Next(next)) if *next == key)
    }

    /// Puts those back that could not be run, in their order.
    pub(super) fn put_back(&self, stalled: Vec<Due>) {
        let mut due = self.due.borrow_mut();
        for one in stalled.into_iter().rev() {
            due.push_front(one);
        }
    }

    /// An async trigger has something new for its worker.
    pub(super) fn note_ready(&self, key: TriggerKey) {
        let mut ready = self.ready.borrow_mut();
        if ready.last() != Some(&key) && !ready.contains(&key) {
            ready.push(key);
        }
    }

    /// Takes those that have something new.
    pub(super) fn take_ready(&self) -> Vec<TriggerKey> {
        self.ready.take()
    }

    /// Takes note of a library with code that was left where it was.
    pub(super) fn note_left(&self, executor: &Arc<LibraryExecutor>) {
        let mut left = self.left.borrow_mut();
        if !left.iter().any(|one| Arc::ptr_eq(one, executor)) {
            left.push(Arc::clone(executor));
        }
    }

    /// Takes those out.
    pub(super) fn take_left(&self) -> Vec<Arc<LibraryExecutor>> {
        self.left.take()
    }

    /// Leaves the events that the code of a sync trigger has begun with to that code, each in its
    /// place.
    pub(super) fn leave_to(&self, key: TriggerKey, old: &TriggerBinding) {
        let mut is_begun = old.state.begun().into_iter();
        let mut begun = old.state.take_begun();
        for due in self.due.borrow_mut().iter_mut() {
            if matches!(due, Due::Next(next) if *next == key)
                && is_begun.next() == Some(true)
                && let Some(trigger_event) = begun.pop_front()
            {
                *due = Due::Begun(Box::new((key, old.clone(), trigger_event)));
            }
        }
    }

    /// Forgets the events of a trigger that no code has begun with.
    pub(super) fn remove_unbegun(&self, key: TriggerKey) {
        let is_of_it = |due: &Due| matches!(due, Due::Next(next) if *next == key);
        self.due.borrow_mut().retain(|due| !is_of_it(due));
    }

    /// Forgets all events of a trigger.
    pub(super) fn remove(&self, key: TriggerKey) {
        self.due.borrow_mut().retain(|due| due.key() != key);
    }

    /// Drops all, for this reason.
    pub(super) fn drop_all(&self, reason: &str) {
        for due in self.due.borrow_mut().drain(..) {
            if let Due::Begun(begun) = due {
                let (_, binding, trigger_event) = *begun;
                binding.state.end(trigger_event.since, Some(reason.into()));
            }
        }
        self.ready.borrow_mut().clear();
    }
}
