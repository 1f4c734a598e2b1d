//! Ends scripts that run too long or take too much memory.
//!
//! A [`RunTimer`] is a counter that is odd while its library runs JavaScript. Beginning and ending
//! a run is one atomic addition, no clock is read. One thread reads all run timers every few
//! milliseconds: a counter that stays at the same odd number for longer than the limit belongs to a
//! run that has to end. While nothing runs the thread sleeps; the first run wakes it.
//!
//! The watchdog has a clock of its own, which stands still while the watchdog itself does not get to
//! run: a process that was stopped, throttled or moved to another machine has not given its scripts
//! that time, and none of them is ended for it.
//!
//! Two limits hold: one for runs that hold the server's lock, one for all others. A run that waits
//! for that lock is paused; what it took before counts on when it resumes.
//!
//! A run is ended by V8's `terminate_execution`, which scripts cannot catch. The termination must
//! not hit a later run: it is asked for under a lock and only if the counter still stands where
//! it stood, and [`RunTimer::stop`] takes back whatever was asked for until then.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::asked_place::AskedPlace;
use crate::ports::Limits;

/// Rounds without any run after which the watchdog goes to sleep.
const IDLE_ROUNDS: u32 = 20;
/// How often it looks, at most and at least; in between, a tenth of the limit.
const ROUND: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(5)..=Duration::from_millis(50);
/// What a round counts for at most, in lengths of the round: the rest of it nobody ran.
const LONGEST_ROUND: u32 = 2;

/// Why a run was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// It ran longer than the limit.
    Time = 1,
    /// The heap came near its limit.
    Memory = 2,
}

impl Reason {
    /// What users are told.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Time => "Err Execution was terminated due to OOM or timeout (timeout)",
            Self::Memory => "Err Execution was terminated due to OOM or timeout (out of memory)",
        }
    }
}

/// What V8 calls in the middle of a script, with the isolate that runs it.
pub(crate) type Interrupt = unsafe extern "C" fn(v8::UnsafeRawIsolatePtr, *mut c_void);

/// A run that is paused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paused {
    locked: bool,
    /// Milliseconds, as exact as the watchdog's rounds.
    took_ms: u64,
}

impl Paused {
    /// The same, with so much more time taken.
    pub(crate) fn charged(self, time: Duration) -> Self {
        let more = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            took_ms: self.took_ms.saturating_add(more),
            ..self
        }
    }

    /// Milliseconds that the run took.
    pub(crate) fn took_ms(self) -> u64 {
        self.took_ms
    }
}

/// The counter of one library's runs, odd while one is going on, and why the last was ended.
#[derive(Debug)]
pub(crate) struct RunTimer {
    library: String,
    runs: AtomicU64,
    /// Whether the run holds the server's lock.
    locked: AtomicBool,
    /// Milliseconds that the run took before it was paused.
    before_ms: AtomicU64,
    /// Whether the library is being loaded as it was kept, and has more time for that.
    restoring: AtomicBool,
    /// Milliseconds that the run may take beyond the limit, for what is the module's own doing.
    more_ms: AtomicU64,
    /// When it began or was continued, by the watchdog's own clock.
    began_ms: AtomicU64,
    ended: AtomicU8,
    ending: Mutex<()>,
    isolate: OnceLock<(v8::IsolateHandle, Interrupt)>,
    /// Where the run was that is being ended for its time.
    place: Mutex<AskedPlace>,
    shared: Arc<Shared>,
}

impl RunTimer {
    /// Names the isolate whose runs are watched, and what V8 is to call in the middle of one that is to
    /// end: that calls [`RunTimer::end_at`].
    pub(crate) fn attach(&self, isolate: v8::IsolateHandle, end_here: Interrupt) {
        // A second isolate would be a bug of the caller; the first stays.
        let _ = self.isolate.set((isolate, end_here));
    }

    /// Ends the calling thread's run, which is being ended for its time: there it is.
    pub(crate) fn end_at(&self, stack: String) {
        let _guard = self.ending.lock();
        if self.ended.load(Ordering::SeqCst) == Reason::Time as u8 {
            self.place.lock().answer(stack);
        }
        self.terminate();
    }

    /// Where the run was that was ended last, for its time, if it has said so.
    pub(crate) fn take_stack(&self) -> Option<String> {
        self.place.lock().take()
    }

    fn terminate(&self) {
        if let Some((isolate, _)) = self.isolate.get() {
            isolate.terminate_execution();
        }
    }

    /// Whether the library is being loaded as it was kept.
    pub(crate) fn set_restoring(&self, restoring: bool) {
        self.restoring.store(restoring, Ordering::SeqCst);
    }

    /// Gives the run so many milliseconds beyond the limit, instead of what it was given before.
    pub(crate) fn set_more_time(&self, more_ms: u64) {
        self.more_ms.store(more_ms, Ordering::SeqCst);
    }

    /// The library whose runs these are.
    pub(crate) fn library(&self) -> &str {
        &self.library
    }

