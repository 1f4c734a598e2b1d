//! The worker threads.
//!
//! A library that has something to do is in the queue once; whoever takes it out has it alone,
//! runs it for a slice, and puts it behind the others if there is more. So a library's work keeps
//! its order however many workers there are, and no library waits for more than a slice of each of
//! the others. A library goes on with the worker it was with last, if that one is free: changing
//! threads costs V8 time.
//!
//! A worker whose slice does not end, because a script computes for long, does not count: another
//! is started in its place, and leaves when it finds nothing to do.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};

/// Stack of a worker in bytes: JavaScript may use about one megabyte of it.
const STACK: usize = 8 << 20;
/// A slice that lasts longer is not counted on to end soon.
const STUCK: Duration = Duration::from_millis(50);
/// Workers beyond those configured.
const RELIEF_MAX: usize = 32;

/// Something workers do, a slice at a time: a library.
pub(crate) trait Runnable: Send + Sync {
    /// Does a slice of it; whether there is more.
    fn run_slice(self: Arc<Self>) -> bool;

    /// Where the worker that had it last is noted, by number.
    fn last_worker(&self) -> &AtomicUsize;
}

/// A handle to the worker threads, which live until [`Pool::end`] and mostly as long as the
/// process.
#[derive(Clone)]
pub(crate) struct Pool(Arc<PoolInner>);

struct PoolInner {
    threads: usize,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    queue: VecDeque<Arc<dyn Runnable>>,
    workers: HashMap<usize, Worker>,
    /// Those that wait for something to do.
    idle: Vec<usize>,
    next_number: usize,
    /// Whether workers leave when they find nothing to do.
    ended: bool,
}

struct Worker {
    /// What it is to do next.
    assigned: Option<Arc<dyn Runnable>>,
    wake_up: Arc<Condvar>,
    /// When the slice at hand began.
    since: Option<Instant>,
}

impl Pool {
    /// Starts `threads` workers. V8 must be initialised before.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let inner = Arc::new(PoolInner {
            threads,
            state: Mutex::default(),
        });
        for _ in 0..threads {
            start_worker(&inner, &mut inner.state.lock(), false)?;
        }
        Ok(Self(inner))
    }

    /// Queues a library. It sees to it that it is queued once.
    pub(crate) fn submit(&self, task: Arc<dyn Runnable>) {
        let mut state = self.0.state.lock();
        let last = task.last_worker().load(Ordering::Relaxed);
        let free = state.idle.iter().position(|number| *number == last);
        let free = free.or_else(|| state.idle.len().checked_sub(1));
        let Some(place) = free else {
            state.queue.push_back(task);
            return;
        };
        let number = state.idle.swap_remove(place);
        if let Some(worker) = state.workers.get_mut(&number) {
            worker.assigned = Some(task);
            worker.wake_up.notify_one();
        }
    }

    /// Ends the threads. To be called when there is nothing for them to do any more.
    pub(crate) fn end(&self) {
        let mut state = self.0.state.lock();
        state.ended = true;
        for worker in state.workers.values() {
            worker.wake_up.notify_one();
        }
    }

    /// Has a worker panic, which must not end anything: a debugging aid.
    pub(crate) fn panic(&self) {
        struct Panic(AtomicUsize);
        impl Runnable for Panic {
            fn run_slice(self: Arc<Self>) -> bool {
                panic!("a panic was asked for");
            }
            fn last_worker(&self) -> &AtomicUsize {
                &self.0
            }
        }
        self.submit(Arc::new(Panic(AtomicUsize::new(usize::MAX))));
    }

    /// Starts another worker where something waits and those there are do not get to it. To be
    /// called now and then.
    pub(crate) fn relieve(&self) {
        let mut state = self.0.state.lock();
        if state.queue.is_empty() || state.workers.len() >= self.0.threads + RELIEF_MAX {
            return;
        }
        let moving = state
            .workers
            .values()
            .filter(|worker| worker.since.is_none_or(|since| since.elapsed() < STUCK));
        if moving.count() < self.0.threads
            && let Err(error) = start_worker(&self.0, &mut state, true)
        {
            log::warn!("no thread for another worker: {error}");
        }
    }
}

