//! Consumers with a filter.

use super::super::super::filter::{Condition, Filter};
use super::*;

/// One that is told of entries, reads, and is asked again whether there is something to do.
fn tick(core: &mut Delivery, stream: &[(u64, &str)], limit: usize, only_urgent: bool) -> Vec<u64> {
    let mut delivered = Vec::new();
    while let Some(next) = core.next_dispatch(only_urgent) {
        match next {
            Dispatch::Read(request) => {
                let Reach::Behind(after) = request.reach else {
                    panic!("nothing comes again: {request:?}");
                };
                let behind = stream.iter().filter(|(seq, _)| id(*seq) > after);
                let max = request.max.min(limit);
                let found: Vec<_> = behind.clone().take(max).copied().collect();
                let (sub, end) = (request.sub, behind.count() == found.len());
                let batch = batch(&found);
                core.on(Event::Fetched { sub, batch, end });
            }
            Dispatch::Deliver { sub, batch, .. } => {
                delivered.extend(seqs(&batch));
                end(core, sub, batch.number, End::Done, false);
            }
            Dispatch::Run { .. } => panic!("it has a policy"),
            Dispatch::ReadLetters(_) => panic!("none are redriven"),
        }
    }
    delivered
}

#[test]
fn entries_that_an_earlier_filter_passed_over_do_not_hide_others_from_the_count() {
    let wanted = Condition::Equals(b"1".to_vec());
    let filtering = Policy {
        filter: Some(Filter {
            fields: vec![(b"k".to_vec(), wanted)],
        }),
        ..policy()
    };
    let sync = |policy| ConsumerSpec {
        mode: Mode::Sync,
        ..spec(1, policy)
    };
    let mut core = Delivery::new(true);
    let consumer = core.add_consumer(sync(filtering));
    let mut stream: Vec<(u64, &str)> = Vec::new();
    let mut add = |core: &mut Delivery, count: u64| {
        for _ in 0..count {
            let seq = stream.len() as u64 + 1;
            stream.push((seq, if seq == 1 { "1" } else { "0" }));
            core.on(Event::Appended(KEY));
        }
        stream.clone()
    };
    let now = add(&mut core, 4);
    assert_eq!(tick(&mut core, &now, 4, false), [1]);
    let batches = Policy {
        batch: Some(4),
        ..policy()
    };
    core.change_consumer(consumer, sync(batches));
    let now = add(&mut core, 3);
    assert!(tick(&mut core, &now, 1, true).is_empty());
    let now = add(&mut core, 2);
    let delivered = tick(&mut core, &now, 1, true);
    assert_eq!(delivered, [5, 6, 7, 8], "5 to 9 are there");
}

fn wants(value: &str) -> Policy {
    let wanted = Condition::Equals(value.as_bytes().to_vec());
    Policy {
        batch: Some(4),
        backoff: Backoff::every(60),
        filter: Some(Filter {
            fields: vec![(b"k".to_vec(), wanted)],
        }),
        ..policy()
    }
}

fn filtered(core: &Delivery, consumer: ConsumerKey) -> u64 {
    core.streams_of(consumer)
        .map(|one| one.stats.filtered)
        .sum()
}

#[test]
fn a_new_filter_holds_for_what_waits_for_a_retry_and_the_rest_of_its_batch_comes_without_it() {
    let before = Policy {
        filter: None,
        ..wants("")
    };
    for fails_first in [true, false] {
        let (mut core, consumer) = core(1, before.clone(), 4);
        let sub = fetch(&mut core, &[(1, "a"), (2, "b"), (3, "a"), (4, "b")]);
        assert_eq!(batches(&mut core), [(1, vec![1, 2, 3, 4])]);
        if fails_first {
            fail(&mut core, sub, 1);
        }
        core.change_consumer(consumer, spec(1, wants("b")));
        if !fails_first {
            fail(&mut core, sub, 1);
            core.on(Event::Recalled {
                sub,
                started: EntryId::ZERO,
                back: Vec::new(),
            });
        }
        assert_eq!(filtered(&core, consumer), 2);
        let recorded = checkpoint(&core, consumer);
        assert_eq!(recorded.pending, [id(2), id(4)]);
        assert_eq!(
            recorded.delivery_state.tried,
            [(id(2), ONCE), (id(4), ONCE)]
        );
        assert_eq!(batches(&mut core), [], "its pause is not over");
        core.set_time(1060);
        assert_eq!(batches(&mut core), [(2, vec![2, 4])]);
    }
}

