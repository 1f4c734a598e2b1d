//! The server's lock, for workers.
//!
//! The lock itself is not fair: who gives it up and wants it again at once mostly gets it. So
//! workers give way: when they together have had it for a while, the main thread has its round
//! before any of them takes it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::executor::ServerLock;
use gears_v8::ports::{Credentials, Flags, Server};

use super::context::Context;
use super::execution_unit::ExecutionUnit;
use super::facts::facts;
use super::{HOOKS, api, errand, is_paused, log, shutdown, wake_main_thread};

/// How often a worker looks whether clients are still paused, and for how long.
const PAUSE_LOOK: Duration = Duration::from_millis(5);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often it looks whether the server takes writes again.
const REFUSAL_LOOK: Duration = Duration::from_millis(50);

/// How long workers may have the lock between two rounds of the main thread.
const SHARE: Duration = Duration::from_millis(1);
/// How long a worker gives way at most. The main thread is then at something long, and has the
/// lock anyway.
const WAY_MAX: Duration = Duration::from_millis(100);

/// What is said when there is nobody to lock any more.
const ENDING: &str = "Can not lock Redis, the server is shutting down";

/// See the module's description.
pub(crate) struct GlobalLock;

/// Rounds of the main thread, and how long workers have had the lock since the last.
struct Rounds {
    number: AtomicU64,
    held_us: AtomicU64,
    waiting: AtomicUsize,
    mutex: Mutex<()>,
    ended: Condvar,
}

static ROUNDS: Rounds = Rounds {
    number: AtomicU64::new(0),
    held_us: AtomicU64::new(0),
    waiting: AtomicUsize::new(0),
    mutex: Mutex::new(()),
    ended: Condvar::new(),
};

impl Rounds {
    /// The main thread has had its round.
    fn end(&self) {
        self.number.fetch_add(1, Ordering::SeqCst);
        self.held_us.store(0, Ordering::Relaxed);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            // Who looked at the number just before waits by now.
            drop(self.mutex.lock());
            self.ended.notify_all();
        }
    }

    /// Waits for the main thread's round, if workers have had their share.
    fn give_way(&self) {
        let share = SHARE.as_micros();
        if u128::from(self.held_us.load(Ordering::Relaxed)) < share {
            return;
        }
        let now = self.number.load(Ordering::SeqCst);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        wake_main_thread();
        let end = Instant::now() + WAY_MAX;
        let mut guard = self.mutex.lock();
        while self.number.load(Ordering::SeqCst) == now {
            if self.ended.wait_until(&mut guard, end).timed_out() {
                break;
            }
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The main thread has had its event-loop iteration: workers may have the lock again.
pub(super) fn end_round() {
    ROUNDS.end();
}

/// Holds the lock while it lives.
struct GilGuard {
    since: Instant,
    /// Whether something was done under it that others may wait for.
    worked: bool,
}

impl GilGuard {
    /// `None` where the server is ending.
    fn take() -> Option<Self> {
        ROUNDS.give_way();
        let taken = shutdown::take_unless_ending(|| {
            // SAFETY: the context is made for use from any thread; no lock of ours is held: the
            // server's is the outermost.
            unsafe { api!(RedisModule_ThreadSafeContextLock)(log::detached()) };
        });
        taken.then(|| Self {
            since: Instant::now(),
            worked: false,
        })
    }
}

impl Drop for GilGuard {
    fn drop(&mut self) {
        let held = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        ROUNDS.held_us.fetch_add(held, Ordering::Relaxed);
        if self.worked
            && let Some(hooks) = HOOKS.get()
        {
            hooks.after_background();
        }
        // SAFETY: this thread holds it.
        unsafe { api!(RedisModule_ThreadSafeContextUnlock)(log::detached()) };
    }
}

impl ServerLock for GlobalLock {
    fn with(
        &self,
        credentials: &Credentials,
        over: &Arc<AtomicBool>,
        work: &mut dyn FnMut(Result<&dyn Server, String>),
    ) {
        if facts().only_main_runs_commands {
            return errand::with(credentials, over, work);
        }
        let Some(mut held) = GilGuard::take() else {
            return work(Err(ENDING.into()));
        };
        if !credentials.flags.contains(Flags::NO_WRITES) {
            let end = Instant::now() + PAUSE_MAX;
            let mut stays = None;
            while !over.load(Ordering::Acquire)
                && let Some(look) = look_again(credentials.flags, end)
            {
                drop(held);
                stays.get_or_insert_with(Stays::begin);
                std::thread::sleep(look);
                let Some(again) = GilGuard::take() else {
                    return work(Err(ENDING.into()));
                };
                held = again;
            }
        }
        held.worked = true;
        match check(&Context::from_raw(log::detached()), credentials.flags) {
            Ok(()) => work(Ok(&ExecutionUnit::of_credentials(credentials))),
            Err(refused) => work(Err(refused)),
        }
    }

    fn must_wait(&self) -> bool {
        look_again(Flags::WAITS, Instant::now()).is_some()
    }
}

/// Blocks that wait until they may write.
static STAY: AtomicUsize = AtomicUsize::new(0);

/// Whether any block waits until it may write. The server tells nobody when that ends.
pub(super) fn blocks_wait() -> bool {
    STAY.load(Ordering::Relaxed) > 0
}

/// A block waits until it may write.
pub(super) struct Stays(());

impl Stays {
    pub(super) fn begin() -> Self {
        if STAY.fetch_add(1, Ordering::Relaxed) == 0 {
            // It shows users what is waited for.
            wake_main_thread();
        }
        Self(())
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        STAY.fetch_sub(1, Ordering::Relaxed);
    }
}

/// When a unit that may write is to look again, if it has to wait: clients are paused, or a
/// failover is on its way, and writes wait like those of clients; or the server refuses them, and
/// nobody waits for an answer. A caller gets one in time.
pub(super) fn look_again(flags: Flags, end: Instant) -> Option<Duration> {
    let context = Context::from_raw(log::detached());
    let waits = flags.contains(Flags::WAITS);
    if !waits && Instant::now() >= end {
        return None;
    }
    if is_paused() {
        return Some(PAUSE_LOOK);
    }
    // On a replica it has nothing to wait for.
    let is_refused = || context.state().is_primary && context.refusal(b"").is_some();
    (waits && is_refused()).then_some(REFUSAL_LOOK)
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
