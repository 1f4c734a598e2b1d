//! Runs over the data set that a library's scripts start.

use std::sync::Arc;

use super::{RunState, state};
use crate::ports::{Executions, Reply};

impl RunState {
    /// Nothing will come of the runs over the data set any more.
    pub(super) fn end_executions(&mut self, reason: &str) {
        for id in self.running_executions.drain(..) {
            self.outside.executions.end(&id, Reply::error(reason));
        }
    }
}

/// Where runs over the data set are told of.
pub(crate) fn executions(isolate: &mut v8::Isolate) -> Option<Arc<dyn Executions>> {
    state(isolate).map(|state| Arc::clone(&state.outside.executions))
}

/// A run over the data set has started; its ID.
pub(crate) fn begin_execution(
    isolate: &mut v8::Isolate,
    plan: &str,
    user: Option<&str>,
) -> Option<String> {
    let state = state(isolate)?;
    let id = state.outside.executions.begin(plan, user);
    state.running_executions.push(id.clone());
    Some(id)
}

/// A run over the data set has ended.
pub(crate) fn end_execution(isolate: &mut v8::Isolate, id: &str, outcome: Reply) {
    if let Some(state) = state(isolate) {
        state.running_executions.retain(|one| one != id);
        state.outside.executions.end(id, outcome);
    }
}
