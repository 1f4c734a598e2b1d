//! How much memory streams at rest take, counted by the allocator.

use std::alloc::System;
use std::time::Duration;

use gears_core::delivery::{
    ConsumerSpec, ControlMessage, Delivery, Dispatch, EntryId, Event, KeyRef, Mode, Reach,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const STREAMS: usize = 50_000;

/// Everything that was dispatched is done at once.
fn come_to_rest(core: &mut Delivery, last: u64) {
    while core.has_work() {
        while let Some(dispatch) = core.next_dispatch(false) {
            let Dispatch::Read(request) = dispatch else {
                panic!("it is async: {dispatch:?}");
            };
            let sub = request.sub;
            let Reach::Behind(behind) = request.reach else {
                panic!("nothing is redelivered: {request:?}");
            };
            let ids = (1..=last).map(|seq| EntryId::new(1000, seq));
            let ids = ids.filter(|id| *id > behind).take(request.max);
            let entries: Vec<_> = ids.map(|id| (id, 10)).collect();
            let end = entries.last().is_none_or(|(id, _)| id.seq == last);
            core.on(Event::Read {
                sub,
                entries: &entries,
                end,
            });
            for (id, _) in entries {
                core.on(Event::Started { sub, id });
                core.on(Event::Finished {
                    sub,
                    id,
                    took: Duration::from_millis(1),
                    now_ms: 1003,
                    error: None,
                    uncommitted: true,
                });
            }
        }
        while core.next_durable().is_some() {}
        while core.next_trim().is_some() {}
        while let Some(message) = core.next_control_message() {
            assert!(matches!(message, ControlMessage::SlotsReleased { .. }));
        }
    }
}

/// Bytes for each stream, as the allocator and as the core count them.
struct Bytes {
    counted: usize,
    accounted: usize,
}

/// Each stream gets so many entries, one stream after the other or all before any is read.
fn bytes_per_stream(consumers: usize, entries: u64, is_backlog: bool) -> Bytes {
    let region = Region::new(ALLOCATOR);
    let mut core = Delivery::new(true);
    for _ in 0..consumers {
        core.add_consumer(ConsumerSpec::new(b"s:", 1, false, Mode::Async));
    }
    for number in 0..STREAMS {
        let name = format!("s:{number:07}");
        let name = name.as_bytes();
        for seq in 1..=entries {
            core.on(Event::Appended(KeyRef { db: 0, name }));
            if !is_backlog {
                come_to_rest(&mut core, seq);
            }
        }
    }
    come_to_rest(&mut core, entries);
    for ms in 1..1000 {
        core.set_time(ms);
    }
    let change = region.change();
    let counted = change.bytes_allocated - change.bytes_deallocated;
    let accounted = core.streams_bytes();
    core.on(Event::Flushed(None));
    assert_eq!(core.streams_bytes(), 0);
    Bytes {
        counted: counted / STREAMS,
        accounted: accounted / STREAMS,
    }
}

/// The few that were in use last are in it, and the spread of the consumer's times.
#[test]
fn a_stream_at_rest_takes_little_memory_and_another_consumer_of_it_less() {
    for (entries, is_backlog) in [(1, false), (1, true), (10, false), (10, true)] {
        let of = |consumers| bytes_per_stream(consumers, entries, is_backlog);
        let [one, two, three] = [1, 2, 3].map(of);
        let case = format!("{entries} entries each, is_backlog: {is_backlog}");
        println!(
            "{case}: {} {} {}, accounted {} {} {}",
            one.counted, two.counted, three.counted, one.accounted, two.accounted, three.accounted
        );
        assert!(one.counted <= 200, "{case}: {}", one.counted);
        for (fewer, more) in [(&one, &two), (&two, &three)] {
            let another = more.counted - fewer.counted;
            assert!(another <= 80, "{case}: {another}");
        }
        for Bytes { counted, accounted } in [one, two, three] {
            assert!(
                accounted * 3 > counted * 2 && accounted <= counted,
                "{case}: {accounted} of {counted}"
            );
        }
    }
}
