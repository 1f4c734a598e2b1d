//! Changes that concern all streams of a consumer, of which there may be a million.
//!
//! New code, another role of the server, a pause, the end of a consumer: what counts at once is
//! done at once, in the consumer and in those of its streams that are *engaged*: of which entries
//! are on their way, or that wait or stopped for a failure. The others rest, and need not know yet.
//! Each is brought up to date before anything is done about it, by its epoch
//! ([`Delivery::refresh`]); and a *sweep* goes through the consumer's streams, a part at a time, so
//! that all of them are in the end. So it shows nowhere how far a sweep is.

use super::super::arrival_order::ArrivalOrder;
use super::super::subscription::Recall;
use super::super::{ConsumerKey, SubscriptionKey};
use super::Delivery;

/// A way through the streams of a consumer.
#[derive(Debug)]
pub(super) struct Sweep {
    consumer: ConsumerKey,
    /// The place in the consumer's list where to go on.
    next: u64,
}

impl Delivery {
    /// Goes on with what changed for many streams: takes so many steps at most. False where
    /// nothing is left to do.
    pub fn sweep(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let Some(Sweep { consumer, next }) = self.sweeps.front_mut() else {
                // A part is much to free, so whoever asks may look at the clock.
                self.discarded.free_part();
                break;
            };
            let key = *consumer;
            let consumer = &self.consumers[key];
            let found = if consumer.leaving {
                consumer.subs.last()
            } else {
                consumer.subs.at_or_behind(*next)
            };
            if let Some((place, sub)) = found {
                *next = place + 1;
                let stream = self.subs.stream_of(self.subs.key_at(sub));
                self.refresh(stream);
                self.note_standings_if_many();
            } else {
                if consumer.leaving {
                    self.consumers.remove(key);
                }
                self.sweeps.pop_front();
            }
        }
        self.is_sweeping()
    }

    /// Whether something changed for many streams, and not all of them know; or what is left of
    /// many is still to be freed.
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        !(self.sweeps.is_empty() && self.discarded.is_empty())
    }

    /// Streams are to be brought up to date. When the epochs are used up, all of them are at once,
    /// and the epochs begin anew.
    pub(super) fn begin_epoch(&mut self) {
        if self.epoch == u32::MAX {
            while self.sweep(usize::MAX) {}
            for consumer in self.consumers.values_mut() {
                consumer.recoded_at = 0;
                consumer.rescanned_at = 0;
                consumer.cleared_at = 0;
            }
            for stream in self.streams.keys().collect::<Vec<_>>() {
                self.streams[stream].matched_at = 1;
            }
            self.epoch = 1;
        }
        self.epoch += 1;
    }

    /// Has all streams of a consumer brought up to date: at once those that are engaged.
    pub(super) fn start_sweep(&mut self, consumer: ConsumerKey) {
        self.sweeps.retain(|sweep| sweep.consumer != consumer);
        self.sweeps.push_back(Sweep { consumer, next: 0 });
        for sub in self.engaged(consumer) {
            self.catch_up(sub);
        }
    }

    /// Nothing is known of what the streams of a consumer hold behind their cursors.
    pub(super) fn rescan_all(&mut self, consumer: ConsumerKey) {
        self.begin_epoch();
        let state = &mut self.consumers[consumer];
        state.rescanned_at = self.epoch;
        state.order = ArrivalOrder::default();
        self.start_sweep(consumer);
    }

    /// Something changed that may let streams of a consumer go on, or keep them from it.
    pub(super) fn schedule_all(&mut self, consumer: ConsumerKey) {
        self.begin_epoch();
        self.start_sweep(consumer);
    }

    /// Nothing of a consumer is to be started any more: what is on its way is recalled. Of its
    /// other streams nothing is runnable, so they need not know.
    pub(super) fn recall_all(&mut self, consumer: ConsumerKey, why: Recall) {
        for sub in self.engaged(consumer) {
            self.recall(sub, why);
            self.schedule(sub);
        }
        self.consumers[consumer].order = ArrivalOrder::default();
        for sub in self.urgent.subs().collect::<Vec<_>>() {
            if self.subs.contains_key(sub) && self.subs.consumer_of(sub) == consumer {
                self.schedule(sub);
            }
        }
    }

    /// The consumers that are there.
    pub(super) fn all_consumers(&self) -> Vec<ConsumerKey> {
        let there = self.consumers.iter().filter(|(_, one)| !one.leaving);
        there.map(|(key, _)| key).collect()
    }

    /// The subscriptions of a consumer of which entries are on their way, or that wait or stopped
    /// for a failure, in the order of their places.
    pub(super) fn engaged(&mut self, consumer: ConsumerKey) -> Vec<SubscriptionKey> {
        self.note_all_standings();
        let Some(consumer) = self.consumers.get(consumer) else {
            return Vec::new();
        };
        let places = consumer.standings.engaged().into_iter();
        places
            .filter_map(|place| consumer.subs.get(place))
            .map(|at| self.subs.key_at(at))
            .collect()
    }

    /// Brings a subscription up to date; whether it is there still.
    pub(super) fn catch_up(&mut self, sub: SubscriptionKey) -> bool {
        if self.is_sweeping() && self.subs.contains_key(sub) {
            self.refresh(self.subs.stream_of(sub));
        }
        self.subs.contains_key(sub)
    }

    /// Does for a subscription what changed since its stream was brought up to date.
    pub(super) fn carry_over(&mut self, sub: SubscriptionKey, seen: u32) {
        let stream = self.subs.stream_of(sub);
        let consumer = &self.consumers[self.subs.consumer_of(sub)];
        let is_rescanned = seen < consumer.rescanned_at;
        let is_cleared = seen < consumer.cleared_at;
        if consumer.leaving {
            self.drop_subscription(sub);
            if !self.streams[stream].subs.is_empty() {
                self.queue_trim(stream);
            }
            return;
        }
        if is_cleared {
            self.subs.at_mut(sub).tally.clear();
        }
        if seen < consumer.recoded_at {
            self.adopt_code(sub);
        }
        if is_rescanned {
            self.rescan(sub);
            if std::mem::take(&mut self.subs.at_mut(sub).missed_commit) {
                self.queue_commit(sub);
            }
        }
    }

    /// Whether the consumer of a subscription was removed.
    pub(super) fn is_leaving(&self, sub: SubscriptionKey) -> bool {
        self.subs.contains_key(sub) && self.consumers[self.subs.consumer_of(sub)].leaving
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::consumer::{ConsumerSpec, Mode};
    use super::super::super::event::{Event, KeyRef};
    use super::*;

    #[test]
    fn a_change_reaches_every_stream_also_where_the_epochs_begin_anew() {
        for before in [0, 1, 2] {
            let mut core = Delivery::new(true);
            core.epoch = u32::MAX - before;
            let consumer = core.add_consumer(ConsumerSpec::new(b"s", 1, false, Mode::Async));
            for name in [b"s1", b"s2"] {
                core.on(Event::Found(KeyRef { db: 0, name }));
            }
            core.change_consumer(consumer, ConsumerSpec::new(b"s", 1, false, Mode::Sync));
            core.sweep(1);
            core.change_consumer(consumer, ConsumerSpec::new(b"s", 2, false, Mode::Async));
            core.sweep(usize::MAX);
            let subs: Vec<_> = core.subs.keys().collect();
            let is_sync = subs.iter().filter(|sub| core.is_sync(**sub)).count();
            assert_eq!(
                (subs.len(), is_sync),
                (2, 0),
                "{before} before the last epoch"
            );
            core.remove_consumer(consumer);
            assert_eq!(core.subs.len(), 2, "they are dropped a part at a time");
            core.sweep(usize::MAX);
            assert_eq!((core.subs.len(), core.streams.keys().count()), (0, 0));
            assert!(!core.is_sweeping());
        }
    }

    /// A core whose one consumer knows so many streams, each with a failure.
    fn failing(mode: Mode, streams: usize) -> (Delivery, ConsumerKey) {
        let mut core = Delivery::new(true);
        let consumer = core.add_consumer(ConsumerSpec::new(b"s", 1, false, mode));
        for number in 0..streams {
            let name = format!("s{number}").into_bytes();
            core.on(Event::Appended(KeyRef { db: 0, name: &name }));
        }
        for sub in core.subs.keys().collect::<Vec<_>>() {
            core.on(Event::Refused {
                sub,
                error: "no".into(),
            });
        }
        (core, consumer)
    }

    #[test]
    fn all_streams_are_forgotten_at_once_and_freed_a_part_at_a_time() {
        const STREAMS: usize = 10_000;
        for db in [None, Some(0)] {
            let (mut core, consumer) = failing(Mode::Async, STREAMS);
            core.pack();
            assert!(core.streams_bytes() > 100 * STREAMS);
            core.on(Event::Flushed(db));
            assert!(core.is_sweeping(), "memory is left");
            assert_eq!((core.stream_count(consumer), core.streams_bytes()), (0, 0));
            assert_eq!((core.tracked().len(), core.next_dispatch(false)), (0, None));
            let overview = core.overview(consumer).expect("it is there");
            assert_eq!((overview.streams, overview.is_failing), (0, false));
            // What comes meanwhile is not what is freed.
            let again = KeyRef { db: 0, name: b"s1" };
            core.on(Event::Appended(again));
            let parts = (0..STREAMS).take_while(|_| core.sweep(64)).count();
            assert!(parts > STREAMS / 4096, "{parts}");
            assert_eq!(core.stream_count(consumer), 1);
            assert!(core.has_dispatches() && core.is_tracked(again));
        }
    }

    #[test]
    fn streams_of_other_databases_stay_when_one_is_flushed_wherever_they_were_put() {
        let (mut core, consumer) = failing(Mode::Async, 3);
        core.on(Event::Appended(KeyRef { db: 1, name: b"s9" }));
        core.on(Event::Swapped(0, 1));
        core.on(Event::Swapped(0, 2));
        core.on(Event::Flushed(Some(1)));
        assert_eq!(core.stream_count(consumer), 1);
        assert!(core.is_tracked(KeyRef { db: 2, name: b"s9" }));
        assert!(!core.is_tracked(KeyRef { db: 0, name: b"s9" }));
        core.on(Event::Flushed(Some(2)));
        assert_eq!(core.stream_count(consumer), 0);
    }

    #[test]
    fn what_was_counted_of_all_streams_is_gone_at_once() {
        let (mut core, consumer) = failing(Mode::Async, 3);
        core.clear_stats(consumer);
        for swept in [false, true] {
            assert_eq!(core.is_sweeping(), !swept);
            assert!(!core.overview(consumer).expect("it is there").is_failing);
            let streams: Vec<_> = core.streams_of(consumer).collect();
            assert_eq!(streams.len(), 3);
            for stream in streams {
                assert_eq!((stream.stats.failing, stream.last_error()), (false, None));
            }
            core.sweep(usize::MAX);
        }
        let first = core.subs.keys().next().expect("it is there");
        core.on(Event::Refused {
            sub: first,
            error: "again".into(),
        });
        assert!(core.overview(consumer).expect("it is there").is_failing);
    }

    #[test]
    fn a_million_streams_that_are_not_ready_any_more_are_passed_by_a_part_at_a_time() {
        const STREAMS: usize = 5000;
        let mut core = Delivery::new(true);
        let consumer = core.add_consumer(ConsumerSpec::new(b"s", 1, false, Mode::Async));
        let goes_on = core.add_consumer(ConsumerSpec::new(b"t", 1, false, Mode::Async));
        for number in 0..STREAMS {
            let name = format!("s{number}").into_bytes();
            core.on(Event::Appended(KeyRef { db: 0, name: &name }));
        }
        core.on(Event::Appended(KeyRef { db: 0, name: b"t" }));
        core.pause(consumer, None);
        let mut answers = 0;
        let next = loop {
            assert!(core.has_dispatches());
            answers += 1;
            if let Some(next) = core.next_dispatch(false) {
                break next;
            }
        };
        assert!(answers > 2, "{answers}");
        assert!(
            matches!(next, super::super::super::Dispatch::Read(one) if one.consumer == goes_on)
        );
    }
}
