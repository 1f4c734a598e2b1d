//! A consumer's code as the delivery core's surroundings see it: prefetch queues, a callback that
//! starts and ends entries when it likes, dead letters in and reports out.

use std::collections::{BTreeMap, VecDeque};

use gears_core::delivery::{ConsumerKey, EntryId, Mode, PrefetchQueue, SubscriptionKey};

/// How an entry ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) failed: bool,
    /// Whether it ended within the call, so that its start was not worth a report.
    pub(crate) at_once: bool,
    /// Whether the callback may have written: async ones keep their place in the window then.
    pub(crate) wrote: bool,
    pub(crate) took_ms: u64,
    pub(crate) now_ms: u64,
}

/// From the main thread to a worker, in order. The prefetch queues of sync callbacks get theirs
/// this way too, but for entries.
#[derive(Debug)]
pub(crate) enum Message {
    Push(SubscriptionKey, Vec<EntryId>, usize),
    Window(SubscriptionKey, usize),
    SlotsReleased(SubscriptionKey, usize),
    Recall(SubscriptionKey),
    Drop(SubscriptionKey),
}

/// From a callback to the main thread, in any order.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    Started(SubscriptionKey, EntryId),
    /// With whether its place in the window is uncommitted.
    Finished(SubscriptionKey, EntryId, Outcome, bool),
    /// With the last entry started, and those that were dropped.
    Recalled(SubscriptionKey, EntryId, Vec<EntryId>),
}

/// The prefetch queue of one subscription and the last entry started from it.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) prefetch: PrefetchQueue<EntryId>,
    pub(crate) started: EntryId,
}

/// One version of a consumer's code, with what waits beside it and what runs in it.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) number: u64,
    pub(crate) consumer: ConsumerKey,
    pub(crate) mode: Mode,
    pub(crate) window: usize,
    /// Whether it is the consumer's present code.
    pub(crate) current: bool,
    pub(crate) prefetches: BTreeMap<SubscriptionKey, Beside>,
    pub(crate) inbox: VecDeque<Message>,
    pub(crate) running: Vec<(SubscriptionKey, EntryId)>,
    pub(crate) outbox: Vec<Report>,
}

impl Code {
    pub(crate) fn new(number: u64, consumer: ConsumerKey, mode: Mode, window: usize) -> Self {
        Self {
            number,
            consumer,
            mode,
            window,
            current: true,
            prefetches: BTreeMap::new(),
            inbox: VecDeque::new(),
            running: Vec::new(),
            outbox: Vec::new(),
        }
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        self.inbox.is_empty()
            && self.running.is_empty()
            && self.outbox.is_empty()
            && self
                .prefetches
                .values()
                .all(|beside| beside.prefetch.waiting() == 0)
    }

    /// Takes the next message.
    pub(crate) fn receive(&mut self) -> bool {
        match self.inbox.pop_front() {
            Some(Message::Push(sub, entries, window)) => self.push(sub, entries, window),
            Some(Message::Window(sub, window)) => {
                if let Some(beside) = self.prefetches.get_mut(&sub) {
                    beside.prefetch.set_window(window);
                }
            }
            Some(Message::SlotsReleased(sub, places)) => {
                if let Some(beside) = self.prefetches.get_mut(&sub) {
                    (0..places).for_each(|_| beside.prefetch.finish());
                }
            }
            Some(Message::Recall(sub)) => {
                // Prefetch queues that idle may be forgotten: the core knows what was started from
                // them.
                let mut started = EntryId::ZERO;
                let mut back = Vec::new();
                if let Some(beside) = self.prefetches.get_mut(&sub) {
                    started = beside.started;
                    back = beside.prefetch.take_waiting().into();
                }
                self.outbox.push(Report::Recalled(sub, started, back));
            }
            Some(Message::Drop(sub)) => {
                self.prefetches.remove(&sub);
            }
            None => return false,
        }
        true
    }

    pub(crate) fn push(&mut self, sub: SubscriptionKey, entries: Vec<EntryId>, window: usize) {
        let beside = self.prefetches.entry(sub).or_insert_with(|| Beside {
            prefetch: PrefetchQueue::new(window),
            started: EntryId::ZERO,
        });
        beside.prefetch.set_window(window);
        for id in entries {
            beside.prefetch.push(id);
        }
    }

    /// Takes the next entry of a prefetch queue for the callback.
    pub(crate) fn start(&mut self, sub: SubscriptionKey) -> Option<EntryId> {
        let beside = self.prefetches.get_mut(&sub)?;
        let id = beside.prefetch.start()?;
        beside.started = beside.started.max(id);
        self.running.push((sub, id));
        Some(id)
    }

    /// Notes one of the running entries as done; whether it holds its place.
    pub(crate) fn finish(&mut self, at: usize, wrote: bool) -> (SubscriptionKey, EntryId, bool) {
        let (sub, id) = self.running.swap_remove(at);
        let uncommitted = wrote && self.mode == Mode::Async;
        if !uncommitted && let Some(beside) = self.prefetches.get_mut(&sub) {
            beside.prefetch.finish();
        }
        (sub, id, uncommitted)
    }
}
