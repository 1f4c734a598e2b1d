//! The server's lock, for workers.

use std::time::{Duration, Instant};

use crate::engine::{Flags, Grant, Server};
use crate::exec::ServerLock;

use super::context::Context;
use super::unit::Unit;
use super::{HOOKS, api, is_paused, log};

/// How often a worker looks whether clients are still paused, and for how long.
const PAUSE_LOOK: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// See the module's description.
pub(crate) struct GlobalLock;

/// Holds the lock while it lives.
struct Held;

impl Held {
    fn take() -> Self {
        // SAFETY: the context is made for use from any thread; no lock of ours is held: the
        // server's is the outermost.
        unsafe { api!(RedisModule_ThreadSafeContextLock)(log::detached()) };
        Self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: this thread holds it.
        unsafe { api!(RedisModule_ThreadSafeContextUnlock)(log::detached()) };
    }
}

impl ServerLock for GlobalLock {
    fn with(&self, grant: &Grant, work: &mut dyn FnMut(Result<&dyn Server, String>)) {
        let mut held = Held::take();
        if !grant.flags.contains(Flags::NO_WRITES) {
            // Clients are paused, or a failover is on its way: writes wait, like those of clients.
            let end = Instant::now() + PAUSE_MAX;
            while is_paused() && Instant::now() < end {
                drop(held);
                std::thread::sleep(PAUSE_LOOK);
                held = Held::take();
            }
        }
        match check(&Context::from_raw(log::detached()), grant.flags) {
            Ok(()) => work(Ok(&Unit::of_grant(grant))),
            Err(refused) => work(Err(refused)),
        }
        if let Some(hooks) = HOOKS.get() {
            hooks.after_background();
        }
        drop(held);
    }
}

/// Whether a unit with these flags may run now.
///
/// # Errors
/// With what forbids it.
pub(super) fn check(context: &Context, flags: Flags) -> Result<(), String> {
    if flags.contains(Flags::NO_WRITES) {
        return Ok(());
    }
    let state = context.state();
    if !state.is_primary {
        return Err("Can not lock Redis, Can not lock redis for write on replica".into());
    }
    if is_paused() {
        return Err("Can not lock Redis, clients are paused for too long".into());
    }
    if state.is_out_of_memory && !flags.contains(Flags::ALLOW_OOM) {
        return Err("Can not lock Redis, OOM Can not lock redis for write".into());
    }
    Ok(())
}
