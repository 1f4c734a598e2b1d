//! A command of the module is run: what the server calls for it.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw::{RedisModuleCtx, RedisModuleString};

use super::context::Context;
use super::ffi::constants::OK;
use super::ffi::string::arguments;
use super::ffi::{blocked, guard, reply};
use super::main_thread::{NOT_HERE, is_free_main_thread};
use super::snapshots;
use gears_v8::ports::Reply;

/// `command_entry!(name, run, handler)`: the C function of a command that is run as
/// `run(&Context, &[&[u8]], handler) -> Option<Reply>`.
macro_rules! command_entry {
    ($name:ident, $run:path, $handler:path) => {
        unsafe extern "C" fn $name(
            context: *mut redis_module::raw::RedisModuleCtx,
            argv: *mut *mut redis_module::raw::RedisModuleString,
            argc: std::ffi::c_int,
        ) -> std::ffi::c_int {
            $crate::server::run_command(context, argv, argc, |context, arguments| {
                $run(context, arguments, $handler)
            })
        }
    };
}
pub(crate) use command_entry;

/// The same for a command with keys, behind the argument at `$count_at`, the number of keys.
macro_rules! keyed_command_entry {
    ($name:ident, $count_at:expr, $run:path, $handler:path) => {
        unsafe extern "C" fn $name(
            context: *mut redis_module::raw::RedisModuleCtx,
            argv: *mut *mut redis_module::raw::RedisModuleString,
            argc: std::ffi::c_int,
        ) -> std::ffi::c_int {
            $crate::server::run_keyed_command(
                context,
                argv,
                argc,
                $count_at,
                |context, arguments| $run(context, arguments, $handler),
            )
        }
    };
}
pub(crate) use keyed_command_entry;

/// The same for a command whose key is behind a keyword, which is looked for from the argument at `$from` on.
macro_rules! keyword_command_entry {
    ($name:ident, $keyword:expr, $from:expr, $run:path, $handler:path) => {
        unsafe extern "C" fn $name(
            context: *mut redis_module::raw::RedisModuleCtx,
            argv: *mut *mut redis_module::raw::RedisModuleString,
            argc: std::ffi::c_int,
        ) -> std::ffi::c_int {
            $crate::server::run_keyword_command(
                context,
                argv,
                argc,
                ($keyword, $from),
                |context, arguments| $run(context, arguments, $handler),
            )
        }
    };
}
pub(crate) use keyword_command_entry;

/// How many keys follow, by the argument that says it. Only as the server itself reads numbers:
/// another form would hide the keys from it.
///
/// # Errors
/// Where it is no such number.
pub(crate) fn key_count(argument: &[u8]) -> Result<usize, String> {
    if let [digit @ b'0'..=b'9'] = argument {
        // As it nearly always is.
        return Ok(usize::from(digit - b'0'));
    }
    let text = std::str::from_utf8(argument).map_err(|_| "Couldn't parse as UTF-8 string")?;
    let count = text
        .parse::<usize>()
        .map_err(|error| format!("ERR {error}"))?;
    let is_padded = text.len() > 1 && text.starts_with(['+', '0']);
    if is_padded {
        Err("ERR invalid digit found in string".into())
    } else {
        Ok(count)
    }
}

/// Runs a command, which gives no reply where its client waits; a panic becomes an error reply.
pub(crate) fn run_command(
    context: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
    handler: fn(&Context, &[&[u8]]) -> Option<Reply>,
) -> c_int {
    run(&Context::from_raw(context), argv, argc, handler)
}

fn run(
    context: &Context,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
    handler: fn(&Context, &[&[u8]]) -> Option<Reply>,
) -> c_int {
    let mut has_panicked = false;
    let waits = blocked::notes_waiting(|| {
        let done = catch_unwind(AssertUnwindSafe(|| {
            if !is_free_main_thread() {
                reply::send(&Reply::error(NOT_HERE), context);
                return;
            }
            snapshots::make_known(context);
            // SAFETY: the server gives `argc` strings, which live as long as the command runs.
            let arguments = unsafe { arguments(argv, argc) };
            if let Some(answer) = handler(context, &arguments) {
                reply::send(&answer, context);
            }
        }));
        has_panicked = done.is_err();
    });
    if has_panicked {
        log::error!("internal error in a command");
        // A client that waits was answered when the panic dropped what was to answer it.
        if !waits {
            let error = Reply::error("ERR internal error, see the server's log");
            reply::send(&error, context);
        }
    }
    OK
}

