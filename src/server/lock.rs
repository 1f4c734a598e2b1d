//! The server's lock, for workers: taken, or the main thread asked, where no other may run commands or they are starved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::executor::{Completions, ServerLock};
use gears_v8::ports::{Credentials, Flags, Server};

use super::admission::{PAUSE_MAX, WaitsToWrite, check, retry_after};
use super::context::Context;
use super::execution_unit::ExecutionUnit;
use super::facts::facts;
use super::gil::{GilGuard, Taken};
use super::{errand, starvation};

/// What is said when there is nobody to lock any more.
const ENDING: &str = "Can not lock Redis, the server is shutting down";

/// How workers come by the lock, as INFO shows it.
pub(crate) struct LockFigures {
    /// Blocks whose commands the main thread was asked to run.
    pub(crate) errands: u64,
    /// How often a worker was starved of the lock.
    pub(crate) starvations: u64,
}

impl LockFigures {
    /// As they are now.
    pub(crate) fn now() -> Self {
        Self {
            errands: errand::count(),
            starvations: starvation::times(),
        }
    }
}

/// The server's lock, as workers take it for `client.block`.
pub(crate) struct GlobalLock {
    /// The way to the main thread, which sleeps. A blocked client may wait for what was written, and
    /// published messages are still to be sent: the server does both before it sleeps again.
    pub completions: Arc<Completions>,
}

impl ServerLock for GlobalLock {
    fn with(
        &self,
        credentials: &Credentials,
        over: &Arc<AtomicBool>,
        work: &mut dyn FnMut(Result<&dyn Server, String>),
    ) {
        let began = Instant::now();
        if facts().only_main_runs_commands {
            return errand::with(credentials, over, began, work);
        }
        let mut gil = match GilGuard::take() {
            Taken::Lock(gil) => gil,
            Taken::Starved => return errand::with(credentials, over, began, work),
            Taken::Ending => return work(Err(ENDING.into())),
        };
        if !credentials.flags.contains(Flags::NO_WRITES) {
            let end = began + PAUSE_MAX;
            let mut waits = None;
            while !over.load(Ordering::Acquire)
                && let Some(pause) = retry_after(credentials.flags, end)
            {
                drop(gil);
                waits.get_or_insert_with(WaitsToWrite::begin);
                std::thread::sleep(pause);
                gil = match GilGuard::take() {
                    Taken::Lock(gil) => gil,
                    Taken::Starved => return errand::with(credentials, over, began, work),
                    Taken::Ending => return work(Err(ENDING.into())),
                };
            }
        }
        gil.wakes = Some(&self.completions);
        match check(&Context::detached(), credentials.flags) {
            Ok(()) => work(Ok(&ExecutionUnit::of_credentials(credentials))),
            Err(refused) => work(Err(refused)),
        }
    }

    fn must_wait(&self) -> bool {
        retry_after(Flags::WAITS, Instant::now()).is_some()
    }
}
