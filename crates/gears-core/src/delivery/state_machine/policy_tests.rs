//! What the model test of consumers with a policy found, each in its shortest form.

use super::super::Reach;
use super::super::batcher::{Batch, Tried};
use super::super::event::{Dispatch, End, Failure};
use super::super::policy::{Backoff, OnFailure, Policy, Start};
use super::super::record::{Item, RecordBatch};
use super::*;

const KEY: KeyRef<'static> = KeyRef {
    db: 0,
    name: b"s:1",
};

fn id(seq: u64) -> EntryId {
    EntryId::new(1, seq)
}

/// Retries at once; what is given up goes to a stream of dead letters.
fn policy() -> Policy {
    Policy {
        on_failure: OnFailure::Retry,
        backoff: Backoff::every(0),
        dead_letter: Some(b"dead"[..].into()),
        ..Policy::default()
    }
}

fn spec(window: usize, policy: Policy) -> ConsumerSpec {
    ConsumerSpec {
        policy: Some(Arc::new(policy)),
        ..ConsumerSpec::new(b"s:", window, false, Mode::Async)
    }
}

/// A primary with one consumer and one stream to which so many entries were added.
fn core(window: usize, policy: Policy, count: u64) -> (Delivery, ConsumerKey) {
    let mut core = Delivery::new(true);
    let consumer = core.add_consumer(spec(window, policy));
    core.set_time(1000);
    (0..count).for_each(|_| core.on(Event::Appended(KEY)));
    (core, consumer)
}

/// Entries with their value of the field `k`.
fn batch(entries: &[(u64, &str)]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    for (seq, value) in entries {
        batch.begin(id(*seq));
        batch.push(b"k");
        batch.push(value.as_bytes());
    }
    batch
}

/// Carries out the read that is due, with these entries and none behind them.
fn fetch(core: &mut Delivery, entries: &[(u64, &str)]) -> SubscriptionKey {
    let Some(Dispatch::Read(request)) = core.next_dispatch(false) else {
        panic!("a read is due");
    };
    let sub = request.sub;
    let (batch, end) = (batch(entries), !matches!(request.reach, Reach::Only(_)));
    core.on(Event::Fetched { sub, batch, end });
    sub
}

/// The batches that are dispatched, each with its IDs.
fn batches(core: &mut Delivery) -> Vec<(u64, Vec<u64>)> {
    let mut batches = Vec::new();
    while let Some(dispatch) = core.next_dispatch(false) {
        match dispatch {
            Dispatch::Deliver { batch, .. } => batches.push((batch.number, seqs(&batch))),
            Dispatch::Read(request) => {
                let (sub, batch, end) = (request.sub, RecordBatch::default(), true);
                core.on(Event::Fetched { sub, batch, end });
            }
            Dispatch::Run { .. } => panic!("it has a policy"),
        }
    }
    batches
}

fn seqs(batch: &Batch) -> Vec<u64> {
    batch.items.iter().map(|item| item.id().seq).collect()
}

fn end(core: &mut Delivery, sub: SubscriptionKey, batch: u64, end: End, uncommitted: bool) {
    core.on(Event::Ended {
        sub,
        batch,
        end,
        took: std::time::Duration::ZERO,
        now_ms: core.now_ms,
        uncommitted,
    });
}

fn fail(core: &mut Delivery, sub: SubscriptionKey, batch: u64) {
    let failure = Failure::new("boom".into());
    end(core, sub, batch, End::Failed(failure), false);
}

fn checkpoint(core: &Delivery, consumer: ConsumerKey) -> Checkpoint {
    let mut views = core.streams_of(consumer);
    views
        .next()
        .map(|view| view.checkpoint())
        .unwrap_or_default()
}

const ONCE: Tried = Tried {
    attempts: 1,
    first_ms: 1000,
};

/// One that goes on with entry 1, which was tried once.
fn resumed(window: usize, policy: Policy) -> (Delivery, ConsumerKey) {
    let (mut core, consumer) = core(window, policy, 0);
    let mut checkpoint = Checkpoint {
        position: id(1),
        pending: vec![id(1)],
        ..Checkpoint::default()
    };
    checkpoint.delivery_state.tried.push((id(1), ONCE));
    core.on(Event::Resumed {
        consumer,
        key: KEY,
        checkpoint: &checkpoint,
    });
    (core, consumer)
}

