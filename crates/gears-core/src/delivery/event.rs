//! What the delivery core is told, and what it decides.

use std::sync::Arc;
use std::time::Duration;

use super::batcher::Batch;
use super::checkpoint::Checkpoint;
use super::cursor::{Reach, TrimBound};
use super::dead_letter::{DeadLetter, DeadLetterDeletion};
use super::delivery_state::DeliveryState;
use super::id::EntryId;
use super::record::RecordBatch;
use super::redrives::{FoundLetter, LetterRequest};
use super::{ConsumerKey, SubscriptionKey};

/// A key in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRef<'a> {
    /// Number of the database.
    pub db: i32,
    /// Name of the key: any bytes.
    pub name: &'a [u8],
}

/// A fact, from the server or from a callback.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// An entry was added to the stream.
    Appended(KeyRef<'a>),
    /// A stream is there, and may hold entries: a scan came by, or something touched it.
    Found(KeyRef<'a>),
    /// The key is gone, or holds something other than a stream.
    Removed(KeyRef<'a>),
    /// The key was written anew as a whole: a stream of the same name, but not the same stream.
    Replaced(KeyRef<'a>),
    /// The key has another name or database now; what was there before is gone.
    Moved {
        /// Where it was.
        from: KeyRef<'a>,
        /// Where it is.
        to: KeyRef<'a>,
    },
    /// The stream's last ID was set back: IDs above `last` may come again, for other entries.
    Rewound {
        /// The stream.
        key: KeyRef<'a>,
        /// The ID the next entry will be above.
        last: EntryId,
    },
    /// Two databases changed places.
    Swapped(i32, i32),
    /// A database was emptied, or all of them.
    Flushed(Option<i32>),
    /// The server became a primary or a replica.
    RoleChanged {
        /// Whether it is a primary.
        primary: bool,
    },
    /// The server began or ended loading a data set.
    Loading(bool),
    /// Whether the server refuses what clients write, and why.
    WritesRefused(Option<Refusal>),
    /// Entries were read as decided.
    Read {
        /// For whom.
        sub: SubscriptionKey,
        /// IDs and sizes in bytes, in the stream's order.
        entries: &'a [(EntryId, usize)],
        /// Whether the stream holds nothing behind them.
        end: bool,
    },
    /// Entries were read as decided, for a consumer with a policy.
    Fetched {
        /// For whom.
        sub: SubscriptionKey,
        /// The entries, in the stream's order.
        batch: RecordBatch,
        /// Whether the stream holds nothing behind them.
        end: bool,
    },
    /// Dead letters were looked for as decided.
    LettersRead {
        /// For whom.
        sub: SubscriptionKey,
        /// How many were looked for, from the first on; at least one.
        looked_for: usize,
        /// Those of them that are there, in that order.
        found: Vec<FoundLetter>,
    },
    /// The answer to [`Reach::Last`].
    StartResolved {
        /// For whom.
        sub: SubscriptionKey,
        /// The entry that it begins behind.
        position: EntryId,
    },
    /// The callback has a batch, and is not done with it yet. Not told where it is done at once.
    Begun {
        /// The subscription.
        sub: SubscriptionKey,
        /// The batch's number.
        batch: u64,
    },
    /// The callback is done with a batch.
    Ended {
        /// The subscription.
        sub: SubscriptionKey,
        /// The batch's number.
        batch: u64,
        /// How it ended.
        end: End,
        /// From dispatch to end.
        took: Duration,
        /// Wall clock at the end, Unix milliseconds.
        now_ms: u64,
        /// As with [`Event::Finished`].
        uncommitted: bool,
    },
    /// A batch was not given to the callback, or to code that was replaced and will not be done
    /// with it: it can be tried again, at once or when [`Event::Yielded`] tells.
    Returned {
        /// The subscription.
        sub: SubscriptionKey,
        /// The batch's number.
        batch: u64,
        /// Whether [`Event::Yielded`] will follow.
        yields: bool,
    },
    /// Entries of a batch that comes again were deleted from the stream meanwhile: they are done.
    /// The others are given to the callback.
    Gone {
        /// The subscription.
        sub: SubscriptionKey,
        /// The batch's number.
        batch: u64,
        /// Which entries, ascending.
        ids: Vec<EntryId>,
    },
    /// A dead letter was written, as one with the progress that follows.
    DeadLetterWritten(DeadLetter),
    /// A dead letter could not be written.
    DeadLetterRefused {
        /// The dead letter.
        dead_letter: DeadLetter,
        /// Why.
        error: Arc<str>,
    },
    /// The callback was given the entries up to this one.
    Started {
        /// The subscription.
        sub: SubscriptionKey,
        /// The last entry given.
        id: EntryId,
    },
    /// The callback is done with an entry, well or not.
    Finished {
        /// The subscription.
        sub: SubscriptionKey,
        /// The entry.
        id: EntryId,
        /// From dispatch to finish.
        took: Duration,
        /// Wall clock at the finish, Unix milliseconds.
        now_ms: u64,
        /// What went wrong.
        error: Option<Arc<str>>,
        /// Whether its place in the window stays taken until the finish is committed: an async
        /// callback had the server's lock, and may have written.
        uncommitted: bool,
    },
    /// How far a consumer was in a stream, as it was committed before, here or on the primary.
    Resumed {
        /// The consumer.
        consumer: ConsumerKey,
        /// The stream.
        key: KeyRef<'a>,
        /// How far it was.
        checkpoint: &'a Checkpoint,
    },
    /// Entries that waited beside the callback were dropped there, as [`ControlMessage::Recall`]
    /// asked. Comes behind the reports of all that was started before it.
    Recalled {
        /// The subscription.
        sub: SubscriptionKey,
        /// The last entry the callback was given.
        started: EntryId,
        /// The entries that were dropped. Some may have been abandoned before.
        back: Vec<EntryId>,
    },
    /// The callback was given an entry, and will not be done with it: its code was replaced. What
    /// it reports of it later is not told. Comes behind the answer to the
    /// [`ControlMessage::Recall`] of that.
    Abandoned {
        /// The subscription.
        sub: SubscriptionKey,
        /// The entry.
        id: EntryId,
    },
    /// A dispatch was refused for now: nothing was read. [`Event::Yielded`] comes when it may be
    /// tried again.
    Refused {
        /// The subscription.
        sub: SubscriptionKey,
        /// Why.
        error: Arc<str>,
    },
    /// The owner of a consumer may have the stream: where it was [`Event::Refused`] before, that is over.
    Authorized(SubscriptionKey),
    /// A [`Dispatch::Run`] ended, or what was refused may be tried again, whether or not there is
    /// more to do.
    Yielded(SubscriptionKey),
}

impl Event<'_> {
    /// The subscription that it reports of, if it is a report.
    pub(super) fn sub(&self) -> Option<SubscriptionKey> {
        match self {
            Self::Read { sub, .. }
            | Self::Fetched { sub, .. }
            | Self::LettersRead { sub, .. }
            | Self::StartResolved { sub, .. }
            | Self::Begun { sub, .. }
            | Self::Ended { sub, .. }
            | Self::Returned { sub, .. }
            | Self::Gone { sub, .. }
            | Self::DeadLetterWritten(DeadLetter { sub, .. })
            | Self::DeadLetterRefused {
                dead_letter: DeadLetter { sub, .. },
                ..
            }
            | Self::Started { sub, .. }
            | Self::Finished { sub, .. }
            | Self::Recalled { sub, .. }
            | Self::Abandoned { sub, .. }
            | Self::Refused { sub, .. }
            | Self::Authorized(sub)
            | Self::Yielded(sub) => Some(*sub),
            Self::Appended(_)
            | Self::Found(_)
            | Self::Removed(_)
            | Self::Replaced(_)
            | Self::Moved { .. }
            | Self::Rewound { .. }
            | Self::Swapped(..)
            | Self::Flushed(_)
            | Self::RoleChanged { .. }
            | Self::Loading(_)
            | Self::WritesRefused(_)
            | Self::Resumed { .. } => None,
        }
    }
}

/// That the server refuses what clients write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The server's error.
    pub error: Arc<str>,
    /// Whether that is only for want of memory: what takes entries away is let through.
    pub may_trim: bool,
}

/// How a callback ended with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Well.
    Done,
    /// It named entries that failed; the others are done.
    Partly {
        /// Those that failed.
        failed: Vec<EntryId>,
        /// What went wrong.
        error: Arc<str>,
    },
    /// It failed.
    Failed(Failure),
}

