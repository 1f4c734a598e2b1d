//! Nothing crosses back into C as a panic: the process would end.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs what the server asked for in `place`; a panic becomes a line in the log.
pub(crate) fn run(place: &str, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        log::error!("internal error in {place}");
    }
}