    /// Begins a run. `locked`: it holds the server's lock.
    pub(crate) fn start(&self, locked: bool) {
        self.resume(Paused { locked, took_ms: 0 });
    }

    /// Continues a paused run; what it took before counts.
    pub(crate) fn resume(&self, paused: Paused) {
        // Before the counter, whose change releases them: who sees the run's number sees these too.
        self.locked.store(paused.locked, Ordering::Relaxed);
        self.before_ms.store(paused.took_ms, Ordering::Relaxed);
        self.runs.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.shared.wake();
        }
        let now = self.shared.now_ms.load(Ordering::Relaxed);
        self.began_ms.store(now, Ordering::Relaxed);
    }

    /// Pauses a run; `None` where it is being ended, and runs until it notices.
    pub(crate) fn pause(&self) -> Option<Paused> {
        let began = self.began_ms.load(Ordering::Relaxed);
        let now = self.shared.now_ms.load(Ordering::Relaxed);
        let before = self.before_ms.load(Ordering::SeqCst);
        let paused = Paused {
            locked: self.locked.load(Ordering::SeqCst),
            took_ms: before.saturating_add(now.saturating_sub(began)),
        };
        self.runs.fetch_add(1, Ordering::SeqCst);
        // Whoever is just asking for the end does so before this lock is had.
        let _guard = self.ending.lock();
        if self.ended.load(Ordering::SeqCst) == 0 {
            return Some(paused);
        }
        self.runs.fetch_add(1, Ordering::SeqCst);
        None
    }

    /// Whether there is a run.
    pub(crate) fn is_running(&self) -> bool {
        self.runs.load(Ordering::SeqCst) % 2 == 1
    }

    /// Whether the current run is being ended.
    pub(crate) fn is_ending(&self) -> bool {
        self.ended.load(Ordering::SeqCst) != 0
    }

    /// Ends a run; says why, if it was ended from outside.
    pub(crate) fn stop(&self) -> Option<Reason> {
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
        if let Some((isolate, _)) = self.isolate.get() {
            isolate.cancel_terminate_execution();
        }
        reason
    }

    /// Ends the calling thread's run.
    pub(crate) fn end_for_memory(&self) {
        let _guard = self.ending.lock();
        self.ended.store(Reason::Memory as u8, Ordering::SeqCst);
        self.terminate();
    }

    /// Ends the calling thread's run: it took too long before.
    pub(crate) fn end_for_taken_time(&self, took_ms: u64) {
        let _guard = self.ending.lock();
        if self.ended.load(Ordering::SeqCst) == 0 {
            self.ended.store(Reason::Time as u8, Ordering::SeqCst);
            self.place.lock().ask_nothing();
            log::warn!(
                "library '{}' has run for {took_ms} ms in the background, and is ended",
                self.library
            );
        }
        self.terminate();
    }

    /// Ends the run with this number, if it still runs; whether nothing ended it before. It is asked for
    /// again and again: V8 may lose it between two microtasks.
    fn end_for_time(&self, run: u64) -> bool {
        let _guard = self.ending.lock();
        // Announced before the second look: a run that stops in between sees it, and waits.
        let before = self.ended.swap(Reason::Time as u8, Ordering::SeqCst);
        let still_runs = self.runs.load(Ordering::SeqCst) == run;
        if before == Reason::Memory as u8 || !still_runs {
            // That it is being ended for its memory must not be forgotten: the heap's limit is to
            // be set back.
            self.ended.store(before, Ordering::SeqCst);
            return false;
        }
        let mut place = self.place.lock();
        if before == 0 {
            place.ask();
            // It ends itself when it has answered.
            if let Some((isolate, end_here)) = self.isolate.get() {
                isolate.request_interrupt(*end_here, std::ptr::null_mut());
            }
        } else if place.is_over() {
            self.terminate();
        }
        before == 0
    }
}

#[derive(Debug)]
struct Shared {
    timers: Mutex<Vec<Weak<RunTimer>>>,
    /// The watchdog's clock in milliseconds, as of its last round.
    now_ms: AtomicU64,
    asleep: AtomicBool,
    wake_up: Condvar,
    sleeping: Mutex<()>,
    /// Whether there is nothing to watch any more.
    over: AtomicBool,
}

impl Shared {
    fn wake(&self) {
        let _guard = self.sleeping.lock();
        self.asleep.store(false, Ordering::SeqCst);
        self.wake_up.notify_one();
    }
}

/// The thread that reads all run timers. It ends with this.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
}

impl Watchdog {
    pub(crate) fn start(limits: Arc<Limits>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            timers: Mutex::new(Vec::new()),
            now_ms: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            wake_up: Condvar::new(),
            sleeping: Mutex::new(()),
            over: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("rg-watchdog".into())
            .spawn(move || guard(&of_thread, &limits))?;
        Ok(Self { shared })
    }

