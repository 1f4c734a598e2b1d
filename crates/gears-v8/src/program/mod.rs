//! One library's isolate and context.
//!
//! Life: [`V8Program::compile`] on the main thread, `evaluate` once, then `enter` from whichever
//! thread has a call to make, one at a time. Everything that refers into the heap is a `Global`,
//! which may be dropped on any thread; the isolate goes last but for the run timer, which V8 may
//! still call while the isolate is torn down.
//!
//! ```text
//! session  what a program that is entered does: each call is a watched run
//! records, trigger_events, invoke
//!          calls of stream consumers, triggers, functions: what they are given
//! remote   calls of remote functions, on both ends
//! kept     an isolate that a thread keeps entered
//! entered  what the calls of one session have in common
//! names    names that come again, from session to session
//! outcome  what comes of a call, at once or by its promise
//! debug    RG.FUNCTION DEBUG js
//! ```

pub(crate) mod debug;
mod entered;
mod invoke;
mod kept;
mod names;
mod outcome;
mod records;
mod remote;
mod session;
mod trigger_events;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::ports::{
    KeptEntered, MemoryUse, Program, Registrations, RemoteReturns, ScriptError, Session, Source,
    digest_of,
};

use crate::api::python::{self, PythonRuntime};
use crate::api::v1;
use crate::api::v1::loading::Loading;
use crate::api::{bootstrap, guards};
use crate::limits::isolate_limits;
use crate::limits::isolate_limits::IsolateLimits;
use crate::program::entered::V8Session;
use crate::program::kept::{EnteredIsolate, KeptContext};
use crate::program::names::KeptNames;
use crate::runtime::helpers::Helpers;
use crate::runtime::place;
use crate::runtime::run::{self, Outside, RunState};
use crate::runtime::text::{self, OrThrown, Thrown};

/// What a library is written in.
pub(crate) enum Language {
    JavaScript,
    Python(Arc<PythonRuntime>),
}

/// A library's top level, compiled.
enum TopLevel {
    Script(v8::Global<v8::Script>),
    /// What Python's translator made of it.
    Function(v8::Global<v8::Function>),
}

/// A library's isolate and context, compiled, with the callbacks it registered.
pub(crate) struct V8Program {
    top_level: Option<TopLevel>,
    /// What the library registered, by [`crate::ports::CallbackId`].
    functions: Vec<v8::Global<v8::Function>>,
    /// The functions through which it is called.
    helpers: Arc<Helpers>,
    /// Names that calls have in common, while nobody is in a session: whoever enters takes them along.
    names: Mutex<Option<Box<KeptNames>>>,
    context: v8::Global<v8::Context>,
    isolate: v8::SharedIsolate,
    isolate_limits: Arc<IsolateLimits>,
    /// Whether it was entered since V8's own tasks were run last.
    ran: AtomicBool,
    one_shot: bool,
    /// What its text is known by.
    digest: u64,
    /// Promises that V8 settles when their time has come.
    timers: Arc<AtomicUsize>,
    kept: Arc<KeptContext>,
    returns: Arc<RemoteReturns>,
}

impl V8Program {
    pub(crate) fn compile(
        source: &Source<'_>,
        language: &Language,
        isolate_limits: Arc<IsolateLimits>,
        outside: Outside,
    ) -> Result<Self, ScriptError> {
        let timers = Arc::default();
        let returns = Arc::default();
        let state = RunState::new(
            Arc::clone(&isolate_limits),
            outside,
            Arc::clone(&timers),
            Arc::clone(&returns),
        );
        let isolate = new_isolate(&isolate_limits, state)?;
        let handle = isolate.thread_safe_handle();
        isolate_limits.timer.attach(handle, place::end_here);
        isolate_limits.timer.set_restoring(source.restored);
        isolate_limits.timer.start(true);
        let built = build(&isolate, source, language, &isolate_limits);
        let ended = isolate_limits.timer.stop();
        let (context, top_level, helpers) = match ended {
            Some(reason) => return Err(ScriptError::new(reason.describe())),
            None => built?,
        };
        Ok(Self {
            top_level: Some(top_level),
            functions: Vec::new(),
            helpers,
            context,
            isolate,
            isolate_limits,
            names: Mutex::default(),
            ran: AtomicBool::new(false),
            one_shot: source.one_shot,
            digest: digest_of(source.code),
            timers,
            kept: Arc::default(),
            returns,
        })
    }

