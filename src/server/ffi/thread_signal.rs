//! Stopping threads that are inside a call of the server's, by a signal of the operating system.

use std::ffi::c_int;
use std::sync::OnceLock;
use std::time::Duration;

/// A thread of this process.
pub(crate) type ThreadId = libc::pthread_t;

/// The calling thread. Cheaper than the standard library's.
pub(crate) fn this_thread() -> ThreadId {
    // SAFETY: no precondition.
    unsafe { libc::pthread_self() }
}

/// What the handler calls. It does nothing but what handlers of signals may do.
static STOP: OnceLock<fn()> = OnceLock::new();

/// A signal whose handler is ours.
#[derive(Clone, Copy)]
pub(crate) struct StopSignal(c_int);

impl StopSignal {
    /// Sends it to a thread that lives.
    pub(crate) fn send_to(self, thread: ThreadId) {
        // SAFETY: the caller's thread lives; the signal has a handler.
        unsafe { libc::pthread_kill(thread, self.0) };
    }
}

/// A signal that nobody else uses, whose handler calls `stop`: the same function at each call.
pub(crate) fn stop_signal(stop: fn()) -> Option<StopSignal> {
    STOP.get_or_init(|| stop);
    let handler: extern "C" fn(c_int) = on_signal;
    let free = (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev().find(|signal| {
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
    });
    free.map(StopSignal)
}

extern "C" fn on_signal(_signal: c_int) {
    if let Some(stop) = STOP.get() {
        stop();
    }
}

/// Sleeps for so long, below a second, or until a signal comes; may be called by a handler.
pub(crate) fn nap(time: Duration) {
    let pause = libc::timespec {
        tv_sec: 0,
        tv_nsec: time.subsec_nanos().into(),
    };
    // SAFETY: the structure lives as long as the call.
    unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
}
