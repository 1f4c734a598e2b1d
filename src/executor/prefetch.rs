//! The prefetch queues of a library: entries that were read beyond what its callbacks have, one
//! queue for each subscription. For a consumer with a policy they hold batches that the core put
//! together.
//!
//! Those of sync and of async consumers lie side by side: a promise of the one may be settled by a
//! callback of the other. Only those of async consumers are ever *ready*, for a worker.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use gears_core::delivery::{
    Batch, BatchQueue, EntryId, Item, Mode, PrefetchQueue, RecordBatch, SHARE, SubscriptionKey,
    Terms,
};
use gears_v8::ports::Credentials;

use super::task::{BatchTask, CallbackTarget};

/// Prefetch queues below which sweeping is not worth it.
const SWEEP_MIN: usize = 64;

/// Entries for the prefetch queue of a subscription.
pub(crate) struct PrefetchedRecords<'a> {
    /// For whom.
    pub sub: SubscriptionKey,
    /// What they are given to.
    pub target: &'a CallbackTarget,
    /// Name of the stream.
    pub stream: &'a Arc<[u8]>,
    /// What an async callback acts with.
    pub background: Option<&'a Arc<Credentials>>,
    /// How many may be with the callback at once.
    pub window: usize,
    /// The entries.
    pub batch: RecordBatch,
}

/// Batches for the batch queue of an async consumer's subscription.
pub(crate) struct PrefetchedBatches<'a> {
    /// For whom.
    pub sub: SubscriptionKey,
    /// What they are given to.
    pub target: &'a CallbackTarget,
    /// Whether the callback gets arrays.
    pub as_batch: bool,
    /// Milliseconds that the promise of each has.
    pub timeout_ms: Option<u32>,
    /// Name of the stream.
    pub stream: &'a Arc<[u8]>,
    /// What the callback acts with.
    pub background: &'a Arc<Credentials>,
    /// How many may be with the callback at once.
    pub window: usize,
    /// The batches.
    pub batches: Vec<Batch>,
}

/// What waits of one subscription.
enum Waiting {
    Entries(PrefetchQueue<Item>),
    Batches(BatchQueue<Batch>),
}

impl Waiting {
    /// Its queue of entries. The core goes from batches to entries, for code without a policy, when
    /// nothing of the subscription is on its way: what is here then holds nothing.
    fn entries(&mut self, window: usize) -> &mut PrefetchQueue<Item> {
        if let Self::Batches(_) = self {
            *self = Self::Entries(PrefetchQueue::new(window));
        }
        match self {
            Self::Entries(queue) => {
                queue.set_window(window);
                queue
            }
            Self::Batches(_) => unreachable!("it was just replaced"),
        }
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Entries(queue) => queue.is_ready(),
            Self::Batches(queue) => queue.is_ready(),
        }
    }

    fn is_idle(&self) -> bool {
        match self {
            Self::Entries(queue) => queue.is_idle(),
            Self::Batches(queue) => queue.is_idle(),
        }
    }

    fn set_window(&mut self, window: usize) {
        match self {
            Self::Entries(queue) => queue.set_window(window),
            Self::Batches(queue) => queue.set_window(window),
        }
    }

    fn release(&mut self, places: usize) {
        match self {
            Self::Entries(queue) => (0..places).for_each(|_| queue.finish()),
            Self::Batches(queue) => queue.release(places),
        }
    }
}

/// The prefetch queue of one subscription, and what its calls need.
struct StreamPrefetch {
    queue: Waiting,
    target: CallbackTarget,
    /// Whether the callback gets arrays.
    as_batch: bool,
    /// Milliseconds that the promise of a batch has.
    timeout_ms: Option<u32>,
    stream: Arc<[u8]>,
    /// What an async callback acts with.
    background: Option<Arc<Credentials>>,
    /// The last entry started.
    started: EntryId,
    in_ready: bool,
    /// Entries that it may start before other prefetch queues have their share.
    share: usize,
}

impl StreamPrefetch {
    /// The stream may have been renamed, or moved to another database.
    fn relocate(&mut self, stream: &Arc<[u8]>, background: Option<&Arc<Credentials>>) {
        if !Arc::ptr_eq(&self.stream, stream) {
            self.stream = Arc::clone(stream);
        }
        // Another database may have a stream of that name.
        let before = self.background.as_ref().map(Arc::as_ptr);
        if before != background.map(Arc::as_ptr) {
            self.background = background.cloned();
        }
    }
}

/// What was taken out of a prefetch queue for its callback.
pub(super) enum Taken {
    /// An entry.
    Entry(PrefetchedEntry),
    /// A batch.
    Batch(BatchTask),
}

