//! A library's callbacks by what they are called, with the figures of each.
//!
//! Figures go on over an upgrade: the callback of the same kind and name counts where the old one has
//! stopped, and what the old code still has to end is counted there too.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use gears_core::delivery::EntryId;
use gears_core::quoted;
use gears_core::window::{Window, WindowSummary};
use gears_v8::ports::{CallbackId, Outcome, Registrations, ScriptError};

use super::isolate_slot::IsolateSlot;
use super::slow_log::{CallSubject, SlowLog};

/// What a callback is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallbackKind {
    /// A function that clients call.
    Function,
    /// A stream consumer's entries.
    Consumer,
    /// A trigger's events.
    Trigger,
    /// A function that other isolates call.
    Remote,
    /// No callback: the library's top level, when it is loaded.
    Load,
}

impl CallbackKind {
    /// As users read it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Consumer => "consumer",
            Self::Trigger => "trigger",
            Self::Remote => "remote_function",
            Self::Load => "load",
        }
    }
}

/// What is counted of a callback.
#[derive(Clone, Debug, Default)]
struct Counts {
    calls: u64,
    errors: u64,
    running: u64,
    bytes: u64,
    locked: Duration,
    durations: Window,
}

/// What is counted of a callback, for users to read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CallbackFigures {
    /// Calls that have begun.
    pub(crate) calls: u64,
    /// Those that have failed.
    pub(crate) errors: u64,
    /// Those that have not ended.
    pub(crate) running: u64,
    /// Bytes that they were given: arguments, records, or keys with their values.
    pub(crate) bytes: u64,
    /// Milliseconds for which they had the server's lock.
    pub(crate) locked_ms: f64,
    /// From beginning to end, of those that have ended lately.
    pub(crate) durations: WindowSummary,
}

/// A callback of a library.
pub(crate) struct Callback {
    library: Arc<str>,
    kind: CallbackKind,
    name: Arc<str>,
    slow_log: Arc<SlowLog>,
    counts: Mutex<Counts>,
}

impl Callback {
    /// Its figures.
    pub(crate) fn figures(&self) -> CallbackFigures {
        let counts = self.counts.lock().clone();
        let now_ms = self.slow_log.time_ms(Instant::now());
        CallbackFigures {
            calls: counts.calls,
            errors: counts.errors,
            running: counts.running,
            bytes: counts.bytes,
            locked_ms: counts.locked.as_secs_f64() * 1000.0,
            durations: counts.durations.summary(now_ms),
        }
    }

    /// Counts anew. What runs still runs, and is counted as a call.
    fn clear(&self) {
        let mut counts = self.counts.lock();
        let running = counts.running;
        *counts = Counts {
            calls: running,
            running,
            ..Counts::default()
        };
    }

    /// A background part of its had the server's lock for so long.
    pub(super) fn note_locked(&self, us: u64) {
        if us > 0 {
            self.counts.lock().locked += Duration::from_micros(us);
        }
    }

    fn begin(&self, bytes: usize) {
        let mut counts = self.counts.lock();
        counts.calls += 1;
        counts.running += 1;
        counts.bytes = counts.bytes.saturating_add(bytes as u64);
    }

    fn end(&self, began: Instant, now: Instant, locked: Duration, ended: Ended<'_>) {
        let took = now.saturating_duration_since(began);
        {
            let mut counts = self.counts.lock();
            counts.running = counts.running.saturating_sub(1);
            counts.errors += u64::from(ended.failed);
            counts.locked += locked;
            let now_ms = self.slow_log.time_ms(now);
            counts.durations.record(now_ms, took);
        }
        if self.slow_log.is_slow(took) {
            let stack = ended.error.and_then(|error| error.stack.as_deref());
            let called = (&self.library, self.kind, Some(&self.name));
            self.slow_log.note(called, took, ended.subject, stack);
        }
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{}/{}", self.library, self.name);
        write!(to, "{} {}", self.kind.name(), quoted(name.as_bytes()))
    }
}

/// How a call ended.
#[derive(Clone, Copy)]
struct Ended<'a> {
    failed: bool,
    error: Option<&'a ScriptError>,
    subject: CallSubject<'a>,
}

impl<'a> Ended<'a> {
    fn of(outcome: &'a Outcome, subject: CallSubject<'a>) -> Self {
        let error = match outcome {
            Outcome::Failed(error) | Outcome::Killed(error) => Some(error),
            Outcome::Done(_) | Outcome::Partly { .. } | Outcome::Pending => None,
        };
        Self {
            failed: error.is_some() || matches!(outcome, Outcome::Partly { .. }),
            error,
            subject,
        }
    }
}

/// The callbacks of a library by their numbers in its code. Hooks and pre-hooks have none.
#[derive(Default)]
pub(crate) struct Callbacks(Vec<Option<Arc<Callback>>>);

