//! Where other threads leave calls of remote functions, and how those have ended, for the main thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use gears_core::lanes::Lanes;
use gears_v8::ports::{RemoteCall, RemoteCalls};

use super::Key;
use super::aborting::Visit;
use super::scripts::Running;
use crate::executor::{Completions, RemoteEnd, RemoteResponder};

#[derive(Default)]
struct Waiting {
    calls: Lanes<RemoteCall>,
    ends: Lanes<(Key, RemoteEnd)>,
}

/// What other threads left. Used by any thread.
pub(crate) struct RemoteDesk {
    waiting: Mutex<Waiting>,
    has_some: AtomicBool,
    max_bytes: Arc<AtomicUsize>,
    execution_bytes: Arc<AtomicUsize>,
    is_in_cluster: bool,
    completions: Arc<Completions>,
}

impl RemoteDesk {
    /// Nothing was left. Calls, and what they give, may have so many bytes; so may the records of an execution
    /// between two stages.
    pub(crate) fn new(
        max_bytes: Arc<AtomicUsize>,
        execution_bytes: Arc<AtomicUsize>,
        is_in_cluster: bool,
        completions: Arc<Completions>,
    ) -> Self {
        Self {
            waiting: Mutex::default(),
            has_some: AtomicBool::new(false),
            max_bytes,
            execution_bytes,
            is_in_cluster,
            completions,
        }
    }

    /// Whether something was left.
    pub(super) fn has_some(&self) -> bool {
        self.has_some.load(Ordering::Acquire)
    }

    /// Takes a call that was left.
    pub(super) fn take_call(&self) -> Option<RemoteCall> {
        self.take(|waiting| waiting.calls.pop())
    }

    /// Takes the end of a call that was left.
    pub(super) fn take_end(&self) -> Option<(Key, RemoteEnd)> {
        self.take(|waiting| waiting.ends.pop())
    }

    fn take<T>(&self, take: impl FnOnce(&mut Waiting) -> Option<T>) -> Option<T> {
        if !self.has_some() {
            return None;
        }
        let mut waiting = self.waiting.lock();
        let taken = take(&mut waiting);
        let is_empty = waiting.calls.is_empty() && waiting.ends.is_empty();
        self.has_some.store(!is_empty, Ordering::Release);
        taken
    }

    fn leave(&self, leave: impl FnOnce(&mut Waiting)) {
        leave(&mut self.waiting.lock());
        self.has_some.store(true, Ordering::Release);
        self.completions.wake();
    }
}

impl RemoteCalls for RemoteDesk {
    fn max_bytes(&self) -> usize {
        self.max_bytes.load(Ordering::Relaxed)
    }

    fn execution_bytes(&self) -> usize {
        self.execution_bytes.load(Ordering::Relaxed)
    }

    fn is_in_cluster(&self) -> bool {
        self.is_in_cluster
    }

    fn call(&self, call: RemoteCall) {
        self.leave(|waiting| waiting.calls.push(call.arguments.len(), call));
    }
}

/// The node that waits for a call that runs here.
pub(super) struct Caller {
    pub(super) desk: Arc<RemoteDesk>,
    pub(super) key: Key,
    /// Whether it was aborted. A script of another shard is kept as long as this is.
    pub(super) is_aborted: Running,
    /// Of a stage: it is known to run meanwhile.
    pub(super) _visit: Option<Visit>,
}

impl RemoteResponder for Caller {
    fn is_gone(&self) -> bool {
        self.is_aborted.load(Ordering::Relaxed)
    }

    fn end(self: Box<Self>, end: RemoteEnd) {
        let key = self.key;
        let bytes = match &end {
            RemoteEnd::Done(result) => result.len(),
            RemoteEnd::Failed(error) => error.thrown.as_ref().map_or(0, |thrown| thrown.len()),
            RemoteEnd::Late => 0,
        };
        self.desk
            .leave(|waiting| waiting.ends.push(bytes, (key, end)));
    }
}
