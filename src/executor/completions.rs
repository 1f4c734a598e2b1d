//! What workers tell the main thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use gears_core::delivery::Event;

/// Something that happened to an entry: an event of the delivery core that borrows nothing.
pub(crate) type Completion = Event<'static>;

/// Wakes the main thread; called from any thread.
type Wake = Box<dyn Fn() + Send + Sync>;

/// The way of the completions, and of the wish for another tick, to the main thread.
pub(crate) struct Completions {
    queue: Mutex<Vec<Completion>>,
    /// Whether the main thread was woken and has not come by yet.
    woken: AtomicBool,
    wake: Wake,
}

impl Completions {
    /// A way that uses `wake` to get the main thread out of its sleep.
    #[must_use]
    pub(crate) fn new(wake: Wake) -> Self {
        Self {
            queue: Mutex::new(Vec::new()),
            woken: AtomicBool::new(false),
            wake,
        }
    }

    /// Puts completions behind those that were sent, without waking anybody: they are moved out of
    /// the vector.
    pub(crate) fn put(&self, completions: &mut Vec<Completion>) {
        self.queue.lock().append(completions);
    }

    /// Makes sure that the main thread takes another tick soon.
    pub(crate) fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            (self.wake)();
        }
    }

    /// Takes what was sent. To be called by the main thread at the beginning of its tick.
    pub(crate) fn take(&self, into: &mut Vec<Completion>) {
        self.woken.store(false, Ordering::Release);
        std::mem::swap(&mut *self.queue.lock(), into);
    }
}

/// A clock that gives both the time that passes and the wall's time for one look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    began_ms: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            began: Instant::now(),
            began_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The wall clock at `instant`, Unix milliseconds.
    pub(crate) fn wall_ms(&self, instant: Instant) -> u64 {
        let passed = instant.saturating_duration_since(self.began).as_millis();
        self.began_ms
            .saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}