/// What a callback that failed said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub error: Arc<str>,
    /// Milliseconds to wait before a retry, instead of what the policy says.
    pub retry_after_ms: Option<u64>,
    /// Whether it is not worth another attempt.
    pub fatal: bool,
}

impl Failure {
    /// One that says no more than what went wrong.
    #[must_use]
    pub fn new(error: Arc<str>) -> Self {
        Self {
            error,
            retry_after_ms: None,
            fatal: false,
        }
    }
}

/// A read that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// For whom.
    pub sub: SubscriptionKey,
    /// Its consumer.
    pub consumer: ConsumerKey,
    /// Database of the stream.
    pub db: i32,
    /// Name of the stream.
    pub name: Arc<[u8]>,
    /// Which entries.
    pub reach: Reach,
    /// At most that many.
    pub max: usize,
    /// Entries that were added since the stream was read last: a hint at how many there are.
    pub unread_new: u64,
    /// Whether it is for a consumer with a policy, and to be answered with [`Event::Fetched`].
    pub batched: bool,
}

/// What to dispatch next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// Read, report [`Event::Read`], and put the entries into the callback's prefetch queue.
    Read(ReadRequest),
    /// Read these dead letters, and report [`Event::LettersRead`].
    ReadLetters(LetterRequest),
    /// Give a batch to the callback, and report [`Event::Ended`] or [`Event::Returned`]. A sync one
    /// gets it here and now; an async one from its [batch queue](super::BatchQueue), which keeps the
    /// window, and what was promised of groups and failures.
    Deliver {
        /// For whom.
        sub: SubscriptionKey,
        /// Its consumer.
        consumer: ConsumerKey,
        /// The entries.
        batch: Batch,
    },
    /// Run the callback here and now over what waits and what [`super::Delivery::read_request`]
    /// gives; then report [`Event::Yielded`].
    Run {
        /// For whom.
        sub: SubscriptionKey,
        /// Its consumer.
        consumer: ConsumerKey,
        /// Entries that must be dispatched before this tick ends, however long it takes.
        must: u64,
        /// Whether writers wait for others, who come before everything beyond these entries.
        others_wait: bool,
    },
}

