//! Taking the server's lock from a worker, fairly.
//!
//! The lock itself is not fair: who gives it up and wants it again at once usually gets it. So
//! workers give way: when they together have had it for a while, the main thread has an event-loop
//! iteration before any of them takes it again.
//!
//! The main thread gives it up in each iteration, but only while it asks for what there is to do. Where
//! there always is, and little of it, as while it reads large values piece by piece, it has taken the
//! lock again before a worker that waits for it is awake: for hundreds of milliseconds. A worker that was
//! starved like that is told so the next times, for a while, unless the lock is free: then the main thread
//! is to be asked to run the worker's commands, see [`super::errand`], and it does so in its next iteration.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::ffi::event_loop::wake_main_thread;
use super::ffi::global_lock::GlobalLockGuard;
use super::shutdown;
use crate::executor::Completions;

/// How long workers may have the lock between two iterations of the event loop.
const SHARE: Duration = Duration::from_millis(1);
/// How long a worker gives way at most. The main thread is then at something long, and has the
/// lock anyway.
const WAY_MAX: Duration = Duration::from_millis(100);

/// A worker that has waited so long for the lock, through so many iterations, is starved: the main thread
/// was not at one thing that takes long, but has taken the lock again and again.
const STARVED: Duration = Duration::from_millis(10);
const STARVED_ITERATIONS: u64 = 10;
/// For how long no worker waits for the lock then.
const STARVED_FOR: Duration = Duration::from_secs(10);

/// Until when no worker waits for the lock.
#[derive(Debug)]
struct Starvation {
    /// In milliseconds of a clock that begins with 1; 0 before there was any.
    until_ms: AtomicU64,
}

impl Starvation {
    const fn new() -> Self {
        Self {
            until_ms: AtomicU64::new(0),
        }
    }

    /// Whether there is some at this time.
    fn is_at(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms.load(Ordering::Relaxed)
    }

    /// A worker had to wait for so long, through so many iterations.
    fn note(&self, now_ms: u64, waited: Duration, iterations: u64) {
        if waited >= STARVED && iterations >= STARVED_ITERATIONS {
            let time = u64::try_from(STARVED_FOR.as_millis()).unwrap_or(u64::MAX);
            self.until_ms
                .store(now_ms.saturating_add(time), Ordering::Relaxed);
        }
    }
}

static STARVATION: Starvation = Starvation::new();

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
        let taken = if STARVATION.is_at(now_ms(began)) {
            shutdown::take_unless_ending(GlobalLockGuard::try_take)
        } else {
            let before = ITERATIONS.number.load(Ordering::Relaxed);
            let lock = shutdown::take_unless_ending(GlobalLockGuard::take);
            let iterations = ITERATIONS.number.load(Ordering::Relaxed) - before;
            STARVATION.note(now_ms(began), began.elapsed(), iterations);
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

/// Milliseconds of a clock that begins with 1.
fn now_ms(now: Instant) -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let time = now.saturating_duration_since(*BEGIN.get_or_init(|| now));
    u64::try_from(time.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waited_long_through_many_iterations_was_starved_and_waits_no_more_for_a_while() {
        let starvation = Starvation::new();
        assert!(!starvation.is_at(1));
        starvation.note(1, STARVED, STARVED_ITERATIONS);
        assert!(starvation.is_at(10_000));
        assert!(!starvation.is_at(10_001));
        starvation.note(10_001, STARVED * 9, STARVED_ITERATIONS);
        assert!(starvation.is_at(20_000));
    }

    #[test]
    fn who_waited_for_something_that_takes_long_or_for_a_moment_was_not() {
        let starvation = Starvation::new();
        starvation.note(1, Duration::from_secs(9), STARVED_ITERATIONS - 1);
        starvation.note(1, STARVED / 2, STARVED_ITERATIONS * 9);
        assert!(!starvation.is_at(1));
    }
}
