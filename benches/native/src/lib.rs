//! A module for the benchmarks alone: `NATIVE.CALL times command numkeys [key ...] [arg ...]` runs a
//! command so many times and gives its last reply, as the twins of it in Lua and JavaScript do.
//!
//! It is the limit of what `RG.FCALL` can reach: the same calls of the server with the same
//! options, and nothing around them. The arguments are the server's own strings, as they came.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "the header gives constants as other types; all of them are small"
)]

use std::ffi::c_int;
use std::ptr::null_mut;

use redis_module::raw::{self, RedisModuleCallReply, RedisModuleCtx, RedisModuleString};

const OK: c_int = raw::REDISMODULE_OK as c_int;
const API_VERSION: c_int = raw::REDISMODULE_APIVER_1 as c_int;

/// A function of the server.
macro_rules! api {
    ($name:ident) => {
        raw::$name.expect(concat!("the server has no ", stringify!($name)))
    };
}

/// Called by the server when it loads the module.
///
/// # Safety
/// Only a server calls this, with a live context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnLoad(
    context: *mut RedisModuleCtx,
    _argv: *mut *mut RedisModuleString,
    _argc: c_int,
) -> c_int {
    // SAFETY: the context is live; all names end with NUL.
    unsafe {
        let initialised = raw::Export_RedisModule_Init(context, c"native".as_ptr(), 1, API_VERSION);
        if initialised != OK {
            return initialised;
        }
        api!(RedisModule_CreateCommand)(
            context,
            c"native.call".as_ptr(),
            Some(call),
            c"may-replicate deny-script no-mandatory-keys".as_ptr(),
            0,
            0,
            0,
        )
    }
}

unsafe extern "C" fn call(
    context: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
) -> c_int {
    /// Places of the number of calls and of the command; behind that and its number of keys are its
    /// arguments.
    const TIMES: usize = 1;
    const COMMAND: usize = 2;
    const ARGUMENTS: usize = 4;
    let Ok(argc) = usize::try_from(argc) else {
        return OK;
    };
    // SAFETY: the context is live, the server gives `argc` live strings, and each reply is freed
    // once.
    unsafe {
        if argc < ARGUMENTS {
            return api!(RedisModule_WrongArity)(context);
        }
        let arguments = std::slice::from_raw_parts(argv, argc);
        let mut times = 0;
        if api!(RedisModule_StringToLongLong)(arguments[TIMES], &raw mut times) != OK {
            let error = c"ERR the first argument is no number";
            return api!(RedisModule_ReplyWithError)(context, error.as_ptr());
        }
        let name = api!(RedisModule_StringPtrLen)(arguments[COMMAND], null_mut());
        let mut last: *mut RedisModuleCallReply = null_mut();
        for _ in 0..times {
            if !last.is_null() {
                api!(RedisModule_FreeCallReply)(last);
            }
            last = api!(RedisModule_Call)(
                context,
                name,
                c"!ECSv".as_ptr(),
                arguments[ARGUMENTS..].as_ptr(),
                argc - ARGUMENTS,
            );
        }
        if last.is_null() {
            return api!(RedisModule_ReplyWithNull)(context);
        }
        api!(RedisModule_ReplyWithCallReply)(context, last);
        api!(RedisModule_FreeCallReply)(last);
        OK
    }
}