/// Something to write, so that it outlives the process: here, on the replicas and in the append-only
/// file.
#[derive(Clone, Debug)]
pub enum Durable {
    /// Write it, and report [`Event::DeadLetterWritten`] or [`Event::DeadLetterRefused`].
    DeadLetter(DeadLetter),
    /// Delete these.
    DeadLetterDeletion(DeadLetterDeletion),
    /// Commit how far a consumer is in a stream. Comes once for each in a tick.
    Progress(Progress),
    /// Commit why nothing is dispatched of any stream of a consumer.
    ConsumerState {
        /// The consumer.
        consumer: ConsumerKey,
        /// Why.
        delivery_state: DeliveryState,
    },
}

/// Progress to commit, for a restart and for the replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whose.
    pub consumer: ConsumerKey,
    /// Database of the stream.
    pub db: i32,
    /// Name of the stream.
    pub name: Arc<[u8]>,
    /// How far it is.
    pub checkpoint: Checkpoint,
}

/// A stream that can be trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trim {
    /// Database of the stream.
    pub db: i32,
    /// Name of the stream.
    pub name: Arc<[u8]>,
    /// What may go.
    pub to: TrimBound,
}

/// Something the keeper of a consumer's prefetch queues has to know. Where a consumer gets new
/// code, what was decided before that is for the keeper of the old code's prefetch queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlMessage {
    /// Drop the prefetch queue: the subscription is no more.
    Drop {
        /// Whose prefetch queue.
        consumer: ConsumerKey,
        /// Which.
        sub: SubscriptionKey,
    },
    /// Drop what waits in the prefetch queue and report [`Event::Recalled`].
    Recall {
        /// Whose prefetch queue.
        consumer: ConsumerKey,
        /// Which.
        sub: SubscriptionKey,
    },
    /// The prefetch queue's window changed.
    Window {
        /// Whose prefetch queue.
        consumer: ConsumerKey,
        /// Which.
        sub: SubscriptionKey,
        /// Entries that may be with the callback at once.
        window: usize,
    },
    /// The stream has another name or database: what is started from now on is of that.
    Moved {
        /// Whose prefetch queue.
        consumer: ConsumerKey,
        /// Which.
        sub: SubscriptionKey,
    },
    /// Places of the window that were taken until a commit are free.
    SlotsReleased {
        /// Whose prefetch queue.
        consumer: ConsumerKey,
        /// Which.
        sub: SubscriptionKey,
        /// How many.
        places: usize,
    },
}
