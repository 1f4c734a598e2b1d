//! The delivery core: which entry goes to which consumer, and when an entry may go.
//!
//! Pure: it is told facts ([`Event`]) and asked for decisions ([`Dispatch`], [`Progress`],
//! [`Trim`], [`ControlMessage`]); it knows neither the server nor the script engine, reads no clock
//! and starts no thread. Whoever drives it carries the decisions out and reports back.
//!
//! ```text
//! XADD ── Appended ──> Delivery ── Dispatch ──> reader ── Read ──> Delivery
//!                          ^                       └─ entries ──> callback
//!                          └──── Started, Finished ─────────────────┘
//!                     Delivery ── Progress ──> committed, once a consumer, stream and tick
//!                     Delivery ── Trim ──> XTRIM, once a stream and tick
//! ```
//!
//! A consumer with a [`Policy`] gets its entries in batches that the core puts together itself:
//!
//! ```text
//! read ── Fetched ──> Delivery ── Deliver ──> callback
//!                        ^  └── DeadLetter ──> XADD       │
//!                        └──────── Ended ─────────────────┘
//! ```
//!
//! What it keeps true, on a primary:
//! * an entry is handed to each consumer that matches its stream exactly once, in ID order;
//! * at most a consumer's window of entries of one stream is with its callback at once;
//! * a trim never reaches an entry that a matching consumer is not done with, nor one that a
//!   matching consumer has not seen yet;
//! * every state belongs to a key in a database, and follows what happens to that key;
//! * what is committed never claims an entry as done that is not, and lacks at most a window of
//!   entries whose callbacks may have written.

mod arrival_order;
mod arrivals;
mod batch_queue;
mod batcher;
mod checkpoint;
mod consumer;
mod consumer_errors;
mod cursor;
mod databases;
mod dead_letter;
mod delivery_state;
mod discarded;
mod error_classes;
pub mod error_text;
mod event;
mod feed;
mod filter;
mod id;
mod names;
mod packed;
mod places;
mod policy;
mod prefetch_queue;
mod prefix;
mod rare;
mod record;
mod redrives;
mod retries;
mod shrink;
mod slab;
mod spread;
mod standings;
mod state_machine;
mod stats;
mod subscription;
mod subscriptions;
mod tally;
mod times;
mod tracked;
mod urgent;

pub use batch_queue::{BatchQueue, Terms};
pub use batcher::{Batch, Tried};
pub use checkpoint::Checkpoint;
pub use consumer::{ConsumerSpec, Mode};
pub use consumer_errors::ConsumerErrors;
pub use cursor::{Reach, TrimBound};
pub use databases::Databases;
pub use dead_letter::{
    DeadLetter, DeadLetterDeletion, Letter, Replaced, are_letters_apart, letters_of,
    would_get_letters,
};
pub use delivery_state::{DeliveryState, State};
pub use error_classes::ErrorClasses;
pub use event::{
    ControlMessage, Dispatch, Durable, End, Event, Failure, KeyRef, Progress, ReadRequest, Refusal,
    Trim,
};
pub use filter::{Condition, Filter};
pub use id::{EntryId, EntryIdText};
pub use policy::{Backoff, OnFailure, Policy, Scope, Start};
pub use prefetch_queue::PrefetchQueue;
pub(crate) use prefix::PrefixIndex;
pub use record::{Item, Parts, Record, RecordBatch};
pub use redrives::{FoundLetter, LetterRequest, Redrives, RedrivesView};
pub use retries::Retries;
pub use spread::Percentiles;
pub use state_machine::{
    Backlog, Choice, CountRequest, Counted, Delivery, NoSkip, Overview, Page, Row, StalledCall,
    StreamView,
};
pub use stats::Stats;
pub use times::{Times, TimesSummary};

slotmap::new_key_type! {
    /// A consumer, from its registration to its removal; survives an upgrade of its library.
    pub struct ConsumerKey;
    /// One consumer's interest in one stream. A key that is removed and created anew gets another.
    pub struct SubscriptionKey;
}

/// A stream that some consumer matches, by its place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamKey(u32);

/// Entries of one stream that are dispatched together while others wait: by about so many may they
/// get ahead of what was added to other streams before them.
pub const SHARE: usize = 16;

/// Bytes of entries that may wait beside a callback beyond its window, and that one read gives.
pub const READ_BYTES: usize = 256 * 1024;
