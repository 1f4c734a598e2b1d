//! An event that waits for a trigger's callback, and the call that it becomes.
//!
//! Events wait in a backlog of the trigger's own, between the main thread and a worker, which takes
//! from it by itself. So an upgrade finds there what the old code has not started. How they get
//! there, and out again, is in [`crate::dispatcher`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use gears_core::triggers::{Backlog, KeyValue, TriggerKey};
use gears_v8::ports::{
    CallbackId, Credentials, Database, Outcome, RetainedValue, Server, Session, TriggerEventCall,
};

/// An event that waits for a callback.
pub(crate) struct TriggerEvent {
    pub(crate) event: Arc<str>,
    pub(crate) db: Database,
    pub(crate) key: Box<[u8]>,
    pub(crate) value: Option<KeyValue>,
    pub(crate) retained: Option<RetainedValue>,
    pub(crate) since: Instant,
}

impl TriggerEvent {
    /// Bytes of its key and value.
    pub(super) fn bytes(&self) -> usize {
        let value = self.value.as_ref();
        self.key.len() + value.map_or(0, |value| value.packed().len())
    }
}

/// What waits for a trigger and what is counted of it: used by the main thread and by a worker.
#[derive(Default)]
pub(crate) struct TriggerState {
    pub(crate) backlog: Mutex<Backlog<TriggerEvent>>,
    /// Whether the trigger is there no more: nothing is started for it.
    pub(crate) is_removed: AtomicBool,
    /// Whether the trigger is paused: events wait, and none is started.
    pub(crate) is_paused: AtomicBool,
}

impl TriggerState {
    pub(crate) fn take(&self) -> Option<TriggerEvent> {
        self.backlog.lock().take()
    }

    /// The next one, if it is of that database.
    pub(crate) fn take_in(&self, db: Database) -> Option<TriggerEvent> {
        let mut backlog = self.backlog.lock();
        let is_there = backlog
            .first()
            .is_some_and(|trigger_event| trigger_event.db == db);
        if is_there { backlog.take() } else { None }
    }

    /// The callback is done with an event.
    pub(crate) fn end(&self, since: Instant, error: Option<Arc<str>>) {
        let took = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.backlog.lock().end(took, error);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Acquire)
    }

    /// Ends the events with a retained value: nobody runs the code in whose memory it is.
    pub(crate) fn end_retained(&self, error: &str) {
        for trigger_event in self.take_retained() {
            self.end(trigger_event.since, Some(error.into()));
        }
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::Acquire)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.backlog.lock().waiting()
    }

    /// Takes out the events with a retained value, which is in the memory of the code as it is.
    pub(crate) fn take_retained(&self) -> VecDeque<TriggerEvent> {
        let is_retained = |trigger_event: &TriggerEvent| trigger_event.retained.is_some();
        self.backlog.lock().take_where(is_retained).into()
    }

    /// Which of the events that wait have a retained value.
    pub(crate) fn are_retained(&self) -> Vec<bool> {
        let backlog = self.backlog.lock();
        backlog
            .iter()
            .map(|trigger_event| trigger_event.retained.is_some())
            .collect()
    }
}

/// How a worker calls a trigger.
#[derive(Clone)]
pub(crate) struct TriggerCall {
    pub(crate) key: TriggerKey,
    pub(crate) state: Arc<TriggerState>,
    pub(crate) callback: CallbackId,
    /// Milliseconds that its promise has.
    pub(crate) timeout_ms: Option<u32>,
    /// What an async callback acts with; `None` for a sync one.
    pub(crate) background: Option<Arc<Credentials>>,
}

impl TriggerCall {
    /// Calls the callback in a session; gives the event's time with what came of it.
    pub(crate) fn run(
        &self,
        trigger_event: &TriggerEvent,
        session: &mut dyn Session,
        server: &dyn Server,
        token: u64,
    ) -> (Instant, Outcome) {
        let background = self.background.as_ref();
        let credentials = background.map(|credentials| in_db(credentials, trigger_event.db));
        let call = TriggerEventCall {
            callback: self.callback,
            background: credentials.as_ref(),
            event: &trigger_event.event,
            key: &trigger_event.key,
            value: trigger_event.value.as_ref(),
            retained: trigger_event.retained.as_ref(),
            token,
        };
        (trigger_event.since, session.call_trigger(&call, server))
    }
}

/// The credentials, for that database.
pub(crate) fn in_db(credentials: &Arc<Credentials>, db: Database) -> Arc<Credentials> {
    if credentials.db == db {
        return Arc::clone(credentials);
    }
    Arc::new(Credentials {
        db,
        ..(**credentials).clone()
    })
}