    /// A run timer that is read from now on, until it is dropped.
    pub(crate) fn timer(&self, library: &str) -> Arc<RunTimer> {
        let timer = Arc::new(RunTimer {
            library: library.to_owned(),
            runs: AtomicU64::new(0),
            locked: AtomicBool::new(false),
            before_ms: AtomicU64::new(0),
            restoring: AtomicBool::new(false),
            more_ms: AtomicU64::new(0),
            began_ms: AtomicU64::new(0),
            ended: AtomicU8::new(0),
            ending: Mutex::new(()),
            isolate: OnceLock::new(),
            place: Mutex::default(),
            shared: Arc::clone(&self.shared),
        });
        self.shared.timers.lock().push(Arc::downgrade(&timer));
        timer
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.shared.wake();
    }
}

/// The watchdog's clock: what its rounds took, as far as they took their time only.
struct WatchdogClock {
    last: Instant,
    now: Duration,
}

impl WatchdogClock {
    /// Waits for one round; returns the clock's time in milliseconds.
    fn sleep(&mut self, round: Duration) -> u64 {
        std::thread::sleep(round);
        let took = self.last.elapsed();
        self.last += took;
        self.advance(took, round)
    }

    fn advance(&mut self, took: Duration, round: Duration) -> u64 {
        self.now += took.min(round * LONGEST_ROUND);
        u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A run that was seen, and when it was seen first.
struct Seen {
    timer: Weak<RunTimer>,
    run: u64,
    since_ms: u64,
    /// Whether the log knows that it takes too long.
    reported: bool,
}

fn guard(shared: &Shared, limits: &Limits) {
    let mut seen: Vec<Seen> = Vec::new();
    let mut idle_rounds = 0;
    let mut clock = WatchdogClock {
        last: Instant::now(),
        now: Duration::ZERO,
    };
    while !shared.over.load(Ordering::SeqCst) {
        let limit = limits.locked_ms.load(Ordering::Relaxed);
        let shortest = limit.min(limits.unlocked_ms.load(Ordering::Relaxed));
        let round = Duration::from_millis(shortest) / 10;
        let now = clock.sleep(round.clamp(*ROUND.start(), *ROUND.end()));
        shared.now_ms.store(now, Ordering::Relaxed);
        seen.extend(shared.timers.lock().drain(..).map(|timer| Seen {
            timer,
            run: 0,
            since_ms: now,
            reported: false,
        }));
        if check_runs(&mut seen, now, limits) {
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
        if check_runs(&mut seen, now, limits) || !shared.timers.lock().is_empty() {
            shared.asleep.store(false, Ordering::SeqCst);
        }
        while shared.asleep.load(Ordering::SeqCst) && !shared.over.load(Ordering::SeqCst) {
            shared.wake_up.wait(&mut sleeping);
        }
        clock.last = Instant::now();
        idle_rounds = 0;
    }
}

/// Ends what runs too long; says whether anything runs.
fn check_runs(seen: &mut Vec<Seen>, now: u64, limits: &Limits) -> bool {
    let mut busy = false;
    seen.retain_mut(|one| {
        let Some(timer) = one.timer.upgrade() else {
            return false;
        };
        let run = timer.runs.load(Ordering::SeqCst);
        if run % 2 == 1 {
            busy = true;
            if run != one.run {
                one.run = run;
                one.since_ms = now;
                one.reported = false;
            }
            judge(one, &timer, now, limits);
        }
        true
    });
    busy
}

fn judge(one: &mut Seen, timer: &RunTimer, now: u64, limits: &Limits) {
    let locked = timer.locked.load(Ordering::SeqCst);
    let (limit, place) = if locked && timer.restoring.load(Ordering::SeqCst) {
        (&limits.restoring_ms, "while it is loaded")
    } else if locked {
        (&limits.locked_ms, "with the server's lock held")
    } else {
        (&limits.unlocked_ms, "in the background")
    };
    let more_ms = timer.more_ms.load(Ordering::SeqCst);
    let limit = limit.load(Ordering::Relaxed).saturating_add(more_ms);
    let seen = now.saturating_sub(one.since_ms);
    let took = seen.saturating_add(timer.before_ms.load(Ordering::SeqCst));
    if took < limit {
        return;
    }
    let never_kills = limits.never_kills.load(Ordering::Relaxed);
    let fate = if never_kills {
        "and goes on"
    } else if timer.end_for_time(one.run) {
        "and is ended"
    } else {
        // It is over, or paused for a moment: it is looked at there.
        return;
    };
    if !one.reported {
        one.reported = true;
        log::warn!(
            "library '{}' runs for {took} ms {place}, the timeout is {limit} ms, {fate}",
            timer.library
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_the_watchdog_could_not_run_does_not_count() {
        let round = Duration::from_millis(50);
        let mut clock = WatchdogClock {
            last: Instant::now(),
            now: Duration::ZERO,
        };
        assert_eq!(clock.advance(Duration::from_millis(60), round), 60);
        assert_eq!(clock.advance(Duration::from_secs(600), round), 160);
        assert_eq!(clock.advance(Duration::from_millis(50), round), 210);
    }
}
