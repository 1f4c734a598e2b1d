//! What the server calls when it loads the module, and when it is asked to unload it.

use std::ffi::{c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};

use super::context::Context;
use super::ffi::constants::{API_VERSION, ERR, OK};
use super::ffi::guard;
use super::ffi::string::arguments;
use super::hooks::HOOKS;
use super::{keyspace, log as server_log};

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
    IS_NEW.store(true, Ordering::Relaxed);
    load(context, argv, argc)
}

/// A panic or an error keeps the module from being loaded.
fn load(context: *mut RedisModuleCtx, argv: *mut *mut RedisModuleString, argc: c_int) -> c_int {
    let loaded = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the server gives `argc` live strings.
        crate::load(&Context::from_raw(context), &unsafe {
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

/// Whether the event loop has not gone round since the module was loaded.
static IS_NEW: AtomicBool = AtomicBool::new(false);

/// The event loop goes round.
pub(super) fn is_not_new() {
    if IS_NEW.load(Ordering::Relaxed) {
        IS_NEW.store(false, Ordering::Relaxed);
    }
}

/// Called by the server when it is asked to unload the module. It refuses, but for a module that
/// has just been loaded: servers that find something wrong with `MODULE LOADEX` only then (a config
/// that nobody knows) unload it at once, and end themselves where they cannot. The library stays
/// in the process, and V8 with it, for the next time.
///
/// # Safety
/// Only a server calls this.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn RedisModule_OnUnload(_context: *mut RedisModuleCtx) -> c_int {
    let mut unloaded = false;
    guard::run("unloading", || {
        let is_new = IS_NEW.load(Ordering::Relaxed) && !keyspace::listens();
        unloaded = is_new && crate::unload();
        if unloaded {
            // SAFETY: this is called while the module is loaded: nobody else is in it.
            drop(unsafe { HOOKS.take() });
            server_log::remove();
        } else {
            log::error!("the module cannot be unloaded: V8 cannot be started twice in one process");
        }
    });
    if unloaded { OK } else { ERR }
}
