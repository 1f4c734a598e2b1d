//! Where a library's code runs: one thread at a time, the main thread or a worker.
//!
//! Lock order: the server's lock outside, the gate inside, the program's own innermost. The main
//! thread holds the server's lock and waits for the gate for a bounded time only. A worker that
//! wants the server's lock leaves the gate first, even in the middle of a script; so while it
//! waits, the main thread may pass.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::lock_api::ArcMutexGuard;
use parking_lot::{Condvar, Mutex, MutexGuard, RawMutex};

use gears_v8::ports::{Arguments, Credentials, Program, RunResults, Server};

use super::slow_log::SlowLog;

/// How long a worker stays out for calls that wait. The main thread is then at something long.
const WAY_MAX: Duration = Duration::from_millis(20);

/// How a worker gets the server's lock.
pub(crate) trait ServerLock: Send + Sync {
    /// Takes the lock for as long as `work` runs; where the credentials do not allow it, `work`
    /// gets the reason. Where it has to wait for that, `over` ends the wait.
    fn with(
        &self,
        credentials: &Credentials,
        over: &Arc<AtomicBool>,
        work: &mut dyn FnMut(Result<&dyn Server, String>),
    );

    /// Whether what may wait for the lock, and may write under it, would have to wait now. To be
    /// asked by the main thread.
    fn must_wait(&self) -> bool;
}

/// A lock that is never granted, for tests.
#[cfg(test)]
pub(crate) struct NoLock;

#[cfg(test)]
impl ServerLock for NoLock {
    fn with(
        &self,
        _: &Credentials,
        _: &Arc<AtomicBool>,
        work: &mut dyn FnMut(Result<&dyn Server, String>),
    ) {
        work(Err("there is no lock".into()));
    }

    fn must_wait(&self) -> bool {
        false
    }
}

/// The main thread's right to be in an isolate.
pub(crate) type GateGuard = ArcMutexGuard<RawMutex, ()>;

/// Where a library's code runs, one thread at a time: the program behind its gate.
pub(crate) struct IsolateSlot {
    pub(crate) program: Box<dyn Program>,
    gate: Arc<Mutex<()>>,
    /// Whether the main thread waits for the gate.
    wanted: AtomicBool,
    /// How often a worker entered, or ended a run.
    steps: AtomicU64,
    /// How long the main thread has waited for which step: for one it does not wait for ever.
    waited: Mutex<(u64, Duration)>,
    /// Whether calls wait until the main thread comes.
    calls_wait: Mutex<bool>,
    /// They wait no more.
    calls_made: Condvar,
    /// How often a worker's script took the server's lock.
    locks: Arc<AtomicU64>,
    /// For how long workers' scripts had that lock altogether, in microseconds.
    locked_us: AtomicU64,
    /// What is told of times for which the lock was had.
    slow_log: Arc<SlowLog>,
    /// Whether the library was deleted: its background parts get the server's lock no more.
    deleted: Arc<AtomicBool>,
    lock: Arc<dyn ServerLock>,
}

impl IsolateSlot {
    pub(crate) fn new(
        program: Box<dyn Program>,
        lock: Arc<dyn ServerLock>,
        slow_log: Arc<SlowLog>,
    ) -> Self {
        Self {
            program,
            gate: Arc::default(),
            wanted: AtomicBool::new(false),
            steps: AtomicU64::new(0),
            waited: Mutex::new((u64::MAX, Duration::ZERO)),
            calls_wait: Mutex::new(false),
            calls_made: Condvar::new(),
            locks: Arc::default(),
            locked_us: AtomicU64::new(0),
            slow_log,
            deleted: Arc::default(),
            lock,
        }
    }