    /// Locks and enters the isolate and its context for `work`.
    fn with_scope<R>(&self, work: impl FnOnce(&mut v8::PinScope<'_, '_>) -> R) -> R {
        // SAFETY: only one thread at a time may enter the program: the one that keeps it, if one does.
        let work = match unsafe { self.kept.with(work) } {
            Ok(result) => return result,
            Err(work) => work,
        };
        let mut locker = self.isolate.lock();
        v8::scope!(let scope, &mut *locker);
        let context = v8::Local::new(scope, &self.context);
        let scope = &mut v8::ContextScope::new(scope, context);
        work(scope)
    }
}

impl Program for V8Program {
    fn evaluate(&mut self) -> Result<Registrations, ScriptError> {
        let top_level = self
            .top_level
            .take()
            .ok_or_else(|| ScriptError::new("the library was evaluated before"))?;
        let (result, loading) = self.with_scope(|scope| {
            scope.set_slot(Loading {
                one_shot: self.one_shot,
                ..Loading::default()
            });
            // Loading happens on the main thread: the limit is that of code that holds its lock.
            let result = run::watched_with_lock(scope, &self.isolate_limits, |scope| {
                run_top_level(scope, &top_level)
            });
            let mut loading = scope.remove_slot::<Loading>().unwrap_or_default();
            run::set_digest(scope, self.digest);
            if matches!(top_level, TopLevel::Function(_)) {
                python::keep_code(scope);
                // What the translator has left: half of what the library would keep of the machine's memory.
                scope.low_memory_notification();
            }
            self.isolate_limits.measure(scope);
            run::name_callbacks(scope, std::mem::take(&mut loading.names));
            (result.and_then(|result| result), loading)
        });
        self.isolate_limits.timer.set_restoring(false);
        result?;
        self.functions = loading.callbacks;
        Ok(loading.registrations)
    }

    fn enter(&self, work: &mut dyn FnMut(&mut dyn Session)) {
        if !self.ran.load(Ordering::Relaxed) {
            self.ran.store(true, Ordering::Relaxed);
        }
        self.with_scope(|scope| {
            let (functions, limits) = (&self.functions, &self.isolate_limits);
            let mut names = self.names.lock().take().unwrap_or_default();
            work(&mut V8Session::new(
                scope,
                &self.helpers,
                functions,
                limits,
                &mut names,
                &self.ran,
            ));
            // Here, where the isolate is locked: a session that came while this one had given it up
            // may have left others, whose handles end now.
            *self.names.lock() = Some(names);
        });
    }

    fn keep_entered(&self) -> Box<dyn KeptEntered> {
        // SAFETY: the caller lets go of it before the program and its isolate end, on this thread,
        // and in no session.
        Box::new(unsafe { EnteredIsolate::new(&self.isolate, &self.context, &self.kept) })
    }

    fn wants_pump(&self) -> bool {
        self.ran.load(Ordering::Relaxed) || self.has_timers() || self.returns.has_some()
    }

    fn has_timers(&self) -> bool {
        self.timers.load(Ordering::Relaxed) > 0
    }

    fn returns(&self) -> &Arc<RemoteReturns> {
        &self.returns
    }

    fn memory(&self) -> MemoryUse {
        self.isolate_limits.memory_use()
    }
}

