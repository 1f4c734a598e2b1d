//! Calls of callbacks, of each kind, and how a call ends.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use gears_core::delivery::{EntryId, Item, Record};
use gears_core::triggers::KeyValue;

use super::{Credentials, Reply, ScriptError};

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
    /// It gave a promise that is not settled yet: its token will come up in [`super::RunResults`], once.
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