    /// How often a worker's script took the server's lock.
    pub(crate) fn locks(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.locks)
    }

    /// For how long workers' scripts had that lock altogether, in microseconds.
    pub(super) fn locked_us(&self) -> u64 {
        self.locked_us.load(Ordering::Relaxed)
    }

    /// Whether the main thread waits: a worker should leave soon.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// A worker has left; whether the main thread waited meanwhile, and may have given up.
    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::AcqRel)
    }

    /// No background part gets the server's lock from now on, and none waits for it.
    pub(crate) fn set_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// Whether a continuation that ran here, on the main thread, could not wait for what it has to
    /// wait for now: a worker can.
    pub(crate) fn must_wait(&self) -> bool {
        self.lock.must_wait()
    }

    /// A worker has ended a run; nobody knows of its result yet.
    pub(crate) fn note_run(&self) {
        self.steps.fetch_add(1, Ordering::Release);
    }

    /// Whether the main thread could be here now. Where not, the worker that is here is to leave
    /// soon, and tells when it has.
    pub(crate) fn is_free(&self) -> bool {
        // Before the look: a worker that leaves behind it sees it.
        self.wanted.store(true, Ordering::SeqCst);
        let is_free = !self.gate.is_locked();
        if is_free {
            self.wanted.store(false, Ordering::SeqCst);
        }
        is_free
    }

    /// Says whether calls wait until the main thread comes.
    pub(crate) fn set_calls_wait(&self, wait: bool) {
        *self.calls_wait.lock() = wait;
        if !wait {
            self.calls_made.notify_all();
        }
    }

    /// A worker that is outside, without the server's lock, lets calls that wait go first: the main
    /// thread has to be woken for them, and would come too late every time.
    fn give_way(&self) {
        let mut wait = self.calls_wait.lock();
        if !*wait {
            return;
        }
        let end = Instant::now() + WAY_MAX;
        while *wait && !self.calls_made.wait_until(&mut wait, end).timed_out() {}
    }

    /// Lets the main thread in, which waits for a worker at most for `patience`: for the same run
    /// of a worker's altogether.
    pub(crate) fn acquire_main(&self, patience: Duration) -> Option<GateGuard> {
        if let Some(guard) = self.gate.try_lock_arc() {
            return Some(guard);
        }
        self.wanted.store(true, Ordering::Release);
        let step = self.steps.load(Ordering::Acquire);
        let waited = match *self.waited.lock() {
            (of, waited) if of == step => waited,
            _ => Duration::ZERO,
        };
        if waited >= patience {
            return None;
        }
        let Some(guard) = self.gate.try_lock_arc_for(patience.saturating_sub(waited)) else {
            let step = self.steps.load(Ordering::Acquire);
            *self.waited.lock() = (step, patience);
            return None;
        };
        self.wanted.store(false, Ordering::Release);
        Some(guard)
    }

    /// Lets a worker in. `note_results` takes what came of runs when a script is about to wait;
    /// `wake` gets the main thread, where that is to try again.
    pub(crate) fn acquire_worker<'a>(
        &'a self,
        note_results: &'a dyn Fn(&mut RunResults),
        wake: &'a dyn Fn(),
    ) -> UnlockedServer<'a> {
        self.give_way();
        let guard = self.enter_gate();
        UnlockedServer {
            slot: self,
            note_results,
            wake,
            guard: RefCell::new(Some(guard)),
        }
    }

    /// A worker's script had the server's lock for so long.
    fn note_locked(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.locked_us.fetch_add(us, Ordering::Relaxed);
        self.slow_log.note_held(took);
    }

    fn enter_gate(&self) -> MutexGuard<'_, ()> {
        let guard = self.gate.lock();
        self.note_run();
        guard
    }
}

/// A worker in the isolate. To its scripts it is the server, without its lock.
pub(crate) struct UnlockedServer<'a> {
    slot: &'a IsolateSlot,
    note_results: &'a dyn Fn(&mut RunResults),
    wake: &'a dyn Fn(),
    guard: RefCell<Option<MutexGuard<'a, ()>>>,
}

impl Server for UnlockedServer<'_> {
    fn is_locked(&self) -> bool {
        false
    }

    fn call(&self, _command: &Arguments, _read: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        Err("Main thread is not locked")
    }

    fn may_block(&self) -> bool {
        true
    }

    fn credentials(&self) -> Option<Credentials> {
        None
    }

    fn note_results(&self, results: &mut RunResults) {
        (self.note_results)(results);
    }

    fn lock(&self, credentials: &Credentials, work: &mut dyn FnMut(Result<&dyn Server, String>)) {
        drop(self.guard.take());
        if self.slot.take_wanted() {
            (self.wake)();
        }
        self.slot.give_way();
        let over = &self.slot.deleted;
        self.slot.lock.with(credentials, over, &mut |authorized| {
            // Nobody can be there: the main thread only passes with the server's lock held.
            *self.guard.borrow_mut() = Some(self.slot.enter_gate());
            self.slot.locks.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            if over.load(Ordering::Acquire) {
                work(Err("Function were unregistered".into()));
            } else {
                work(authorized);
            }
            self.slot.note_locked(began.elapsed());
        });
    }
}

impl Drop for UnlockedServer<'_> {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take()
            && self.slot.is_wanted()
        {
            MutexGuard::unlock_fair(guard);
        }
    }
}
