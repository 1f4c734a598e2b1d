//! Whether a unit of a worker may write now; and if not, when to check again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gears_v8::ports::Flags;

use super::context::{Context, is_paused};
use super::ffi::event_loop::wake_main_thread;

/// How often a worker looks whether clients are still paused, and for how long.
const PAUSE_POLL: Duration = Duration::from_millis(5);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often it looks whether the server takes writes again.
const REFUSAL_POLL: Duration = Duration::from_millis(50);

/// Blocks that wait until they may write.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Whether any block waits until it may write. The server tells nobody when that ends.
pub(super) fn blocks_wait() -> bool {
    WAITING.load(Ordering::Relaxed) > 0
}

/// A block waits until it may write.
pub(super) struct WaitsToWrite(());

impl WaitsToWrite {
    pub(super) fn begin() -> Self {
        if WAITING.fetch_add(1, Ordering::Relaxed) == 0 {
            // It shows users what is waited for.
            wake_main_thread();
        }
        Self(())
    }
}

impl Drop for WaitsToWrite {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a unit that may write waits before it checks again, if it has to wait: clients are
/// paused, or a failover is on its way, and writes wait like those of clients; or the server
/// refuses them, and nobody waits for an answer. A caller gets one in time.
pub(super) fn retry_after(flags: Flags, end: Instant) -> Option<Duration> {
    let context = Context::detached();
    let waits = flags.contains(Flags::WAITS);
    if !waits && Instant::now() >= end {
        return None;
    }
    if is_paused() {
        return Some(PAUSE_POLL);
    }
    // On a replica it has nothing to wait for.
    let is_refused = || context.state().is_primary && context.refusal().is_some();
    (waits && is_refused()).then_some(REFUSAL_POLL)
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
    if !flags.contains(Flags::ALLOW_OOM) && context.is_full() {
        return Err("Can not lock Redis, OOM Can not lock redis for write".into());
    }
    Ok(())
}
