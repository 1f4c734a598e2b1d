//! What a worker does for a library: batches, events of triggers, functions, remote functions, background parts.

use std::sync::Arc;

use gears_core::delivery::{Batch, Mode, SubscriptionKey};
use gears_v8::ports::{Arguments, CallbackId, Credentials, Reply};

use super::callbacks::Callback;
use super::trigger_task::{TriggerCall, TriggerEvent};

/// A consumer's callback.
#[derive(Clone, Debug)]
pub(crate) struct CallbackTarget {
    /// The callback in the library's program.
    pub callback: CallbackId,
    /// Who runs it.
    pub mode: Mode,
}

/// Whoever waits for a function's result, on a thread of the server's own.
pub(crate) trait Responder: Send {
    /// Gives the result, once.
    fn answer(self: Box<Self>, reply: Reply);

    /// Whether nobody waits any more.
    fn is_gone(&self) -> bool;
}

/// A call of an async function.
pub(crate) struct FunctionCall {
    /// The function.
    pub callback: CallbackId,
    /// In whose name it acts.
    pub credentials: Arc<Credentials>,
    /// Its arguments.
    pub arguments: Arguments,
    /// Whether it wants them as bytes.
    pub raw: bool,
    /// Milliseconds that its promise has.
    pub timeout_ms: Option<u32>,
    /// Who waits.
    pub responder: Box<dyn Responder>,
}

/// A call of a stream consumer with a policy.
pub(crate) struct BatchTask {
    pub(crate) sub: SubscriptionKey,
    pub(crate) batch: Batch,
    pub(crate) target: CallbackTarget,
    /// Whether the callback gets an array.
    pub(crate) as_batch: bool,
    /// Milliseconds that its promise has.
    pub(crate) timeout_ms: Option<u32>,
    pub(crate) stream: Arc<[u8]>,
    /// What an async callback acts with.
    pub(crate) background: Option<Arc<Credentials>>,
}

/// What waits in a library's queue.
pub(crate) enum Task {
    /// The next event of a trigger.
    Trigger(TriggerCall),
    /// An event of a trigger.
    TriggerEvent(TriggerCall, TriggerEvent),
    /// A function to begin.
    Function(FunctionCall),
    /// The next remote function to begin: small calls pass large ones, and nothing else.
    Remote,
    /// A background part that the engine keeps, and the callback that began it, where that is known.
    Background(Option<Arc<Callback>>),
}
