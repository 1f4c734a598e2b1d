//! What a script engine offers to the rest of the module, in types of no engine.
//!
//! An [`Engine`] turns a library's source into a [`Program`]; a program is *entered* to run its
//! callbacks. Entering takes the program's lock, so several calls in one [`Session`] cost less
//! than as many sessions.

mod remote;
mod reply;
pub mod resp;
mod server;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

pub use remote::{
    RemoteCall, RemoteCalls, RemoteError, RemoteErrorCode, RemoteInvocation, RemotePlace,
    RemoteReturn, RemoteReturns, ShardOutcome,
};
pub use reply::Reply;
pub use server::{Arguments, Credentials, Database, Flags, Server};

use gears_core::delivery::{ConsumerSpec, EntryId, Item, Mode, Record};
use gears_core::triggers::{KeyValue, TriggerSpec};

/// How the targets of scripts' log lines begin; behind it stands `library/callback`, or `library`
/// where no callback is at work.
pub const SCRIPT_LOG: &str = "script:";

/// Turns source text into programs.
pub trait Engine: Send + Sync {
    /// The name a library's first line asks for.
    fn name(&self) -> &'static str;

    /// Compiles a library.
    ///
    /// # Errors
    /// What the compiler says, or that there is no memory for another library.
    fn compile(&self, source: &Source<'_>) -> Result<Box<dyn Program>, ScriptError>;

    /// Whether libraries can import a module of this name without bringing it along.
    fn has_module(&self, _name: &str) -> bool {
        false
    }

    /// What `RG.FUNCTION DEBUG <engine> ...` asks for.
    ///
    /// # Errors
    /// Where there is no such subcommand.
    fn debug(&self, arguments: &[&[u8]]) -> Result<Reply, String>;
}

/// Bounds for every library. May be changed at any time; the heap's bound holds for libraries
/// loaded after that.
#[derive(Debug)]
pub struct Limits {
    /// Milliseconds that JavaScript may hold the server's lock without a break.
    pub locked_ms: AtomicU64,
    /// The same, while a library is loaded that comes from a dump, the append-only file or the
    /// primary; not less than the other one.
    pub restoring_ms: AtomicU64,
    /// Milliseconds that it may run without a break elsewhere.
    pub unlocked_ms: AtomicU64,
    /// Bytes of heap, and of array buffers, that a library may use.
    pub memory: AtomicUsize,
    /// Bytes that all libraries together may use.
    pub total_memory: AtomicUsize,
    /// Whether what goes beyond a limit is let run: then the process may hang, or end for lack
    /// of memory.
    pub never_kills: AtomicBool,
}

/// A library before it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The library's name.
    pub library: &'a str,
    /// Its whole text, first line included.
    pub code: &'a str,
    /// The text of its configuration: a JSON object.
    pub config: Option<&'a str>,
    /// Whether its top level is a script to be run once.
    pub one_shot: bool,
    /// Whether it comes from a dump, the append-only file or the primary.
    pub restored: bool,
}

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
    /// program that waited for nothing else, what came of its remote calls included; says why some of it was ended from outside, if it was.
    /// Never while another thread is in the middle of a script.
    fn pump(&mut self, server: &dyn Server) -> Option<ScriptError>;

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

/// One call of a stream consumer's callback.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which callback.
    pub callback: CallbackId,
    /// What an async callback acts with; `None` for a sync one.
    pub background: Option<&'a Arc<Credentials>>,
    /// Name of the stream: any bytes.
    pub stream: &'a [u8],
    /// The entry.
    pub record: Record<'a>,
    /// What a pending outcome will be known by.
    pub token: u64,
    /// Whether what it gives, and what it throws, says more than that it is done or failed.
    pub judged: bool,
}

