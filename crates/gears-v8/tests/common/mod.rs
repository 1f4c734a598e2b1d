//! The engine without a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use gears_v8::ports::{Executions, Limits, RemoteCall, RemoteCalls, Reply};
use gears_v8::{Protection, V8Engine, initialize};

/// An engine whose scripts may run for so many milliseconds.
pub(crate) fn engine(milliseconds: u64) -> V8Engine {
    initialize(Protection::Off, "").expect("V8");
    let limits = Limits {
        locked_ms: AtomicU64::new(milliseconds),
        restoring_ms: AtomicU64::new(30_000),
        unlocked_ms: AtomicU64::new(milliseconds),
        memory: AtomicUsize::new(64 << 20),
        total_memory: AtomicUsize::new(1 << 40),
        never_kills: AtomicBool::new(false),
    };
    V8Engine::new(Arc::new(limits), Arc::new(Forgetful), Arc::new(Forgetful)).expect("a thread")
}

/// Keeps nothing of runs over the data set.
struct Forgetful;

impl Executions for Forgetful {
    fn begin(&self, _plan: &str, _user: Option<&str>) -> String {
        String::new()
    }

    fn is_aborted(&self, _id: &str) -> bool {
        false
    }

    fn note_shards(&self, _id: &str, _shards: &str) {}

    fn note_plan(&self, _id: &str, _plan: &str) {}

    fn end(&self, _id: &str, _outcome: Reply) {}
}

impl RemoteCalls for Forgetful {
    fn max_bytes(&self) -> usize {
        1 << 20
    }

    fn execution_bytes(&self) -> usize {
        1 << 20
    }

    fn is_in_cluster(&self) -> bool {
        false
    }

    fn call(&self, _call: RemoteCall) {}
}
