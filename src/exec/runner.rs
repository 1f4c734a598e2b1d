//! One loaded library at work.
//!
//! The main thread writes into its book what is to be done; a worker does that, a slice at a time.
//! The main thread may take the stage itself, to run sync code: the worker then lets go of it after
//! the call at hand. What is to be done no more it strikes from the book at once, whatever the
//! worker is at.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use gears_core::stream::{EntryId, Notice, RecordBatch, SHARE, SubscriptionKey};
use gears_v8::ports::{
    BatchCall, Call, Grant, Invocation, KeptEntered, MemoryUse, News, Outcome, Program, Reply,
    ScriptError, Server, Session,
};

use super::book::{Book, FunctionCall, Job, Target, UnitCall, Work};
use super::pool::{self, Pool};
use super::report::{Clock, Reports};
use super::stage::{MainPass, OffLock, ServerLock, Stage};
use super::triggers::{Firing, TriggerCall};

/// How long a worker stays with one library while others wait.
const SLICE: Duration = Duration::from_millis(2);
/// Reports that are sent without waiting for the end of a slice.
const REPORTS: usize = 256;
/// Entries of one lane before the next job's turn, and jobs before the next lane's. Between lanes
/// it is [`SHARE`].
const TURN: usize = 64;

/// How long a library that was replaced or deleted may go on with what it began: parts of it that
/// begin one another would never end.
const GRACE: Duration = Duration::from_secs(2);

/// What the runners of all libraries share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// How much of an error is told.
    pub verbosity: Arc<AtomicU8>,
    /// The way to the main thread.
    pub reports: Arc<Reports>,
    /// The workers.
    pub pool: Pool,
    /// How they get the server's lock.
    pub lock: Arc<dyn ServerLock>,
}

/// See the module's description.
pub(crate) struct Runner {
    library: Arc<str>,
    pub(super) stage: Stage,
    pub(super) book: Mutex<Book>,
    /// Whether it is in the pool's queue or with a worker.
    queued: AtomicBool,
    /// Whether there was something to do since its worker began the slice at hand. A worker that
    /// ends looks here after it gave up `queued`, so that no wish falls between the two.
    asked: AtomicBool,
    /// When the library was replaced or deleted.
    retired: OnceLock<Instant>,
    /// Whether a worker ever had something of its to run.
    is_async: AtomicBool,
    waiting: Arc<AtomicUsize>,
    last_worker: AtomicUsize,
    pub(super) shared: Shared,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("library", &self.library)
            .finish_non_exhaustive()
    }
}

impl Runner {
    /// Puts a program to work.
    #[must_use]
    pub(crate) fn new(library: &str, program: Box<dyn Program>, shared: Shared) -> Arc<Self> {
        let waiting = Arc::new(AtomicUsize::new(0));
        let stage = Stage::new(program, Arc::clone(&shared.lock));
        Arc::new(Self {
            library: library.into(),
            book: Mutex::new(Book::new(
                Arc::clone(&waiting),
                stage.locks(),
                Arc::clone(&shared.verbosity),
            )),
            stage,
            queued: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            retired: OnceLock::new(),
            is_async: AtomicBool::new(false),
            waiting,
            last_worker: AtomicUsize::new(usize::MAX),
            shared,
        })
    }

    /// Entries, calls and background parts that wait for their beginning.
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What the library takes.
    #[must_use]
    pub(crate) fn memory(&self) -> MemoryUse {
        self.stage.program.memory()
    }

    // --- what there is to do ----------------------------------------------------------------------

    /// Has entries given to an async callback.
    pub(super) fn send_records(
        self: &Arc<Self>,
        sub: SubscriptionKey,
        target: &Target,
        stream: &Arc<[u8]>,
        grant: &Arc<Grant>,
        window: usize,
        batch: RecordBatch,
    ) {
        self.change(|book| book.push_records(sub, target, stream, Some(grant), window, batch));
    }

    /// Has a unit given to an async callback.
    pub(super) fn send_unit(self: &Arc<Self>, call: UnitCall) {
        self.change(|book| book.push_job(Job::Unit(call)));
    }

    /// Tells that events wait for an async trigger.
    pub(super) fn send_trigger(self: &Arc<Self>, call: TriggerCall) {
        self.change(|book| book.push_trigger(call));
    }

    /// Has the code end events that it has begun with, before other code takes its place.
    pub(super) fn send_firings(self: &Arc<Self>, call: &TriggerCall, begun: VecDeque<Firing>) {
        if !begun.is_empty() {
            self.change(|book| {
                for firing in begun {
                    book.push_job(Job::Firing(call.clone(), firing));
                }
            });
        }
    }

