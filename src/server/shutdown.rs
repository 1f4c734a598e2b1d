//! The end of the server: from its shutdown event on, workers take its lock no more.
//!
//! Valkey unloads its own scripting engine at its end and lets go of the lock meanwhile, in the
//! middle of the SHUTDOWN command; a thread that gets it then fails an assertion. Workers that come
//! for the lock after the event are refused it. Those that wait for it already are inside the
//! server's call, with no way out: a signal has them wait for the end somewhere else.
//!
//! The event is the last step that a shutdown can fail behind; should the server go round its event
//! loop once more all the same, everything goes on.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long the server waits at most until those who wait for its lock have stopped.
const STOP_MAX: Duration = Duration::from_secs(1);
/// How often is looked.
const LOOK_NS: i64 = 1_000_000;

static ENDING: AtomicBool = AtomicBool::new(false);
/// Threads inside the server's call that takes the lock.
static WAITING: Mutex<Vec<libc::pthread_t>> = Mutex::new(Vec::new());
/// How many of them stand in the signal's handler.
static STOPPED: AtomicUsize = AtomicUsize::new(0);

/// Takes the lock by `lock`, unless the server is ending.
pub(super) fn take_unless_ending(lock: impl FnOnce()) -> bool {
    // SAFETY: no precondition.
    let this = unsafe { libc::pthread_self() };
    WAITING.lock().push(this);
    // Who ends the server says so before it looks who waits.
    let taken = !ENDING.load(Ordering::SeqCst);
    if taken {
        lock();
    }
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
    let Some(signal) = free_signal() else {
        return;
    };
    let before = STOPPED.load(Ordering::SeqCst);
    // None of them goes away: this thread has the lock that they wait for.
    for thread in waiting.iter() {
        // SAFETY: the thread lives, since it waits; the signal has a handler.
        unsafe { libc::pthread_kill(*thread, signal) };
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

/// A signal that nobody uses, with our handler.
fn free_signal() -> Option<c_int> {
    let handler: extern "C" fn(c_int) = stop;
    (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev().find(|signal| {
        // SAFETY: plain structures, in which zero is nothing; the handler has the form that is
        // asked for, and does what handlers may do.
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(*signal, std::ptr::null(), &raw mut now) != 0
                || now.sa_sigaction != libc::SIG_DFL
            {
                return false;
            }
            let mut ours: libc::sigaction = std::mem::zeroed();
            ours.sa_sigaction = handler as usize;
            ours.sa_flags = libc::SA_RESTART;
            libc::sigaction(*signal, &raw const ours, std::ptr::null_mut()) == 0
        }
    })
}

/// Waits until the server is not ending any more: mostly for ever.
extern "C" fn stop(_signal: c_int) {
    STOPPED.fetch_add(1, Ordering::SeqCst);
    while ENDING.load(Ordering::SeqCst) {
        let pause = libc::timespec {
            tv_sec: 0,
            tv_nsec: LOOK_NS,
        };
        // SAFETY: the structure lives as long as the call, which handlers of signals may make.
        unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
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
        let held = lock.lock();
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
        assert!(!take_unless_ending(|| ()));
        drop(held);
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
        assert!(take_unless_ending(|| ()));
    }
}
