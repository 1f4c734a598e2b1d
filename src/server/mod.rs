//! The server. The only room that touches the Redis Module API.
//!
//! ```text
//! alloc              Rust's allocator: the server's
//! constants          the API's numbers
//! context            calls into the server, safe to make on the main thread
//! errand             commands of workers, run by the main thread
//! entry              loading and unloading the module
//! guard              nothing crosses back into C as a panic
//! log                the server's log for `log::info!` and friends
//! settings           module configs and module arguments
//! command            commands with their documentation
//! reply              sending replies
//! execution_unit     the server as scripts reach it while its lock is held
//! lock               that lock, for workers
//! user               users, and what they may do
//! blocked            clients that wait for a function's result
//! info               sections of INFO
//! keyspace           what happens to keys, as events of the delivery core and for triggers
//! key_value          what a key holds
//! suppress_triggers  whether that is the doing of libraries
//! facts              what the server refuses, and which faults it has
//! refusal            whether the server refuses what clients write
//! events             the server's own events: its event loop, its role, flushes, loading
//! streams            reading, progress, trimming
//! dead_letters       dead letters
//! shutdown           the end of the server
//! slots              whether the keys of a command are all in one slot of a cluster
//! timer              waking the event loop at a time
//! snapshots          libraries in dumps of the data set
//! scan               finding the streams that are there already
//! wake               getting the main thread out of its sleep
//! ```
//!
//! Every command that is called is called with `!`, those too that only read and leave nothing to
//! replicate. Redis 7.0 keeps aside what it has to replicate while it evicts and expires keys and serves
//! waiting clients, and sends that at the end of any command that is called meanwhile: at the end of one
//! without `!` it throws all of it away.
//!
//! What one server can do and another cannot is asked for here, by the functions it has; no
//! other room knows a version.

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
mod guard;
mod info;
mod key_value;
mod keyspace;
mod lock;
mod log;
mod redis_locked;
mod refusal;
mod reply;
mod scan;
mod settings;
mod shutdown;
mod slots;
mod snapshots;
mod streams;
mod suppress_triggers;
mod timer;
mod user;
mod wake;

use crate::dispatcher::KeyEvent;
use gears_core::delivery::{EntryId, Event, KeyRef};

pub(crate) use blocked::BlockedClient;
pub(crate) use command::{
    Arg, ArgKind, Command, Keys, command_entry, key_count, keyed_command_entry,
    register as register_commands,
};
pub(crate) use context::{Context, NoWait, random_name};
pub(crate) use execution_unit::{ExecutionUnit, allow_unsafe_commands};
pub(crate) use guard::{run_command, run_keyed_command};
pub(crate) use info::{Field, Section, register as register_info};
pub(crate) use keyspace::{EventSubscriptions, listen_to_keys, refuse_listener};
pub(crate) use lock::GlobalLock;
pub(crate) use log::install as install_log;
pub(crate) use redis_locked::RedisLocked;
pub(crate) use scan::Scan;
pub(crate) use settings::{
    Settings, apply_arguments, change as change_setting, debug_is_enabled, read as read_setting,
    register as register_settings, v8_flags,
};
pub(crate) use snapshots::register as register_dumps;
pub(crate) use user::{is_admin, may_call};
pub(crate) use wake::wake_main_thread;

use redis_module::raw;

/// A function of the server, which it is known to have: it is older than the oldest server that
/// loads this module.
macro_rules! api {
    ($name:ident) => {
        redis_module::raw::$name.expect(concat!("the server has no ", stringify!($name)))
    };
}
pub(crate) use api;

/// What the server tells the module, under the Redis lock; but for key events, and where it is
/// said, on the main thread.
pub(crate) trait Hooks {
    /// Something happened to a key, a database or the server's role.
    fn on_event(&self, event: Event<'_>);

    /// Something was told of a stream: where consumers begin with it is found out at once.
    fn place(&self, context: &Context, key: KeyRef<'_>);

    /// Whether a consumer knows the stream of this name.
    fn is_tracked(&self, key: KeyRef<'_>) -> bool;

    /// Whether there are triggers.
    fn has_triggers(&self) -> bool;

    /// Something happened to a key that is not the doing of libraries.
    fn on_key_event(&self, happened: &dyn KeyEvent);

    /// Makes sure that the event loop goes round once more, if something is to be done.
    fn wake(&self);

    /// Whether a sync callback has to run before the command that is executing gets its reply.
    fn has_urgent(&self) -> bool;

    /// A script added an entry to a stream.
    fn on_added(&self, key: KeyRef<'_>, id: EntryId);

    /// Why an entry must not be added to a stream now, if it must not.
    fn refuses_append(&self, key: KeyRef<'_>) -> Option<String>;

    /// The number that the database has now which had this one when the server started.
    fn database_of(&self, home: i32) -> i32;

    /// A worker is about to give up the server's lock, and may have run commands. Called on its
    /// thread.
    fn after_background(&self);

    /// The main thread leaves the isolate slot of a library where it may still be.
    fn leave_isolate(&self);

    /// What INFO is to show.
    fn info(&self) -> Vec<Section>;

    /// A command is done and entries of it wait for sync callbacks.
    fn after_command(&self, context: &Context);

    /// A call that waits is to be made.
    fn make_call(&self, context: &Context);

    /// The event loop is about to sleep.
    fn before_sleep(&self, context: &Context);

    /// Streams may be there that were not heard of: the data set or the role changed.
    fn rescan(&self);

    /// What is kept of the libraries. Called in a forked child too: nothing but memory guarded by
    /// the server's lock may be touched.
    fn dump(&self) -> Vec<Vec<u8>>;

    /// Makes a library of what was kept of it.
    ///
    /// # Errors
    /// Where the bytes cannot be read.
    fn restore(&self, context: &Context, bytes: &[u8]) -> Result<(), String>;

    /// Another data set is about to be loaded: the libraries that there are go.
    fn forget_libraries(&self);

    /// A child was forked, to write a dump or another append-only file.
    fn on_fork(&self, context: &Context);

    /// This process is about to save the data set itself.
    fn before_save(&self, context: &Context);
}

/// Begins to listen to the server's events, those of keys not among them.
///
/// # Errors
/// With the name of what the server refuses.
pub(crate) fn listen(context: &Context, hooks: Box<dyn Hooks>) -> Result<(), &'static str> {
    HOOKS.set(hooks);
    // Workers ask for them without the lock.
    facts::facts();
    events::subscribe(context)
}

static HOOKS: RedisLocked<Box<dyn Hooks>> = RedisLocked::new();

/// Whether writes of ours have to wait: clients are paused, or a failover is on its way.
pub(crate) fn is_paused() -> bool {
    // SAFETY: the function takes no arguments, and is called under the Redis lock like all others.
    unsafe { raw::RedisModule_AvoidReplicaTraffic.is_some_and(|avoid| avoid() != 0) }
}
