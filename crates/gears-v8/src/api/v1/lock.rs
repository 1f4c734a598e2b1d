//! `block` of an async client: a piece of code with the server's lock held.
//!
//! Lock order: the server's lock outside, the isolate's inside. So the isolate is given up first,
//! and had again once the server's lock is held.

use std::sync::Arc;
use std::time::Instant;

use crate::api::v1::credentials;
use crate::convert::to_js::throw_redis_error;
use crate::limits::isolate_limits::IsolateLimits;
use crate::limits::watchdog::Reason;
use crate::ports::{Credentials, RunResults, Server};
use crate::runtime::run;
use crate::runtime::text::{self, OrThrown, Thrown};
use crate::runtime::unlocked::Suspended;

/// What code without the lock is told.
pub(crate) const NOT_LOCKED: &str = "Main thread is not locked";

/// `lock(user, db, flags, run, work)`: calls `run(work)` with the server's lock held.
pub(crate) fn lock<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    let (Ok(run_sync), Some(isolate_limits)) = (
        v8::Local::<v8::Function>::try_from(args.get(3)),
        run::isolate_limits(scope),
    ) else {
        return;
    };
    let credentials = credentials::of_arguments(scope, args);
    let work = args.get(4);
    let returned = run::use_server(scope, |scope, server| {
        if server.is_locked() {
            // A continuation on the main thread: part of the current run.
            let mut returned = Err(Thrown);
            server.lock(&credentials, &mut |authorized| {
                returned = run_admitted(scope, authorized, run_sync, work);
            });
            returned
        } else {
            run_with_lock(scope, &isolate_limits, server, &credentials, run_sync, work)
        }
    });
    match returned {
        None => text::throw(scope, NOT_LOCKED),
        Some(Ok(value)) => result.set(value),
        Some(Err(Thrown)) => {}
    }
}

fn run_with_lock<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    isolate_limits: &Arc<IsolateLimits>,
    server: &dyn Server,
    credentials: &Credentials,
    run_sync: v8::Local<'s, v8::Function>,
    work: v8::Local<'s, v8::Value>,
) -> Result<v8::Local<'s, v8::Value>, Thrown> {
    // Where the run is being ended, V8 ends it on the way back.
    let paused = isolate_limits.timer.pause().or_thrown()?;
    let took_ms = paused.took_ms();
    if isolate_limits.is_overdue(took_ms) {
        // The watchdog hardly finds a run that pauses again and again.
        isolate_limits.timer.resume(paused);
        isolate_limits.timer.end_for_taken_time(took_ms);
        return Err(Thrown);
    }
    let mut results = RunResults::default();
    run::take_results(scope, &mut results);
    if !results.settled.is_empty() || results.tasks > 0 {
        server.note_results(&mut results);
    }
    let mut suspended = Some(Suspended::new(scope));
    let mut returned = Err(Thrown);
    let mut ended = None;
    let mut began = Instant::now();
    server.lock(credentials, &mut |authorized| {
        if let Some(suspended) = suspended.take() {
            suspended.resume(scope);
        }
        began = Instant::now();
        isolate_limits.timer.start(true);
        returned = run_admitted(scope, authorized, run_sync, work);
        ended = isolate_limits.timer.stop();
    });
    if let Some(suspended) = suspended.take() {
        // Nobody had it run.
        suspended.resume(scope);
    }
    let charged = if ended == Some(Reason::Time) {
        // Caught again and again, that would hold up the server without an end.
        paused.charged(began.elapsed() / 2)
    } else {
        paused
    };
    isolate_limits.timer.resume(charged);
    match ended {
        None => {}
        Some(Reason::Time) if isolate_limits.is_overdue(charged.took_ms()) => {
            // It caught that often enough. The watchdog would hardly find it off the lock.
            isolate_limits.timer.end_for_taken_time(charged.took_ms());
            return Err(Thrown);
        }
        Some(Reason::Time) => {
            // The async function may catch it: its promise is settled in any case.
            return Err(throw_plainly(scope, Reason::Time.describe()));
        }
        Some(Reason::Memory) => {
            // All of the run has to unwind before there is memory again.
            isolate_limits.timer.end_for_memory();
            return Err(Thrown);
        }
    }
    returned
}

/// Throws an error that reads like its plain text, as those of commands do.
fn throw_plainly(scope: &mut v8::PinScope, message: &str) -> Thrown {
    match run::helpers(scope) {
        Some(helpers) => throw_redis_error(scope, &helpers, message.as_bytes()),
        None => text::thrown(scope, message),
    }
}

fn run_admitted<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    authorized: Result<&dyn Server, String>,
    run_sync: v8::Local<'s, v8::Function>,
    work: v8::Local<'s, v8::Value>,
) -> Result<v8::Local<'s, v8::Value>, Thrown> {
    match authorized {
        Err(message) => Err(throw_plainly(scope, &message)),
        Ok(server) => run::with_server(scope, Some(server), |scope| {
            let nothing = v8::undefined(scope).into();
            run_sync.call(scope, nothing, &[work]).or_thrown()
        }),
    }
}