#[test]
fn what_was_tried_is_still_known_of_entries_that_are_put_back() {
    let (mut core, consumer) = resumed(1, policy());
    fetch(&mut core, &[(1, "a")]);
    core.pause(consumer, None);
    assert_eq!(
        checkpoint(&core, consumer).delivery_state.tried,
        [(id(1), ONCE)]
    );
    core.go_on(consumer, None);
    fetch(&mut core, &[(1, "a")]);
    assert_eq!(
        checkpoint(&core, consumer).delivery_state.tried,
        [(id(1), ONCE)]
    );
}

#[test]
fn what_was_tried_is_on_record_until_the_letter_is_written() {
    let policy = Policy {
        max_attempts: Some(1),
        ..policy()
    };
    let (mut core, consumer) = core(1, policy, 1);
    let sub = fetch(&mut core, &[(1, "a")]);
    let batches = batches(&mut core);
    fail(&mut core, sub, batches[0].0);
    let dead_letter = core.next_dead_letter().expect("it is given up");
    assert_eq!(
        checkpoint(&core, consumer).delivery_state.tried,
        [(id(1), ONCE)]
    );
    core.on(Event::DeadLetterWritten(dead_letter));
    assert_eq!(checkpoint(&core, consumer).delivery_state.tried, []);
}

#[test]
fn halves_with_an_equal_value_of_the_field_that_orders_are_handed_over_one_after_the_other() {
    let policy = Policy {
        batch: Some(2),
        bisect: true,
        order_by: Some(b"k"[..].into()),
        ..policy()
    };
    let (mut core, _) = core(3, policy, 4);
    let sub = fetch(&mut core, &[(1, "a"), (2, "a"), (3, "b"), (4, "a")]);
    let first = batches(&mut core);
    assert_eq!(first, [(1, vec![1, 2])]);
    fail(&mut core, sub, 1);
    assert_eq!(batches(&mut core), [(2, vec![1])]);
    end(&mut core, sub, 2, End::Done, false);
    assert_eq!(batches(&mut core), [(3, vec![2])]);
}

#[test]
fn a_dead_letter_is_not_handed_over_beside_an_entry_with_an_equal_value() {
    let policy = Policy {
        order_by: Some(b"k"[..].into()),
        ..policy()
    };
    let (mut core, consumer) = core(2, policy, 1);
    let sub = fetch(&mut core, &[(2, "a")]);
    assert_eq!(batches(&mut core), [(1, vec![2])]);
    let item = Item::all(batch(&[(1, "a")])).next().expect("one entry");
    core.redrive(consumer, KEY, vec![(id(9), item)]);
    assert_eq!(batches(&mut core), []);
    end(&mut core, sub, 1, End::Done, false);
    assert_eq!(batches(&mut core), [(2, vec![1])]);
}

#[test]
fn a_letter_is_deleted_where_it_came_from_whatever_the_policy_says_by_then() {
    let (mut core, consumer) = core(1, policy(), 1);
    let sub = fetch(&mut core, &[]);
    let item = Item::all(batch(&[(1, "a")])).next().expect("one entry");
    core.redrive(consumer, KEY, vec![(id(9), item)]);
    assert_eq!(batches(&mut core), [(1, vec![1])]);
    core.change_consumer(consumer, spec(1, Policy::default()));
    end(&mut core, sub, 1, End::Done, false);
    let deletions = core
        .next_dead_letter_deletion()
        .map(|one| (one.from, one.dead_letters));
    assert_eq!(deletions, Some((b"dead"[..].into(), vec![id(9)])));
}

#[test]
fn what_was_put_back_for_a_retry_is_no_backlog_when_it_is_read_again() {
    let policy = Policy {
        batch: Some(2),
        filter: Some(super::super::Filter {
            fields: vec![(
                b"k".to_vec(),
                super::super::Condition::Equals(b"a".to_vec()),
            )],
        }),
        ..policy()
    };
    let (mut core, _) = core(2, policy, 4);
    let entries = [(1, "a"), (2, "a"), (3, "a"), (4, "b")];
    let sub = fetch(&mut core, &entries);
    assert_eq!(batches(&mut core), [(1, vec![1, 2])]);
    fail(&mut core, sub, 1);
    let retry = core.next_dispatch(false);
    assert!(matches!(retry, Some(Dispatch::Deliver { .. })), "{retry:?}");
    fetch(&mut core, &entries[2..]);
    assert_eq!(batches(&mut core), []);
}

#[test]
fn what_was_added_during_a_pause_is_drained_after_it() {
    let policy = Policy {
        batch: Some(3),
        ..policy()
    };
    let (mut core, consumer) = core(1, policy, 1);
    core.pause(consumer, None);
    core.on(Event::Appended(KEY));
    core.go_on(consumer, None);
    fetch(&mut core, &[(1, "a"), (2, "a")]);
    assert_eq!(batches(&mut core), [(1, vec![1, 2])]);
}

