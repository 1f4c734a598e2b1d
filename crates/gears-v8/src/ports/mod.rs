//! What a script engine offers to the rest of the module, in types of no engine.
//!
//! An [`Engine`] turns a library's source into a [`Program`]; a program is *entered* to run its
//! callbacks. Entering takes the program's lock, so several calls in one [`Session`] cost less
//! than as many sessions.
//!
//! ```text
//! engine         source text ──> program, and the bounds of all programs
//! program        a compiled library, and a session in it
//! call           calls of callbacks, and how they end
//! registrations  what a library's top level registers
//! error          what scripts throw
//! held           bytes that wait for programs
//! server         what a run is offered of the server
//! remote         calls of remote functions, there and back
//! reply, resp    replies, and how they look on the wire
//! ```

mod call;
mod engine;
mod error;
mod held;
mod program;
mod registrations;
mod remote;
mod reply;
pub mod resp;
mod server;

pub use call::{
    BatchCall, Call, CallbackId, Invocation, Outcome, RetainedValue, SettledPromise,
    TriggerEventCall,
};
pub use engine::{Engine, Limits, Source};
pub use error::ScriptError;
pub use held::{Held, HeldBytes};
pub use program::{KeptEntered, MemoryUse, Program, RunResults, Session};
pub use registrations::{
    Function, Hook, KeySpaceTrigger, Metadata, Registered, Registrations, RunAs, Scheduled,
    StreamConsumer,
};
pub use remote::{
    RemoteCall, RemoteCalls, RemoteError, RemoteErrorCode, RemoteInvocation, RemotePlace,
    RemoteReturn, RemoteReturns, Returns, STAGE, ShardOutcome, digest_of,
};
pub use reply::Reply;
pub use server::{Arguments, Credentials, Database, Flags, Server};

/// How the targets of scripts' log lines begin; behind it stands `library/callback`, or `library`
/// where no callback is at work.
pub const SCRIPT_LOG: &str = "script:";

/// Runs over the data set, as scripts tell of them. Used by any thread.
pub trait Executions: Send + Sync {
    /// A run has started, in the name of that user, where one is known; its ID.
    fn begin(&self, plan: &str, user: Option<&str>) -> String;

    /// Whether a run is to end.
    fn is_aborted(&self, id: &str) -> bool;

    /// What each shard has done for a run so far, as JSON text: `[[id, status, stages, ms until now, [error, ...]], ...]`.
    fn note_shards(&self, id: &str, shards: &str);

    /// What a run does that began on another shard and has a stage here, as JSON text.
    fn note_plan(&self, id: &str, plan: &str);

    /// A run has ended, with a list of results and a list of errors.
    fn end(&self, id: &str, outcome: Reply);
}
