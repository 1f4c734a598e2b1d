//! Calls of functions: made at once, given to a worker, or kept until their library is free.
//!
//! A call that waited is made as if it came then: its library and function are looked up by name,
//! its user and that user's rights too, and what forbids it forbids it. It is a unit of its own, in
//! a timer, so that its effects are one transaction.

mod prepare;
mod queue;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::dispatcher::Dispatcher;
use crate::executor::{
    Called, FunctionCall, LibraryExecutor, MainThreadExecutor, Responder, WaitingCall, WaitingCalls,
};
use crate::library::Libraries;
use crate::server::{
    BlockedClient, Context, ExecutionUnit, credentials_of_client, is_enabled, may_call,
};
use gears_core::delivery::Mode;
use gears_v8::ports::{Arguments, Credentials, Flags, Limits, Reply, Server};

use self::prepare::PreparedCall;

const CANNOT_WAIT: &str = "Can not block client for background execution, Blocking is not allow inside multi/exec, Lua, or within another module (RM_Call).";

/// How long the server waits for a worker that is on the library's isolate slot, which usually is
/// at something short: the client would wait longer if it were sent to wait.
const PATIENCE: Duration = Duration::from_millis(2);

/// The names of the command.
const NAMES: [&[u8]; 2] = [b"rg.fcall", b"rg.fcallasync"];

/// What calling functions takes, and the calls that wait. Used by the main thread only.
pub(crate) struct FunctionCalls {
    libraries: Rc<Libraries>,
    main_thread: Rc<MainThreadExecutor>,
    dispatcher: Rc<Dispatcher>,
    limits: Arc<Limits>,
    queue: WaitingCalls,
    /// Libraries whose worker has to be told of calls.
    untold: RefCell<Vec<Arc<LibraryExecutor>>>,
}

impl FunctionCalls {
    /// No call waits.
    #[must_use]
    pub(crate) fn new(
        libraries: Rc<Libraries>,
        main_thread: Rc<MainThreadExecutor>,
        dispatcher: Rc<Dispatcher>,
        limits: Arc<Limits>,
    ) -> Rc<Self> {
        Rc::new(Self {
            libraries,
            main_thread,
            dispatcher,
            limits,
            queue: WaitingCalls::default(),
            untold: RefCell::default(),
        })
    }

    /// How many calls wait for that library.
    #[must_use]
    pub(crate) fn waiting(&self, library: &str) -> usize {
        self.queue.count(library)
    }

    /// Makes the call of a command with these arguments behind its name; `None` where its client
    /// waits for the reply.
    pub(crate) fn call(self: &Rc<Self>, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
        let call = match prepare::prepare(&self.libraries, context, arguments) {
            Ok(call) => call,
            Err(error) => return Some(Reply::Error(error)),
        };
        let flags = call.callee.function.flags;
        let unit = match &call.callee.owner {
            None => ExecutionUnit::of_command(context, flags),
            Some(owner) => match ExecutionUnit::of_command_as(context, owner, flags) {
                Some(unit) => unit,
                None => return Some(Reply::Error(no_owner(owner))),
            },
        };
        match call.callee.function.mode {
            Mode::Sync => self.call_here(context, &call, &unit, arguments),
            Mode::Async => {
                let Some(credentials) = unit.credentials() else {
                    return Some(Reply::error("Failed authenticating client"));
                };
                match block(context, &call.callee.executor) {
                    Ok(responder) => {
                        self.send(&call, credentials, responder);
                        None
                    }
                    Err(refused) => Some(refused),
                }
            }
        }
    }

    /// Calls a sync function, or has its client wait until the library is free.
    fn call_here(
        self: &Rc<Self>,
        context: &Context,
        call: &PreparedCall<'_, '_>,
        unit: &ExecutionUnit,
        arguments: &[&[u8]],
    ) -> Option<Reply> {
        let longest = Duration::from_millis(self.limits.locked_ms.load(Ordering::Relaxed));
        let executor = &call.callee.executor;
        let try_for = |patience| {
            let mut wait = || block(context, executor);
            self.main_thread.call_function(
                executor,
                &call.callee.function,
                call.arguments,
                unit,
                patience,
                &mut wait,
            )
        };
        // Nobody overtakes those who wait, but who cannot wait himself.
        let is_late = self.queue.wait_for(&call.callee.library) && context.may_wait().is_ok();
        if !is_late {
            let called = try_for(PATIENCE.min(longest));
            if !matches!(called, Called::Busy) {
                return called.into_reply(executor);
            }
        }
        // Who calls is asked again what he may; the owner, as whom it may act, is looked up then.
        let flags = call.callee.function.flags;
        if context.may_wait().is_ok()
            && let Some(credentials) = credentials_of_client(context, flags)
        {
            return self.enqueue(context, call, arguments, credentials).err();
        }
        try_for(longest).into_reply(executor)
    }

