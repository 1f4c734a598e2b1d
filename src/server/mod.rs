//! The server: the only folder that touches the Redis Module API.
//!
//! ```text
//! from the server
//!   entry              loading and unloading the module
//!   hooks              what the server's events call in the module
//!   events             the server's own events: its event loop, its role, flushes, loading
//!   keyspace           what happens to keys, as events of the delivery core and for triggers
//!   key_value          what a key holds
//!   suppress_triggers  whether that is the doing of libraries
//!   snapshots          libraries in dumps of the data set
//!   info               sections of INFO
//!   run_command        a command of the module is run
//!   blocked            clients that wait for a function's result
//! to the server
//!   context            what is asked of the server in the middle of a call
//!   facts              what the server refuses, and which faults it has
//!   execution_unit     the server as scripts reach it while its lock is held
//!   denial             what they are told who may not run a command
//!   slots              whether the keys of a command are all in one slot of a cluster
//!   ownership          whether a key is this server's, in a cluster
//!   cluster            the server as a node of a cluster
//!   user               users, and what they may do
//!   refusal            whether the server refuses what clients write
//!   streams            reading, progress, trimming
//!   dead_letters       dead letters
//!   scan               finding the streams that are there already
//!   settings           module configs and module arguments
//!   audit              who changed what, in that log
//!   log                the server's log for `log::info!` and friends
//! threads
//!   main_thread        whether this is the main thread, and free
//!   lock               the server's lock, for workers
//!   gil                taking it, fairly
//!   starvation         whether workers are starved of it
//!   errand             commands of workers, run by the main thread
//!   admission          whether a unit of a worker may write now
//!   shutdown           the end of the server
//!   timer              waking the event loop at a time
//! below all of them
//!   ffi                safe wrappers over the raw API
//! ```
//!
//! Every command that is called is called with `!`, those too that only read and leave nothing to
//! replicate. Redis 7.0 keeps aside what it has to replicate while it evicts and expires keys and serves
//! waiting clients, and sends that at the end of any command that is called meanwhile: at the end of one
//! without `!` it throws all of it away.
//!
//! What one server can do and another cannot is asked for here, by the functions it has; no
//! other folder knows a version.

mod admission;
mod audit;
mod backlog;
mod blocked;
mod cluster;
mod context;
mod dead_letters;
mod denial;
mod entry;
mod errand;
mod events;
mod execution_unit;
mod facts;
mod ffi;
mod gil;
mod hooks;
mod info;
mod key_value;
mod keyspace;
mod lock;
mod log;
mod main_thread;
mod ownership;
mod refusal;
mod run_command;
mod scan;
mod settings;
mod shutdown;
mod slots;
mod snapshots;
mod starvation;
mod streams;
mod suppress_triggers;
mod timer;
mod user;

pub(crate) use audit::audit;
pub(crate) use blocked::{BlockedClient, PartedAnswer, ReplyParts};
pub(crate) use cluster::TlsFiles;
pub(crate) use context::{Context, NoWait, is_paused, random_bytes, random_name};
pub(crate) use execution_unit::{ExecutionUnit, allow_unsafe_commands, credentials_of_client};
pub(crate) use ffi::alloc::ServerAllocator;
pub(crate) use ffi::command::{Arg, ArgKind, Command, Keys, register as register_commands};
pub(crate) use ffi::event_loop::wake_main_thread;
pub(crate) use ffi::own_file::own_file;
pub(crate) use ffi::redis_locked::RedisLocked;
pub(crate) use hooks::Hooks;
pub(crate) use info::{InfoField, InfoSection, register as register_info};
pub(crate) use keyspace::refuse_listener;
pub(crate) use lock::{GlobalLock, LockFigures};
pub(crate) use log::{
    hold_back_scripts, install as install_log, write_what_is_due, write_what_waits,
};
pub(crate) use ownership::SlotOwner;
pub(crate) use run_command::{
    command_entry, key_count, keyed_command_entry, keyword_command_entry, run_command,
    run_keyed_command, run_keyword_command,
};
pub(crate) use scan::Scan;
pub(crate) use settings::{
    Settings, apply_arguments, change as change_setting, debug_is_enabled, python_folder,
    read as read_setting, register as register_settings, v8_flags,
};
pub(crate) use snapshots::register as register_dumps;
pub(crate) use user::{demand, is_admin, is_enabled, may_call};

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