/// What was dropped from a prefetch queue.
#[derive(Default)]
pub(super) struct Dropped {
    pub(super) entries: Vec<EntryId>,
    /// By their numbers.
    pub(super) batches: Vec<u64>,
}

impl Dropped {
    fn of(batches: VecDeque<Batch>) -> Self {
        let numbers = batches.into_iter().map(|batch| batch.number);
        Self {
            entries: Vec::new(),
            batches: numbers.collect(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.entries.len() + self.batches.len()
    }
}

/// An entry that was taken out for its callback, and what the call needs.
pub(super) struct PrefetchedEntry {
    pub(super) item: Item,
    pub(super) target: CallbackTarget,
    pub(super) background: Option<Arc<Credentials>>,
    pub(super) stream: Arc<[u8]>,
}

/// A library's prefetch queues, by subscription, and which of them have something to start.
pub(super) struct PrefetchQueues {
    queues: HashMap<SubscriptionKey, StreamPrefetch>,
    /// Those that may have something to start.
    ready: VecDeque<SubscriptionKey>,
    sweep_at: usize,
}

impl Default for PrefetchQueues {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            ready: VecDeque::new(),
            sweep_at: SWEEP_MIN,
        }
    }
}

impl PrefetchQueues {
    /// Puts entries into the prefetch queue of a subscription, which is made where there is none.
    pub(super) fn push(&mut self, records: PrefetchedRecords<'_>) {
        let PrefetchedRecords {
            sub,
            target,
            stream,
            background,
            window,
            batch,
        } = records;
        let prefetch = self.queues.entry(sub).or_insert_with(|| StreamPrefetch {
            queue: Waiting::Entries(PrefetchQueue::new(window)),
            target: target.clone(),
            as_batch: false,
            timeout_ms: None,
            stream: Arc::clone(stream),
            background: background.cloned(),
            started: EntryId::ZERO,
            in_ready: false,
            share: SHARE,
        });
        prefetch.relocate(stream, background);
        let queue = prefetch.queue.entries(window);
        for item in Item::all(batch) {
            queue.push(item);
        }
        self.make_ready(sub);
    }

    /// Puts batches beside their callback; gives the numbers of those that have to go back.
    pub(super) fn push_batches(&mut self, batches: PrefetchedBatches<'_>) -> Vec<u64> {
        let PrefetchedBatches {
            sub,
            target,
            as_batch,
            timeout_ms,
            stream,
            background,
            window,
            batches,
        } = batches;
        let Some(first) = batches.first() else {
            return Vec::new();
        };
        let prefetch = self.queues.entry(sub).or_insert_with(|| StreamPrefetch {
            queue: Waiting::Batches(BatchQueue::new(window, &Terms::from(first))),
            target: target.clone(),
            as_batch,
            timeout_ms,
            stream: Arc::clone(stream),
            background: Some(Arc::clone(background)),
            started: EntryId::ZERO,
            in_ready: false,
            share: SHARE,
        });
        prefetch.relocate(stream, Some(background));
        prefetch.queue.set_window(window);
        let mut refused = Vec::new();
        for batch in batches {
            let number = batch.number;
            let is_taken = match &mut prefetch.queue {
                Waiting::Batches(queue) => queue.push(Terms::from(&batch), batch),
                Waiting::Entries(_) => false,
            };
            if !is_taken {
                refused.push(number);
            }
        }
        self.make_ready(sub);
        refused
    }

    /// A callback is done with a batch, which holds its place until that is committed or not. Gives
    /// what goes back for its failure.
    pub(super) fn finish_batch(
        &mut self,
        sub: SubscriptionKey,
        number: u64,
        holds: bool,
        failed: bool,
    ) -> Dropped {
        match self
            .queues
            .get_mut(&sub)
            .map(|prefetch| &mut prefetch.queue)
        {
            Some(Waiting::Batches(queue)) => Dropped::of(queue.finish(number, holds, failed)),
            // A sync callback has its batches from the core.
            _ => Dropped::default(),
        }
    }

    /// What waits of a stream has this place now.
    pub(super) fn relocate(
        &mut self,
        sub: SubscriptionKey,
        stream: &Arc<[u8]>,
        credentials: &Arc<Credentials>,
    ) {
        if let Some(prefetch) = self.queues.get_mut(&sub) {
            let background = prefetch.background.as_ref().map(|_| credentials);
            prefetch.relocate(stream, background);
        }
    }