    /// Has a worker call the function.
    fn send(
        &self,
        call: &PreparedCall<'_, '_>,
        credentials: Credentials,
        responder: Box<dyn Responder>,
    ) {
        let executor = &call.callee.executor;
        let is_untold = executor.add_function(FunctionCall {
            callback: call.callee.function.callback,
            credentials: Arc::new(credentials),
            arguments: Arguments::of(call.arguments.iter().copied()),
            raw: call.callee.function.flags.contains(Flags::RAW_ARGUMENTS),
            timeout_ms: call.callee.function.timeout_ms,
            responder,
        });
        let mut untold = self.untold.borrow_mut();
        if is_untold && !untold.iter().any(|other| Arc::ptr_eq(other, executor)) {
            untold.push(Arc::clone(executor));
        }
    }

    /// Part of every tick: workers are told of the calls that came since the last.
    pub(crate) fn wake_workers(&self) {
        for executor in self.untold.borrow_mut().drain(..) {
            executor.wake_worker();
        }
    }

    /// Makes a call that waited, as if it came now; gives it back where its library is still busy.
    fn call_again(&self, context: &Context, waiting: WaitingCall) -> Option<WaitingCall> {
        if waiting.responder.is_gone() {
            return None;
        }
        let arguments: Vec<_> = waiting.arguments.iter().collect();
        let prepared = may_call(&waiting.credentials.user, &NAMES, &arguments)
            .and_then(|()| prepare::prepare(&self.libraries, context, &arguments))
            .and_then(|call| Ok((acting_user(&call, &waiting)?, call)));
        let (user, call) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                waiting.responder.answer(Reply::Error(error));
                return None;
            }
        };
        let credentials = Credentials {
            user,
            db: waiting.credentials.db,
            flags: call.callee.function.flags,
        };
        if call.callee.function.mode == Mode::Async {
            let _ = waiting.called.set(Arc::clone(&call.callee.executor));
            self.send(&call, credentials, waiting.responder);
            return None;
        }
        let unit = ExecutionUnit::of_credentials(&credentials);
        let responder = RefCell::new(Some(waiting.responder));
        let mut wait = || {
            let _ = waiting.called.set(Arc::clone(&call.callee.executor));
            let responder = responder.borrow_mut().take();
            responder.ok_or_else(|| Reply::error("Err the caller waits already"))
        };
        let called = self.main_thread.call_function(
            &call.callee.executor,
            &call.callee.function,
            call.arguments,
            &unit,
            PATIENCE,
            &mut wait,
        );
        match (called, responder.into_inner()) {
            (Called::Busy, Some(responder)) => Some(WaitingCall {
                responder,
                ..waiting
            }),
            (Called::Answered(reply), Some(responder)) => {
                responder.answer(reply);
                None
            }
            _ => None,
        }
    }
}

/// In whose name a call that waited is made.
///
/// # Errors
/// Where that user is no more.
fn acting_user(call: &PreparedCall<'_, '_>, waiting: &WaitingCall) -> Result<Arc<str>, String> {
    match &call.callee.owner {
        None => Ok(Arc::clone(&waiting.credentials.user)),
        Some(owner) if is_enabled(owner) => Ok(Arc::clone(owner)),
        Some(owner) => Err(no_owner(owner)),
    }
}

/// The error of a function that acts as its library's owner, who is no more.
fn no_owner(owner: &str) -> String {
    format!(
        "NOPERM the function acts as the library's owner '{owner}', who does not exist, or is disabled"
    )
}

/// Has the client of a command wait for the result of a call that runs.
fn block(context: &Context, executor: &Arc<LibraryExecutor>) -> Result<Box<dyn Responder>, Reply> {
    let executor = Arc::clone(executor);
    let on_gone = Box::new(move || executor.note_responder_gone());
    match BlockedClient::new(context, on_gone) {
        Ok(client) => Ok(Box::new(client)),
        Err(refused) => Err(Reply::Error(refused.text(CANNOT_WAIT))),
    }
}