/// Runs a command as [`run_command`] does, or tells the server where its keys are: behind the
/// argument at `count_at`, which is their number.
pub(crate) fn run_keyed_command(
    context: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
    count_at: c_int,
    handler: fn(&Context, &[&[u8]]) -> Option<Reply>,
) -> c_int {
    let request = Context::from_raw(context);
    if !request.asks_for_keys() {
        let behind = usize::try_from(count_at + 1).unwrap_or(usize::MAX);
        // SAFETY: the server gives `argc` strings, which live as long as the command runs.
        let request = unsafe {
            let all = std::slice::from_raw_parts(argv, usize::try_from(argc).unwrap_or(0));
            Context::of_command(context, all.get(behind..).unwrap_or(&[]))
        };
        return run(&request, argv, argc, handler);
    }
    guard::run("the search for keys", || {
        // SAFETY: the server gives `argc` strings, which live as long as this call.
        let arguments = unsafe { arguments(argv, argc) };
        let count = usize::try_from(count_at)
            .ok()
            .and_then(|at| arguments.get(at))
            .and_then(|count| key_count(count).ok())
            .and_then(|count| c_int::try_from(count).ok())
            .filter(|count| *count < argc - count_at);
        for key in 0..count.unwrap_or(0) {
            request.tell_key(count_at + 1 + key);
        }
    });
    OK
}

/// Runs a command as [`run_command`] does, or tells the server where its key is: behind a keyword.
///
/// That is in the command's description as well. But servers before 7.2 do not look there when they send
/// the clients of a cluster to the node that has a key.
pub(crate) fn run_keyword_command(
    context: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
    (keyword, from): (&str, c_int),
    handler: fn(&Context, &[&[u8]]) -> Option<Reply>,
) -> c_int {
    let request = Context::from_raw(context);
    if !request.asks_for_keys() {
        return run(&request, argv, argc, handler);
    }
    guard::run("the search for a key", || {
        // SAFETY: the server gives `argc` strings, which live as long as this call.
        let arguments = unsafe { arguments(argv, argc) };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let place = key_behind(&arguments, keyword, from).and_then(|at| c_int::try_from(at).ok());
        if let Some(place) = place {
            request.tell_key(place);
        }
    });
    OK
}

/// The place of the argument behind the first keyword from a place on, as the server itself finds it.
fn key_behind(arguments: &[&[u8]], keyword: &str, from: usize) -> Option<usize> {
    let mut rest = arguments.iter().enumerate().skip(from);
    let (at, _) = rest.find(|(_, word)| word.eq_ignore_ascii_case(keyword.as_bytes()))?;
    (at + 1 < arguments.len()).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_behind_the_first_keyword() {
        for (words, place) in [
            ("info lib c", None),
            ("info lib c stream", None),
            ("info lib c Stream k", Some(4)),
            ("info stream c STREAM k STREAM l", Some(4)),
            ("info stream k", None),
        ] {
            let words: Vec<_> = words.split(' ').map(str::as_bytes).collect();
            assert_eq!(key_behind(&words, "STREAM", 3), place);
        }
    }

    #[test]
    fn a_number_of_keys_has_one_form_alone() {
        for (word, count) in [("0", 0), ("1", 1), ("10", 10), ("101", 101)] {
            assert_eq!(key_count(word.as_bytes()), Ok(count), "{word}");
        }
        for word in [
            "", "00", "01", "+1", "+0", "-0", "-1", " 1", "1 ", "1.0", "1e1", "x",
        ] {
            assert!(key_count(word.as_bytes()).is_err(), "{word:?}");
        }
    }
}