    /// Carries out a decision about a lane. From now on nothing is started that was taken back:
    /// what is at hand is not waited for. What was taken back is among the reports, for the main
    /// thread to take at once.
    pub(super) fn carry_out(self: &Arc<Self>, notice: &Notice) {
        self.change(|book| match *notice {
            Notice::Recall { sub, .. } => {
                book.recall(sub);
                self.shared.reports.put(book.reports());
            }
            Notice::Drop { sub, .. } => book.drop_lane(sub),
            Notice::Window { sub, window, .. } => book.set_window(sub, window),
            Notice::Freed { sub, places, .. } => book.free(sub, places),
            // See `relocate`.
            Notice::Moved { .. } => {}
        });
    }

    /// A stream has another name or database: so has what waits of it.
    pub(super) fn relocate(&self, sub: SubscriptionKey, stream: &Arc<[u8]>, grant: &Arc<Grant>) {
        self.book.lock().relocate(sub, stream, grant);
    }

    /// Has an async function called on a worker.
    pub(crate) fn send_function(self: &Arc<Self>, call: FunctionCall) {
        self.change(|book| book.push_job(Job::Function(call)));
    }

    /// Tells that a client that waited is gone.
    pub(crate) fn note_caller_gone(self: &Arc<Self>) {
        self.change(Book::forget_gone);
    }

    /// Lets the library end: no entry is started any more, what runs may finish, for a while; see
    /// [`super::Driver::retire`]. `deleted`: no other takes its place. To be called after the
    /// recalls.
    pub(crate) fn retire(self: &Arc<Self>, deleted: bool) {
        if deleted {
            self.stage.set_deleted();
        }
        // Who waits for the library waits for its new code.
        self.stage.set_calls_wait(false);
        self.change(|book| {
            book.clear_waiting();
            book.clear_triggers();
            // Retired once is retired for good.
            let _ = self.retired.set(Instant::now());
        });
    }

    /// Gives back what the code has not finished, some time after it was replaced, whatever its
    /// worker is at; false before that time. Calls that are going on may do nothing more then.
    pub(super) fn give_up(&self) -> bool {
        let is_over = self.retired.get().is_none_or(|at| at.elapsed() >= GRACE);
        if is_over {
            if self.book.lock().abandon(true) {
                // Code of theirs may be behind an `await`, on its way to the lock.
                self.stage.set_deleted();
            }
            self.send_reports();
        }
        is_over
    }

    fn change(self: &Arc<Self>, change: impl FnOnce(&mut Book)) {
        change(&mut self.book.lock());
        self.queue();
    }

    /// Sends what came of entries to the main thread.
    pub(super) fn send_reports(&self) {
        {
            let mut book = self.book.lock();
            if book.reports().is_empty() {
                return;
            }
            // In the order of the book.
            self.shared.reports.put(book.reports());
        }
        self.shared.reports.wake();
    }

