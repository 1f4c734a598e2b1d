//! Work that clients wait for and that takes longer than the event loop should be held up: it is
//! done a slice at a time, in turns.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::App;

/// Time of a tick for all such work together.
const SLICE: Duration = Duration::from_millis(2);

/// Something that is done in steps, each of which takes no longer than a fraction of a millisecond.
pub(crate) trait Steps {
    /// Takes the next step; false where none is left.
    fn step(&mut self, app: &App) -> bool;
}

/// The work that clients wait for, done in slices. Used by the main thread only.
#[derive(Default)]
pub(super) struct Slices(RefCell<VecDeque<Box<dyn Steps>>>);

impl App {
    /// Has work done from the next tick on.
    pub(crate) fn slice(&self, work: Box<dyn Steps>) {
        self.slices.0.borrow_mut().push_back(work);
        self.dispatcher.wake();
    }

    /// Goes on with what is to be done.
    pub(super) fn run_slices(&self) {
        let end = Instant::now() + SLICE;
        loop {
            // A step may come back with more work.
            let Some(mut work) = self.slices.0.borrow_mut().pop_front() else {
                return;
            };
            if work.step(self) {
                self.slices.0.borrow_mut().push_back(work);
            }
            if Instant::now() >= end {
                break;
            }
        }
        if !self.slices.0.borrow().is_empty() {
            self.dispatcher.wake();
        }
    }
}
