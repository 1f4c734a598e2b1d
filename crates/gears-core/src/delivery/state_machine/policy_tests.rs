//! What the model test of consumers with a policy found, each in its shortest form.

mod arrivals;
mod durations;
mod filters;
mod letters;
mod redrives;
mod together;

use super::super::Reach;
use super::super::batcher::{Batch, Tried};
use super::super::checkpoint::Checkpoint;
use super::super::event::{Dispatch, End, Failure, ReadRequest};
use super::super::id::EntryId;
use super::super::policy::{Backoff, OnFailure, Policy, Scope, Start};
use super::super::record::{Item, RecordBatch};
use super::super::redrives::FoundLetter;
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

/// Has these dead letters redriven, and read.
fn redrive(core: &mut Delivery, consumer: ConsumerKey, letters: &[(u64, Item)]) {
    let ids: Vec<_> = letters.iter().map(|(letter, _)| id(*letter)).collect();
    assert_eq!(core.redrive(consumer, KEY, &ids), letters.len());
    assert_eq!(core.redrive(consumer, KEY, &ids), 0);
    let sub = core.find(consumer, KEY).expect("it knows the stream");
    core.letters_read(sub, ids.len(), found(letters));
}

fn found(letters: &[(u64, Item)]) -> Vec<FoundLetter> {
    let letters = letters.iter().map(|(letter, item)| FoundLetter {
        letter: id(*letter),
        item: item.clone(),
        attempts: 3,
        first_ms: 500,
        redrives: 1,
    });
    letters.collect()
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
            Dispatch::ReadLetters(_) => panic!("none are redriven"),
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
        took: Duration::ZERO,
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
    core.resume(consumer, None);
    fetch(&mut core, &[(1, "a")]);
    assert_eq!(
        checkpoint(&core, consumer).delivery_state.tried,
        [(id(1), ONCE)]
    );
}

#[test]
fn what_was_tried_is_committed_until_the_dead_letter_is_written() {
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
fn halves_with_an_equal_value_of_the_field_that_orders_are_delivered_one_after_the_other() {
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
fn a_dead_letter_is_not_redelivered_beside_an_entry_with_an_equal_value() {
    let policy = Policy {
        order_by: Some(b"k"[..].into()),
        ..policy()
    };
    let (mut core, consumer) = core(2, policy, 1);
    let sub = fetch(&mut core, &[(2, "a")]);
    assert_eq!(batches(&mut core), [(1, vec![2])]);
    let item = Item::all(batch(&[(1, "a")])).next().expect("one entry");
    redrive(&mut core, consumer, &[(9, item)]);
    assert_eq!(batches(&mut core), []);
    end(&mut core, sub, 1, End::Done, false);
    assert_eq!(batches(&mut core), [(2, vec![1])]);
}

#[test]
fn a_dead_letter_is_deleted_where_it_came_from_whatever_the_policy_says_by_then() {
    let (mut core, consumer) = core(1, policy(), 1);
    let sub = fetch(&mut core, &[]);
    let item = Item::all(batch(&[(1, "a")])).next().expect("one entry");
    redrive(&mut core, consumer, &[(9, item)]);
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
    core.resume(consumer, None);
    fetch(&mut core, &[(1, "a"), (2, "a")]);
    assert_eq!(batches(&mut core), [(1, vec![1, 2])]);
}

#[test]
fn where_a_paused_consumer_begins_with_a_new_stream_is_found_and_only_then_committed() {
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
fn a_consumer_that_lost_its_policy_gets_no_prefetch_queue_before_the_places_of_its_batches_are_free()
 {
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
fn a_written_dead_letter_lets_a_consumer_resume_that_lost_its_policy() {
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

#[test]
fn where_a_consumer_begins_is_asked_at_once_whoever_gets_nothing_and_is_committed_then() {
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
