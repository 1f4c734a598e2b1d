//! The worker threads.
//!
//! A library that has something to do is in the queue once; whoever takes it out has it alone,
//! runs it for a slice, and puts it behind the others if there is more. So a library's entries
//! keep their order however many workers there are, and no library waits for more than a slice
//! of each of the others.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::runner::Runner;

/// Stack of a worker in bytes: JavaScript may use about one megabyte of it.
const STACK: usize = 8 << 20;

/// A handle to the worker threads, which live as long as the process.
#[derive(Clone, Debug)]
pub struct Pool {
    queue: Sender<Arc<Runner>>,
}

impl Pool {
    /// Starts `threads` workers. V8 must be initialised before.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let (queue, jobs) = unbounded();
        for number in 0..threads {
            let jobs: Receiver<Arc<Runner>> = jobs.clone();
            std::thread::Builder::new()
                .name(format!("rg-worker-{number}"))
                .stack_size(STACK)
                .spawn(move || {
                    while let Ok(runner) = jobs.recv() {
                        runner.work();
                    }
                })?;
        }
        Ok(Self { queue })
    }

    /// Queues a library. It sees to it that it is queued once.
    pub(super) fn submit(&self, runner: Arc<Runner>) {
        // The workers hold the other end and never leave.
        let _ = self.queue.send(runner);
    }
}
