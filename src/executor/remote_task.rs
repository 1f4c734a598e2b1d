//! A call of a remote function that another isolate made, or another shard.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use gears_v8::ports::{CallbackId, Credentials, Outcome, Reply, ScriptError};

/// What came of it.
#[derive(Debug)]
pub(crate) enum RemoteEnd {
    /// The result, cloned.
    Done(Vec<u8>),
    /// It has thrown, or was ended.
    Failed(ScriptError),
    /// Its time was over before it began: it has not run.
    Late,
}

/// Whoever waits for it.
pub(crate) trait RemoteResponder: Send {
    /// Whether nobody waits any more.
    fn is_gone(&self) -> bool;

    /// Tells how it ended, once.
    fn end(self: Box<Self>, end: RemoteEnd);
}

/// Whoever waits, who is told in any case: also where the call is forgotten with its library.
pub(crate) struct RemoteAnswer(Option<Box<dyn RemoteResponder>>);

impl RemoteAnswer {
    pub(crate) fn new(responder: Box<dyn RemoteResponder>) -> Self {
        Self(Some(responder))
    }

    /// Whether nobody waits any more.
    pub(super) fn is_gone(&self) -> bool {
        self.0.as_ref().is_some_and(|responder| responder.is_gone())
    }

    /// Tells what came of the call.
    pub(super) fn give(self, outcome: Outcome) {
        self.end(match outcome {
            Outcome::Done(Reply::Bulk(result)) => RemoteEnd::Done(result),
            Outcome::Failed(error) | Outcome::Killed(error) => RemoteEnd::Failed(error),
            // A remote function gives nothing else.
            Outcome::Done(_) | Outcome::Partly { .. } | Outcome::Pending => {
                RemoteEnd::Failed(ScriptError::new("ERR the remote function gave no result"))
            }
        });
    }

    pub(super) fn end(mut self, end: RemoteEnd) {
        if let Some(responder) = self.0.take() {
            responder.end(end);
        }
    }
}

impl Drop for RemoteAnswer {
    fn drop(&mut self) {
        if let Some(responder) = self.0.take() {
            let error = "ERR the library was replaced or deleted while the remote function ran";
            responder.end(RemoteEnd::Failed(ScriptError::new(error)));
        }
    }
}

/// A call of a remote function, to be begun.
pub(crate) struct RemoteTask {
    /// The function.
    pub(crate) callback: CallbackId,
    /// What it acts with.
    pub(crate) credentials: Arc<Credentials>,
    /// Its arguments, cloned.
    pub(crate) arguments: Bytes,
    /// When nobody waits for it any more.
    pub(crate) until: Instant,
    /// Who waits.
    pub(crate) answer: RemoteAnswer,
}
