//! Waking the event loop at a time.

use std::time::Duration;

use super::context::Context;
use super::hooks::HOOKS;

impl Context {
    /// Has the event loop go round once more in so many milliseconds.
    pub(crate) fn wake_in(&self, milliseconds: u64) {
        let time = Duration::from_millis(milliseconds.max(1));
        // Nothing is done there: the event-loop iteration that it begins ends with a tick.
        self.run_in(time, "a wake-up", |_| ());
    }

    /// Has so many calls made that wait, soon. Each is a unit of its own for the server.
    pub(crate) fn make_calls(&self, count: usize) {
        for _ in 0..count {
            self.run_in(Duration::ZERO, "a call that waited", |context| {
                if let Some(hooks) = HOOKS.get() {
                    hooks.make_call(context);
                }
            });
        }
    }
}
