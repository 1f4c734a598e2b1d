//! Promises that a run leaves rejected, and that nothing handles.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::state;
use crate::runtime::text;

/// Rejections without a handler that one run has in the log.
const REJECTIONS_LOGGED: usize = 8;
/// Rejections of one run that are remembered at all.
const REJECTIONS_KEPT: usize = 1000;

/// Told by V8 of every promise that is rejected while nothing handles it. Something may handle it
/// before the run is over, so here it is only noted.
pub(crate) unsafe extern "C" fn on_rejection(message: v8::PromiseRejectMessage) {
    if message.get_event() != v8::PromiseRejectEvent::PromiseRejectWithNoHandler {
        return;
    }
    let noted = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: V8 calls back on the thread that has entered the isolate.
        v8::callback_scope!(unsafe scope, &message);
        let promise = v8::Global::new(scope, message.get_promise());
        if let Some(state) = state(scope)
            && state.rejected.len() < REJECTIONS_KEPT
        {
            state.rejected.push(promise);
        }
    }));
    if noted.is_err() {
        log::error!("internal error while a rejection was noted");
    }
}

/// Logs what was rejected in the run that ends and that nothing handles.
pub(crate) fn report_rejections(scope: &mut v8::PinScope) {
    let Some(state) = state(scope).filter(|state| !state.rejected.is_empty()) else {
        return;
    };
    let library = state.isolate_limits.timer.library().to_owned();
    let rejected = std::mem::take(&mut state.rejected);
    let mut reported = 0;
    for promise in rejected {
        v8::scope!(let scope, &mut *scope);
        let promise = v8::Local::new(scope, promise);
        if promise.has_handler() {
            continue;
        }
        reported += 1;
        if reported <= REJECTIONS_LOGGED {
            let reason = promise.result(scope);
            let error = text::describe(scope, reason);
            log::warn!(
                "library '{library}': unhandled rejection: {}",
                error.text(2)
            );
        }
    }
    if reported > REJECTIONS_LOGGED {
        let more = reported - REJECTIONS_LOGGED;
        log::warn!("library '{library}': {more} more unhandled rejections in the same run");
    }
}
