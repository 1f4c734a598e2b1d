//! What a run of JavaScript has around it: its bounds, the server, and what comes of it beside
//! its result.
//!
//! It lives in the isolate's slot, where functions that scripts call find it. The server is
//! there exactly as long as the run it was given to.
//!
//! ```text
//! run           the state of an isolate, and watched runs with a server around them
//! call_context  what a script's call of a command needs
//! results       promises that are settled, background parts, timers
//! rejections    promises that are left rejected
//! executions    runs over the data set
//! remote_calls  calls of remote functions
//! ```

mod call_context;
mod executions;
mod rejections;
mod remote_calls;
mod results;

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::ports::{
    Arguments, Executions, RemoteCalls, RemoteReturns, ScriptError, Server, SettledPromise,
};

use crate::limits::isolate_limits::IsolateLimits;
use crate::runtime::command_names::CommandNames;
use crate::runtime::continuation;
use crate::runtime::helpers::Helpers;

pub(crate) use call_context::{keep_command_name, return_arguments, take_call_context};
pub(crate) use executions::{begin_execution, end_execution, executions};
pub(crate) use rejections::{on_rejection, report_rejections};
pub(crate) use remote_calls::{
    StartedRemoteCall, begin_remote_call, end_remote_call, remotes, returns,
};
pub(crate) use results::{
    begin_task, clear_tasks, leave_continuations, next_task_of_script, note_settled, note_timer,
    run_continuations, take_results,
};

/// What programs tell of and ask for, beside the server.
#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) executions: Arc<dyn Executions>,
    pub(crate) remotes: Arc<dyn RemoteCalls>,
}

/// What an isolate keeps for its runs: the server at hand, and what runs leave behind.
pub(crate) struct RunState {
    pub(crate) isolate_limits: Arc<IsolateLimits>,
    server: Option<NonNull<dyn Server>>,
    settled: Vec<SettledPromise>,
    /// Background parts that wait, and how many of them are new.
    tasks: VecDeque<v8::Global<v8::Function>>,
    new_tasks: usize,
    rejected: Vec<v8::Global<v8::Promise>>,
    /// Whether code behind promises that settle is left for another session.
    leaves_continuations: bool,
    /// The last command's arguments, for their memory; none while they are in use.
    arguments: Option<Box<Arguments>>,
    command_names: CommandNames,
    /// Threads that have given up the isolate in the middle of a script.
    suspended: usize,
    /// Promises that V8 settles when their time has come.
    timers: Arc<AtomicUsize>,
    helpers: Option<Arc<Helpers>>,
    /// The library's context, once there is one.
    context: Option<v8::Global<v8::Context>>,
    outside: Outside,
    /// Calls of remote functions that are on their way: what settles their promises.
    remote_calls: HashMap<u64, [v8::Global<v8::Function>; 2]>,
    last_remote_call: u64,
    returns: Arc<RemoteReturns>,
    /// Runs over the data set that this library started and has not ended.
    running_executions: Vec<String>,
    /// What callbacks are registered as, by [`CallbackId`].
    callback_names: Vec<Box<str>>,
    /// What the library's text is known by.
    digest: u64,
}

impl RunState {
    pub(crate) fn new(
        isolate_limits: Arc<IsolateLimits>,
        outside: Outside,
        timers: Arc<AtomicUsize>,
        returns: Arc<RemoteReturns>,
    ) -> Self {
        Self {
            timers,
            returns,
            remote_calls: HashMap::new(),
            last_remote_call: 0,
            suspended: 0,
            isolate_limits,
            outside,
            running_executions: Vec::new(),
            callback_names: Vec::new(),
            digest: 0,
            server: None,
            settled: Vec::new(),
            tasks: VecDeque::new(),
            new_tasks: 0,
            rejected: Vec::new(),
            leaves_continuations: false,
            arguments: None,
            command_names: CommandNames::default(),
            helpers: None,
            context: None,
        }
    }
}

impl Drop for RunState {
    fn drop(&mut self) {
        self.end_executions("the library that it belongs to is gone");
        self.returns.close();
    }
}

/// The place among an isolate's data where the address of its [`RunState`] is: V8 finds that at
/// once. Slots by type, the crate's, have to be looked up, and a call asks for the state ten times.
const PLACE: u32 = 0;

/// Owns the state in the isolate's slot, and takes its address away when it goes.
struct OwnedState {
    state: NonNull<RunState>,
    isolate: v8::UnsafeRawIsolatePtr,
}

