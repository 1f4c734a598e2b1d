//! Several streams of an async consumer, beside a worker that is told of batches and tells of their ends
//! when it comes to that: none is dispatched far ahead of what was added before to others that have room.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::delivery::BatchQueue;
use crate::delivery::batch_queue::Terms;

const STREAMS: usize = 4;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// So many decisions of the core are carried out.
    Dispatch(usize),
    /// The worker calls back so many times.
    Work(usize),
    /// The core hears of what the worker did.
    Report,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_usize..30).prop_map(Step::Dispatch),
        3 => (1_usize..60).prop_map(Step::Work),
        2 => Just(Step::Report),
    ];
    proptest::collection::vec(step, 0..200)
}

/// The core with a worker beside it, and how far both are.
struct Beside {
    core: Delivery,
    subs: Vec<SubscriptionKey>,
    /// Entries of each stream that were read.
    read: Vec<u64>,
    each: u64,
    queues: Vec<Option<BatchQueue<u64>>>,
    /// Whose turn it is, and how much is left of it.
    turns: VecDeque<usize>,
    left: usize,
    ended: Vec<(SubscriptionKey, u64)>,
    started: usize,
    window: usize,
    /// The last entry of each stream that was dispatched, and how many the core does not know to be done.
    dispatched: Vec<(u64, usize)>,
}

impl Beside {
    fn new(window: usize, each: u64) -> Self {
        let mut core = Delivery::new(true);
        core.add_consumer(spec(window, policy()));
        core.set_time(1000);
        let names: Vec<_> = (0..STREAMS).map(|at| format!("s:{at}")).collect();
        for _ in 0..each {
            for name in &names {
                let name = name.as_bytes();
                core.on(Event::Appended(KeyRef { db: 0, name }));
            }
        }
        let mut subs: Vec<_> = core.subs.keys().collect();
        subs.sort_by_key(|sub| core.stream_of(*sub).map(|(_, name)| name));
        Self {
            core,
            subs,
            read: vec![0; STREAMS],
            each,
            queues: (0..STREAMS).map(|_| None).collect(),
            turns: (0..STREAMS).collect(),
            left: SHARE,
            ended: Vec::new(),
            started: 0,
            window,
            dispatched: vec![(0, 0); STREAMS],
        }
    }

    fn at(&self, sub: SubscriptionKey) -> usize {
        self.subs
            .iter()
            .position(|one| *one == sub)
            .expect("one of them")
    }

    /// Carries out one decision of the core, if it has one.
    fn dispatch(&mut self) -> bool {
        match self.core.next_dispatch(false) {
            None => return false,
            Some(Dispatch::Read(request)) => {
                let at = self.at(request.sub);
                let last = self.each.min(self.read[at] + request.max as u64);
                let entries: Vec<_> = (self.read[at] + 1..=last).map(|seq| (seq, "")).collect();
                self.read[at] = last;
                self.core.on(Event::Fetched {
                    sub: request.sub,
                    batch: batch(&entries),
                    end: last == self.each,
                });
            }
            Some(Dispatch::Deliver { sub, batch, .. }) => {
                let mut batches = vec![batch];
                self.core.add_batches(sub, &mut batches);
                let at = self.at(sub);
                for batch in batches {
                    let terms = Terms::from(&batch);
                    let seq = batch.items[0].id().seq;
                    let queue =
                        self.queues[at].get_or_insert_with(|| BatchQueue::new(self.window, &terms));
                    assert!(queue.push(terms, batch.number), "nothing fails");
                    self.note_dispatched(at, seq);
                }
            }
            Some(other) => panic!("{other:?}"),
        }
        true
    }

    /// The worker starts and ends one batch, of the stream whose turn it is.
    fn work(&mut self) -> bool {
        for _ in 0..=STREAMS {
            let at = self.turns[0];
            let next = self.queues[at].as_mut().and_then(BatchQueue::start);
            if let (Some(number), Some(queue)) = (next, &mut self.queues[at]) {
                assert!(queue.finish(number, false, false).is_empty());
                self.started += 1;
                self.ended.push((self.subs[at], number));
                self.left -= 1;
                if self.left == 0 {
                    self.turns.rotate_left(1);
                    self.left = SHARE;
                }
                return true;
            }
            self.turns.rotate_left(1);
            self.left = SHARE;
        }
        false
    }

    fn report(&mut self) {
        for (sub, batch) in std::mem::take(&mut self.ended) {
            let at = self.at(sub);
            self.dispatched[at].1 -= 1;
            end(&mut self.core, sub, batch, End::Done, false);
        }
    }

    /// The streams got their entries in turns.
    fn note_dispatched(&mut self, at: usize, seq: u64) {
        let (last, in_flight) = &mut self.dispatched[at];
        assert_eq!(seq, *last + 1, "in order");
        *last = seq;
        *in_flight += 1;
        for (other, (last, in_flight)) in self.dispatched.iter().enumerate() {
            let ahead = (seq - 1).saturating_sub(*last);
            let is_open = other != at && *in_flight < self.window;
            assert!(
                !is_open || ahead <= SHARE as u64,
                "{ahead} ahead of {other}"
            );
        }
    }
}

proptest! {
    #[test]
    fn none_is_dispatched_far_ahead_of_what_was_added_to_others_that_have_room(steps in steps(), window in 1_usize..4) {
        let mut beside = Beside::new(window, 300);
        for step in steps {
            match step {
                Step::Dispatch(count) => {
                    let _ = (0..count).all(|_| beside.dispatch());
                }
                Step::Work(count) => {
                    let _ = (0..count).all(|_| beside.work());
                }
                Step::Report => beside.report(),
            }
        }
        while beside.started < 300 * STREAMS {
            beside.report();
            while beside.dispatch() {}
            prop_assert!(beside.work(), "it stands still after {:?}", beside.read);
            while beside.work() {}
        }
    }
}
