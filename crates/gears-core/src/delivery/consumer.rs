//! What a consumer is to the delivery core.

use std::sync::Arc;

use super::policy::{NO_POLICY, Policy, Start};

/// Where a consumer's callback runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On the server's main thread, before the writer of the entry gets its reply.
    Sync,
    /// On a worker.
    Async,
}

/// What a consumer asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerSpec {
    /// Keys that start with it are consumed.
    pub prefix: Arc<[u8]>,
    /// Whether only the key of just that name is.
    pub exact: bool,
    /// Entries of one stream that may be with the callback at once; at least 1.
    pub window: usize,
    /// Whether streams are trimmed behind their slowest consumer.
    pub trim: bool,
    /// Where the callback runs.
    pub mode: Mode,
    /// Where it begins with streams that it sees for the first time.
    pub start: Start,
    /// What it asked for beyond that.
    pub policy: Option<Arc<Policy>>,
}

impl ConsumerSpec {
    /// One that asks for nothing special.
    #[must_use]
    pub fn new(prefix: &[u8], window: usize, trim: bool, mode: Mode) -> Self {
        Self {
            prefix: prefix.into(),
            exact: false,
            window,
            trim,
            mode,
            start: Start::Earliest,
            policy: None,
        }
    }

    /// What holds for it beyond prefix and window.
    pub(super) fn policy(&self) -> &Policy {
        self.policy.as_deref().unwrap_or(&NO_POLICY)
    }

    /// Whether it wants a key of that name.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        if self.exact {
            *name == *self.prefix
        } else {
            name.starts_with(&self.prefix)
        }
    }
}