/// One call of a stream consumer's callback with several entries. It is judged.
#[derive(Clone, Copy, Debug)]
pub struct BatchCall<'a> {
    /// Which callback.
    pub callback: CallbackId,
    /// What an async callback acts with; `None` for a sync one.
    pub background: Option<&'a Arc<Credentials>>,
    /// Name of the stream: any bytes.
    pub stream: &'a [u8],
    /// The entries.
    pub items: &'a [Item],
    /// What a pending outcome will be known by.
    pub token: u64,
}

/// One call of a trigger's callback, or of its pre-hook.
#[derive(Clone, Copy, Debug)]
pub struct TriggerEventCall<'a> {
    /// Which callback.
    pub callback: CallbackId,
    /// What an async callback acts with; `None` for a sync one.
    pub background: Option<&'a Arc<Credentials>>,
    /// What happened.
    pub event: &'a str,
    /// To which key: any bytes.
    pub key: &'a [u8],
    /// What is in the key, if the callback is to know.
    pub value: Option<&'a KeyValue>,
    /// What was made of all that already.
    pub retained: Option<&'a RetainedValue>,
    /// What a pending outcome will be known by.
    pub token: u64,
}

/// A value of a script's that waits for its callback. May be dropped by any thread.
pub struct RetainedValue(pub(crate) Box<dyn Any + Send>);

impl fmt::Debug for RetainedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetainedValue")
    }
}

/// One call of a function.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// Which callback.
    pub callback: CallbackId,
    /// What an async function acts with; `None` for a sync one.
    pub background: Option<&'a Arc<Credentials>>,
    /// Its arguments.
    pub arguments: &'a [&'a [u8]],
    /// Whether it wants them as bytes.
    pub raw: bool,
    /// What a pending outcome will be known by.
    pub token: u64,
}

/// How a call ended.
#[derive(Debug)]
pub enum Outcome {
    /// The callback is done; a function's result, nothing of a consumer's.
    Done(Reply),
    /// It threw, or its promise was rejected.
    Failed(ScriptError),
    /// It named entries that failed.
    Partly {
        /// Which.
        failed: Vec<EntryId>,
        /// What went wrong.
        error: String,
    },
    /// It gave a promise that is not settled yet: its token will come up in [`RunResults`], once.
    Pending,
    /// It was ended for its use of time or memory. Whatever the program had pending is void.
    Killed(ScriptError),
}

impl Outcome {
    /// Why it was ended from outside, if it was.
    #[must_use]
    pub fn killed(&self) -> Option<ScriptError> {
        match self {
            Self::Killed(error) => Some(error.clone()),
            _ => None,
        }
    }
}

/// A promise that was pending and is settled now.
#[derive(Debug)]
pub struct SettledPromise {
    /// The token of its call.
    pub token: u64,
    /// How it was settled: never pending, nor killed.
    pub outcome: Outcome,
}

/// Names a callback within its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackId(pub u32);

/// What a library's top level registered.
#[derive(Debug, Default)]
pub struct Registrations {
    /// Functions, in the order of their registration; their names differ.
    pub functions: Vec<Function>,
    /// Functions that other shards call, likewise.
    pub remote_functions: Vec<Function>,
    /// Stream consumers, likewise.
    pub stream_consumers: Vec<StreamConsumer>,
    /// Key-space triggers, likewise.
    pub triggers: Vec<KeySpaceTrigger>,
    /// What to call once the library is live.
    pub hooks: Vec<Hook>,
    /// What the top level of a script that is run once asked to have run.
    pub scheduled: Option<Scheduled>,
}

/// An async function that a script has run over the data set. It is given the ID of its execution,
/// and gives a list of results and a list of errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// What to call.
    pub callback: CallbackId,
    /// What it does, as JSON text.
    pub plan: String,
}

/// Runs over the data set, as scripts tell of them. Used by any thread.
pub trait Executions: Send + Sync {
    /// A run has started, in the name of that user, where one is known; its ID.
    fn begin(&self, plan: &str, user: Option<&str>) -> String;

    /// Whether a run is to end.
    fn is_aborted(&self, id: &str) -> bool;

    /// A run has ended, with a list of results and a list of errors.
    fn end(&self, id: &str, outcome: Reply);
}

