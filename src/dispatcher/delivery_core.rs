//! The delivery core, as the dispatcher has it: with a clock, and never borrowed while something is
//! called that may come back with facts.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use gears_core::delivery::{Delivery, Event};

use crate::executor::{Clock, Completion};

/// The delivery core with the clock that its facts are stamped with.
/// Used by the main thread only.
pub(crate) struct DeliveryCore {
    delivery: RefCell<Delivery>,
    clock: Clock,
    /// When it was looked at last.
    now: Cell<Instant>,
}

impl DeliveryCore {
    pub(super) fn new(primary: bool) -> Self {
        Self {
            delivery: RefCell::new(Delivery::new(primary)),
            clock: Clock::start(),
            now: Cell::new(Instant::now()),
        }
    }

    /// Tells the core a fact.
    pub(super) fn on(&self, event: Event<'_>) {
        self.delivery.borrow_mut().on(event);
    }

    /// Tells it what came of entries: takes that out of the vector.
    pub(super) fn tell(&self, completions: &mut Vec<Completion>) {
        let mut delivery = self.delivery.borrow_mut();
        for completion in completions.drain(..) {
            delivery.on(completion);
        }
    }

    /// Changes the core, or asks it for a decision; it is not borrowed any more afterwards.
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut Delivery) -> R) -> R {
        change(&mut self.delivery.borrow_mut())
    }

    /// Looks at the core.
    pub(super) fn inspect<R>(&self, read: impl FnOnce(&Delivery) -> R) -> R {
        read(&self.delivery.borrow())
    }

    /// The time that passed since the core was made, put on top of the wall clock as it was then:
    /// it does not jump. In Unix milliseconds.
    pub(super) fn time(&self) -> u64 {
        self.clock.wall_ms(Instant::now())
    }

    /// The same for a time that was looked at.
    pub(super) fn wall_ms(&self, at: Instant) -> u64 {
        self.clock.wall_ms(at)
    }

    /// Looks at the clock, and tells the core the time.
    pub(super) fn set_time(&self) {
        self.look();
        let now = self.clock.wall_ms(self.now());
        self.delivery.borrow_mut().set_time(now);
    }

    /// Looks at the clock.
    pub(super) fn look(&self) -> Instant {
        let now = Instant::now();
        self.note_now(now);
        now
    }

    /// Somebody looked at the clock.
    pub(super) fn note_now(&self, now: Instant) {
        self.now.set(now);
    }

    /// The time when the clock was looked at last: looking takes longer than most steps of a tick
    /// that follow one another. Whoever runs scripts looks again behind them.
    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }
}