    /// Puts the library into the workers' queue, unless it is there.
    fn queue(self: &Arc<Self>) {
        self.asked.store(true, Ordering::SeqCst);
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.shared
                .pool
                .submit(Arc::clone(self) as Arc<dyn pool::Job>);
        }
    }

    /// Lets a worker look for what the engine itself has to do, if there may be something, or a
    /// promise may wait for that.
    pub(crate) fn poke(self: &Arc<Self>) {
        let has_pending = || self.book.try_lock().is_some_and(|book| book.has_pending());
        if self.stage.program.wants_pump() || has_pending() {
            self.queue();
        }
    }

    /// Has a worker go on with the code that can.
    pub(super) fn go_on(self: &Arc<Self>) {
        self.queue();
    }

    // --- the main thread --------------------------------------------------------------------------

    /// Lets the main thread on the stage; see [`Stage::pass_main`].
    pub(super) fn pass_main(&self, patience: Duration) -> Option<MainPass> {
        self.stage.pass_main(patience)
    }

    /// Whether there may be code of it that waits for the server's lock.
    pub(super) fn has_async_code(&self) -> bool {
        self.is_async.load(Ordering::Relaxed)
    }

    /// See [`Stage::is_free`].
    pub(super) fn is_free(&self) -> bool {
        self.stage.is_free()
    }

    /// Says whether calls wait for the main thread to come: workers let it go first.
    pub(crate) fn set_calls_wait(&self, wait: bool) {
        self.stage.set_calls_wait(wait);
    }

    /// See [`Program::keep_entered`].
    pub(super) fn keep_entered(&self) -> Box<dyn KeptEntered> {
        self.stage.program.keep_entered()
    }

    /// The main thread has done something on the stage; whether it has to leave: a worker wants
    /// to be there.
    pub(super) fn leave_main(self: &Arc<Self>) -> bool {
        let has_ready = {
            let mut book = self.book.lock();
            book.sweep();
            book.has_ready()
        };
        if has_ready {
            self.queue();
        }
        has_ready || self.queued.load(Ordering::SeqCst)
    }

    /// The error for those who wait for the stage in vain.
    #[must_use]
    pub(crate) fn busy(&self) -> Reply {
        Reply::error(Self::busy_text(&self.library))
    }

    /// The same, for the library of that name.
    #[must_use]
    pub(crate) fn busy_text(library: &str) -> String {
        format!("Err library '{library}' is busy: other code of it runs for too long")
    }

    // --- a worker -----------------------------------------------------------------------------------

    /// Runs what is there to run; whether there is more.
    fn slice(&self) -> bool {
        let clock = Clock::start();
        let note_news = |news: &mut News| {
            self.book.lock().note_news(news, &clock);
            self.send_reports();
        };
        let wake = || self.shared.reports.wake();
        let server = self.stage.pass_worker(&note_news, &wake);
        let end = Instant::now() + SLICE;
        let (ready, pending) = {
            let book = self.book.lock();
            (book.has_ready(), book.has_pending())
        };
        if ready || pending || self.stage.program.wants_pump() {
            self.stage.program.enter(&mut |session| {
                self.run_ready(session, &server, &clock, end);
                // Here nobody is in the middle of a script: this thread is not, and no other worker
                // has the library.
                if let Some(error) = session.pump(&server) {
                    self.void(session, &error, &clock);
                }
                self.take_news(session, &clock);
            });
        }
        let mut book = self.book.lock();
        book.sweep();
        let time = self.retired.get().map(Instant::elapsed);
        if time.is_some_and(|time| time >= GRACE) {
            book.clear_jobs();
        }
        if time.is_some() && !book.has_ready() {
            let error = ScriptError::new(
                "The library was replaced or deleted, nothing can settle the promise any more",
            );
            book.abandon(false);
            book.fail_pending(&error, &clock);
        }
        book.has_ready()
    }

    fn run_ready(
        &self,
        session: &mut dyn Session,
        server: &OffLock<'_>,
        clock: &Clock,
        end: Instant,
    ) {
        let mut now = Instant::now();
        let mut go_on = true;
        while go_on {
            let Some(work) = self.book.lock().next_work() else {
                return;
            };
            self.is_async.store(true, Ordering::Relaxed);
            for count in 1..=TURN {
                let after = match &work {
                    Work::Entry(sub) => {
                        self.run_entry(session, server, *sub, clock, now, &mut |_| {})
                    }
                    Work::Job => self.run_job(session, server, clock),
                };
                let Some(after) = after else {
                    break;
                };
                now = after;
                go_on = now < end && !self.stage.is_wanted();
                let may_yield = count % SHARE == 0 && matches!(work, Work::Entry(_));
                if !go_on || (may_yield && self.book.lock().has_lanes()) {
                    break;
                }
            }
            let mut book = self.book.lock();
            if let Work::Entry(sub) = work {
                book.end_turn(sub);
            }
            let is_much = book.reports().len() >= REPORTS;
            drop(book);
            if is_much {
                self.send_reports();
            }
        }
    }

    /// Starts the next entry of a lane and runs it as far as it goes. `began` is the current time;
    /// gives the time after the call, or `None` where nothing was started. `begin` is told of the
    /// entry just before.
    pub(super) fn run_entry(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        sub: SubscriptionKey,
        clock: &Clock,
        began: Instant,
        begin: &mut dyn FnMut(EntryId),
    ) -> Option<Instant> {
        let started = self.book.lock().start(sub)?;
        begin(started.item.record().id);
        let call = Call {
            callback: started.callback,
            background: started.background.as_ref(),
            stream: &started.stream,
            record: started.item.record(),
            token: started.token,
            judged: false,
        };
        let outcome = session.call(&call, server);
        self.stage.note_run();
        let now = Instant::now();
        self.book
            .lock()
            .note_entry(&started, &outcome, began, now, clock);
        if let Outcome::Killed(error) = &outcome {
            self.void(session, error, clock);
        }
        self.take_news(session, clock);
        Some(now)
    }

    /// Runs the first job of the queue as far as it goes.
    fn run_job(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        clock: &Clock,
    ) -> Option<Instant> {
        let (job, token) = {
            let mut book = self.book.lock();
            (book.take_job()?, book.token())
        };
        let killed = match job {
            Job::Unit(call) => {
                self.run_unit(session, server, &call, clock);
                return Some(Instant::now());
            }
            Job::Trigger(call) => {
                if let Some(firing) = call.state.take() {
                    self.run_firing(session, server, &call, &firing, clock);
                    self.book.lock().push_trigger(call);
                }
                return Some(Instant::now());
            }
            Job::Firing(call, firing) => {
                if call.state.is_removed() {
                    return Some(Instant::now());
                }
                self.run_firing(session, server, &call, &firing, clock);
                return Some(Instant::now());
            }
            Job::Background => {
                let killed = session.run_job(server);
                self.stage.note_run();
                killed
            }
            Job::Function(call) => {
                let arguments: Vec<_> = call.arguments.iter().collect();
                let outcome = session.invoke(
                    &Invocation {
                        callback: call.callback,
                        background: Some(&call.grant),
                        arguments: &arguments,
                        raw: call.raw,
                        token,
                    },
                    server,
                );
                self.stage.note_run();
                let killed = outcome.killed();
                self.book.lock().note_function(call.caller, token, outcome);
                killed
            }
        };
        if let Some(error) = killed {
            self.void(session, &error, clock);
        }
        self.take_news(session, clock);
        Some(Instant::now())
    }

    /// Gives a unit to its callback, which runs as far as it goes.
    pub(super) fn run_unit(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        call: &UnitCall,
        clock: &Clock,
    ) {
        let (token, locks) = self.book.lock().start_unit(call);
        let began = Instant::now();
        let background = call.background.as_ref();
        let outcome = match call.unit.items.as_slice() {
            [one] if !call.as_batch => session.call(
                &Call {
                    callback: call.target.callback,
                    background,
                    stream: &call.stream,
                    record: one.record(),
                    token,
                    judged: true,
                },
                server,
            ),
            items => session.call_batch(
                &BatchCall {
                    callback: call.target.callback,
                    background,
                    stream: &call.stream,
                    items,
                    token,
                },
                server,
            ),
        };
        self.stage.note_run();
        let killed = outcome.killed();
        self.book
            .lock()
            .note_unit(call, token, locks, outcome, began, clock);
        if let Some(error) = killed {
            self.void(session, &error, clock);
        }
        self.take_news(session, clock);
    }

    /// Gives an event to a trigger's callback, which runs as far as it goes.
    pub(super) fn run_firing(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        call: &TriggerCall,
        firing: &Firing,
        clock: &Clock,
    ) {
        let token = self.book.lock().token();
        let (since, outcome) = call.run(firing, session, server, token);
        self.stage.note_run();
        let killed = outcome.killed();
        self.book
            .lock()
            .note_trigger(&call.state, token, since, outcome);
        if let Some(error) = killed {
            self.void(session, &error, clock);
        }
        self.take_news(session, clock);
    }

    /// A run was ended, and what the program had pending with it.
    pub(super) fn void(&self, session: &mut dyn Session, error: &ScriptError, clock: &Clock) {
        session.clear_jobs();
        let mut book = self.book.lock();
        book.clear_background();
        if self.retired.get().is_some() {
            book.abandon(false);
        }
        book.fail_pending(error, clock);
    }

    fn take_news(&self, session: &mut dyn Session, clock: &Clock) {
        let mut news = News::default();
        session.take_news(&mut news);
        if !news.settled.is_empty() || news.jobs > 0 {
            self.book.lock().note_news(&mut news, clock);
        }
    }
}

impl pool::Job for Runner {
    fn work(self: Arc<Self>) -> bool {
        self.asked.store(false, Ordering::SeqCst);
        let slice = catch_unwind(AssertUnwindSafe(|| self.slice()));
        let more = slice.unwrap_or_else(|_| {
            log::error!("internal error in a worker, library '{}'", self.library);
            false
        });
        self.send_reports();
        if self.stage.take_wanted() {
            // It may have given up waiting: it will try again.
            self.shared.reports.wake();
        }
        self.queued.store(false, Ordering::SeqCst);
        (more || self.asked.load(Ordering::SeqCst)) && !self.queued.swap(true, Ordering::SeqCst)
    }

    fn last_worker(&self) -> &AtomicUsize {
        &self.last_worker
    }
}
