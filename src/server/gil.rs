//! Taking the server's lock from a worker, fairly.
//!
//! The lock itself is not fair: who gives it up and wants it again at once usually gets it. So
//! workers give way: when they together have had it for a while, the main thread has an event-loop
//! iteration before any of them takes it again.
//!
//! Nor is the main thread fair: see [`super::starvation`]. Where workers are starved of the lock they do not
//! wait for it: where it is not free, the main thread is to be asked to run the worker's commands.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::ffi::event_loop::wake_main_thread;
use super::ffi::global_lock::GlobalLockGuard;
use super::{shutdown, starvation};
use crate::executor::Completions;

/// How long workers may have the lock between two iterations of the event loop.
const SHARE: Duration = Duration::from_millis(1);
/// How long a worker gives way at most. The main thread is then at something long, and has the
/// lock anyway.
const WAY_MAX: Duration = Duration::from_millis(100);

/// Iterations of the main thread's event loop, and how long workers have had the lock since the last.
struct Iterations {
    number: AtomicU64,
    held_us: AtomicU64,
    waiting: AtomicUsize,
    mutex: Mutex<()>,
    ended: Condvar,
}

static ITERATIONS: Iterations = Iterations {
    number: AtomicU64::new(0),
    held_us: AtomicU64::new(0),
    waiting: AtomicUsize::new(0),
    mutex: Mutex::new(()),
    ended: Condvar::new(),
};

impl Iterations {
    /// The main thread has had an iteration.
    fn end(&self) {
        self.number.fetch_add(1, Ordering::SeqCst);
        self.held_us.store(0, Ordering::Relaxed);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            // Who looked at the number just before waits by now.
            drop(self.mutex.lock());
            self.ended.notify_all();
        }
    }

    /// Waits for the main thread's iteration, if workers have had their share.
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
pub(super) fn end_iteration() {
    ITERATIONS.end();
}

/// Holds the lock while it lives.
pub(super) struct GilGuard<'a> {
    since: Instant,
    /// The way to the main thread, which is woken when the lock is given up: something was done
    /// under it that others may wait for. Not before: it would wake up only to wait for the lock.
    pub(super) wakes: Option<&'a Completions>,
    lock: Option<GlobalLockGuard>,
}

/// What came of asking for the lock.
pub(super) enum Taken<'a> {
    /// It is had.
    Lock(GilGuard<'a>),
    /// The main thread has it, and waiting for it may take long: whoever wants something is to ask that.
    Starved,
    /// The server is ending.
    Ending,
}

impl GilGuard<'_> {
    /// Waits for the lock, unless that may take long.
    pub(super) fn take() -> Taken<'static> {
        ITERATIONS.give_way();
        let began = Instant::now();
        let taken = if starvation::is_at(began) {
            shutdown::take_unless_ending(GlobalLockGuard::try_take)
        } else {
            let before = ITERATIONS.number.load(Ordering::Relaxed);
            let lock = shutdown::take_unless_ending(GlobalLockGuard::take);
            let iterations = ITERATIONS.number.load(Ordering::Relaxed) - before;
            starvation::note_wait(began, iterations);
            lock.map(Some)
        };
        match taken {
            None => Taken::Ending,
            Some(None) => Taken::Starved,
            Some(lock) => Taken::Lock(GilGuard {
                since: Instant::now(),
                wakes: None,
                lock,
            }),
        }
    }
}

impl Drop for GilGuard<'_> {
    fn drop(&mut self) {
        let held = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        ITERATIONS.held_us.fetch_add(held, Ordering::Relaxed);
        drop(self.lock.take());
        if let Some(completions) = self.wakes {
            completions.wake();
        }
    }
}
