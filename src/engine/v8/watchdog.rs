//! Ends scripts that run too long or take too much memory.
//!
//! A [`Watch`] is a counter that is odd while its library runs JavaScript. Beginning and ending a
//! run is one atomic addition, no clock is read. One thread looks at all watches every few
//! milliseconds: a counter that stays at the same odd number for longer than the limit belongs
//! to a run that has to end. While nothing runs the thread sleeps; the first run wakes it.
//!
//! A run is ended by V8's `terminate_execution`, which scripts cannot catch. The termination must
//! not hit a later run: it is asked for under a lock and only if the counter still stands where
//! it stood, and [`Watch::stop`] takes back whatever was asked for until then.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::engine::Limits;

/// Rounds without any run after which the watchdog goes to sleep.
const IDLE_ROUNDS: u32 = 20;
/// How often it looks, at most and at least; in between, a tenth of the limit.
const ROUND: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(5)..=Duration::from_millis(50);

/// Why a run was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reason {
    /// It ran longer than the limit.
    Time = 1,
    /// The heap came near its limit.
    Memory = 2,
}

impl Reason {
    /// What users are told.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Time => "Err Execution was terminated due to OOM or timeout (timeout)",
            Self::Memory => "Err Execution was terminated due to OOM or timeout (out of memory)",
        }
    }
}

/// The state of one library's runs. See the module's description.
#[derive(Debug)]
pub(super) struct Watch {
    runs: AtomicU64,
    ended: AtomicU8,
    ending: Mutex<()>,
    isolate: OnceLock<v8::IsolateHandle>,
    shared: Arc<Shared>,
}

impl Watch {
    /// Names the isolate whose runs are watched.
    pub(super) fn attach(&self, isolate: v8::IsolateHandle) {
        // A second isolate would be a bug of the caller; the first stays.
        let _ = self.isolate.set(isolate);
    }

    /// Begins a run.
    pub(super) fn start(&self) {
        self.runs.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.shared.wake();
        }
    }

    /// Ends a run; says why, if it was ended from outside.
    pub(super) fn stop(&self) -> Option<Reason> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        if self.ended.load(Ordering::SeqCst) == 0 {
            return None;
        }
        // Whoever is just asking for the end does so before this lock is had.
        let _guard = self.ending.lock();
        let reason = match self.ended.swap(0, Ordering::SeqCst) {
            0 => None,
            1 => Some(Reason::Time),
            _ => Some(Reason::Memory),
        };
        if let Some(isolate) = self.isolate.get() {
            isolate.cancel_terminate_execution();
        }
        reason
    }

    /// Ends the run that goes on in the calling thread.
    pub(super) fn end_for_memory(&self) {
        let _guard = self.ending.lock();
        self.ended.store(Reason::Memory as u8, Ordering::SeqCst);
        if let Some(isolate) = self.isolate.get() {
            isolate.terminate_execution();
        }
    }

    /// Ends the run with this number, if it still goes on.
    fn end_for_time(&self, run: u64) {
        let _guard = self.ending.lock();
        // Announced before the second look: a run that stops in between sees it, and waits.
        if self.ended.swap(Reason::Time as u8, Ordering::SeqCst) == Reason::Memory as u8 {
            // That it is being ended for its memory must not be forgotten: the heap's limit is
            // to be set back.
            self.ended.store(Reason::Memory as u8, Ordering::SeqCst);
        } else if self.runs.load(Ordering::SeqCst) != run {
            self.ended.store(0, Ordering::SeqCst);
        } else if let Some(isolate) = self.isolate.get() {
            isolate.terminate_execution();
        }
    }
}

#[derive(Debug)]
struct Shared {
    watches: Mutex<Vec<Weak<Watch>>>,
    asleep: AtomicBool,
    wake_up: Condvar,
    sleeping: Mutex<()>,
}

impl Shared {
    fn wake(&self) {
        let _guard = self.sleeping.lock();
        self.asleep.store(false, Ordering::SeqCst);
        self.wake_up.notify_one();
    }
}

/// The thread that looks at all watches.
#[derive(Debug)]
pub(super) struct Watchdog {
    shared: Arc<Shared>,
}

impl Watchdog {
    pub(super) fn start(limits: Arc<Limits>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            watches: Mutex::new(Vec::new()),
            asleep: AtomicBool::new(false),
            wake_up: Condvar::new(),
            sleeping: Mutex::new(()),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("rg-watchdog".into())
            .spawn(move || guard(&of_thread, &limits))?;
        Ok(Self { shared })
    }

    /// A watch that is looked at from now on, until it is dropped.
    pub(super) fn watch(&self) -> Arc<Watch> {
        let watch = Arc::new(Watch {
            runs: AtomicU64::new(0),
            ended: AtomicU8::new(0),
            ending: Mutex::new(()),
            isolate: OnceLock::new(),
            shared: Arc::clone(&self.shared),
        });
        self.shared.watches.lock().push(Arc::downgrade(&watch));
        watch
    }
}

/// A run that was seen, and when it was seen first.
struct Seen {
    watch: Weak<Watch>,
    run: u64,
    since: Instant,
}

fn guard(shared: &Shared, limits: &Limits) {
    let mut seen: Vec<Seen> = Vec::new();
    let mut idle_rounds = 0;
    loop {
        let limit = Duration::from_millis(limits.run_ms.load(Ordering::Relaxed));
        std::thread::sleep((limit / 10).clamp(*ROUND.start(), *ROUND.end()));
        seen.extend(shared.watches.lock().drain(..).map(|watch| Seen {
            watch,
            run: 0,
            since: Instant::now(),
        }));
        if look(&mut seen, limit) {
            idle_rounds = 0;
            continue;
        }
        idle_rounds += 1;
        if idle_rounds < IDLE_ROUNDS {
            continue;
        }
        let mut sleeping = shared.sleeping.lock();
        shared.asleep.store(true, Ordering::SeqCst);
        // A run that began before the flag was up did not see it: look once more.
        if look(&mut seen, limit) || !shared.watches.lock().is_empty() {
            shared.asleep.store(false, Ordering::SeqCst);
        }
        while shared.asleep.load(Ordering::SeqCst) {
            shared.wake_up.wait(&mut sleeping);
        }
        idle_rounds = 0;
    }
}

/// Ends what runs too long; says whether anything runs.
fn look(seen: &mut Vec<Seen>, limit: Duration) -> bool {
    let now = Instant::now();
    let mut busy = false;
    seen.retain_mut(|one| {
        let Some(watch) = one.watch.upgrade() else {
            return false;
        };
        let run = watch.runs.load(Ordering::SeqCst);
        if run % 2 == 1 {
            busy = true;
            if run != one.run {
                one.run = run;
                one.since = now;
            } else if now.duration_since(one.since) >= limit {
                watch.end_for_time(run);
            }
        }
        true
    });
    busy
}
