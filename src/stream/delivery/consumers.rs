//! Consumers come, change and go; and what is shown of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::ConsumerKey;
use super::super::consumer::{ConsumerSpec, Mode};
use super::super::cursor::{Checkpoint, Cursor};
use super::super::id::EntryId;
use super::super::stats::Stats;
use super::super::subscription::Recall;
use super::{Consumer, Delivery};

/// One stream of a consumer, for people to look at.
#[derive(Debug)]
pub struct StreamView<'a> {
    /// Database of the stream.
    pub db: i32,
    /// Name of the stream.
    pub name: &'a [u8],
    /// Counters.
    pub stats: &'a Stats,
    cursor: &'a Cursor,
}

impl StreamView<'_> {
    /// The last entry handed to the callback, before a restart if not since then; 0-0 where there
    /// was none.
    #[must_use]
    pub fn position(&self) -> EntryId {
        self.cursor.position()
    }

    /// Entries with the callback now, ascending.
    pub fn in_flight(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.cursor.in_flight()
    }

    /// Entries that were with a callback when the server ended, or another was promoted, and are
    /// handed over again, ascending.
    pub fn redo(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.cursor.redo()
    }

    /// What is to be put on record of it.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.cursor.checkpoint()
    }
}

impl Delivery {
    /// Adds a consumer. It starts at the beginning of each stream that it matches; the owner
    /// tells of those that are there by [`Event::Found`].
    pub fn add_consumer(&mut self, spec: ConsumerSpec) -> ConsumerKey {
        let prefix = Arc::clone(&spec.prefix);
        let consumer = self.consumers.insert(Consumer {
            spec,
            subs: BTreeMap::new(),
            suspended: false,
        });
        self.prefixes.insert(&prefix, consumer);
        self.epoch += 1;
        consumer
    }

    /// Lets a consumer wait for new code: nothing is handed over until then, and nothing is
    /// trimmed that it has not seen.
    pub fn suspend_consumer(&mut self, key: ConsumerKey) {
        if let Some(consumer) = self.consumers.get_mut(key) {
            consumer.suspended = true;
            for sub in consumer.subs.values().copied().collect::<Vec<_>>() {
                self.recall(sub, Recall::Upgrade);
                self.schedule(sub);
            }
        }
    }

    /// Gives a consumer new code. Cursors and counters stay; what waits beside the old code is
    /// recalled, what is with it ends there and counts against the window meanwhile.
    pub fn change_consumer(&mut self, key: ConsumerKey, window: usize, trim: bool, mode: Mode) {
        let Some(consumer) = self.consumers.get_mut(key) else {
            return;
        };
        consumer.spec.window = window;
        consumer.spec.trim = trim;
        consumer.spec.mode = mode;
        consumer.suspended = false;
        let subs: Vec<_> = consumer.subs.values().copied().collect();
        for sub in subs {
            self.recall(sub, Recall::Upgrade);
            self.subs[sub].held = 0;
            self.queue_trim(self.subs[sub].stream);
            self.schedule(sub);
        }
    }

    /// Removes a consumer with all it knows. Its callbacks that are running end unheard.
    pub fn remove_consumer(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.remove(key) else {
            return;
        };
        self.prefixes.remove(&consumer.spec.prefix, key);
        self.epoch += 1;
        for sub in consumer.subs.into_values() {
            let Some(sub_state) = self.subs.remove(sub) else {
                continue;
            };
            let stream = &mut self.streams[sub_state.stream];
            stream.subs.retain(|one| *one != sub);
            if stream.subs.is_empty() {
                self.untrack(sub_state.stream);
            } else {
                self.queue_trim(sub_state.stream);
            }
        }
    }

    /// What a consumer asked for.
    #[must_use]
    pub fn spec(&self, key: ConsumerKey) -> Option<&ConsumerSpec> {
        self.consumers.get(key).map(|consumer| &consumer.spec)
    }

    /// The streams a consumer knows, the latest discovered first.
    pub fn streams_of(&self, key: ConsumerKey) -> impl Iterator<Item = StreamView<'_>> {
        self.consumers
            .get(key)
            .into_iter()
            .flat_map(|consumer| consumer.subs.values().rev())
            .map(|sub| {
                let sub = &self.subs[*sub];
                let stream = &self.streams[sub.stream];
                StreamView {
                    db: stream.db,
                    name: &stream.name,
                    stats: &sub.stats,
                    cursor: &sub.cursor,
                }
            })
    }

    /// How many streams a consumer knows.
    #[must_use]
    pub fn stream_count(&self, key: ConsumerKey) -> usize {
        self.consumers.get(key).map_or(0, |one| one.subs.len())
    }
}
