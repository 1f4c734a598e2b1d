//! Nothing crosses back into C as a panic: the process would end.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw::{RedisModuleCtx, RedisModuleString};

use super::command::key_count;
use super::constants::{ERR, OK};
use super::context::{Context, bytes};
use super::errand::is_free_main_thread;
use super::{api, reply, snapshots};
use gears_v8::ports::Reply;

/// Runs what the server asked for in `place`; a panic becomes a line in the log.
pub(super) fn run(place: &str, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        log::error!("internal error in {place}");
    }
}

/// A thread that holds the server's lock can run commands, for other modules and for libraries that
/// may call everything; but what a library does on the main thread cannot be done on another.
pub(super) const NOT_HERE: &str = "ERR commands of the module cannot be run from another thread";

/// Runs a command, which gives no reply where its client waits; a panic becomes an error reply.
pub(crate) fn run_command(
    context: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
    handler: fn(&Context, &[&[u8]]) -> Option<Reply>,
) -> c_int {
    let answered = catch_unwind(AssertUnwindSafe(|| {
        let context = Context::from_raw(context);
        if !is_free_main_thread() {
            reply::send(&Reply::error(NOT_HERE), &context);
            return;
        }
        snapshots::make_known(&context);
        // SAFETY: the server gives `argc` strings, which live as long as the command runs.
        let arguments = unsafe { arguments(argv, argc) };
        if let Some(answer) = handler(&context, &arguments) {
            reply::send(&answer, &context);
        }
    }));
    if answered.is_err() {
        log::error!("internal error in a command");
        let error = Reply::error("ERR internal error, see the server's log");
        reply::send(&error, &Context::from_raw(context));
    }
    OK
}

/// Runs a command as [`run_command`] does, or tells the server where its keys are: behind the word
/// at `count_at`, which tells how many.
pub(crate) fn run_keyed_command(
    context: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
    count_at: c_int,
    handler: fn(&Context, &[&[u8]]) -> Option<Reply>,
) -> c_int {
    // SAFETY: the server gives a live context.
    if unsafe { api!(RedisModule_IsKeysPositionRequest)(context) } == 0 {
        return run_command(context, argv, argc, handler);
    }
    run("the search for keys", || {
        // SAFETY: the server gives `argc` strings, which live as long as this call.
        let arguments = unsafe { arguments(argv, argc) };
        let count = usize::try_from(count_at)
            .ok()
            .and_then(|at| arguments.get(at))
            .and_then(|count| key_count(count).ok())
            .and_then(|count| c_int::try_from(count).ok())
            .filter(|count| *count < argc - count_at);
        for key in 0..count.unwrap_or(0) {
            // SAFETY: as above; such a place there is.
            unsafe { api!(RedisModule_KeyAtPos)(context, count_at + 1 + key) };
        }
    });
    OK
}

/// Runs the module's entry; a panic or an error keeps the module from being loaded.
pub(super) fn load_entry(
    context: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
    load: fn(&Context, &[&[u8]]) -> Result<(), String>,
) -> c_int {
    let loaded = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the server gives `argc` live strings.
        load(&Context::from_raw(context), &unsafe {
            arguments(argv, argc)
        })
    }));
    match loaded {
        Ok(Ok(())) => return OK,
        Ok(Err(error)) => log::error!("{error}"),
        Err(_) => log::error!("internal error while the module was loaded"),
    }
    ERR
}

/// # Safety
/// `argv` must point to `argc` strings that stay alive while the result is used.
unsafe fn arguments<'a>(argv: *mut *mut RedisModuleString, argc: c_int) -> Vec<&'a [u8]> {
    let argc = usize::try_from(argc).unwrap_or(0);
    if argc == 0 {
        return Vec::new();
    }
    // SAFETY: the caller vouches for the list.
    let strings = unsafe { std::slice::from_raw_parts(argv, argc) };
    // SAFETY: and for each string in it.
    let bytes = strings.iter().map(|string| unsafe { bytes(*string) });
    bytes.collect()
}