#[test]
fn a_batch_is_due_in_time_though_an_earlier_entry_waits_for_its_group() {
    let policy = Policy {
        batch: Some(2),
        duration_ms: 100,
        order_by: Some(b"k"[..].into()),
        ..policy()
    };
    let (mut core, _) = core(2, policy, 2);
    fetch(&mut core, &[(1, "a"), (2, "a")]);
    assert_eq!(batches(&mut core), [(1, vec![1, 2])]);
    core.on(Event::Appended(KEY));
    fetch(&mut core, &[(3, "a")]);
    core.set_time(1050);
    core.on(Event::Appended(KEY));
    fetch(&mut core, &[(4, "b")]);
    assert_eq!(batches(&mut core), []);
    core.set_time(1100);
    assert_eq!(batches(&mut core), []);
    assert_eq!(core.next_time(), Some(1150));
    core.set_time(1150);
    assert_eq!(batches(&mut core), [(2, vec![4])]);
}

#[test]
fn entries_that_are_read_and_wait_count_when_it_is_noted_where_a_batch_begins() {
    let policy = Policy {
        batch: Some(3),
        duration_ms: 10,
        ..Policy::default()
    };
    let mut core = Delivery::new(true);
    core.add_consumer(ConsumerSpec {
        mode: Mode::Sync,
        ..spec(1, policy)
    });
    core.set_time(1000);
    core.on(Event::Appended(KEY));
    let sub = fetch(&mut core, &[(1, "")]);
    core.set_time(1010);
    fetch(&mut core, &[(1, "")]);
    assert_eq!(batches(&mut core), [(1, vec![1])]);
    let add = |core: &mut Delivery, count| (0..count).for_each(|_| core.on(Event::Appended(KEY)));
    let read = |core: &mut Delivery, entries: &[(u64, &str)]| {
        let next = core.next_dispatch(false);
        assert!(matches!(next, Some(Dispatch::Read(_))), "{next:?}");
        let (batch, end) = (batch(entries), false);
        core.on(Event::Fetched { sub, batch, end });
    };
    let deliver = |core: &mut Delivery, expected: [u64; 3]| {
        let next = core.next_dispatch(false);
        let Some(Dispatch::Deliver { batch, .. }) = next else {
            panic!("a batch is full: {next:?}");
        };
        assert_eq!(seqs(&batch), expected);
        end(core, sub, batch.number, End::Done, false);
    };
    // Two of them are read, two are left in the stream; batches will begin with 2, 5 and 8.
    add(&mut core, 4);
    read(&mut core, &[(2, ""), (3, "")]);
    add(&mut core, 2);
    end(&mut core, sub, 1, End::Done, false);
    read(&mut core, &[(4, ""), (5, "")]);
    deliver(&mut core, [2, 3, 4]);
    core.set_time(1015);
    add(&mut core, 2);
    read(&mut core, &[(6, ""), (7, ""), (8, ""), (9, "")]);
    deliver(&mut core, [5, 6, 7]);
    core.set_time(1020);
    assert_eq!(batches(&mut core), [], "8 and 9 were added 5 ms ago");
    core.set_time(1025);
    let due: Vec<_> = batches(&mut core).into_iter().map(|(_, ids)| ids).collect();
    assert_eq!(due, [[8, 9]]);
}

#[test]
fn where_a_paused_consumer_begins_with_a_new_stream_is_found_and_only_then_put_on_record() {
    let mut core = Delivery::new(true);
    let consumer = core.add_consumer(ConsumerSpec {
        start: Start::Latest,
        ..spec(1, policy())
    });
    core.on(Event::Found(KEY));
    core.pause(consumer, Some(KEY));
    assert_eq!(core.next_progress(), None);
    let Some(Dispatch::Read(request)) = core.next_dispatch(false) else {
        panic!("it does not know where to begin");
    };
    assert_eq!(request.reach, Reach::Last(0));
    core.on(Event::StartResolved {
        sub: request.sub,
        position: id(7),
    });
    let position = core.next_progress().map(|one| one.checkpoint.position);
    assert_eq!(position, Some(id(7)));
    assert_eq!(core.next_dispatch(false), None);
}

