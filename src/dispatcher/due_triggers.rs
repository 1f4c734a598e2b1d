//! What has to be done for key-space triggers when the command is over: sync callbacks to run,
//! workers to tell, and continuations to resume.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use gears_core::triggers::TriggerKey;

use super::trigger_table::TriggerBinding;
use crate::executor::{LibraryExecutor, TriggerEvent};

/// An event for a sync callback.
pub(super) enum DueEvent {
    /// The next one that waits for the trigger.
    Next(TriggerKey),
    /// One whose pre-hook ran in code that was replaced since, and that belongs to it: the
    /// retained value is in the memory of that code.
    Retained(Box<(TriggerKey, TriggerBinding, TriggerEvent)>),
}

impl DueEvent {
    pub(super) fn key(&self) -> TriggerKey {
        match self {
            Self::Next(key) => *key,
            Self::Retained(retained) => retained.0,
        }
    }
}

/// What has to be done for triggers once the command is over.
/// Used under the server's lock only.
#[derive(Default)]
pub(super) struct DueTriggers {
    /// What sync callbacks are to run, once for each event, in that order.
    due: RefCell<VecDeque<DueEvent>>,
    /// Async triggers that have something new for their workers.
    ready: RefCell<Vec<TriggerKey>>,
    /// Libraries with continuations that a pre-hook left, in the middle of a command: workers resume them.
    to_resume: RefCell<Vec<Arc<LibraryExecutor>>>,
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
        let next = (0..count).map(|_| DueEvent::Next(key));
        self.due.borrow_mut().extend(next);
    }

    /// Takes the next one.
    pub(super) fn pop(&self) -> Option<DueEvent> {
        self.due.borrow_mut().pop_front()
    }

    /// Whether the next one is of that trigger.
    pub(super) fn is_next(&self, key: TriggerKey) -> bool {
        matches!(self.due.borrow().front(), Some(DueEvent::Next(next)) if *next == key)
    }

    /// Puts those back that could not be run, in their order.
    pub(super) fn put_back(&self, stalled: Vec<DueEvent>) {
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

    /// Takes note of a library whose continuations a worker has to resume.
    pub(super) fn note_to_resume(&self, executor: &Arc<LibraryExecutor>) {
        let mut to_resume = self.to_resume.borrow_mut();
        if !to_resume.iter().any(|one| Arc::ptr_eq(one, executor)) {
            to_resume.push(Arc::clone(executor));
        }
    }

    /// Takes those out.
    pub(super) fn take_to_resume(&self) -> Vec<Arc<LibraryExecutor>> {
        self.to_resume.take()
    }

    /// Leaves the events whose pre-hook ran in the old code of a sync trigger to that code, each in its
    /// place.
    pub(super) fn leave_to(&self, key: TriggerKey, old: &TriggerBinding) {
        let mut is_retained = old.state.are_retained().into_iter();
        let mut retained = old.state.take_retained();
        for due in self.due.borrow_mut().iter_mut() {
            if matches!(due, DueEvent::Next(next) if *next == key)
                && is_retained.next() == Some(true)
                && let Some(trigger_event) = retained.pop_front()
            {
                *due = DueEvent::Retained(Box::new((key, old.clone(), trigger_event)));
            }
        }
    }

    /// Forgets the events of a trigger that any code can run.
    pub(super) fn remove_next(&self, key: TriggerKey) {
        let is_of_it = |due: &DueEvent| matches!(due, DueEvent::Next(next) if *next == key);
        self.due.borrow_mut().retain(|due| !is_of_it(due));
    }

    /// Forgets all events of a trigger.
    pub(super) fn remove(&self, key: TriggerKey) {
        self.due.borrow_mut().retain(|due| due.key() != key);
    }

    /// Drops all, for this reason.
    pub(super) fn drop_all(&self, reason: &str) {
        for due in self.due.borrow_mut().drain(..) {
            if let DueEvent::Retained(retained) = due {
                let (_, binding, trigger_event) = *retained;
                binding.state.end(trigger_event.since, Some(reason.into()));
            }
        }
        self.ready.borrow_mut().clear();
    }
}
