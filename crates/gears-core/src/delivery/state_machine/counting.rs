//! How many entries lie behind a cursor that nobody counted.
//!
//! Who adds an entry is heard of, so what was counted once stays so. But of what was there before (at a
//! start, or an upgrade), and of what a client deletes, nobody hears. Where it is read anyway, that
//! counts it; where nothing is read, since the consumer stands still, it is counted when somebody
//! looks: a few streams at a time, those that are furthest behind first.

use std::sync::Arc;

use super::super::id::EntryId;
use super::super::{ConsumerKey, SubscriptionKey};
use super::Delivery;

/// A stream whose unread entries are to be counted: answered with [`Delivery::counted`].
#[derive(Clone, Debug)]
pub struct CountRequest {
    /// For whom.
    pub sub: SubscriptionKey,
    /// Database of the stream.
    pub db: i32,
    /// Name of the stream.
    pub name: Arc<[u8]>,
    /// Those behind this entry.
    pub after: EntryId,
}

/// What was found behind an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many entries.
    pub count: u64,
    /// Whether that is all, and not an estimate.
    pub is_exact: bool,
    /// The first of them.
    pub first: Option<EntryId>,
}

impl Delivery {
    /// At most so many streams of a consumer of which nobody counted what is not read.
    pub fn uncounted(&mut self, consumer: ConsumerKey, most: usize) -> Vec<CountRequest> {
        self.note_standings();
        let Some(one) = self.there(consumer) else {
            return Vec::new();
        };
        let subs = one.standings.uncounted().take(most);
        let requests = subs.filter_map(|key| {
            let sub = self.subs.get(key)?;
            let stream = &self.streams[sub.stream];
            Some(CountRequest {
                sub: key,
                db: self.names.db(stream.home),
                name: Arc::clone(&stream.name),
                after: sub.cursor.read(),
            })
        });
        requests.collect()
    }