impl Registrations {
    /// Whether nothing was registered that anybody could call: remote functions alone are nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty() && self.stream_consumers.is_empty() && self.triggers.is_empty()
    }
}

/// A function as its library registered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, unique among the functions of the library.
    pub name: String,
    /// What it said of itself.
    pub flags: Flags,
    /// What to call.
    pub callback: CallbackId,
    /// Where to call it.
    pub mode: Mode,
    /// Milliseconds that its promise has.
    pub timeout_ms: Option<u32>,
    /// In whose name it acts.
    pub run_as: RunAs,
}

/// In whose name a function acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunAs {
    /// In that of the user who calls it.
    #[default]
    Caller,
    /// In that of its library's owner.
    Owner,
}

impl RunAs {
    /// Each, and what scripts and users call it.
    pub const NAMES: [(&'static str, Self); 2] = [("caller", Self::Caller), ("owner", Self::Owner)];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Owner => "owner",
        }
    }
}

/// A stream consumer as its library registered it.
#[derive(Clone, Debug)]
pub struct StreamConsumer {
    /// Its name, unique in the library.
    pub name: String,
    /// What it asked for.
    pub spec: ConsumerSpec,
    /// What to call.
    pub callback: CallbackId,
    /// What it says of itself.
    pub metadata: Metadata,
}

/// A key-space trigger as its library registered it.
#[derive(Clone, Debug)]
pub struct KeySpaceTrigger {
    /// Its name, unique among the triggers of the library.
    pub name: String,
    /// What it asked for.
    pub spec: TriggerSpec,
    /// What to call.
    pub callback: CallbackId,
    /// What to call in the middle of the command.
    pub on_fired: Option<CallbackId>,
    /// What it says of itself.
    pub metadata: Metadata,
}

/// What a registration says of itself, for users to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// A description.
    pub description: Option<Arc<str>>,
    /// What its way of running is called, where that is not just sync or async.
    pub mode: Option<Arc<str>>,
}

/// A registration, by its name among those of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered {
    /// A stream consumer.
    Consumer(String),
    /// A key-space trigger.
    Trigger(String),
}

impl Registered {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        let (Self::Consumer(name) | Self::Trigger(name)) = self;
        name
    }
}

/// A function to call once, when its library has become live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The registration it came with.
    pub of: Registered,
    /// What to call.
    pub callback: CallbackId,
    /// Where to call it.
    pub mode: Mode,
}

/// What a script threw, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The exception as a string.
    pub message: String,
    /// Where it came from, one frame a line, where the exception says so; without the message.
    pub stack: Option<String>,
    /// Milliseconds to wait before another attempt, where it says so.
    pub retry_after_ms: Option<u64>,
    /// Whether it says that another attempt is not worth it.
    pub fatal: bool,
    /// The exception itself, cloned, where it goes to another isolate.
    pub thrown: Option<Arc<[u8]>>,
}

impl ScriptError {
    /// An error without a stack.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            stack: None,
            retry_after_ms: None,
            fatal: false,
            thrown: None,
        }
    }

    /// The message; with `verbosity` 2 the stack, on one line.
    #[must_use]
    pub fn text(&self, verbosity: u8) -> String {
        match &self.stack {
            Some(stack) if verbosity >= 2 && !stack.is_empty() => {
                format!("{}|{}", self.message, stack.replace('\n', "|"))
            }
            _ => self.message.clone(),
        }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ScriptError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_shows_on_one_line_and_only_when_asked_for() {
        let error = ScriptError {
            stack: Some("    at f (lib:3:1)\n    at g (lib:5:1)".into()),
            ..ScriptError::new("Error: no")
        };
        assert_eq!(error.text(1), "Error: no");
        assert_eq!(
            error.text(2),
            "Error: no|    at f (lib:3:1)|    at g (lib:5:1)"
        );
        assert_eq!(ScriptError::new("x").text(2), "x");
    }
}
