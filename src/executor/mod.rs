//! Running a library's code, on workers and on the main thread.
//!
//! ```text
//!  main thread                                       workers
//!  dispatcher ── TaskQueue (records, recalls, ...) ─> LibraryExecutor ── Session::call ──> callback
//!    ^                                                  │
//!    └──────────── Completion (started, finished) <─────┘  through Completions, which wakes the main thread
//! ```
//!
//! A [`LibraryExecutor`] is one loaded library: its program in an isolate slot, where one thread at
//! a time runs it, and a queue of the tasks that it has. Workers run async code, the main thread
//! sync code; both through a [`RunContext`].
//!
//! ```text
//!  worker_pool ─> worker_slice ──┐                 ┌── entered_library <── main_thread
//!                                v                 v
//!                           run_context ─> library_executor ─> isolate_slot
//!                                                 ├─> task_queue ─> prefetch, task, remote_task, pending_calls
//!                                                 └─> callbacks ─> slow_log
//! ```

mod callbacks;
mod completions;
mod entered_library;
mod execution_view;
mod executions;
mod isolate_slot;
mod library_executor;
mod main_thread;
mod pending_calls;
mod prefetch;
mod remote_task;
mod run_context;
mod slow_log;
mod task;
mod task_queue;
mod trigger_task;
mod visitors;
mod waiting_calls;
mod worker_pool;
mod worker_slice;

pub(crate) use callbacks::{CallbackFigures, CallbackKind, Callbacks};
pub(crate) use completions::{Clock, Completion, Completions};
pub(crate) use entered_library::EnteredLibrary;
pub(crate) use execution_view::{ExecutionView, ShardView, Status};
pub(crate) use executions::{ABORTED, ExecutionLog, KeptRuns};
#[cfg(test)]
pub(crate) use isolate_slot::NoLock;
pub(crate) use isolate_slot::ServerLock;
pub(crate) use library_executor::{ExecutorShared, LibraryExecutor};
pub(crate) use main_thread::{Called, MainThreadExecutor};
pub(crate) use prefetch::{PrefetchedBatches, PrefetchedRecords};
pub(crate) use remote_task::{RemoteAnswer, RemoteEnd, RemoteResponder, RemoteTask};
pub(crate) use run_context::RunContext;
pub(crate) use slow_log::{SlowCall, SlowLog, SlowLogLimits};
pub(crate) use task::{BatchTask, CallbackTarget, FunctionCall, Responder};
pub(crate) use trigger_task::{TriggerCall, TriggerEvent, TriggerState, in_db};
pub(crate) use waiting_calls::{CalledExecutor, WaitingCall, WaitingCalls};
pub(crate) use worker_pool::Pool;
