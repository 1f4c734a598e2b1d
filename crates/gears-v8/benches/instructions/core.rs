//! What the delivery core does for entries, driven as the dispatcher drives it.

use std::sync::Arc;
use std::time::Duration;

use gears_core::delivery::{
    ConsumerSpec, Delivery, Dispatch, End, EntryId, Event, KeyRef, Mode, Policy, RecordBatch,
    SubscriptionKey,
};

use super::Step;

/// The stream.
pub(super) const KEY: KeyRef<'_> = KeyRef {
    db: 0,
    name: b"stream:bench",
};
/// Bytes of an entry.
const SIZE: usize = 18;
const TOOK: Duration = Duration::from_micros(10);

/// A core, and the stream it looks after.
pub(super) struct Core {
    pub(super) delivery: Delivery,
    now_ms: u64,
    last: u64,
}

impl Core {
    /// One with so many consumers of that kind.
    pub(super) fn new(consumers: usize, spec: &ConsumerSpec) -> Self {
        let mut delivery = Delivery::new(true);
        for _ in 0..consumers {
            delivery.add_consumer(spec.clone());
        }
        Self {
            delivery,
            now_ms: 1,
            last: 0,
        }
    }

    /// Clients add so many entries; then comes a tick. Gives the last one's ID from before.
    pub(super) fn add(&mut self, entries: u64) -> u64 {
        for _ in 0..entries {
            self.delivery.on(Event::Appended(KEY));
        }
        self.now_ms += 1;
        self.delivery.set_time(self.now_ms);
        let before = self.last;
        self.last += entries;
        before
    }

    /// The reader found the entries behind `before`.
    pub(super) fn read(&mut self, sub: SubscriptionKey, before: u64) -> Vec<(EntryId, usize)> {
        let entries: Vec<_> = (before + 1..=self.last)
            .map(|seq| (EntryId::new(1, seq), SIZE))
            .collect();
        self.delivery.on(Event::Read {
            sub,
            entries: &entries,
            end: true,
        });
        entries
    }

    /// The callback was given an entry.
    pub(super) fn started(&mut self, sub: SubscriptionKey, id: EntryId) {
        assert!(self.delivery.may_start(sub), "nobody stops it");
        self.delivery.on(Event::Started { sub, id });
    }

    /// The callback is done with an entry.
    pub(super) fn finished(&mut self, sub: SubscriptionKey, id: EntryId) {
        self.delivery.on(Event::Finished {
            sub,
            id,
            took: TOOK,
            now_ms: self.now_ms,
            error: None,
            uncommitted: false,
        });
    }

    /// The end of the tick: commits and trims. Gives how many of each.
    pub(super) fn end_tick(&mut self) -> (usize, usize) {
        let mut commits = 0;
        while self.delivery.next_durable().is_some() {
            commits += 1;
        }
        while self.delivery.next_control_message().is_some() {}
        let mut trims = 0;
        while self.delivery.next_trim().is_some() {
            trims += 1;
        }
        assert!(!self.delivery.has_work(), "everything is done");
        (commits, trims)
    }
}

/// An entry of each tick, for so many sync consumers; the stream is trimmed.
pub(super) fn sync(consumers: usize) -> Step {
    let spec = ConsumerSpec::new(b"stream:", 1, true, Mode::Sync);
    let mut core = Core::new(consumers, &spec);
    Box::new(move || {
        let before = core.add(1);
        let mut runs = 0;
        while let Some(dispatch) = core.delivery.next_dispatch(false) {
            let Dispatch::Run { sub, .. } = dispatch else {
                panic!("{dispatch:?}");
            };
            runs += 1;
            assert!(core.delivery.read_request(sub).is_some(), "room for one");
            for (id, _) in core.read(sub, before) {
                core.started(sub, id);
                core.finished(sub, id);
            }
            core.delivery.on(Event::Yielded(sub));
        }
        assert_eq!((runs, core.end_tick()), (consumers, (consumers, 1)));
    })
}

/// So many entries of each tick, for an async consumer without options.
pub(super) fn asynchronous(entries: u64) -> Step {
    let spec = ConsumerSpec::new(b"stream:", 50, true, Mode::Async);
    let mut core = Core::new(1, &spec);
    Box::new(move || {
        let before = core.add(entries);
        let mut done = 0;
        while let Some(dispatch) = core.delivery.next_dispatch(false) {
            let Dispatch::Read(request) = dispatch else {
                panic!("{dispatch:?}");
            };
            for (id, _) in core.read(request.sub, before) {
                core.started(request.sub, id);
                core.finished(request.sub, id);
                done += 1;
            }
        }
        assert_eq!((done, core.end_tick()), (entries, (1, 1)));
    })
}

/// So many entries of each tick, as one batch of a consumer with options.
pub(super) fn batches(entries: usize) -> Step {
    let spec = ConsumerSpec {
        policy: Some(Arc::new(Policy {
            batch: Some(entries),
            ..Policy::default()
        })),
        ..ConsumerSpec::new(b"stream:", 4, true, Mode::Async)
    };
    let mut core = Core::new(1, &spec);
    Box::new(move || {
        let before = core.add(entries as u64);
        let mut done = 0;
        while let Some(dispatch) = core.delivery.next_dispatch(false) {
            match dispatch {
                Dispatch::Read(request) => {
                    let mut batch = RecordBatch::default();
                    for seq in before + 1..=core.last {
                        batch.begin(EntryId::new(1, seq));
                        batch.push(b"field");
                        batch.push(b"value");
                    }
                    let sub = request.sub;
                    core.delivery.on(Event::Fetched {
                        sub,
                        batch,
                        end: true,
                    });
                }
                Dispatch::Deliver { sub, batch, .. } => {
                    done += batch.items.len();
                    core.delivery.on(Event::Ended {
                        sub,
                        batch: batch.number,
                        end: End::Done,
                        took: TOOK,
                        now_ms: core.now_ms,
                        uncommitted: false,
                    });
                }
                Dispatch::Run { .. } | Dispatch::ReadLetters(_) => panic!("{dispatch:?}"),
            }
        }
        assert_eq!((done, core.end_tick()), (entries, (1, 1)));
    })
}
