//! Programmable streaming inside Redis and Valkey: JavaScript stream consumers on V8.
//!
//! This is the module's entry: what is registered with the server, and nothing else. The rooms:
//!
//! * [`stream`] decides: which entry goes to which consumer. Pure.
//! * [`engine`] runs scripts.
//! * [`exec`] carries decisions out, on the main thread and on workers.
//! * [`library`] knows what is loaded.
//! * `commands` answers users; `host` is the server; `app` ties them together.

mod app;
mod commands;
pub mod engine;
pub mod exec;
mod host;
pub mod library;
pub mod stream;

use std::ffi::{c_char, c_int};

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};

use crate::app::{App, AppHooks};
use crate::host::{API_VERSION, Context, ERR, OK, Settings};

#[global_allocator]
static ALLOCATOR: host::alloc::ServerAllocator = host::alloc::ServerAllocator;

/// The module's name, and what its log lines and its configs begin with.
const NAME: &[u8] = b"redisgears_2\0";
/// The module's version: major * 10000 + minor * 100 + patch.
const VERSION: c_int = 100;

/// Called by the server when it loads the module.
///
/// # Safety
/// Only a server calls this, with a live context and `argc` live strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnLoad(
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
    host::load_entry(context, argv, argc, load)
}

fn load(context: &Context, arguments: &[&[u8]]) -> Result<(), String> {
    host::install_log(context);
    let refused = |what: &str| format!("the server refuses: {what}");
    host::register_settings(context).map_err(refused)?;
    host::apply_arguments(arguments)?;
    commands::register(context).map_err(refused)?;
    App::start(context, Settings::new()).map_err(|error| format!("no threads: {error}"))?;
    host::listen(context, Box::new(AppHooks)).map_err(refused)?;
    log::info!("RedisGears v{} is ready", env!("CARGO_PKG_VERSION"));
    Ok(())
}

/// Called by the server when it is asked to unload the module: it refuses.
///
/// # Safety
/// Only a server calls this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnUnload(_context: *mut RedisModuleCtx) -> c_int {
    log::error!("the module cannot be unloaded: V8 cannot be started twice in one process");
    ERR
}
