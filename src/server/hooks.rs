//! What the module does when the server tells of something: set once, when the module is loaded.
//!
//! The server calls into this folder; the folder calls what is above it through this trait alone.

use gears_core::cluster::{NodeId, Whereabouts};
use gears_core::delivery::{EntryId, Event, KeyRef};

use super::context::Context;
use super::ffi::redis_locked::RedisLocked;
use super::info::InfoSection;
use crate::dispatcher::KeyEvent;

/// The hooks of the module that is loaded.
pub(super) static HOOKS: RedisLocked<Box<dyn Hooks>> = RedisLocked::new();

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

    /// A key of a slot that the server has in its cluster; `None` where it is in none, or has no slot.
    fn own_key(&self) -> Option<[u8; 2]>;

    /// Where a slot is that the server does not serve.
    fn whereabouts(&self, slot: u16) -> Whereabouts;

    /// The number that the database has now which had this one when the server started.
    fn database_of(&self, home: i32) -> i32;

    /// The main thread leaves the isolate slot of a library where it may still be.
    fn leave_isolate(&self);

    /// What INFO is to show.
    fn info(&self) -> Vec<InfoSection>;

    /// A command is done and entries of it wait for sync callbacks.
    fn after_command(&self, context: &Context);

    /// A call that waits is to be made.
    fn make_call(&self, context: &Context);

    /// Another node sent something over the cluster bus.
    fn on_bus_message(&self, from: NodeId, bytes: &[u8]);

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

    /// A data set was loaded.
    fn on_loaded(&self, context: &Context);

    /// Another data set is about to be loaded: the libraries that there are go.
    fn forget_libraries(&self);

    /// A child was forked, to write a dump or another append-only file.
    fn on_fork(&self, context: &Context);

    /// This process is about to save the data set itself.
    fn before_save(&self, context: &Context);
}