impl Callbacks {
    /// Those that a library has registered. `old` are those of the code that it replaces.
    pub(crate) fn of(
        library: &str,
        registered: &Registrations,
        old: Option<&Self>,
        slow_log: &Arc<SlowLog>,
    ) -> Self {
        let library: Arc<str> = library.into();
        let mut all = Self::default();
        let mut add = |kind, name: &str, id: CallbackId| {
            let known = old.and_then(|old| old.find(kind, name));
            let callback = known.map_or_else(
                || {
                    Arc::new(Callback {
                        library: Arc::clone(&library),
                        kind,
                        name: name.into(),
                        slow_log: Arc::clone(slow_log),
                        counts: Mutex::default(),
                    })
                },
                Arc::clone,
            );
            let place = id.0 as usize;
            if all.0.len() <= place {
                all.0.resize(place + 1, None);
            }
            all.0[place] = Some(callback);
        };
        for one in &registered.functions {
            add(CallbackKind::Function, &one.name, one.callback);
        }
        for one in &registered.remote_functions {
            add(CallbackKind::Remote, &one.name, one.callback);
        }
        for one in &registered.stream_consumers {
            add(CallbackKind::Consumer, &one.name, one.callback);
        }
        for one in &registered.triggers {
            add(CallbackKind::Trigger, &one.name, one.callback);
        }
        all
    }

    /// The callback of that kind and name.
    pub(crate) fn find(&self, kind: CallbackKind, name: &str) -> Option<&Arc<Callback>> {
        let mut all = self.0.iter().flatten();
        all.find(|one| one.kind == kind && *one.name == *name)
    }

    /// Counts anew for consumers and triggers.
    pub(crate) fn clear_registrations(&self) {
        let all = self.0.iter().flatten();
        all.filter(|one| matches!(one.kind, CallbackKind::Consumer | CallbackKind::Trigger))
            .for_each(|one| one.clear());
    }

    /// The callback of that number.
    pub(super) fn get(&self, id: CallbackId) -> Option<&Arc<Callback>> {
        self.0.get(id.0 as usize)?.as_ref()
    }
}

/// A call that runs, and is counted.
pub(super) struct CountedCall<'a> {
    callback: Option<&'a Arc<Callback>>,
    slot: &'a IsolateSlot,
    began: Instant,
    /// How long workers' scripts had the server's lock before; `None` where the whole run has it.
    locked_before_us: Option<u64>,
}

impl<'a> CountedCall<'a> {
    /// A call begins, with so many bytes. `is_background`: it has the server's lock only where it takes
    /// it.
    pub(super) fn begin(
        callback: Option<&'a Arc<Callback>>,
        slot: &'a IsolateSlot,
        is_background: bool,
        bytes: impl FnOnce() -> usize,
        began: Instant,
    ) -> Self {
        if let Some(callback) = callback {
            callback.begin(bytes());
        }
        Self {
            callback,
            slot,
            began,
            locked_before_us: is_background.then(|| slot.locked_us()),
        }
    }

    /// It has run as far as it goes. Gives what is to be kept where its promise is pending.
    pub(super) fn end(
        self,
        now: Instant,
        outcome: &Outcome,
        subject: CallSubject<'_>,
    ) -> Option<OngoingCall> {
        let callback = self.callback?;
        let took = now.saturating_duration_since(self.began);
        let locked = if let Some(before) = self.locked_before_us {
            Duration::from_micros(self.slot.locked_us().saturating_sub(before))
        } else {
            callback.slow_log.note_held(took);
            took
        };
        if let Outcome::Pending = outcome {
            callback.counts.lock().locked += locked;
            return Some(OngoingCall {
                callback: Arc::clone(callback),
                began: self.began,
                key: subject.key.map(Into::into),
                entry_id: subject.entry_id,
                has_ended: false,
            });
        }
        if let Outcome::Killed(error) = outcome {
            warn_of_end(callback, took, subject, error);
        }
        callback.end(self.began, now, locked, Ended::of(outcome, subject));
        None
    }
}

/// A call whose promise is pending. If it is dropped, it ends without a word.
pub(super) struct OngoingCall {
    callback: Arc<Callback>,
    began: Instant,
    key: Option<Box<[u8]>>,
    entry_id: Option<EntryId>,
    has_ended: bool,
}

impl OngoingCall {
    /// The entry that it is about, or the first of several.
    pub(super) fn entry_id(&self) -> Option<EntryId> {
        self.entry_id
    }

    /// Its promise was settled.
    pub(super) fn end(mut self, now: Instant, outcome: &Outcome) {
        self.has_ended = true;
        let subject = CallSubject {
            key: self.key.as_deref(),
            entry_id: self.entry_id,
        };
        let ended = Ended::of(outcome, subject);
        self.callback.end(self.began, now, Duration::ZERO, ended);
    }
}

impl Drop for OngoingCall {
    fn drop(&mut self) {
        if !self.has_ended {
            let mut counts = self.callback.counts.lock();
            counts.running = counts.running.saturating_sub(1);
        }
    }
}

/// A call was ended from outside: the watchdog knows the library alone.
fn warn_of_end(callback: &Callback, took: Duration, subject: CallSubject<'_>, error: &ScriptError) {
    let took = took.as_millis();
    let key = subject.key.map(|key| format!(", key {}", quoted(key)));
    let id = subject.entry_id.map(|id| format!(", ID {id}"));
    let frame = error
        .stack
        .as_deref()
        .and_then(|stack| stack.lines().next());
    let frame = frame.map(|frame| format!(", {}", frame.trim()));
    let about = [key, id, frame].map(Option::unwrap_or_default).concat();
    log::warn!("{callback} was ended after {took} ms{about}");
}
