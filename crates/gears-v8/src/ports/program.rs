//! A compiled library, and a program that is entered: what can be had done in it.

use std::sync::Arc;

use super::{
    BatchCall, Call, Invocation, Outcome, Registrations, RemoteInvocation, RemoteReturns,
    RetainedValue, Returns, ScriptError, Server, SettledPromise, TriggerEventCall,
};

/// A compiled library. Entered by one thread at a time, whichever: its keeper sees to that.
pub trait Program: Send + Sync {
    /// Runs the library's top level once, and says what it registered.
    ///
    /// # Errors
    /// What the script threw, or why it was ended.
    fn evaluate(&mut self) -> Result<Registrations, ScriptError>;

    /// Takes the program's lock for as long as `work` runs. While a script waits for the server's
    /// lock, the program's is open to others.
    fn enter(&self, work: &mut dyn FnMut(&mut dyn Session));

    /// Takes the program's lock and keeps it until the result is dropped, by the same thread:
    /// entering costs that thread less meanwhile. The result must not outlive the program.
    fn keep_entered(&self) -> Box<dyn KeptEntered>;

    /// Whether the program ran since [`Session::pump`] came by last, or has timers: the engine may
    /// have something to do.
    fn wants_pump(&self) -> bool;

    /// Whether code of the program waits for a time to pass: [`Session::pump`] then resumes it.
    fn has_timers(&self) -> bool;

    /// Where it waits for what comes of its calls of remote functions.
    fn returns(&self) -> &Arc<RemoteReturns>;

    /// What the library takes, as far as known without entering it.
    fn memory(&self) -> MemoryUse;
}

/// A program that a thread keeps the lock of.
pub trait KeptEntered {}

/// Memory of a library in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Objects on the heap.
    pub heap: usize,
    /// Array buffers.
    pub buffers: usize,
    /// What each of the two may be.
    pub limit: usize,
}

/// A program that is entered. Every run gets the server as its place sees it.
pub trait Session {
    /// Calls a stream consumer's callback with one record.
    fn call(&mut self, call: &Call<'_>, server: &dyn Server) -> Outcome;

    /// Calls a stream consumer's callback with an array of records.
    fn call_batch(&mut self, call: &BatchCall<'_>, server: &dyn Server) -> Outcome;

    /// Calls a trigger's callback with what happened to a key.
    fn call_trigger(&mut self, call: &TriggerEventCall<'_>, server: &dyn Server) -> Outcome;

    /// Calls a pre-hook, in the middle of the command that causes the event; gives
    /// what the callback is to get.
    ///
    /// # Errors
    /// With how it ended, if it did not end well.
    fn run_pre_hook(
        &mut self,
        call: &TriggerEventCall<'_>,
        server: &dyn Server,
    ) -> Result<RetainedValue, Outcome>;

    /// Calls a function.
    fn invoke(&mut self, invocation: &Invocation<'_>, server: &dyn Server) -> Outcome;

    /// Calls a remote function for another isolate; gives its result, cloned.
    fn call_remote(&mut self, call: &RemoteInvocation<'_>, server: &dyn Server) -> Outcome;

    /// Runs the background part that was started first, of those that wait; says why it was ended
    /// from outside, if it was.
    fn run_task(&mut self, server: &dyn Server) -> Option<ScriptError>;

    /// Forgets the background parts that wait.
    fn clear_tasks(&mut self);

    /// Runs what the engine itself left to be done on a thread that has entered, and code of the
    /// program that waited for nothing else, these returns of its remote calls included; says why some of it was ended
    /// from outside, if it was. Never while another thread is in the middle of a script.
    fn pump(&mut self, server: &dyn Server, which: Returns) -> Option<ScriptError>;

    /// Says whether code behind promises that settle is left for another session; gives what was said
    /// before. Code that settles them runs on.
    fn leave_continuations(&mut self, leave: bool) -> bool;

    /// Moves what came of the runs since the last time into `results`.
    fn take_results(&mut self, results: &mut RunResults);
}

/// What came of runs, beside their outcome.
#[derive(Debug, Default)]
pub struct RunResults {
    /// Calls whose promise was pending and is settled now.
    pub settled: Vec<SettledPromise>,
    /// Background parts that were started: each wants a [`Session::run_task`].
    pub tasks: usize,
}
