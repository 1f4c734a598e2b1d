//! One library's isolate and context.
//!
//! Life: [`V8Program::compile`] on the main thread, `evaluate` once, then `enter` from whichever
//! thread has a call to make, one at a time. Everything that refers into the heap is a `Global`,
//! which may be dropped on any thread; the isolate goes last but for the watch, which V8 may
//! still call while the isolate is torn down.

use std::sync::Arc;

use crate::engine::{Program, Registrations, ScriptError, Session, Source};

use super::api_v1::Loading;
use super::memory::Bounds;
use super::session::{Callbacks, SettledSlot, V8Session};
use super::watchdog::{Watch, Watchdog};
use super::{api_v1, bootstrap, guards, memory, text};

/// How often the program is entered between two looks for tasks of V8 itself.
const ENTERS_PER_PUMP: u32 = 64;

/// See the module's description.
pub(super) struct V8Program {
    script: Option<v8::Global<v8::Script>>,
    callbacks: Callbacks,
    context: v8::Global<v8::Context>,
    isolate: v8::SharedIsolate,
    bounds: Bounds,
    entered: u32,
}

impl V8Program {
    pub(super) fn compile(
        source: &Source<'_>,
        memory: usize,
        watchdog: &Watchdog,
    ) -> Result<Self, ScriptError> {
        let bounds = Bounds {
            watch: watchdog.watch(),
            memory,
        };
        let isolate = new_isolate(memory, &bounds.watch)?;
        bounds.watch.attach(isolate.thread_safe_handle());
        bounds.watch.start();
        let built = build(&isolate, source);
        let ended = bounds.watch.stop();
        let (context, invoke, script) = match ended {
            Some(reason) => return Err(ScriptError::new(reason.describe())),
            None => built?,
        };
        Ok(Self {
            script: Some(script),
            callbacks: Callbacks {
                invoke,
                functions: Vec::new(),
            },
            context,
            isolate,
            bounds,
            entered: 0,
        })
    }

    /// Locks and enters the isolate and its context for `work`.
    fn with_scope<R>(&self, work: impl FnOnce(&mut v8::PinScope<'_, '_>) -> R) -> R {
        let mut locker = self.isolate.lock();
        v8::scope!(let scope, &mut *locker);
        let context = v8::Local::new(scope, &self.context);
        let scope = &mut v8::ContextScope::new(scope, context);
        work(scope)
    }
}

impl Program for V8Program {
    fn evaluate(&mut self) -> Result<Registrations, ScriptError> {
        let script = self
            .script
            .take()
            .ok_or_else(|| ScriptError::new("the library was evaluated before"))?;
        let (result, loading) = self.with_scope(|scope| {
            scope.set_slot(Loading::default());
            self.bounds.watch.start();
            let script = v8::Local::new(scope, script);
            let mut result = run(scope, script);
            let loading = scope.remove_slot::<Loading>().unwrap_or_default();
            if let Some(error) = self.bounds.end_run(scope) {
                result = Err(error);
            }
            (result, loading)
        });
        result?;
        self.callbacks.functions = loading.callbacks;
        Ok(loading.registrations)
    }

    fn enter(&mut self, work: &mut dyn FnMut(&mut dyn Session)) {
        self.entered = self.entered.wrapping_add(1);
        let entered = self.entered;
        self.with_scope(|scope| {
            let mut session = V8Session::new(scope, &self.callbacks, &self.bounds);
            work(&mut session);
            // Tasks of V8 itself, such as the end of a concurrent collection. Entering is too
            // frequent to look for them each time.
            if entered.is_multiple_of(ENTERS_PER_PUMP) {
                session.pump();
            }
        });
    }
}

fn new_isolate(memory: usize, watch: &Arc<Watch>) -> Result<v8::SharedIsolate, ScriptError> {
    let mut isolate = v8::Isolate::new(memory::create_params(memory));
    isolate.set_microtasks_policy(v8::MicrotasksPolicy::Explicit);
    // A script that waits would hold its thread.
    isolate.set_allow_atomics_wait(false);
    isolate.set_slot(SettledSlot::default());
    memory::guard_heap(&mut isolate, watch);
    // SAFETY: everything that hangs off the isolate may move between threads: the slots hold
    // vectors of plain data and of `Global`s, the callbacks are plain functions, their data is
    // the watch (shared, `Sync`) and the allocator's counter (likewise).
    unsafe { isolate.try_into_shared() }.map_err(|error| ScriptError::new(error.to_string()))
}

type Built = (
    v8::Global<v8::Context>,
    v8::Global<v8::Function>,
    v8::Global<v8::Script>,
);

fn build(isolate: &v8::SharedIsolate, source: &Source<'_>) -> Result<Built, ScriptError> {
    let mut locker = isolate.lock();
    v8::scope!(let scope, &mut *locker);
    let context = v8::Context::new(scope, v8::ContextOptions::default());
    let scope = &mut v8::ContextScope::new(scope, context);
    v8::tc_scope!(let scope, scope);
    let built = (|| {
        guards::install(scope)?;
        let invoke = bootstrap::install(scope)?;
        api_v1::install(scope, source.config)?;
        let code = v8::String::new(scope, source.code)?;
        let script = text::compile(scope, source.library, code)?;
        Some((
            v8::Global::new(scope, context),
            v8::Global::new(scope, invoke),
            v8::Global::new(scope, script),
        ))
    })();
    built.ok_or_else(|| {
        let line = scope
            .message()
            .and_then(|message| message.get_line_number(scope));
        let mut error = match scope.exception() {
            Some(exception) => text::describe(scope, exception),
            None => ScriptError::new("the library does not fit into its memory"),
        };
        if let Some(line) = line {
            error.message = format!("{} (line {line})", error.message);
        }
        error
    })
}

/// Runs the top level and what it left to be done at once.
fn run(scope: &mut v8::PinScope, script: v8::Local<v8::Script>) -> Result<(), ScriptError> {
    v8::tc_scope!(let scope, scope);
    let value = script.run(scope);
    scope.perform_microtask_checkpoint();
    let Some(value) = value else {
        return Err(match scope.exception() {
            Some(exception) => text::describe(scope, exception),
            None => ScriptError::new("the library did not run to its end"),
        });
    };
    match v8::Local::<v8::Promise>::try_from(value) {
        Ok(promise) if promise.state() == v8::PromiseState::Rejected => {
            let reason = promise.result(scope);
            Err(text::describe(scope, reason))
        }
        _ => Ok(()),
    }
}
