//! What a program that is entered does: each call is a watched run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use crate::ports::{
    BatchCall, Call, Invocation, Outcome, RemoteInvocation, RetainedValue, Returns, RunResults,
    ScriptError, Server, Session, TriggerEventCall,
};
use crate::program::entered::V8Session;
use crate::program::outcome::{Token, Wants, perform};
use crate::runtime::continuation;
use crate::runtime::run;

/// Tasks of V8 run at once; the rest waits for the next time.
const TASKS_PER_PUMP: usize = 16;

impl V8Session<'_, '_, '_> {
    /// A watched run of `work`.
    pub(super) fn watched(
        &mut self,
        server: Option<&dyn Server>,
        work: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome {
        let started = run::begin(self.scope, self.isolate_limits, server);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let outcome = work(self);
            run::report_rejections(self.scope);
            outcome
        }));
        run::end(self.scope, self.isolate_limits, started, result).unwrap_or_else(Outcome::Killed)
    }
}

impl Session for V8Session<'_, '_, '_> {
    fn call(&mut self, call: &Call<'_>, server: &dyn Server) -> Outcome {
        self.watched(Some(server), |session| session.call_watched(call))
    }

    fn call_batch(&mut self, call: &BatchCall<'_>, server: &dyn Server) -> Outcome {
        self.watched(Some(server), |session| session.call_batch_watched(call))
    }

    fn call_trigger(&mut self, call: &TriggerEventCall<'_>, server: &dyn Server) -> Outcome {
        self.watched(Some(server), |session| session.call_trigger_watched(call))
    }

    fn run_pre_hook(
        &mut self,
        call: &TriggerEventCall<'_>,
        server: &dyn Server,
    ) -> Result<RetainedValue, Outcome> {
        let mut retained = None;
        let outcome = self.watched(Some(server), |session| {
            session.run_pre_hook_watched(call, &mut retained)
        });
        match (outcome, retained) {
            (Outcome::Done(_), Some(retained)) => Ok(retained),
            (Outcome::Done(_), None) => Err(Outcome::Failed(ScriptError::new(
                "the function did not run to its end",
            ))),
            (outcome, _) => Err(outcome),
        }
    }

    fn invoke(&mut self, invocation: &Invocation<'_>, server: &dyn Server) -> Outcome {
        self.watched(Some(server), |session| session.invoke_watched(invocation))
    }

    fn call_remote(&mut self, call: &RemoteInvocation<'_>, server: &dyn Server) -> Outcome {
        self.watched(Some(server), |session| session.call_remote_watched(call))
    }

    fn run_task(&mut self, server: &dyn Server) -> Option<ScriptError> {
        let task = run::next_task_of_script(self.scope)?;
        let outcome = self.watched(Some(server), |session| {
            let helpers = session.helpers;
            v8::scope!(let scope, &mut *session.scope);
            let run_task = v8::Local::new(scope, &helpers.run_task);
            let task = v8::Local::new(scope, task).into();
            let token = Token {
                number: 0,
                wants: Wants::Nothing,
            };
            perform(scope, run_task, &[task], &token, 0)
        });
        match outcome {
            Outcome::Killed(error) => Some(error),
            _ => None,
        }
    }

    fn clear_tasks(&mut self) {
        run::clear_tasks(self.scope);
    }

    fn pump(&mut self, server: &dyn Server, which: Returns) -> Option<ScriptError> {
        if run::is_suspended(self.scope) {
            return None;
        }
        if let Some(error) = self.settle_remote_calls(server, which) {
            return Some(error);
        }
        // Such tasks may go on with code of the script: behind an `Atomics.waitAsync`, or in a
        // `FinalizationRegistry`. So each is a run like any other.
        let platform = v8::V8::get_current_platform();
        for _ in 0..TASKS_PER_PUMP {
            let ran = run::watched(self.scope, self.isolate_limits, Some(server), |scope| {
                continuation::clear(scope);
                let ran = v8::Platform::pump_message_loop(&platform, scope, false);
                scope.perform_microtask_checkpoint();
                ran
            });
            match ran {
                Ok(true) => {}
                Ok(false) => {
                    self.ran.store(false, Ordering::Relaxed);
                    break;
                }
                Err(error) => {
                    log::warn!("a task behind a script's back was ended: {error}");
                    return Some(error);
                }
            }
        }
        None
    }

    fn leave_continuations(&mut self, leave: bool) -> bool {
        run::leave_continuations(self.scope, leave)
    }

    fn take_results(&mut self, results: &mut RunResults) {
        run::take_results(self.scope, results);
    }
}