#[test]
fn a_consumer_that_lost_its_policy_gets_no_lane_before_the_places_of_its_units_are_free() {
    let (mut core, consumer) = core(1, policy(), 1);
    let sub = fetch(&mut core, &[(1, "a")]);
    assert_eq!(batches(&mut core), [(1, vec![1])]);
    core.change_consumer(consumer, ConsumerSpec::new(b"s:", 1, false, Mode::Async));
    let started = EntryId::ZERO;
    core.on(Event::Recalled {
        sub,
        started,
        back: Vec::new(),
    });
    end(&mut core, sub, 1, End::Done, true);
    assert!(core.next_progress().is_some());
    let control_messages: Vec<_> = std::iter::from_fn(|| core.next_control_message()).collect();
    assert_eq!(control_messages, [ControlMessage::Recall { consumer, sub }]);
    core.on(Event::Appended(KEY));
    let read = core.next_dispatch(false);
    assert!(
        matches!(&read, Some(Dispatch::Read(request)) if !request.batched),
        "{read:?}"
    );
}

#[test]
fn a_written_letter_lets_a_consumer_go_on_that_lost_its_policy() {
    let (mut core, consumer) = core(1, policy(), 1);
    let sub = fetch(&mut core, &[(1, "a")]);
    assert_eq!(batches(&mut core), [(1, vec![1])]);
    let failure = Failure {
        fatal: true,
        ..Failure::new("boom".into())
    };
    end(&mut core, sub, 1, End::Failed(failure), false);
    core.change_consumer(consumer, ConsumerSpec::new(b"s:", 1, false, Mode::Sync));
    core.on(Event::Appended(KEY));
    while core.next_dispatch(false).is_some() {}
    let dead_letter = core.next_dead_letter().expect("it is given up");
    core.on(Event::DeadLetterWritten(dead_letter));
    assert!(core.has_dispatches());
}

#[test]
fn an_id_that_comes_again_has_no_attempts_of_the_entry_before() {
    let (mut core, consumer) = resumed(1, policy());
    let last = EntryId::ZERO;
    core.on(Event::Rewound { key: KEY, last });
    assert_eq!(checkpoint(&core, consumer).delivery_state.tried, []);
}

/// One that is told of entries, reads, and is asked again whether there is something to do.
fn turn(core: &mut Delivery, stream: &[(u64, &str)], limit: usize, only_urgent: bool) -> Vec<u64> {
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
        }
    }
    delivered
}

