//! Consumers come, change and go; and what is shown of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::ConsumerKey;
use super::super::consumer::{ConsumerSpec, Mode};
use super::super::cursor::Cursor;
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
    /// The last entry handed to the callback; 0-0 where there was none.
    #[must_use]
    pub fn last_started(&self) -> EntryId {
        self.cursor.started()
    }

    /// Entries with the callback now, ascending.
    pub fn in_flight(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.cursor.in_flight()
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
        });
        self.prefixes.insert(&prefix, consumer);
        self.epoch += 1;
        consumer
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
        let subs: Vec<_> = consumer.subs.values().copied().collect();
        for sub in subs {
            self.recall(sub, Recall::Upgrade);
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
