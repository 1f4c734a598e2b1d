//! Where a library's code runs: one thread at a time, the main thread or a worker.
//!
//! Lock order: the server's lock outside, the gate inside, the program's own innermost. The main
//! thread holds the server's lock and waits for the gate for a bounded time only. A worker that
//! wants the server's lock leaves the gate first, even in the middle of a script; so while it
//! waits, the main thread may pass.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::lock_api::ArcMutexGuard;
use parking_lot::{Mutex, MutexGuard, RawMutex};

use crate::engine::{Grant, News, Program, Server, Words};

/// How a worker gets the server's lock.
pub trait ServerLock: Send + Sync {
    /// Takes the lock for as long as `work` runs; where the grant does not allow it, `work` gets
    /// the reason.
    fn with(&self, grant: &Grant, work: &mut dyn FnMut(Result<&dyn Server, String>));
}

/// The main thread's right to be on a stage.
pub(super) type MainPass = ArcMutexGuard<RawMutex, ()>;

/// See the module's description.
pub(super) struct Stage {
    pub(super) program: Box<dyn Program>,
    gate: Arc<Mutex<()>>,
    /// Whether the main thread waits for the gate.
    wanted: AtomicBool,
    /// How often a worker entered, or ended a run.
    steps: AtomicU64,
    /// The step at which the main thread gave up waiting: it does not wait for that one again.
    given_up: AtomicU64,
    /// How often a worker's script took the server's lock.
    locks: Arc<AtomicU64>,
    /// Whether the library was deleted: its background parts get the server's lock no more.
    deleted: AtomicBool,
    lock: Arc<dyn ServerLock>,
}

impl Stage {
    pub(super) fn new(program: Box<dyn Program>, lock: Arc<dyn ServerLock>) -> Self {
        Self {
            program,
            gate: Arc::default(),
            wanted: AtomicBool::new(false),
            steps: AtomicU64::new(0),
            given_up: AtomicU64::new(u64::MAX),
            locks: Arc::default(),
            deleted: AtomicBool::new(false),
            lock,
        }
    }

    /// How often a worker's script took the server's lock.
    pub(super) fn locks(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.locks)
    }

    /// Whether the main thread waits: a worker should leave soon.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// A worker has left; whether the main thread waited meanwhile, and may have given up.
    pub(super) fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::AcqRel)
    }

    /// No background part gets the server's lock from now on.
    pub(super) fn set_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// A worker has ended a run; nobody knows of its result yet.
    pub(super) fn note_run(&self) {
        self.steps.fetch_add(1, Ordering::Release);
    }

    /// Lets the main thread in, which waits for a worker at most for `patience`, and for the same
    /// run of a worker's only once.
    pub(super) fn pass_main(&self, patience: Duration) -> Option<MainPass> {
        if let Some(guard) = self.gate.try_lock_arc() {
            return Some(guard);
        }
        self.wanted.store(true, Ordering::Release);
        let step = self.steps.load(Ordering::Acquire);
        if self.given_up.load(Ordering::Relaxed) == step {
            return None;
        }
        let Some(guard) = self.gate.try_lock_arc_for(patience) else {
            let step = self.steps.load(Ordering::Acquire);
            self.given_up.store(step, Ordering::Relaxed);
            return None;
        };
        self.wanted.store(false, Ordering::Release);
        Some(guard)
    }

    /// Lets a worker in. `note_news` takes what came of runs when a script is about to wait.
    pub(super) fn pass_worker<'a>(&'a self, note_news: &'a dyn Fn(&mut News)) -> OffLock<'a> {
        let guard = self.enter_gate();
        OffLock {
            stage: self,
            note_news,
            guard: RefCell::new(Some(guard)),
        }
    }

    fn enter_gate(&self) -> MutexGuard<'_, ()> {
        let guard = self.gate.lock();
        self.note_run();
        guard
    }
}

/// A worker on the stage. To its scripts it is the server, without its lock.
pub(super) struct OffLock<'a> {
    stage: &'a Stage,
    note_news: &'a dyn Fn(&mut News),
    guard: RefCell<Option<MutexGuard<'a, ()>>>,
}

impl Server for OffLock<'_> {
    fn is_locked(&self) -> bool {
        false
    }

    fn call(&self, _command: &Words, _read: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        Err("Main thread is not locked")
    }

    fn may_block(&self) -> bool {
        true
    }

    fn grant(&self) -> Option<Grant> {
        None
    }

    fn note_news(&self, news: &mut News) {
        (self.note_news)(news);
    }

    fn lock(&self, grant: &Grant, work: &mut dyn FnMut(Result<&dyn Server, String>)) {
        drop(self.guard.take());
        self.stage.lock.with(grant, &mut |admitted| {
            // Nobody can be there: the main thread only passes with the server's lock held.
            *self.guard.borrow_mut() = Some(self.stage.enter_gate());
            self.stage.locks.fetch_add(1, Ordering::Relaxed);
            if self.stage.deleted.load(Ordering::Acquire) {
                work(Err("Function were unregistered".into()));
            } else {
                work(admitted);
            }
        });
    }
}

impl Drop for OffLock<'_> {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take()
            && self.stage.is_wanted()
        {
            MutexGuard::unlock_fair(guard);
        }
    }
}
