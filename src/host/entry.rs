//! What the server calls when it loads the module, and when it is asked to unload it.

use std::ffi::{c_char, c_int};

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};

use super::constants::{API_VERSION, ERR, OK};
use super::guard;

/// The module's name, and what its log lines and its configs begin with.
const NAME: &[u8] = b"redisgears_2\0";
/// The module's version: major * 10000 + minor * 100 + patch.
const VERSION: c_int = 100;

/// Called by the server when it loads the module.
///
/// # Safety
/// Only a server calls this, with a live context and `argc` live strings.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn RedisModule_OnLoad(
    context: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
) -> c_int {
    // The first thing of all: it fetches the server's functions, the allocator among them.
    // SAFETY: the caller gives a live context; the name ends with NUL.
    let initialised = unsafe {
        raw::Export_RedisModule_Init(
            context,
            NAME.as_ptr().cast::<c_char>(),
            VERSION,
            API_VERSION,
        )
    };
    if initialised != OK {
        return initialised;
    }
    guard::load_entry(context, argv, argc, crate::load)
}

/// Called by the server when it is asked to unload the module: it refuses.
///
/// # Safety
/// Only a server calls this.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn RedisModule_OnUnload(_context: *mut RedisModuleCtx) -> c_int {
    log::error!("the module cannot be unloaded: V8 cannot be started twice in one process");
    ERR
}