impl Drop for OwnedState {
    fn drop(&mut self) {
        // SAFETY: slots are dropped while their isolate is still there, and nobody is in it; the
        // state was made by `Box::into_raw` and is freed once.
        unsafe {
            let mut isolate = v8::Isolate::from_raw_isolate_ptr(self.isolate);
            isolate.set_data(PLACE, std::ptr::null_mut());
            drop(Box::from_raw(self.state.as_ptr()));
        }
    }
}

/// Gives an isolate its state, for as long as it lives.
pub(crate) fn install(isolate: &mut v8::Isolate, state: RunState) {
    let state = NonNull::from(Box::leak(Box::new(state)));
    isolate.set_data(PLACE, state.as_ptr().cast());
    // SAFETY: the pointer is only used while the slot lives, which is shorter than the isolate.
    let raw = unsafe { isolate.as_raw_isolate_ptr() };
    isolate.set_slot(OwnedState {
        state,
        isolate: raw,
    });
}

fn state(isolate: &mut v8::Isolate) -> Option<&mut RunState> {
    // SAFETY: `install` put the address of a state there, and `OwnedState` takes it away before the
    // state is freed. Whoever has the isolate, exclusively, has its state so: it is reached no other
    // way.
    unsafe { isolate.get_data(PLACE).cast::<RunState>().as_mut() }
}

fn put_server(
    isolate: &mut v8::Isolate,
    server: Option<&dyn Server>,
) -> Option<NonNull<dyn Server>> {
    // SAFETY: this only forgets how long the server lives. `with_server` and `end` take it out of
    // the slot again, whatever the run does, and it is reached in between only.
    let server = server.map(|server| unsafe {
        std::mem::transmute::<NonNull<dyn Server + '_>, NonNull<dyn Server>>(NonNull::from(server))
    });
    state(isolate).and_then(|state| std::mem::replace(&mut state.server, server))
}

/// Runs `work` with this server, `None` for none, around it.
pub(crate) fn with_server<'s, 'i, R>(
    scope: &mut v8::PinScope<'s, 'i>,
    server: Option<&dyn Server>,
    work: impl FnOnce(&mut v8::PinScope<'s, 'i>) -> R,
) -> R {
    let outer = put_server(scope, server);
    let result = catch_unwind(AssertUnwindSafe(|| work(&mut *scope)));
    if let Some(state) = state(scope) {
        state.server = outer;
    }
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Gives the server of the current run to `work`; `None` where the run has none.
pub(crate) fn use_server<'s, 'i, R>(
    scope: &mut v8::PinScope<'s, 'i>,
    work: impl FnOnce(&mut v8::PinScope<'s, 'i>, &dyn Server) -> R,
) -> Option<R> {
    let server = state(scope)?.server?;
    // SAFETY: `with_server` put it there, further up this thread's stack, and it has not returned.
    let server = unsafe { server.as_ref() };
    Some(work(scope, server))
}

/// A script run that has started: what [`end`] needs of it.
#[derive(Clone, Copy)]
#[must_use]
pub(crate) struct StartedRun(Option<NonNull<dyn Server>>);

/// Begins a watched run with this server around it; [`end`] has to follow, whatever happens.
pub(crate) fn begin(
    isolate: &mut v8::Isolate,
    isolate_limits: &IsolateLimits,
    server: Option<&dyn Server>,
) -> StartedRun {
    let outer = put_server(isolate, server);
    isolate_limits
        .timer
        .start(server.is_some_and(Server::is_locked));
    StartedRun(outer)
}

/// Ends a run with what it gave; the error if it was ended from outside. A panic is resumed.
pub(crate) fn end<R>(
    scope: &mut v8::PinScope,
    isolate_limits: &IsolateLimits,
    started: StartedRun,
    result: std::thread::Result<R>,
) -> Result<R, ScriptError> {
    if let Some(state) = state(scope) {
        state.server = started.0;
    }
    let ended = isolate_limits.end_run(scope);
    let result = result.unwrap_or_else(|panic| resume_unwind(panic));
    match ended {
        None => Ok(result),
        Some(error) => {
            forget_run(scope);
            if let Some(state) = state(scope) {
                // Whatever the library had pending is void.
                state.end_executions(&error.message);
            }
            Err(error)
        }
    }
}

/// One watched run of `work`.
pub(crate) fn watched<'s, 'i, R>(
    scope: &mut v8::PinScope<'s, 'i>,
    isolate_limits: &IsolateLimits,
    server: Option<&dyn Server>,
    work: impl FnOnce(&mut v8::PinScope<'s, 'i>) -> R,
) -> Result<R, ScriptError> {
    let started = begin(scope, isolate_limits, server);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let result = work(scope);
        report_rejections(scope);
        result
    }));
    end(scope, isolate_limits, started, result)
}

