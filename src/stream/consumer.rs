//! What a consumer is to the delivery core.

use std::sync::Arc;

/// Where a consumer's callback runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On the server's main thread, before the writer of the entry gets its reply.
    Sync,
    /// On a worker.
    Async,
}

/// What a consumer asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Keys that start with it are consumed.
    pub prefix: Arc<[u8]>,
    /// Entries of one stream that may be with the callback at once; at least 1.
    pub window: usize,
    /// Whether streams are trimmed behind their slowest consumer.
    pub trim: bool,
    /// Where the callback runs.
    pub mode: Mode,
}