    /// Puts a prefetch queue into the list of those that have something to start.
    pub(super) fn make_ready(&mut self, sub: SubscriptionKey) {
        if let Some(prefetch) = self.queues.get_mut(&sub)
            && prefetch.target.mode == Mode::Async
            && !prefetch.in_ready
            && prefetch.queue.is_ready()
        {
            prefetch.in_ready = true;
            self.ready.push_back(sub);
        }
    }

    /// Whether one has something to start.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the next one that has something to start out of the list.
    pub(super) fn next(&mut self) -> Option<SubscriptionKey> {
        self.ready.pop_front()
    }

    /// How many entries one that [`PrefetchQueues::next`] gave may start before others have their
    /// share.
    pub(super) fn share(&self, sub: SubscriptionKey) -> usize {
        let prefetch = self.queues.get(&sub);
        prefetch.map_or(SHARE, |prefetch| prefetch.share)
    }

    /// One that [`PrefetchQueues::next`] gave has had its share, but for so many entries. With
    /// these it comes next, so that however often a worker has to stop, no stream falls behind.
    pub(super) fn end_share(&mut self, sub: SubscriptionKey, left: usize) {
        let Some(prefetch) = self.queues.get_mut(&sub) else {
            return;
        };
        prefetch.in_ready = false;
        let is_cut = (1..SHARE).contains(&left) && prefetch.queue.is_ready();
        prefetch.share = if is_cut { left } else { SHARE };
        if is_cut {
            prefetch.in_ready = true;
            self.ready.push_front(sub);
        } else {
            self.make_ready(sub);
        }
    }

    pub(super) fn set_window(&mut self, sub: SubscriptionKey, window: usize) {
        if let Some(prefetch) = self.queues.get_mut(&sub) {
            prefetch.queue.set_window(window);
        }
        self.make_ready(sub);
    }

    /// Takes what is next out, if the window has room.
    pub(super) fn start(&mut self, sub: SubscriptionKey) -> Option<Taken> {
        let prefetch = self.queues.get_mut(&sub)?;
        match &mut prefetch.queue {
            Waiting::Batches(queue) => Some(Taken::Batch(BatchTask {
                sub,
                batch: queue.start()?,
                target: prefetch.target.clone(),
                as_batch: prefetch.as_batch,
                timeout_ms: prefetch.timeout_ms,
                stream: Arc::clone(&prefetch.stream),
                background: prefetch.background.clone(),
            })),
            Waiting::Entries(queue) => {
                let item = queue.start()?;
                prefetch.started = prefetch.started.max(item.id());
                Some(Taken::Entry(PrefetchedEntry {
                    item,
                    target: prefetch.target.clone(),
                    background: prefetch.background.clone(),
                    stream: Arc::clone(&prefetch.stream),
                }))
            }
        }
    }

    /// The last entry that was taken out of a prefetch queue.
    pub(super) fn started(&self, sub: SubscriptionKey) -> EntryId {
        let prefetch = self.queues.get(&sub);
        prefetch.map_or(EntryId::ZERO, |prefetch| prefetch.started)
    }

    /// So many places in a window are free again.
    pub(super) fn release(&mut self, sub: SubscriptionKey, places: usize) {
        if let Some(prefetch) = self.queues.get_mut(&sub) {
            prefetch.queue.release(places);
        }
    }

    /// Drops what waits in a prefetch queue.
    pub(super) fn clear(&mut self, sub: SubscriptionKey) -> Dropped {
        match self
            .queues
            .get_mut(&sub)
            .map(|prefetch| &mut prefetch.queue)
        {
            None => Dropped::default(),
            Some(Waiting::Batches(queue)) => Dropped::of(queue.take_waiting()),
            Some(Waiting::Entries(queue)) => Dropped {
                entries: queue.take_waiting().iter().map(Item::id).collect(),
                batches: Vec::new(),
            },
        }
    }

    /// The subscriptions that have one.
    pub(super) fn subscriptions(&self) -> Vec<SubscriptionKey> {
        self.queues.keys().copied().collect()
    }

    /// Forgets a prefetch queue.
    pub(super) fn remove(&mut self, sub: SubscriptionKey) {
        self.queues.remove(&sub);
    }

    /// Forgets prefetch queues that hold nothing, once there are twice as many as were left the
    /// last time: those of streams in use stay, those of streams that are no more do not pile up.
    pub(super) fn sweep(&mut self) {
        if self.queues.len() >= self.sweep_at {
            self.queues
                .retain(|_, prefetch| prefetch.in_ready || !prefetch.queue.is_idle());
            self.sweep_at = (2 * self.queues.len()).max(SWEEP_MIN);
        }
    }
}
