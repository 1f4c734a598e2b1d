//! How much memory streams at rest take, counted by the allocator.

use std::alloc::System;
use std::time::Duration;

use gears_core::delivery::{
    ConsumerSpec, ControlMessage, Delivery, Dispatch, EntryId, Event, KeyRef, Mode,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const STREAMS: usize = 10_000;

/// Everything that was dispatched is done at once.
fn come_to_rest(core: &mut Delivery) {
    while core.has_work() {
        while let Some(dispatch) = core.next_dispatch(false) {
            let Dispatch::Read(request) = dispatch else {
                panic!("it is async: {dispatch:?}");
            };
            let (sub, id) = (request.sub, EntryId::new(1000, 1));
            let entries = [(id, 10)];
            let end = true;
            let entries = if request.reach == gears_core::delivery::Reach::Behind(EntryId::ZERO) {
                &entries[..]
            } else {
                &[]
            };
            core.on(Event::Read { sub, entries, end });
            if entries.is_empty() {
                continue;
            }
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
        while core.next_durable().is_some() {}
        while core.next_trim().is_some() {}
        while let Some(message) = core.next_control_message() {
            assert!(matches!(message, ControlMessage::SlotsReleased { .. }));
        }
    }
}

/// Bytes for each stream, as the allocator and as the core count them.
fn bytes_per_stream(consumers: usize) -> (usize, usize) {
    let region = Region::new(ALLOCATOR);
    let mut core = Delivery::new(true);
    for _ in 0..consumers {
        core.add_consumer(ConsumerSpec::new(b"s:", 1, false, Mode::Async));
    }
    for number in 0..STREAMS {
        let name = format!("s:{number:07}");
        let name = name.as_bytes();
        core.on(Event::Appended(KeyRef { db: 0, name }));
        come_to_rest(&mut core);
    }
    let change = region.change();
    let counted = change.bytes_allocated - change.bytes_deallocated;
    let accounted = core.streams_bytes();
    core.on(Event::Flushed(None));
    assert_eq!(core.streams_bytes(), 0);
    (counted / STREAMS, accounted / STREAMS)
}

/// What the vectors that grow by doubling have to spare is in it: two thirds of what is used.
#[test]
fn a_stream_at_rest_takes_little_memory_and_another_consumer_of_it_less() {
    let (one, accounted_one) = bytes_per_stream(1);
    let (two, accounted_two) = bytes_per_stream(2);
    println!("one: {one} {accounted_one}, two: {two} {accounted_two}");
    assert!(one <= 520, "{one}");
    assert!(two - one <= 330, "{one}, {two}");
    assert!(
        accounted_one * 2 > one && accounted_one < one,
        "{accounted_one} of {one}"
    );
    assert!(
        accounted_two * 2 > two && accounted_two < two,
        "{accounted_two} of {two}"
    );
}