#[test]
fn where_a_new_filter_leaves_nothing_to_try_again_nothing_waits() {
    let before = Policy {
        filter: None,
        batch: None,
        ..wants("")
    };
    for fails_first in [true, false] {
        let (mut core, consumer) = core(1, before.clone(), 2);
        let Some(Dispatch::Read(ReadRequest { sub, .. })) = core.next_dispatch(false) else {
            panic!("a read is due");
        };
        let batch = batch(&[(1, "a")]);
        let end = false;
        core.on(Event::Fetched { sub, batch, end });
        let Some(Dispatch::Deliver { batch, .. }) = core.next_dispatch(false) else {
            panic!("a batch is due");
        };
        assert_eq!((batch.number, seqs(&batch)), (1, vec![1]));
        let after = spec(
            1,
            Policy {
                batch: None,
                ..wants("b")
            },
        );
        if fails_first {
            fail(&mut core, sub, 1);
            core.change_consumer(consumer, after);
        } else {
            core.change_consumer(consumer, after);
            fail(&mut core, sub, 1);
            core.on(Event::Recalled {
                sub,
                started: EntryId::ZERO,
                back: Vec::new(),
            });
        }
        assert_eq!(filtered(&core, consumer), 1);
        fetch(&mut core, &[(2, "b")]);
        assert_eq!(batches(&mut core), [(2, vec![2])]);
        assert!(checkpoint(&core, consumer).delivery_state.tried.is_empty());
    }
}

#[test]
fn what_only_waited_beside_the_callback_does_not_wait_for_what_a_new_filter_does_not_want() {
    let before = Policy {
        filter: None,
        batch: None,
        ..wants("")
    };
    for changes_first in [true, false] {
        let (mut core, consumer) = core(1, before.clone(), 2);
        let sub = fetch(&mut core, &[(1, "a"), (2, "b")]);
        assert_eq!(batches(&mut core), [(1, vec![1]), (2, vec![2])]);
        let after = spec(
            1,
            Policy {
                batch: None,
                ..wants("b")
            },
        );
        let returned = Event::Returned {
            sub,
            batch: 2,
            yields: false,
        };
        if changes_first {
            core.change_consumer(consumer, after);
            fail(&mut core, sub, 1);
            core.on(returned);
            core.on(Event::Recalled {
                sub,
                started: EntryId::ZERO,
                back: Vec::new(),
            });
        } else {
            fail(&mut core, sub, 1);
            core.on(returned);
            assert_eq!(batches(&mut core), [], "it waits for the first");
            core.change_consumer(consumer, after);
        }
        assert_eq!(filtered(&core, consumer), 1);
        assert_eq!(batches(&mut core), [(3, vec![2])]);
    }
}

#[test]
fn what_is_to_be_redelivered_after_a_restart_goes_by_the_filter_too() {
    let (mut core, consumer) = resumed(1, wants("b"));
    core.on(Event::Found(KEY));
    fetch(&mut core, &[(1, "a")]);
    assert_eq!(batches(&mut core), []);
    assert_eq!(filtered(&core, consumer), 1);
    let recorded = checkpoint(&core, consumer);
    assert_eq!((recorded.position, recorded.pending), (id(1), vec![]));
    assert!(recorded.delivery_state.tried.is_empty());
}

#[test]
fn dead_letters_that_are_asked_for_come_whatever_the_filter() {
    let (mut core, consumer) = core(1, wants("b"), 1);
    fetch(&mut core, &[(1, "a")]);
    assert_eq!(batches(&mut core), []);
    let dead_letter = Item::all(batch(&[(1, "a")])).next().expect("one");
    redrive(&mut core, consumer, &[(9, dead_letter)]);
    let delivered = batches(&mut core);
    assert_eq!(delivered, [(1, vec![1])]);
}
