//! What a worker does with a library: runs what there is to run, for a slice.

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use gears_core::delivery::SHARE;
use gears_v8::ports::{Returns, RunResults};

use super::completions::Clock;
use super::library_executor::LibraryExecutor;
use super::run_context::RunContext;
use super::task::Task;
use super::task_queue::NextTask;
use super::worker_pool::Runnable;

/// How long a worker stays with one library while others wait.
const SLICE: Duration = Duration::from_millis(2);
/// Completions that are sent without waiting for the end of a slice.
const COMPLETIONS: usize = 256;
/// Entries of one prefetch queue before the next task, and tasks before the next prefetch queue.
/// Between prefetch queues it is [`SHARE`].
const TASKS_AT_ONCE: usize = 64;

impl Runnable for LibraryExecutor {
    fn run_slice(self: Arc<Self>) -> bool {
        self.begin_slice();
        let slice = catch_unwind(AssertUnwindSafe(|| slice(&self)));
        let more = slice.unwrap_or_else(|_| {
            let library = self.library();
            log::error!("internal error in a worker, library '{library}'");
            false
        });
        self.end_slice(more)
    }

    fn last_worker(&self) -> &AtomicUsize {
        self.worker_number()
    }
}

/// Runs what is there to run; whether there is more.
fn slice(executor: &LibraryExecutor) -> bool {
    let note_results = |results: &mut RunResults| {
        let clock = Clock::start();
        executor.queue.lock().note_results(results, None, &clock);
        executor.send_completions();
    };
    let wake = || executor.shared.completions.wake();
    let server = executor.slot.acquire_worker(&note_results, &wake);
    let (ready, pending) = {
        let queue = executor.queue.lock();
        (queue.has_ready(), queue.has_pending())
    };
    if ready || pending || executor.slot.program.wants_pump() {
        let clock = OnceCell::new();
        executor.slot.program.enter(&mut |session| {
            let mut run = RunContext::new(executor, session, &server, &clock);
            // What came back for scripts is not to wait for a task that takes long, of which each slice has one; nor
            // are tasks to wait for what takes long of it.
            if executor.slot.program.wants_pump() {
                run.pump(Returns::Small);
            }
            run_ready(executor, &mut run, Instant::now() + SLICE);
            // Here nobody is in the middle of a script: this thread is not, and no other worker
            // has the library.
            let which = executor.queue.lock().returns(Instant::now());
            run.pump(which);
        });
    }
    executor.finish_slice()
}

fn run_ready(executor: &LibraryExecutor, run: &mut RunContext<'_>, end: Instant) {
    let mut now = Instant::now();
    let mut stays = true;
    while stays {
        let Some(next) = executor.queue.lock().next_task() else {
            return;
        };
        executor.note_async();
        let mut share = match next {
            NextTask::Entry(sub) => executor.queue.lock().share(sub),
            NextTask::Task => TASKS_AT_ONCE,
        };
        for _ in 0..TASKS_AT_ONCE {
            let after = match next {
                NextTask::Entry(sub) => run.run_entry(sub, now, &mut |_| {}),
                NextTask::Task => run_task(executor, run),
            };
            let Some(after) = after else {
                break;
            };
            now = after;
            share -= 1;
            stays = now < end && !executor.slot.is_wanted();
            if !stays || (share == 0 && executor.queue.lock().has_prefetched()) {
                break;
            }
            if share == 0 {
                share = SHARE;
            }
        }
        let mut queue = executor.queue.lock();
        if let NextTask::Entry(sub) = next {
            queue.end_share(sub, share);
        }
        let is_much = queue.completions().len() >= COMPLETIONS;
        drop(queue);
        if is_much {
            executor.send_completions();
        }
    }
}

/// Runs the first task of the queue as far as it goes; gives the time after it.
fn run_task(executor: &LibraryExecutor, run: &mut RunContext<'_>) -> Option<Instant> {
    let task = executor.queue.lock().take_task()?;
    match task {
        Task::Trigger(call) => {
            let trigger_event = executor.queue.lock().take_trigger_event(&call);
            if let Some(trigger_event) = trigger_event {
                run.run_trigger_event(&call, &trigger_event);
                executor.queue.lock().push_trigger(call);
            }
        }
        Task::TriggerEvent(call, trigger_event) => {
            if !call.state.is_removed() {
                run.run_trigger_event(&call, &trigger_event);
            }
        }
        Task::Background(callback) => run.run_background(callback.as_ref()),
        Task::Function(call) => run.run_function(call),
        Task::Remote => {
            let call = executor.queue.lock().take_remote();
            if let Some(call) = call {
                run.run_remote(call);
            }
        }
    }
    Some(Instant::now())
}
