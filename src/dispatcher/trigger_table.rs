//! What key-space triggers are at work: their code, and what waits for them.
//!
//! Events wait in a backlog of the trigger's own, between the main thread and a worker, which takes
//! from it by itself. So an upgrade finds there what the old code has not started. How they get
//! there, and out again, is in [`super::triggers`].

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use slotmap::SecondaryMap;

use gears_core::delivery::{KeyRef, Mode};
use gears_core::triggers::{
    BacklogLimits, KeyType, KeyValue, TriggerKey, TriggerSpec, TriggerStats, Triggers,
};
use gears_v8::ports::{CallbackId, Credentials, Database, Flags, Metadata, Server};

use super::stream_access::ConsumerName;
use crate::executor::{LibraryExecutor, TriggerCall, TriggerState};

/// Names of events that are kept.
const NAMES_KEPT: usize = 1000;
/// How often an overflow is told in the log at most.
const WARN: Duration = Duration::from_secs(1);

/// How far an event may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventLimits {
    /// How much may wait for each trigger.
    pub bounds: BacklogLimits,
    /// How long the main thread waits for a library.
    pub patience: Duration,
}

/// What happened to a key, while the server waits.
pub(crate) trait KeyEvent {
    /// What happened.
    fn event(&self) -> &[u8];

    /// To which key.
    fn key(&self) -> KeyRef<'_>;

    /// What the key holds now.
    fn key_type(&self) -> KeyType;

    /// The key's value; `None` where it has more bytes than that.
    fn value(&self, most: usize) -> Option<KeyValue>;

    /// Whether the key is this server's: in a cluster, a slot may be on its way here.
    fn is_of_this_server(&self) -> bool;

    /// Whether there is such a user, who may log in.
    ///
    /// # Errors
    /// Where there is none.
    fn is_enabled(&self, user: &str) -> Result<(), String>;

    /// Whether a user may read the key.
    ///
    /// # Errors
    /// With what the user lacks.
    fn may_read(&self, user: &str) -> Result<(), String>;

    /// Whether scripts can be run here.
    fn is_on_main_thread(&self) -> bool;

    /// Runs `work` with the server as it is to that user, for reading.
    fn run_pre_hook(&self, credentials: &Credentials, work: &mut dyn FnMut(&dyn Server));
}

/// A trigger's code, and in whose name it acts.
pub(crate) struct TriggerCode<'a> {
    /// What it is called.
    pub name: ConsumerName,
    /// The library's executor.
    pub executor: &'a Arc<LibraryExecutor>,
    /// The callback there.
    pub callback: CallbackId,
    /// Milliseconds that its promise has.
    pub timeout_ms: Option<u32>,
    /// What to call in the middle of the command.
    pub on_fired: Option<CallbackId>,
    /// The library's owner.
    pub user: &'a Arc<str>,
    /// What it says of itself.
    pub metadata: Metadata,
}

/// A trigger's code at work.
#[derive(Clone)]
pub(super) struct TriggerBinding {
    pub(super) name: ConsumerName,
    pub(super) executor: Arc<LibraryExecutor>,
    callback: CallbackId,
    timeout_ms: Option<u32>,
    pub(super) on_fired: Option<CallbackId>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) state: Arc<TriggerState>,
    pub(super) metadata: Metadata,
}

impl TriggerBinding {
    pub(super) fn new(code: TriggerCode<'_>, state: Arc<TriggerState>) -> Self {
        Self {
            name: code.name,
            executor: Arc::clone(code.executor),
            callback: code.callback,
            timeout_ms: code.timeout_ms,
            on_fired: code.on_fired,
            credentials: Arc::new(Credentials {
                user: Arc::clone(code.user),
                db: Database::Home(0),
                flags: Flags::WAITS,
            }),
            state,
            metadata: code.metadata,
        }
    }

    pub(super) fn call(&self, key: TriggerKey, mode: Mode) -> TriggerCall {
        TriggerCall {
            key,
            state: Arc::clone(&self.state),
            callback: self.callback,
            timeout_ms: self.timeout_ms,
            background: (mode == Mode::Async).then(|| Arc::clone(&self.credentials)),
        }
    }
}

/// A trigger as users see it.
pub(crate) struct TriggerView {
    /// What it asked for.
    pub spec: TriggerSpec,
    /// What it says of itself.
    pub metadata: Metadata,
    /// What was counted.
    pub stats: TriggerStats,
    /// Events that wait.
    pub waiting: usize,
    /// Whether it is paused.
    pub is_paused: bool,
}

/// The triggers, their code, and what the log was told of events they lost.
/// Used under the server's lock only.
#[derive(Default)]
pub(super) struct TriggerTable {
    pub(super) registered: RefCell<Triggers>,
    pub(super) bindings: RefCell<SecondaryMap<TriggerKey, TriggerBinding>>,
    names: RefCell<HashMap<Box<[u8]>, Arc<str>>>,
    /// Owners that may log in, as of this event-loop iteration.
    enabled: RefCell<Vec<Arc<str>>>,
    /// Triggers with a backlog that was full, when that was told, and how many were dropped since.
    pub(super) overflows: RefCell<SecondaryMap<TriggerKey, (Instant, u64)>>,
}

impl TriggerTable {
    /// The name of an event as text.
    pub(super) fn name_of(&self, event: &[u8]) -> Arc<str> {
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

    pub(super) fn binding(&self, key: TriggerKey) -> Option<TriggerBinding> {
        self.bindings.borrow().get(key).cloned()
    }

    /// Whether an owner may read the key of an event.
    pub(super) fn authorize(&self, happened: &dyn KeyEvent, user: &Arc<str>) -> Result<(), String> {
        let mut enabled = self.enabled.borrow_mut();
        if !enabled.contains(user) {
            happened.is_enabled(user)?;
            enabled.push(Arc::clone(user));
        }
        happened.may_read(user)
    }

    /// An event-loop iteration ends.
    pub(super) fn end_iteration(&self) {
        self.enabled.borrow_mut().clear();
        if self.overflows.borrow().is_empty() {
            return;
        }
        let now = Instant::now();
        self.overflows.borrow_mut().retain(|key, (told, more)| {
            let is_recent = now.duration_since(*told) < WARN;
            if !is_recent
                && *more > 0
                && let Some(binding) = self.bindings.borrow().get(key)
            {
                warn_of_dropped(&binding.name, *more, "there was no room for them");
            }
            is_recent
        });
    }

    pub(super) fn mode(&self, key: TriggerKey) -> Option<Mode> {
        self.registered.borrow().spec(key).map(|spec| spec.mode)
    }

    /// Drops all that waits, for this reason.
    pub(super) fn drop_waiting(&self, reason: &str) {
        for binding in self.bindings.borrow().values() {
            let dropped = binding.state.backlog.lock().clear(reason);
            if dropped > 0 {
                warn_of_dropped(&binding.name, dropped as u64, reason);
            }
        }
    }

    /// There was no room for an event.
    pub(super) fn note_dropped(&self, key: TriggerKey, binding: &TriggerBinding, reason: &str) {
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
        warn_of_dropped(&binding.name, count, reason);
    }
}

fn warn_of_dropped(name: &ConsumerName, count: u64, reason: &str) {
    let ConsumerName { library, consumer } = name;
    let events = if count == 1 { "event" } else { "events" };
    log::warn!("trigger '{consumer}' of library '{library}' dropped {count} {events}: {reason}");
}
