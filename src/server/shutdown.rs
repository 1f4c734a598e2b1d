//! The end of the server: from its shutdown event on, workers take its lock no more.
//!
//! Valkey unloads its own scripting engine at its end and lets go of the lock meanwhile, in the
//! middle of the SHUTDOWN command; a thread that gets it then fails an assertion. Workers that come
//! for the lock after the event are refused it. Those that wait for it already are inside the
//! server's call, with no way out: a signal has them wait for the end somewhere else.
//!
//! The event is the last step that a shutdown can fail behind; should the server go round its event
//! loop once more all the same, everything goes on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::ffi::thread_signal::{ThreadId, nap, stop_signal, this_thread};

/// How long the server waits at most until those who wait for its lock have stopped.
const STOP_MAX: Duration = Duration::from_secs(1);
/// How often waiting threads are checked.
const POLL: Duration = Duration::from_millis(1);

static ENDING: AtomicBool = AtomicBool::new(false);
/// Threads inside the server's call that takes the lock.
static WAITING: Mutex<Vec<ThreadId>> = Mutex::new(Vec::new());
/// How many of them stand in the signal's handler.
static STOPPED: AtomicUsize = AtomicUsize::new(0);

/// Takes the lock by `lock`, unless the server is ending.
pub(super) fn take_unless_ending<T>(lock: impl FnOnce() -> T) -> Option<T> {
    let this = this_thread();
    WAITING.lock().push(this);
    // Who ends the server says so before it looks who waits.
    let taken = (!ENDING.load(Ordering::SeqCst)).then(lock);
    WAITING.lock().retain(|one| *one != this);
    taken
}

/// The server is about to end.
pub(super) fn begin() {
    ENDING.store(true, Ordering::SeqCst);
    let waiting = WAITING.lock();
    if waiting.is_empty() {
        return;
    }
    let Some(signal) = stop_signal(stop) else {
        return;
    };
    let before = STOPPED.load(Ordering::SeqCst);
    // None of them goes away: this thread has the lock that they wait for.
    for thread in waiting.iter() {
        signal.send_to(*thread);
    }
    let (wanted, end) = (before + waiting.len(), Instant::now() + STOP_MAX);
    // One that was just about to look whether the server is ending wants to leave the list.
    drop(waiting);
    while STOPPED.load(Ordering::SeqCst) < wanted && Instant::now() < end {
        std::thread::yield_now();
    }
}

/// The event loop goes round: whatever was, the server is not ending.
pub(super) fn is_not() {
    if ENDING.load(Ordering::Relaxed) {
        ENDING.store(false, Ordering::SeqCst);
    }
}

/// Waits until the server is not ending any more: usually for ever. Runs in the signal's handler.
fn stop() {
    STOPPED.fetch_add(1, Ordering::SeqCst);
    while ENDING.load(Ordering::SeqCst) {
        nap(POLL);
    }
    STOPPED.fetch_sub(1, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn who_waits_for_the_lock_does_not_get_it_while_the_server_ends() {
        let lock = Arc::new(Mutex::new(()));
        let got = Arc::new(AtomicUsize::new(0));
        let guard = lock.lock();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (lock, got) = (Arc::clone(&lock), Arc::clone(&got));
                std::thread::spawn(move || {
                    take_unless_ending(|| {
                        drop(lock.lock());
                        got.fetch_add(1, Ordering::SeqCst);
                    })
                })
            })
            .collect();
        while WAITING.lock().len() < 3 {
            std::thread::yield_now();
        }
        begin();
        assert!(take_unless_ending(|| ()).is_none());
        drop(guard);
        for _ in 0..1000 {
            assert_eq!(got.load(Ordering::SeqCst), 0);
            std::thread::yield_now();
        }
        is_not();
        let taken: Vec<_> = threads
            .into_iter()
            .map(std::thread::JoinHandle::join)
            .collect();
        assert_eq!(taken.len() - 3 + got.load(Ordering::SeqCst), 3);
        assert!(take_unless_ending(|| ()).is_some());
    }
}
