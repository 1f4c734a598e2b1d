//! What went wrong for a consumer: how much of which kind, and where and when it was last.
//!
//! The text of the last error is with the other counters ([`super::Stats`]).

use std::sync::Arc;

use super::error_classes::ErrorClasses;
use super::id::EntryId;

/// Errors of a consumer, since its counters began.
#[derive(Clone, Debug, Default)]
pub struct ConsumerErrors {
    /// How many there were of each class.
    pub classes: ErrorClasses,
    /// When the last one was, Unix milliseconds.
    pub last_ms: u64,
    /// The entry that it was about, the first of its batch; `None` where it was about all of a
    /// stream.
    pub last_id: Option<EntryId>,
    /// That entry's stream.
    pub last_stream: Arc<[u8]>,
}
