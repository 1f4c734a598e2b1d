//! What comes of runs beside their result: promises that are settled, background parts, timers, and
//! code behind promises.

use std::sync::atomic::Ordering;

use super::state;
use crate::ports::{RunResults, SettledPromise};

pub(crate) fn note_settled(isolate: &mut v8::Isolate, settled: SettledPromise) {
    if let Some(state) = state(isolate) {
        state.settled.push(settled);
    }
}

pub(crate) fn begin_task(isolate: &mut v8::Isolate, task: v8::Global<v8::Function>) {
    if let Some(state) = state(isolate) {
        state.tasks.push_back(task);
        state.new_tasks += 1;
    }
}

/// A promise that V8 settles at a time is pending now, or no more.
pub(crate) fn note_timer(isolate: &mut v8::Isolate, begins: bool) {
    if let Some(state) = state(isolate) {
        if begins {
            state.timers.fetch_add(1, Ordering::Relaxed);
        } else {
            state.timers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

pub(crate) fn next_task_of_script(isolate: &mut v8::Isolate) -> Option<v8::Global<v8::Function>> {
    state(isolate)?.tasks.pop_front()
}

pub(crate) fn clear_tasks(isolate: &mut v8::Isolate) {
    if let Some(state) = state(isolate) {
        state.tasks.clear();
        state.new_tasks = 0;
    }
}

pub(crate) fn take_results(isolate: &mut v8::Isolate, results: &mut RunResults) {
    if let Some(state) = state(isolate) {
        results.settled.append(&mut state.settled);
        results.tasks += std::mem::take(&mut state.new_tasks);
    }
}

/// Says whether code behind promises that settle is left for another session; what was said before.
pub(crate) fn leave_continuations(isolate: &mut v8::Isolate, leave: bool) -> bool {
    state(isolate).is_some_and(|state| std::mem::replace(&mut state.leaves_continuations, leave))
}

/// Runs code behind promises that are settled, if it is not left for another session.
pub(crate) fn run_continuations(scope: &mut v8::PinScope) {
    if !state(scope).is_some_and(|state| state.leaves_continuations) {
        scope.perform_microtask_checkpoint();
    }
}