    /// What a stream was found to hold, where it still is as it was when that was asked.
    pub fn counted(&mut self, request: &CountRequest, found: Counted) {
        let Some(sub) = self.subs.get_mut(request.sub) else {
            return;
        };
        if sub.cursor.read() != request.after || !sub.is_uncounted() {
            return;
        }
        sub.expect_unread(found.count);
        sub.tail.is_counted = found.is_exact;
        let (consumer, place, now_ms) = (sub.consumer, sub.discovered, self.now_ms);
        let standings = &mut self.consumers[consumer].standings;
        let mut before = standings.get(request.sub);
        before.behind_since_ms = found.first.map(|first| first.ms);
        standings.set(request.sub, place, sub.standing(before, now_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Backlog, ConsumerSpec, Event, KeyRef, Mode};

    fn backlog(core: &mut Delivery, consumer: ConsumerKey) -> (u64, bool, Option<u64>) {
        let Backlog {
            entries,
            is_exact,
            oldest_ms,
        } = core.overview(consumer).expect("it is there").backlog;
        (entries, is_exact, oldest_ms)
    }

    fn key(name: &[u8]) -> KeyRef<'_> {
        KeyRef { db: 0, name }
    }

    /// A consumer that is paused, with streams that were there before.
    fn paused(names: &[&[u8]]) -> (Delivery, ConsumerKey) {
        let mut core = Delivery::new(true);
        core.set_time(9000);
        let consumer = core.add_consumer(ConsumerSpec::new(b"s", 1, false, Mode::Async));
        core.pause(consumer, None);
        for name in names {
            core.on(Event::Found(key(name)));
        }
        (core, consumer)
    }

    #[test]
    fn what_was_there_before_is_counted_by_who_looks_and_stays_counted() {
        let (mut core, consumer) = paused(&[b"s1", b"s2"]);
        assert_eq!(backlog(&mut core, consumer), (0, false, None));
        let requests = core.uncounted(consumer, 9);
        assert_eq!(requests.len(), 2);
        let found = |count, ms| Counted {
            count,
            is_exact: true,
            first: Some(EntryId::new(ms, 0)),
        };
        core.counted(&requests[0], found(70, 7000));
        assert_eq!(backlog(&mut core, consumer), (70, false, Some(7000)));
        core.on(Event::Appended(key(b"s2")));
        core.counted(&requests[1], found(5, 8000));
        assert_eq!(backlog(&mut core, consumer), (75, true, Some(7000)));
        assert_eq!(core.uncounted(consumer, 9).len(), 0);
        core.on(Event::Appended(key(b"s1")));
        core.on(Event::Appended(key(b"s2")));
        core.pack();
        assert_eq!(backlog(&mut core, consumer), (77, true, Some(7000)));
        // A client trims it.
        core.on(Event::Found(key(b"s1")));
        assert_eq!(backlog(&mut core, consumer), (77, false, Some(7000)));
        let requests = core.uncounted(consumer, 9);
        core.counted(&requests[0], found(1, 8500));
        assert_eq!(backlog(&mut core, consumer), (7, true, Some(8000)));
        core.on(Event::Removed(key(b"s2")));
        assert_eq!(backlog(&mut core, consumer), (1, true, Some(8500)));
        core.on(Event::Found(key(b"s1")));
        let requests = core.uncounted(consumer, 9);
        core.counted(
            &requests[0],
            Counted {
                first: None,
                ..found(0, 0)
            },
        );
        assert_eq!(backlog(&mut core, consumer), (0, true, None));
    }

    #[test]
    fn an_entry_of_the_first_millisecond_has_its_age() {
        let (mut core, consumer) = paused(&[b"s1"]);
        let request = core.uncounted(consumer, 9).remove(0);
        let found = Counted {
            count: 1,
            is_exact: true,
            first: Some(EntryId::new(1, 0)),
        };
        core.counted(&request, found);
        assert_eq!(backlog(&mut core, consumer), (1, true, Some(1)));
    }

    #[test]
    fn an_estimate_stays_one_until_all_was_read() {
        let (mut core, consumer) = paused(&[b"s1"]);
        let request = core.uncounted(consumer, 9).remove(0);
        let found = Counted {
            count: 1000,
            is_exact: false,
            first: Some(EntryId::new(5, 0)),
        };
        core.counted(&request, found);
        assert_eq!(backlog(&mut core, consumer), (1000, false, Some(5)));
        core.resume(consumer, None);
        let mut read = |entries: &[(EntryId, usize)], end| {
            let sub = request.sub;
            core.on(Event::Read { sub, entries, end });
            backlog(&mut core, consumer)
        };
        let entries: Vec<_> = (1..=4).map(|seq| (EntryId::new(5, seq), 1)).collect();
        assert_eq!(read(&entries[..3], false), (1000, false, Some(5)));
        assert_eq!(read(&entries[3..], true), (4, true, Some(5)));
        // What was asked before says nothing now.
        core.counted(&request, found);
        assert_eq!(backlog(&mut core, consumer), (4, true, Some(5)));
    }

    #[test]
    fn what_waited_and_is_put_back_is_counted_still() {
        let mut core = Delivery::new(true);
        let consumer = core.add_consumer(ConsumerSpec::new(b"s", 2, false, Mode::Async));
        core.on(Event::Found(key(b"s1")));
        let sub = core.subs.keys().next().expect("it is there");
        let entries: Vec<_> = (1..=5).map(|seq| (EntryId::new(7, seq), 1)).collect();
        for _ in 0..9 {
            core.on(Event::Appended(key(b"s1")));
        }
        core.on(Event::Read {
            sub,
            entries: &entries,
            end: true,
        });
        for _ in 0..4 {
            core.on(Event::Appended(key(b"s1")));
        }
        assert_eq!(backlog(&mut core, consumer), (9, true, Some(7)));
        core.on(Event::Started {
            sub,
            id: EntryId::new(7, 1),
        });
        core.pause(consumer, None);
        core.on(Event::Recalled {
            sub,
            started: EntryId::new(7, 2),
            back: Vec::new(),
        });
        // It may be deleted by now.
        assert_eq!(backlog(&mut core, consumer), (9, false, Some(7)));
        assert_eq!(core.uncounted(consumer, 9)[0].after, EntryId::new(7, 2));
    }
}
