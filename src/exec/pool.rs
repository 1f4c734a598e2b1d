//! The worker threads.
//!
//! A library that has something to do is in the queue once; whoever takes it out has it alone,
//! runs it for a slice, and puts it behind the others if there is more. So a library's entries
//! keep their order however many workers there are, and no library waits for more than a slice
//! of each of the others.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

/// Stack of a worker in bytes: JavaScript may use about one megabyte of it.
const STACK: usize = 8 << 20;

/// Something workers do.
pub(super) trait Job: Send + Sync {
    /// Does a slice of it.
    fn work(self: Arc<Self>);
}

/// A handle to the worker threads, which live as long as the process.
#[derive(Clone)]
pub struct Pool {
    queue: Sender<Arc<dyn Job>>,
}

impl Pool {
    /// Starts `threads` workers. V8 must be initialised before.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let (queue, jobs) = unbounded();
        for number in 0..threads {
            let jobs: Receiver<Arc<dyn Job>> = jobs.clone();
            std::thread::Builder::new()
                .name(format!("rg-worker-{number}"))
                .stack_size(STACK)
                .spawn(move || {
                    while let Ok(job) = jobs.recv() {
                        job.work();
                    }
                })?;
        }
        Ok(Self { queue })
    }

    /// Queues a library. It sees to it that it is queued once.
    pub(super) fn submit(&self, job: Arc<dyn Job>) {
        // The workers hold the other end and never leave.
        let _ = self.queue.send(job);
    }
}