/// One watched run of `work` under the server's lock, without a server around it.
pub(crate) fn watched_with_lock<'s, 'i, R>(
    scope: &mut v8::PinScope<'s, 'i>,
    isolate_limits: &IsolateLimits,
    work: impl FnOnce(&mut v8::PinScope<'s, 'i>) -> R,
) -> Result<R, ScriptError> {
    isolate_limits.timer.start(true);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let result = work(scope);
        report_rejections(scope);
        result
    }));
    end(scope, isolate_limits, StartedRun(None), result)
}

/// Whether the current run is being ended, and V8 has not noticed yet.
pub(crate) fn is_ending(isolate: &mut v8::Isolate) -> bool {
    state(isolate).is_some_and(|state| state.isolate_limits.timer.is_ending())
}

/// After a run that was ended: what it left half-done is void.
fn forget_run(scope: &mut v8::PinScope) {
    if let Some(state) = state(scope) {
        state.rejected.clear();
        let pending = std::mem::take(&mut state.remote_calls).len();
        state.timers.fetch_sub(pending, Ordering::Relaxed);
    }
    if let Some(helpers) = helpers(scope) {
        v8::tc_scope!(let scope, scope);
        let close = v8::Local::new(scope, &helpers.close);
        let nothing = v8::undefined(scope).into();
        close.call(scope, nothing, &[]);
    }
}

/// Takes note of what the library's text is known by.
pub(crate) fn set_digest(isolate: &mut v8::Isolate, digest: u64) {
    if let Some(state) = state(isolate) {
        state.digest = digest;
    }
}

/// What the library's text is known by.
pub(crate) fn digest(isolate: &mut v8::Isolate) -> u64 {
    state(isolate).map_or(0, |state| state.digest)
}

/// The bounds of the current run.
pub(crate) fn isolate_limits(isolate: &mut v8::Isolate) -> Option<Arc<IsolateLimits>> {
    state(isolate).map(|state| Arc::clone(&state.isolate_limits))
}

// --- places ---------------------------------------------------------------------------------------

/// Says what callbacks are registered as, in the order of their numbers.
pub(crate) fn name_callbacks(isolate: &mut v8::Isolate, names: Vec<Box<str>>) {
    if let Some(state) = state(isolate) {
        state.callback_names = names;
    }
}

/// Gives to `work` the names of the library and of the callback that the code at hand belongs to;
/// the latter is empty where none is known.
pub(crate) fn with_place<R>(
    scope: &mut v8::PinScope,
    work: impl FnOnce(&str, &str) -> R,
) -> Option<R> {
    let callback = continuation::callback(scope);
    let state = state(scope)?;
    let name = callback.and_then(|id| state.callback_names.get(id.0 as usize));
    let library = state.isolate_limits.timer.library();
    Some(work(library, name.map_or("", |name| name)))
}

/// The library's context.
pub(crate) fn context(isolate: &mut v8::Isolate) -> Option<v8::Global<v8::Context>> {
    state(isolate)?.context.clone()
}

/// Takes note of the library's context.
pub(crate) fn set_context(isolate: &mut v8::Isolate, context: v8::Global<v8::Context>) {
    if let Some(state) = state(isolate) {
        state.context = Some(context);
    }
}

/// The functions of the bootstrap.
pub(crate) fn helpers(isolate: &mut v8::Isolate) -> Option<Arc<Helpers>> {
    state(isolate)?.helpers.clone()
}

pub(crate) fn set_helpers(isolate: &mut v8::Isolate, helpers: Helpers) {
    if let Some(state) = state(isolate) {
        state.helpers.get_or_insert_with(|| Arc::new(helpers));
    }
}

// --- threads that wait in the middle of a script ----------------------------------------------------

/// A thread is about to give up the isolate in the middle of a script.
pub(crate) fn suspend(isolate: &mut v8::Isolate) {
    if let Some(state) = state(isolate) {
        state.suspended += 1;
    }
}

/// A thread that had given up the isolate has it back.
pub(crate) fn resume(isolate: &mut v8::Isolate) {
    if let Some(state) = state(isolate) {
        state.suspended -= 1;
    }
}

/// Whether a thread has given up the isolate in the middle of a script. V8's own tasks do not see
/// what lies on that one's stack, and objects that they move are lost to it.
pub(crate) fn is_suspended(isolate: &mut v8::Isolate) -> bool {
    state(isolate).is_some_and(|state| state.suspended > 0)
}