/// Starts a worker; `relief`: it leaves when it finds nothing to do.
fn start_worker(
    inner: &Arc<PoolInner>,
    state: &mut PoolState,
    relief: bool,
) -> std::io::Result<()> {
    let number = state.next_number;
    let wake_up = Arc::new(Condvar::new());
    let of_thread = (Arc::clone(inner), Arc::clone(&wake_up));
    std::thread::Builder::new()
        .name(format!("rg-worker-{number}"))
        .stack_size(STACK)
        .spawn(move || {
            let (inner, wake_up) = of_thread;
            work(&inner, number, &wake_up, relief);
        })?;
    state.next_number += 1;
    let worker = Worker {
        assigned: None,
        wake_up,
        since: None,
    };
    state.workers.insert(number, worker);
    Ok(())
}

fn work(inner: &PoolInner, number: usize, wake_up: &Condvar, relief: bool) {
    let mut state = inner.state.lock();
    loop {
        let assigned = state
            .workers
            .get_mut(&number)
            .and_then(|worker| worker.assigned.take());
        let Some(task) = assigned.or_else(|| state.queue.pop_front()) else {
            if relief || state.ended {
                state.workers.remove(&number);
                state.idle.retain(|idle| *idle != number);
                return;
            }
            if !state.idle.contains(&number) {
                state.idle.push(number);
            }
            wake_up.wait(&mut state);
            continue;
        };
        // It may have been woken by nobody, and still count as idle.
        state.idle.retain(|idle| *idle != number);
        if let Some(worker) = state.workers.get_mut(&number) {
            worker.since = Some(Instant::now());
        }
        drop(state);
        task.last_worker().store(number, Ordering::Relaxed);
        let of_task = Arc::clone(&task);
        let more = catch_unwind(AssertUnwindSafe(|| of_task.run_slice())).unwrap_or_else(|_| {
            log::error!("internal error in a worker");
            false
        });
        state = inner.state.lock();
        if let Some(worker) = state.workers.get_mut(&number) {
            worker.since = None;
        }
        if more {
            // Behind the others; where there are none it stays here.
            state.queue.push_back(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    struct Steps {
        left: AtomicUsize,
        last: AtomicUsize,
        took: mpsc::Sender<(usize, String)>,
        pause: Duration,
        number: usize,
    }

    impl Runnable for Steps {
        fn run_slice(self: Arc<Self>) -> bool {
            std::thread::sleep(self.pause);
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            self.took.send((self.number, name)).expect("a receiver");
            self.left.fetch_sub(1, Ordering::Relaxed) > 1
        }

        fn last_worker(&self) -> &AtomicUsize {
            &self.last
        }
    }

    fn steps(
        number: usize,
        count: usize,
        pause: Duration,
        took: &mpsc::Sender<(usize, String)>,
    ) -> Arc<Steps> {
        Arc::new(Steps {
            left: AtomicUsize::new(count),
            last: AtomicUsize::new(usize::MAX),
            took: took.clone(),
            pause,
            number,
        })
    }

    #[test]
    fn a_library_alone_stays_with_its_worker() {
        let (took, taken) = mpsc::channel();
        let pool = Pool::start(4).expect("threads");
        pool.submit(steps(0, 50, Duration::ZERO, &took));
        let names: Vec<_> = taken.iter().take(50).map(|(_, name)| name).collect();
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    }

    #[test]
    fn a_pool_that_is_ended_has_no_threads_when_its_work_is_done() {
        let (took, taken) = mpsc::channel();
        let pool = Pool::start(3).expect("threads");
        pool.submit(steps(0, 5, Duration::from_millis(1), &took));
        pool.end();
        assert_eq!(taken.iter().take(5).count(), 5);
        while !pool.0.state.lock().workers.is_empty() {
            std::thread::yield_now();
        }
        assert!(pool.0.state.lock().idle.is_empty());
    }

    #[test]
    fn a_library_that_does_not_end_does_not_keep_the_others_waiting() {
        let (took, taken) = mpsc::channel();
        let pool = Pool::start(1).expect("a thread");
        pool.submit(steps(0, 1, Duration::from_secs(3), &took));
        pool.submit(steps(1, 3, Duration::ZERO, &took));
        let mut order = Vec::new();
        while order.len() < 4 {
            pool.relieve();
            if let Ok((number, _)) = taken.recv_timeout(Duration::from_millis(20)) {
                order.push(number);
            }
        }
        assert_eq!(order, [1, 1, 1, 0]);
    }
}