fn new_isolate(
    isolate_limits: &Arc<IsolateLimits>,
    state: RunState,
) -> Result<v8::SharedIsolate, ScriptError> {
    let mut isolate = v8::Isolate::new(isolate_limits::create_params(isolate_limits));
    isolate.set_microtasks_policy(v8::MicrotasksPolicy::Explicit);
    // A script that waits would hold its thread.
    isolate.set_allow_atomics_wait(false);
    isolate.set_promise_reject_callback(run::on_rejection);
    run::install(&mut isolate, state);
    isolate_limits::guard_heap(&mut isolate, isolate_limits);
    // SAFETY: everything that hangs off the isolate may move between threads: the slot holds
    // plain data, `Global`s, the bounds (shared, `Sync`) and, during a run and for its thread
    // only, a pointer; the callbacks are plain functions, their data is the bounds.
    unsafe { isolate.try_into_shared() }.map_err(|error| ScriptError::new(error.to_string()))
}

type Built = (v8::Global<v8::Context>, TopLevel, Arc<Helpers>);

fn build(
    isolate: &v8::SharedIsolate,
    source: &Source<'_>,
    language: &Language,
    isolate_limits: &IsolateLimits,
) -> Result<Built, ScriptError> {
    let mut locker = isolate.lock();
    v8::scope!(let scope, &mut *locker);
    let context = v8::Context::new(scope, v8::ContextOptions::default());
    let scope = &mut v8::ContextScope::new(scope, context);
    let kept = v8::Global::new(scope, context);
    run::set_context(scope, kept);
    v8::tc_scope!(let scope, scope);
    let built = (|| {
        // Before the guards: the module's own code needs none.
        bootstrap::install(scope)?;
        if let Language::Python(runtime) = language {
            unwatched(isolate_limits, || python::load(scope, runtime))?;
        }
        guards::install(scope)?;
        guards::bound_code_of_texts(scope);
        v1::install(scope, source.config)?;
        let code = v8::String::new(scope, source.code).or_thrown()?;
        let top_level = match language {
            Language::JavaScript => {
                let script = text::compile(scope, source.library, code)?;
                TopLevel::Script(v8::Global::new(scope, script))
            }
            Language::Python(_) => {
                let compiler = unwatched(isolate_limits, || python::compiler(scope))?;
                let function = compile_python(scope, compiler, code, source.library)?;
                TopLevel::Function(v8::Global::new(scope, function))
            }
        };
        Ok((
            v8::Global::new(scope, context),
            top_level,
            run::helpers(scope).or_thrown()?,
        ))
    })();
    built.map_err(|Thrown| {
        // Python's translator says it in the text.
        let message = scope
            .message()
            .filter(|_| matches!(language, Language::JavaScript));
        let line = message.and_then(|message| message.get_line_number(scope));
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

/// Does what takes its time through no fault of the library's.
fn unwatched<R>(isolate_limits: &IsolateLimits, work: impl FnOnce() -> R) -> R {
    let paused = isolate_limits.timer.pause();
    let result = work();
    if let Some(paused) = paused {
        isolate_limits.timer.resume(paused);
    }
    result
}

fn compile_python<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    compiler: v8::Local<'s, v8::Function>,
    code: v8::Local<'s, v8::String>,
    library: &str,
) -> Result<v8::Local<'s, v8::Function>, Thrown> {
    let nothing = v8::undefined(scope).into();
    let library = v8::String::new(scope, library).or_thrown()?;
    let function = compiler
        .call(scope, nothing, &[code.into(), library.into()])
        .or_thrown()?;
    v8::Local::<v8::Function>::try_from(function)
        .ok()
        .or_thrown()
}

/// Runs the top level and what it left to be done at once.
fn run_top_level(scope: &mut v8::PinScope, top_level: &TopLevel) -> Result<(), ScriptError> {
    v8::tc_scope!(let scope, scope);
    let value = match top_level {
        TopLevel::Script(script) => v8::Local::new(scope, script).run(scope),
        TopLevel::Function(function) => {
            let nothing = v8::undefined(scope).into();
            v8::Local::new(scope, function).call(scope, nothing, &[])
        }
    };
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
