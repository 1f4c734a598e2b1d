//! The main thread on a library's stage: running its sync code.

use std::sync::Arc;
use std::time::Instant;

use gears_core::stream::{EntryId, RecordBatch, SubscriptionKey};
use gears_v8::ports::{
    Flags, Function, Held, Invocation, News, Notification, Outcome, Reply, ScriptError, Server,
    Session,
};

use super::book::{Caller, Target, UnitCall};
use super::report::{Clock, Report};
use super::runner::Runner;
use super::triggers::{Firing, TriggerCall};

/// See the module's description. [`super::podium::Podium`] lets the thread there.
pub(super) struct OnStage<'a> {
    runner: &'a Arc<Runner>,
}

impl<'a> OnStage<'a> {
    /// To be made by who holds the pass to the stage.
    pub(super) fn of(runner: &'a Arc<Runner>) -> Self {
        Self { runner }
    }

    /// Calls a function here and now; `None` where its caller waits for a promise. Where nobody
    /// can wait, `wait` gives the error.
    pub(super) fn call_function(
        &self,
        function: &Function,
        arguments: &[&[u8]],
        server: &dyn Server,
        wait: &mut dyn FnMut() -> Result<Box<dyn Caller>, Reply>,
    ) -> Option<Reply> {
        let book = &self.runner.book;
        let token = book.lock().token();
        let invocation = Invocation {
            callback: function.callback,
            background: None,
            arguments,
            raw: function.flags.contains(Flags::RAW_ARGUMENTS),
            token,
        };
        let mut answer = None;
        self.enter(|session| {
            answer = match session.invoke(&invocation, server) {
                Outcome::Done(reply) => Some(reply),
                // Nobody asks a function for that.
                Outcome::Partly { .. } => Some(Reply::Null),
                Outcome::Failed(error) => Some(Reply::Error(book.lock().text(&error))),
                Outcome::Killed(error) => {
                    self.void(session, &error);
                    Some(Reply::Error(book.lock().text(&error)))
                }
                outcome @ Outcome::Pending => match wait() {
                    Ok(caller) => {
                        book.lock().note_function(caller, token, outcome);
                        None
                    }
                    Err(refused) => Some(refused),
                },
            };
            self.take_news(session);
        });
        answer
    }

    /// Enters the program once for all that `work` does. Code that waits and could go on with that
    /// is left to a worker, where it would have to wait once more before it may write.
    pub(super) fn enter(&self, mut work: impl FnMut(&mut dyn Session)) {
        let leaves = self.runner.has_async_code() && self.runner.stage.must_wait();
        self.runner.stage.program.enter(&mut |session| {
            let outer = session.leave_continuations(leaves);
            work(session);
            session.leave_continuations(outer);
        });
        if leaves {
            self.runner.go_on();
        }
    }

    /// Puts entries into the lane of a sync consumer.
    pub(super) fn push_records(
        &self,
        sub: SubscriptionKey,
        target: &Target,
        stream: &Arc<[u8]>,
        window: usize,
        batch: RecordBatch,
    ) {
        let mut book = self.runner.book.lock();
        book.push_records(sub, target, stream, None, window, batch);
    }

    /// Sets the window of a lane.
    pub(super) fn set_window(&self, sub: SubscriptionKey, window: usize) {
        self.runner.book.lock().set_window(sub, window);
    }

    /// What came of entries, to be told to the delivery core now: is appended.
    pub(super) fn take_reports(&self, into: &mut Vec<Report>) {
        self.runner.book.lock().take_reports(into);
    }

    /// See [`Runner::run_entry`].
    pub(super) fn run_entry(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        sub: SubscriptionKey,
        clock: &Clock,
        began: Instant,
        begin: &mut dyn FnMut(EntryId),
    ) -> Option<Instant> {
        self.runner
            .run_entry(session, server, sub, clock, began, begin)
    }

    /// See [`Runner::run_unit`].
    pub(super) fn run_unit(&self, session: &mut dyn Session, server: &dyn Server, call: &UnitCall) {
        self.runner.run_unit(session, server, call, &Clock::start());
    }

    /// See [`Runner::run_firing`].
    pub(super) fn run_trigger(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        call: &TriggerCall,
        firing: &Firing,
    ) {
        self.runner
            .run_firing(session, server, call, firing, &Clock::start());
        self.runner.send_reports();
    }

    /// Calls a function that looks at an event of a key.
    pub(super) fn fire(
        &self,
        session: &mut dyn Session,
        server: &dyn Server,
        call: &Notification<'_>,
    ) -> Result<Held, Arc<str>> {
        let fired = session.fire(call, server);
        if let Err(Outcome::Killed(error)) = &fired {
            self.void(session, error);
        }
        self.take_news(session);
        fired.map_err(|outcome| match outcome {
            Outcome::Failed(error) | Outcome::Killed(error) => {
                self.runner.book.lock().text(&error).into()
            }
            _ => "on_trigger_fired did not run to its end".into(),
        })
    }

    fn void(&self, session: &mut dyn Session, error: &ScriptError) {
        self.runner.void(session, error, &Clock::start());
        self.runner.send_reports();
    }

    fn take_news(&self, session: &mut dyn Session) {
        let mut news = News::default();
        session.take_news(&mut news);
        if !news.settled.is_empty() || news.jobs > 0 {
            let book = &self.runner.book;
            book.lock().note_news(&mut news, &Clock::start());
            self.runner.send_reports();
        }
    }
}
