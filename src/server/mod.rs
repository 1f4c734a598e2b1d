//! The server. The only room that touches the Redis Module API.
//!
//! ```text
//! from the server
//!   entry              loading and unloading the module
//!   guard              nothing crosses back into C as a panic
//!   hooks              what the server's events call in the module
//!   events             the server's own events: its event loop, its role, flushes, loading
//!   keyspace           what happens to keys, as events of the delivery core and for triggers
//!   key_value          what a key holds
//!   suppress_triggers  whether that is the doing of libraries
//!   snapshots          libraries in dumps of the data set
//!   info               sections of INFO
//!   command            commands with their documentation
//!   run_command        a command of the module is run
//!   reply              sending replies
//!   blocked            clients that wait for a function's result
//! to the server
//!   context            calls into the server, safe to make on the main thread
//!   facts              what the server refuses, and which faults it has
//!   execution_unit     the server as scripts reach it while its lock is held
//!   slots              whether the keys of a command are all in one slot of a cluster
//!   user               users, and what they may do
//!   refusal            whether the server refuses what clients write
//!   streams            reading, progress, trimming
//!   stream_entries     the entries of a stream, one after the other
//!   dead_letters       dead letters
//!   scan               finding the streams that are there already
//!   settings           module configs and module arguments
//! threads
//!   main_thread        whether this is the main thread, and free
//!   lock               the server's lock, for workers
//!   gil                taking it, fairly
//!   errand             commands of workers, run by the main thread
//!   admission          whether a unit of a worker may write now
//!   shutdown           the end of the server
//!   wake, timer        getting the main thread out of its sleep, at once and at a time
//!   redis_locked       values that are used under the server's lock
//! everywhere
//!   alloc              Rust's allocator: the server's
//!   constants          the API's numbers
//!   log                the server's log for `log::info!` and friends
//! ```
//!
//! Every command that is called is called with `!`, those too that only read and leave nothing to
//! replicate. Redis 7.0 keeps aside what it has to replicate while it evicts and expires keys and serves
//! waiting clients, and sends that at the end of any command that is called meanwhile: at the end of one
//! without `!` it throws all of it away.
//!
//! What one server can do and another cannot is asked for here, by the functions it has; no
//! other room knows a version.

mod admission;
pub(crate) mod alloc;
mod blocked;
mod command;
mod constants;
mod context;
mod dead_letters;
mod entry;
mod errand;
mod events;
mod execution_unit;
mod facts;
mod gil;
mod guard;
mod hooks;
mod info;
mod key_value;
mod keyspace;
mod lock;
mod log;
mod main_thread;
mod redis_locked;
mod refusal;
mod reply;
mod run_command;
mod scan;
mod settings;
mod shutdown;
mod slots;
mod snapshots;
mod stream_entries;
mod streams;
mod suppress_triggers;
mod timer;
mod user;
mod wake;

pub(crate) use blocked::BlockedClient;
pub(crate) use command::{Arg, ArgKind, Command, Keys, register as register_commands};
pub(crate) use context::{Context, NoWait, is_paused, random_name};
pub(crate) use execution_unit::{ExecutionUnit, allow_unsafe_commands};
pub(crate) use hooks::Hooks;
pub(crate) use info::{Field, Section, register as register_info};
pub(crate) use keyspace::refuse_listener;
pub(crate) use lock::GlobalLock;
pub(crate) use log::install as install_log;
pub(crate) use redis_locked::RedisLocked;
pub(crate) use run_command::{
    command_entry, key_count, keyed_command_entry, run_command, run_keyed_command,
};
pub(crate) use scan::Scan;
pub(crate) use settings::{
    Settings, apply_arguments, change as change_setting, debug_is_enabled, read as read_setting,
    register as register_settings, v8_flags,
};
pub(crate) use snapshots::register as register_dumps;
pub(crate) use user::{is_admin, may_call};
pub(crate) use wake::wake_main_thread;

/// A function of the server, which it is known to have: it is older than the oldest server that
/// loads this module.
macro_rules! api {
    ($name:ident) => {
        redis_module::raw::$name.expect(concat!("the server has no ", stringify!($name)))
    };
}
pub(crate) use api;

/// Begins to listen to the server's events, those of keys not among them.
///
/// # Errors
/// With the name of what the server refuses.
pub(crate) fn listen(context: &Context, hooks: Box<dyn Hooks>) -> Result<(), &'static str> {
    hooks::HOOKS.set(hooks);
    // Workers ask for them without the lock.
    facts::facts();
    events::subscribe(context)
}
