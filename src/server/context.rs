//! What the rest of the module asks of the server in the middle of a call.

use std::ffi::{CStr, c_int};

use redis_module::ContextFlags;

use crate::replication::{self, PropagationTarget, ReplicatedCommand, ReplicationLink};

use super::facts::facts;
use super::ffi::call::CallOptions;
use super::ffi::key::OpenKey;
use super::ffi::server_info::ServerInfo;
use super::ffi::string::{LastStrings, StringRef};
use super::suppress_triggers::SuppressTriggers;

pub(crate) use super::ffi::context::{Context, is_paused, random_bytes, random_name};

/// See [`Context::state`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerState {
    /// Whether the server is a primary.
    pub(crate) is_primary: bool,
    /// Whether it uses more memory than it may.
    pub(crate) is_out_of_memory: bool,
    /// Whether it writes an append-only file.
    pub(crate) has_append_only_file: bool,
}

/// Why the client of a command cannot be kept waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoWait {
    /// It is in a transaction or a script, or another module's command runs this one.
    Nested,
    /// The server does not let such a client wait: one that is subscribed to channels.
    Refused,
}

impl NoWait {
    /// What a command says for [`NoWait::Refused`], and `nested` otherwise.
    pub(crate) fn text(self, nested: &str) -> String {
        match self {
            Self::Nested => nested,
            Self::Refused => SUBSCRIBED,
        }
        .to_owned()
    }
}

const SUBSCRIBED: &str = "ERR this server does not let a client wait that is subscribed to channels: use another connection";

impl Context {
    /// What the server and the client of the command are able to do.
    pub(crate) fn state(&self) -> ServerState {
        let flags = self.flags();
        ServerState {
            is_primary: !flags.contains(ContextFlags::SLAVE),
            is_out_of_memory: flags.contains(ContextFlags::OOM),
            has_append_only_file: flags.contains(ContextFlags::AOF),
        }
    }

    /// Whether the client of the command can be kept waiting.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn may_wait(&self) -> Result<(), NoWait> {
        if self.has_flag(ContextFlags::DENY_BLOCKING) {
            return Err(NoWait::Nested);
        }
        if facts().subscribers_cannot_wait && self.is_subscribed() {
            return Err(NoWait::Refused);
        }
        Ok(())
    }

    /// Whether the server is loading a data set.
    pub(crate) fn is_loading(&self) -> bool {
        self.has_flag(ContextFlags::LOADING)
    }

    /// Whether the server is one of a cluster.
    pub(crate) fn is_in_cluster(&self) -> bool {
        self.has_flag(ContextFlags::CLUSTER)
    }

    /// Whether a child is writing the append-only file anew, and as commands.
    pub(crate) fn is_rewriting_as_commands(&self) -> bool {
        let is_rewriting = ServerInfo::read(c"persistence")
            .is_some_and(|info| info.number(c"aof_rewrite_in_progress") == 1);
        is_rewriting
            && self.call_for_texts(c"CONFIG", &[b"GET", b"aof-use-rdb-preamble"])
                == ["aof-use-rdb-preamble", "no"]
    }

    /// The database of the key that an event is about: context and name are those of the event.
    pub(super) fn db_of_event(&self, name: StringRef<'_>) -> c_int {
        if !facts().tells_database_of_transaction || !self.has_flag(ContextFlags::MULTI) {
            return self.db();
        }
        self.db_of_key(name).unwrap_or_else(|| self.db())
    }

    /// Tells the server's latency monitor that `event` held the server up for so long, if that is
    /// long enough for it. The server itself would take any time while its monitor is off.
    pub(crate) fn note_latency(&self, event: &str, ms: u64) {
        let threshold = self.call_for_texts(c"CONFIG", &[b"GET", b"latency-monitor-threshold"]);
        let threshold = threshold.get(1).and_then(|text| text.parse().ok());
        if threshold.is_some_and(|threshold: u64| threshold > 0 && ms >= threshold) {
            self.add_latency_sample(event, ms);
        }
    }

    /// Opens a key as [`Context::open_key`] does. That there is none is nobody's miss.
    pub(super) fn open_for_reading(&self, name: StringRef<'_>) -> Option<OpenKey> {
        let _suppressed = SuppressTriggers::begin();
        self.open_key(name)
    }

    /// Calls a reading command; the elements of its reply as texts, empty for those that are none.
    /// Nothing where the command fails.
    pub(super) fn call_for_texts(&self, command: &CStr, arguments: &[&[u8]]) -> Vec<String> {
        self.call_replicated(command, arguments, |reply| reply.texts())
            .unwrap_or_default()
    }

    /// Calls a command that writes, and has it replicated.
    pub(super) fn call_to_write(&self, command: &CStr, arguments: &[&[u8]]) {
        self.call_replicated(command, arguments, |_| ());
    }

    fn call_replicated<R>(
        &self,
        command: &CStr,
        arguments: &[&[u8]],
        read: impl FnOnce(super::ffi::call::CallReply) -> R,
    ) -> Option<R> {
        self.call(command, CallOptions::REPLICATED, arguments)
            .map(read)
    }
}

/// The arguments that were sent last: from one checkpoint to the next little changes.
static LAST_SENT: LastStrings = LastStrings::new();

impl ReplicationLink for Context {
    fn send(&self, command: &ReplicatedCommand<'_>, target: PropagationTarget) {
        let log_only = target == PropagationTarget::LogOnly;
        command.with_arguments(|arguments| {
            LAST_SENT.with(arguments.iter().copied(), |arguments| {
                self.replicate_arguments(replication::COMMAND, arguments, log_only);
            });
        });
    }

    fn pass_on(&self) {
        self.replicate_verbatim();
    }

    fn is_replicated(&self) -> bool {
        self.has_flag(ContextFlags::REPLICATED | ContextFlags::LOADING)
    }

    fn db(&self) -> i32 {
        self.db()
    }
}
