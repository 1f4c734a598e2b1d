//! One loaded library at work.
//!
//! The main thread sends it messages; a worker runs what they bring, a slice at a time. The main
//! thread may ask for the stage itself, to run a sync callback: the worker then lets go of it
//! after the record at hand.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::engine::{Program, RecordBatch, ScriptError};
use crate::stream::{Event, Notice, SubscriptionKey};

use super::pool::{Job, Pool};
use super::report::{Clock, Report, Reports};
use super::stage::{Book, Stage, Target};

/// How long a worker stays with one library while others wait.
const SLICE: Duration = Duration::from_millis(2);
/// Reports that are sent at once at the latest.
const REPORTS: usize = 256;

/// What the main thread tells a library's worker.
#[derive(Debug)]
enum Message {
    /// Entries for an async callback.
    Records {
        sub: SubscriptionKey,
        target: Target,
        stream: Arc<[u8]>,
        window: usize,
        batch: RecordBatch,
    },
    /// A decision of the delivery core about a lane.
    Lane(Notice),
    /// The library was replaced or deleted: start nothing more, end what cannot end by itself.
    Retire,
}

/// See the module's description.
pub struct Runner {
    library: Arc<str>,
    stage: Mutex<Stage>,
    mail: Mutex<Vec<Message>>,
    has_mail: AtomicBool,
    /// Whether it is in the pool's queue or with a worker.
    queued: AtomicBool,
    /// Whether there was something to do since its worker began the slice at hand. A worker that
    /// ends looks here after it gave up `queued`, so that no wish falls between the two.
    asked: AtomicBool,
    /// Whether the main thread waits for the stage.
    wanted: AtomicBool,
    waiting: Arc<AtomicUsize>,
    verbosity: Arc<AtomicU8>,
    reports: Arc<Reports>,
    pool: Pool,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("library", &self.library)
            .finish_non_exhaustive()
    }
}

impl Runner {
    /// Puts a program to work. `verbosity` says how much of an error is told.
    #[must_use]
    pub fn new(
        library: &str,
        program: Box<dyn Program>,
        verbosity: Arc<AtomicU8>,
        reports: Arc<Reports>,
        pool: Pool,
    ) -> Arc<Self> {
        let waiting = Arc::new(AtomicUsize::new(0));
        Arc::new(Self {
            library: library.into(),
            stage: Mutex::new(Stage::new(program, Arc::clone(&waiting))),
            mail: Mutex::new(Vec::new()),
            has_mail: AtomicBool::new(false),
            queued: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            waiting,
            verbosity,
            reports,
            pool,
        })
    }

    /// Entries that wait for a callback and are not with it.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Sends entries for an async callback.
    pub(super) fn send_records(
        self: &Arc<Self>,
        sub: SubscriptionKey,
        target: Target,
        stream: Arc<[u8]>,
        window: usize,
        batch: RecordBatch,
    ) {
        self.waiting.fetch_add(batch.len(), Ordering::Relaxed);
        self.send(Message::Records {
            sub,
            target,
            stream,
            window,
            batch,
        });
    }

    /// Sends a decision about a lane.
    pub(super) fn send_notice(self: &Arc<Self>, notice: Notice) {
        self.send(Message::Lane(notice));
    }

    /// Lets the library end: nothing is started any more. To be sent after the recalls.
    pub fn retire(self: &Arc<Self>) {
        self.send(Message::Retire);
    }

    fn send(self: &Arc<Self>, message: Message) {
        self.mail.lock().push(message);
        self.has_mail.store(true, Ordering::Release);
        self.queue();
    }

    /// Puts the library into the workers' queue, unless it is there.
    pub(super) fn queue(self: &Arc<Self>) {
        self.asked.store(true, Ordering::SeqCst);
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.pool.submit(Arc::clone(self) as Arc<dyn Job>);
        }
    }

    /// Takes the stage for the main thread, waiting for a worker at most for `patience`.
    pub(super) fn take_stage(&self, patience: Duration) -> Option<MutexGuard<'_, Stage>> {
        let mut stage = if let Some(stage) = self.stage.try_lock() {
            stage
        } else {
            self.wanted.store(true, Ordering::Release);
            let stage = self.stage.try_lock_for(patience)?;
            self.wanted.store(false, Ordering::Release);
            stage
        };
        stage
            .book
            .set_verbosity(self.verbosity.load(Ordering::Relaxed));
        Some(stage)
    }

    /// Counts entries that were put into a lane by the main thread.
    pub(super) fn note_waiting(&self, entries: usize) {
        self.waiting.fetch_add(entries, Ordering::Relaxed);
    }

    /// Runs what is there to run; whether there is more.
    fn slice(&self, reports: &mut Vec<Report>) -> bool {
        let mut stage = self.stage.lock();
        stage
            .book
            .set_verbosity(self.verbosity.load(Ordering::Relaxed));
        let clock = Clock::start();
        let end = Instant::now() + SLICE;
        self.read_mail(&mut stage.book, &clock, reports);
        if stage.book.has_ready() {
            stage.enter(|book, session| {
                book.run_ready(session, &clock, reports, |book, reports, now| {
                    if self.has_mail.load(Ordering::Acquire) {
                        self.read_mail(book, &clock, reports);
                    }
                    if reports.len() >= REPORTS {
                        self.reports.send(reports);
                    }
                    now < end && !self.wanted.load(Ordering::Acquire)
                });
            });
        }
        stage.book.sweep();
        let more = stage.book.has_ready();
        if self.wanted.load(Ordering::Acquire) {
            MutexGuard::unlock_fair(stage);
        }
        more
    }

    fn read_mail(&self, book: &mut Book, clock: &Clock, reports: &mut Vec<Report>) {
        self.has_mail.store(false, Ordering::Release);
        let mail = std::mem::take(&mut *self.mail.lock());
        for message in mail {
            match message {
                Message::Records {
                    sub,
                    target,
                    stream,
                    window,
                    batch,
                } => {
                    book.lane(sub, target, &stream, window).push(batch);
                    book.make_ready(sub);
                }
                Message::Lane(Notice::Recall { sub, .. }) => {
                    let started = book.recall(sub);
                    reports.push(Event::Recalled { sub, started });
                }
                Message::Lane(Notice::Drop { sub, .. }) => book.drop_lane(sub),
                Message::Lane(Notice::Window { sub, window, .. }) => book.set_window(sub, window),
                Message::Retire => {
                    let error = ScriptError::new(
                        "The library was replaced or deleted, nothing can settle the callback's promise any more",
                    );
                    book.clear_waiting();
                    book.fail_pending(&error, clock, reports);
                }
            }
        }
    }
}

impl Job for Runner {
    fn work(self: Arc<Self>) {
        self.asked.store(false, Ordering::SeqCst);
        let mut reports = Vec::new();
        let slice = catch_unwind(AssertUnwindSafe(|| self.slice(&mut reports)));
        let more = slice.unwrap_or_else(|_| {
            log::error!("internal error in a worker, library '{}'", self.library);
            false
        });
        self.reports.send(&mut reports);
        if self.wanted.swap(false, Ordering::AcqRel) {
            // It may have given up waiting: it will try again.
            self.reports.wake();
        }
        self.queued.store(false, Ordering::SeqCst);
        if more || self.asked.load(Ordering::SeqCst) {
            self.queue();
        }
    }
}
