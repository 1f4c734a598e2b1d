//! What libraries register: functions, stream consumers, triggers, hooks.

use std::sync::Arc;

use gears_core::delivery::{ConsumerSpec, Mode};
use gears_core::triggers::TriggerSpec;

use super::{CallbackId, Flags};

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
    /// What runs a stage of an execution of `GearsBuilder` for another shard: of libraries that use it.
    pub stage: Option<CallbackId>,
}

impl Registrations {
    /// Whether nothing was registered that anybody could call: remote functions alone are nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty() && self.stream_consumers.is_empty() && self.triggers.is_empty()
    }
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
