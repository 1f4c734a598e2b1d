//! Where a run is that takes too long: asked on its own thread, in the middle of its code.
//!
//! V8 ends a run without a word about where it was. So the watchdog first has V8 call back: the run
//! says where it is, and ends itself then. V8 looks for both at the same places; where it does not come
//! by in time, the watchdog ends the run as it is.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::runtime::run;
use crate::runtime::text;

/// Frames that are kept.
const FRAMES_MAX: usize = 32;
/// Characters of a name that are kept.
const NAME_MAX: usize = 200;

/// What V8 calls in the middle of a script.
pub(crate) unsafe extern "C" fn end_here(isolate: v8::UnsafeRawIsolatePtr, _data: *mut c_void) {
    let done = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: V8 gives the isolate whose script it interrupts, on the thread that holds it.
        let mut isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) };
        end(&mut isolate);
    }));
    if done.is_err() {
        log::error!("internal error while a script was asked where it is");
    }
}

fn end(isolate: &mut v8::Isolate) {
    let (Some(limits), Some(context)) = (run::isolate_limits(isolate), run::context(isolate))
    else {
        return;
    };
    // The run that was meant may be over: this may be the next one.
    if !limits.timer.is_ending() {
        return;
    }
    let stack = {
        v8::scope!(let scope, isolate);
        let context = v8::Local::new(scope, context);
        let scope = &mut v8::ContextScope::new(scope, context);
        stack(scope)
    };
    limits.timer.end_at(stack);
}

/// The frames of the code at hand, as those of exceptions are written.
fn stack(scope: &mut v8::PinScope) -> String {
    let mut lines = Vec::new();
    let Some(trace) = v8::StackTrace::current_stack_trace(scope, FRAMES_MAX) else {
        return String::new();
    };
    for at in 0..trace.get_frame_count() {
        let Some(frame) = trace.get_frame(scope, at) else {
            continue;
        };
        let script = frame.get_script_name_or_source_url(scope);
        let script = script.map(|name| text::to_rust(scope, name, NAME_MAX));
        // The module's own JavaScript is nobody's business.
        let Some(script) = script.filter(|name| !name.starts_with('<')) else {
            continue;
        };
        let place = format!(
            "{script}:{}:{}",
            frame.get_line_number(),
            frame.get_column()
        );
        let function = frame.get_function_name(scope);
        let function = function.map(|name| text::to_rust(scope, name, NAME_MAX));
        lines.push(match function.filter(|name| !name.is_empty()) {
            Some(function) => format!("    at {function} ({place})"),
            None => format!("    at {place}"),
        });
    }
    lines.join("\n")
}
