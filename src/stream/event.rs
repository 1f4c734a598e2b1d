//! What the delivery core is told, and what it decides.

use std::sync::Arc;
use std::time::Duration;

use super::cursor::{Checkpoint, Reach, TrimBound};
use super::id::EntryId;
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
    /// Entries were read as decided.
    Read {
        /// For whom.
        sub: SubscriptionKey,
        /// IDs and sizes in bytes, in the stream's order.
        entries: &'a [(EntryId, usize)],
        /// Whether the stream holds nothing behind them.
        end: bool,
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
        /// From hand-over to finish.
        took: Duration,
        /// Wall clock at the finish, Unix milliseconds.
        now_ms: u64,
        /// What went wrong.
        error: Option<Arc<str>>,
        /// Whether its place in the window stays taken until the finish is on record: an async
        /// callback had the server's lock, and may have written.
        holds: bool,
    },
    /// How far a consumer was in a stream, as it was put on record before, here or on the primary.
    Resumed {
        /// The consumer.
        consumer: ConsumerKey,
        /// The stream.
        key: KeyRef<'a>,
        /// How far it was.
        checkpoint: &'a Checkpoint,
    },
    /// Entries that waited beside the callback were dropped there, as [`Notice::Recall`] asked.
    /// Comes behind the reports of all that was started before it.
    Recalled {
        /// The subscription.
        sub: SubscriptionKey,
        /// The last entry the callback was given.
        started: EntryId,
    },
    /// A hand-over was refused for now: nothing was read. [`Event::Yielded`] comes when it may be
    /// tried again.
    Refused {
        /// The subscription.
        sub: SubscriptionKey,
        /// Why.
        error: Arc<str>,
    },
    /// A [`HandOver::Run`] ended, or what was refused may be tried again, whether or not there is
    /// more to do.
    Yielded(SubscriptionKey),
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
    pub fresh: u64,
}

/// What to hand over next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// Read, report [`Event::Read`], and put the entries into the callback's lane.
    Read(ReadRequest),
    /// Run the callback here and now over what waits and what [`super::Delivery::read_request`]
    /// gives; then report [`Event::Yielded`].
    Run {
        /// For whom.
        sub: SubscriptionKey,
        /// Its consumer.
        consumer: ConsumerKey,
        /// Entries that must be handed over before this turn ends, however long it takes.
        must: u64,
    },
}

/// Progress to put on record, for a restart and for the replicas.
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

/// Something the keeper of a consumer's lanes has to know. Where a consumer gets new code, what
/// was decided before that is for the keeper of the old code's lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Drop the lane: the subscription is no more.
    Drop {
        /// Whose lane.
        consumer: ConsumerKey,
        /// Which.
        sub: SubscriptionKey,
    },
    /// Drop what waits in the lane and report [`Event::Recalled`].
    Recall {
        /// Whose lane.
        consumer: ConsumerKey,
        /// Which.
        sub: SubscriptionKey,
    },
    /// The lane's window changed.
    Window {
        /// Whose lane.
        consumer: ConsumerKey,
        /// Which.
        sub: SubscriptionKey,
        /// Entries that may be with the callback at once.
        window: usize,
    },
    /// Places of the window that were held are free.
    Freed {
        /// Whose lane.
        consumer: ConsumerKey,
        /// Which.
        sub: SubscriptionKey,
        /// How many.
        places: usize,
    },
}
