//! Whether workers are starved of the server's lock.
//!
//! The main thread gives the lock up in each iteration of its event loop, but only while it asks the
//! operating system what there is to do. Where there always is, and little of it, as while it reads large
//! values piece by piece, it has taken the lock again before a worker that waits for it is awake: for
//! hundreds of milliseconds. A worker that has waited like that tells it here, and for a while none waits.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A worker that has waited so long for the lock, through so many iterations, is starved: the main thread
/// was not at one thing that takes long, but has taken the lock again and again.
const WAITED: Duration = Duration::from_millis(10);
const ITERATIONS: u64 = 10;

/// For how long no worker waits for the lock then.
const LASTS: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Starvation {
    /// Until when no worker waits, in milliseconds of a clock that begins with 1; 0 before there was any.
    until_ms: AtomicU64,
    /// How often it began, or went on.
    times: AtomicU64,
}

impl Starvation {
    const fn new() -> Self {
        Self {
            until_ms: AtomicU64::new(0),
            times: AtomicU64::new(0),
        }
    }

    fn is_at(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms.load(Ordering::Relaxed)
    }

    fn note_wait(&self, now_ms: u64, waited: Duration, iterations: u64) {
        if waited >= WAITED && iterations >= ITERATIONS {
            let lasts = u64::try_from(LASTS.as_millis()).unwrap_or(u64::MAX);
            let until_ms = now_ms.saturating_add(lasts);
            self.until_ms.store(until_ms, Ordering::Relaxed);
            self.times.fetch_add(1, Ordering::Relaxed);
        }
    }
}

static STARVATION: Starvation = Starvation::new();

/// Whether workers are starved.
pub(super) fn is_at(now: Instant) -> bool {
    STARVATION.is_at(ms(now))
}

/// A worker has waited for the lock since then, through so many iterations, and has it now.
pub(super) fn note_wait(began: Instant, iterations: u64) {
    let now = Instant::now();
    STARVATION.note_wait(ms(now), now.saturating_duration_since(began), iterations);
}

/// How often a worker was starved.
pub(super) fn times() -> u64 {
    STARVATION.times.load(Ordering::Relaxed)
}

/// Milliseconds of a clock that begins with 1.
fn ms(now: Instant) -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let time = now.saturating_duration_since(*BEGIN.get_or_init(|| now));
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    ms.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waited_long_through_many_iterations_was_starved_and_none_waits_for_a_while() {
        let starvation = Starvation::new();
        assert!(!starvation.is_at(1));
        starvation.note_wait(1, WAITED, ITERATIONS);
        assert!(starvation.is_at(10_000));
        assert!(!starvation.is_at(10_001));
        starvation.note_wait(10_001, WAITED * 9, ITERATIONS);
        assert!(starvation.is_at(20_000));
        assert_eq!(starvation.times.into_inner(), 2);
    }

    #[test]
    fn who_waited_for_something_that_takes_long_or_for_a_moment_was_not() {
        let starvation = Starvation::new();
        starvation.note_wait(1, Duration::from_secs(9), ITERATIONS - 1);
        starvation.note_wait(1, WAITED / 2, ITERATIONS * 9);
        assert!(!starvation.is_at(1));
        assert_eq!(starvation.times.into_inner(), 0);
    }
}