#[test]
fn entries_that_an_earlier_filter_passed_over_do_not_hide_others_from_the_count() {
    let wanted = super::super::Condition::Equals(b"1".to_vec());
    let filtering = Policy {
        filter: Some(super::super::Filter {
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
    assert_eq!(turn(&mut core, &now, 4, false), [1]);
    let batches = Policy {
        batch: Some(4),
        ..policy()
    };
    core.change_consumer(consumer, sync(batches));
    let now = add(&mut core, 3);
    assert!(turn(&mut core, &now, 1, true).is_empty());
    let now = add(&mut core, 2);
    let handed_over = turn(&mut core, &now, 1, true);
    assert_eq!(handed_over, [5, 6, 7, 8], "5 to 9 are there");
}

/// What a consumer of batches is given, call by call with the time, of so many entries of that size
/// that come at 1000, when time goes on as the core asks for it.
fn batches_in_time(policy: Policy, count: u64, bytes: usize) -> Vec<(u64, usize)> {
    let (mut core, _) = core(1, policy, 1);
    let value = "x".repeat(bytes);
    let entries: Vec<_> = (1..=count).map(|seq| (seq, value.as_str())).collect();
    let mut calls = Vec::new();
    fetch(&mut core, &entries[..1]);
    (1..count).for_each(|_| core.on(Event::Appended(KEY)));
    loop {
        while let Some(next) = core.next_dispatch(false) {
            match next {
                Dispatch::Read(request) => {
                    let Reach::Behind(after) = request.reach else {
                        panic!("nothing comes again: {request:?}");
                    };
                    let from = usize::try_from(after.seq).expect("few entries");
                    // As the reader does it: no more than so many bytes at once.
                    let most = request.max.min(super::super::READ_BYTES / bytes + 1);
                    let found = &entries[from..entries.len().min(from + most)];
                    let (sub, end) = (request.sub, from + found.len() == entries.len());
                    let batch = batch(found);
                    core.on(Event::Fetched { sub, batch, end });
                }
                Dispatch::Deliver { sub, batch, .. } => {
                    calls.push((core.now_ms, batch.items.len()));
                    end(&mut core, sub, batch.number, End::Done, false);
                }
                Dispatch::Run { .. } => panic!("it has a policy"),
            }
        }
        match core.next_time() {
            Some(at) => core.set_time(at),
            None => return calls,
        }
    }
}

#[test]
fn when_its_duration_ends_a_batch_is_handed_over_with_all_that_is_there() {
    let policy = |batch, duration_ms| Policy {
        batch: Some(batch),
        duration_ms,
        ..policy()
    };
    assert_eq!(batches_in_time(policy(100, 500), 90, 5_000), [(1500, 90)]);
    let in_two = batches_in_time(policy(1000, 2000), 600, 2_000);
    assert!(in_two.iter().all(|(at, _)| *at == 3000), "{in_two:?}");
    let counts: Vec<_> = in_two.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [522, 78]);
}

#[test]
fn a_full_batch_is_handed_over_to_its_end_in_as_many_calls_as_its_size_needs() {
    let policy = || Policy {
        batch: Some(100),
        ..policy()
    };
    let calls = batches_in_time(policy(), 100, 50_000);
    let counts: Vec<_> = calls.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [21, 21, 21, 21, 16]);
    assert_eq!(batches_in_time(policy(), 99, 50_000), []);
}

#[test]
fn what_a_batch_has_room_for_in_bytes_only_later_waits_for_no_more_than_the_rest_of_it() {
    let filtering = Policy {
        batch: Some(30),
        filter: Some(super::super::Filter::default()),
        ..policy()
    };
    let counts = |count| -> Vec<_> {
        let calls = batches_in_time(filtering.clone(), count, 50_000);
        calls.into_iter().map(|(_, count)| count).collect()
    };
    assert_eq!(counts(29), [21]);
    assert_eq!(counts(30), [21, 9]);
}

#[test]
fn what_is_put_back_for_a_retry_waits_no_longer_than_its_duration() {
    let policy = Policy {
        batch: Some(2),
        duration_ms: 100,
        backoff: Backoff::every(60),
        filter: Some(super::super::Filter::default()),
        ..policy()
    };
    let (mut core, _) = core(2, policy, 3);
    let sub = fetch(&mut core, &[(1, ""), (2, ""), (3, "")]);
    assert_eq!(batches(&mut core), [(1, vec![1, 2])]);
    fail(&mut core, sub, 1);
    core.set_time(1060);
    let Some(Dispatch::Deliver { batch, .. }) = core.next_dispatch(false) else {
        panic!("its pause is over");
    };
    end(&mut core, sub, batch.number, End::Done, false);
    fetch(&mut core, &[(3, "")]);
    assert_eq!(batches(&mut core), []);
    core.set_time(1100);
    assert_eq!(batches(&mut core), [(3, vec![3])]);
}

#[test]
fn where_a_consumer_begins_is_asked_at_once_whoever_may_be_given_nothing_and_is_on_record_then() {
    for policy in [None, Some(Arc::new(policy()))] {
        for mode in [Mode::Sync, Mode::Async] {
            let mut core = Delivery::new(true);
            let consumer = core.add_consumer(ConsumerSpec {
                mode,
                start: Start::Latest,
                policy: policy.clone(),
                ..ConsumerSpec::new(b"s:", 1, true, Mode::Async)
            });
            core.suspend_consumer(consumer);
            core.pause(consumer, None);
            core.on(Event::Loading(true));
            core.on(Event::Appended(KEY));
            let asked = core.next_start_request(KEY).expect("it does not know");
            assert_eq!(asked.reach, Reach::Last(1));
            core.on(Event::StartResolved {
                sub: asked.sub,
                position: EntryId::ZERO,
            });
            assert_eq!(core.next_start_request(KEY), None);
            core.on(Event::Loading(false));
            assert_eq!(core.next_dispatch(false), None, "it is paused");
            let recorded = core.next_progress().map(|one| one.checkpoint.position);
            assert_eq!(recorded, Some(EntryId::ZERO));
            assert_eq!(core.next_trim(), None);
        }
    }
}

fn wants(value: &str) -> Policy {
    let wanted = super::super::Condition::Equals(value.as_bytes().to_vec());
    Policy {
        batch: Some(4),
        backoff: Backoff::every(60),
        filter: Some(super::super::Filter {
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
        let sub = fetch(&mut core, &[(1, "a"), (2, "b")]);
        assert_eq!(batches(&mut core), [(1, vec![1])]);
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
fn what_is_to_be_redone_after_a_restart_goes_by_the_filter_too() {
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
fn letters_that_are_asked_for_come_whatever_the_filter() {
    let (mut core, consumer) = core(1, wants("b"), 1);
    fetch(&mut core, &[(1, "a")]);
    assert_eq!(batches(&mut core), []);
    let dead_letter = Item::all(batch(&[(1, "a")])).next().expect("one");
    assert_eq!(core.redrive(consumer, KEY, vec![(id(9), dead_letter)]), 1);
    let handed_over = batches(&mut core);
    assert_eq!(handed_over, [(1, vec![1])]);
}
