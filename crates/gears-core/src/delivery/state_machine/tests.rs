//! What the model test found, each in its shortest form.

use super::super::checkpoint::Checkpoint;
use super::super::event::{Dispatch, Progress};
use super::super::id::EntryId;
use super::*;
use crate::delivery::{Reach, RecordBatch};

const KEY: KeyRef<'static> = KeyRef {
    db: 0,
    name: b"s:1",
};

fn id(seq: u64) -> EntryId {
    EntryId::new(1, seq)
}

fn spec(mode: Mode, window: usize) -> ConsumerSpec {
    ConsumerSpec::new(b"s:", window, false, mode)
}

/// A primary with one consumer and one stream with an entry nobody read.
fn core(mode: Mode, window: usize) -> (Delivery, ConsumerKey) {
    let mut core = Delivery::new(true);
    let consumer = core.add_consumer(spec(mode, window));
    core.on(Event::Appended(KEY));
    (core, consumer)
}

/// Carries out the read that is due, with these entries.
fn read(core: &mut Delivery, entries: std::ops::RangeInclusive<u64>) -> SubscriptionKey {
    let Some(Dispatch::Read(request)) = core.next_dispatch(false) else {
        panic!("a read is due");
    };
    let entries: Vec<_> = entries.map(|seq| (id(seq), 10)).collect();
    core.on(Event::Read {
        sub: request.sub,
        entries: &entries,
        end: true,
    });
    request.sub
}

fn finish(core: &mut Delivery, sub: SubscriptionKey, seq: u64) {
    end(core, sub, seq, None);
}

fn fail(core: &mut Delivery, sub: SubscriptionKey, seq: u64) {
    end(core, sub, seq, Some("refused"));
}

fn end(core: &mut Delivery, sub: SubscriptionKey, seq: u64, error: Option<&str>) {
    core.on(Event::Finished {
        sub,
        id: id(seq),
        took: Duration::ZERO,
        now_ms: 0,
        error: error.map(Into::into),
        uncommitted: false,
    });
}

/// Nothing waits beside the callback, which was given the entries up to one.
fn recalled(core: &mut Delivery, sub: SubscriptionKey, started: u64) {
    core.on(Event::Recalled {
        sub,
        started: id(started),
        back: Vec::new(),
    });
}

fn control_messages(core: &mut Delivery) -> Vec<ControlMessage> {
    std::iter::from_fn(|| core.next_control_message()).collect()
}

/// There is something to run, and no writer waits for it.
fn assert_backlog(core: &mut Delivery) {
    assert!(!core.has_urgent());
    let run = core.next_dispatch(false);
    assert!(
        matches!(run, Some(Dispatch::Run { must: 0, .. })),
        "{run:?}"
    );
}

#[test]
fn what_was_added_while_a_replica_is_backlog_and_not_work_of_the_turn_that_promotes_it() {
    let mut core = Delivery::new(false);
    core.add_consumer(spec(Mode::Sync, 1));
    core.on(Event::Appended(KEY));
    core.on(Event::RoleChanged { primary: true });
    core.sweep(usize::MAX);
    assert_backlog(&mut core);
}

#[test]
fn what_was_added_while_a_consumer_could_not_run_is_backlog_when_it_can() {
    let (mut core, consumer) = core(Mode::Async, 1);
    core.on(Event::Appended(KEY));
    core.change_consumer(consumer, spec(Mode::Sync, 1));
    core.sweep(usize::MAX);
    assert_backlog(&mut core);
}

#[test]
fn what_a_run_that_was_not_carried_out_owed_is_backlog_afterwards() {
    let (mut core, _) = core(Mode::Sync, 1);
    let run = core.next_dispatch(true);
    let Some(Dispatch::Run { sub, must: 1, .. }) = run else {
        panic!("{run:?}");
    };
    core.on(Event::Yielded(sub));
    assert_backlog(&mut core);
}

#[test]
fn a_read_for_an_async_consumer_says_how_many_entries_were_added() {
    let (mut core, _) = core(Mode::Async, 1);
    let read = core.next_dispatch(false);
    assert!(
        matches!(&read, Some(Dispatch::Read(request)) if request.unread_new == 1),
        "{read:?}"
    );
}

#[test]
fn a_consumer_that_became_async_is_read_for_and_not_run() {
    let (mut core, consumer) = core(Mode::Sync, 1);
    assert!(core.has_urgent());
    core.change_consumer(consumer, spec(Mode::Async, 1));
    assert_eq!(core.next_dispatch(true), None);
    read(&mut core, 1..=1);
}

#[test]
fn a_demotion_in_an_upgrade_leaves_what_is_with_the_old_code_in_the_window() {
    let (mut core, consumer) = core(Mode::Async, 2);
    let sub = read(&mut core, 1..=3);
    core.change_consumer(consumer, spec(Mode::Async, 2));
    core.on(Event::RoleChanged { primary: false });
    // One question, so that one answer is enough.
    assert_eq!(
        control_messages(&mut core),
        [ControlMessage::Recall { consumer, sub }]
    );
    recalled(&mut core, sub, 2);
    core.on(Event::RoleChanged { primary: true });
    assert_eq!(core.prefetch_window(sub), 0);
    finish(&mut core, sub, 1);
    assert_eq!(core.prefetch_window(sub), 1);
}

#[test]
fn an_upgrade_in_a_demotion_leaves_what_is_with_the_old_code_in_the_window() {
    let (mut core, consumer) = core(Mode::Async, 2);
    let sub = read(&mut core, 1..=3);
    core.on(Event::RoleChanged { primary: false });
    core.change_consumer(consumer, spec(Mode::Async, 2));
    assert_eq!(
        control_messages(&mut core),
        [ControlMessage::Recall { consumer, sub }]
    );
    recalled(&mut core, sub, 2);
    assert_eq!(core.prefetch_window(sub), 0);
}

/// Two entries are with their callbacks; the server becomes a replica and a primary again, and the first one fails.
fn fail_after_a_demotion(core: &mut Delivery) -> SubscriptionKey {
    let sub = read(core, 1..=2);
    core.on(Event::Started { sub, id: id(2) });
    core.on(Event::RoleChanged { primary: false });
    recalled(core, sub, 2);
    core.on(Event::RoleChanged { primary: true });
    fail(core, sub, 1);
    finish(core, sub, 2);
    // What waits may not go before it.
    recalled(core, sub, 2);
    core.sweep(usize::MAX);
    sub
}

#[test]
fn an_entry_whose_callback_fails_after_a_demotion_is_read_again_and_did_not_fail() {
    let (mut core, consumer) = core(Mode::Async, 2);
    let sub = fail_after_a_demotion(&mut core);
    assert_eq!(core.failures(consumer), Some(0));
    let Some(Dispatch::Read(request)) = core.next_dispatch(false) else {
        panic!("a read is due");
    };
    assert_eq!(request.reach, Reach::Only(id(1)));
    core.on(Event::Read {
        sub,
        entries: &[(id(1), 10)],
        end: false,
    });
    core.on(Event::Started { sub, id: id(1) });
    // Now it is the entry's own failure.
    fail(&mut core, sub, 1);
    assert_eq!(core.failures(consumer), Some(1));
}

#[test]
fn an_entry_that_comes_again_and_is_with_the_callback_at_an_upgrade_is_with_the_old_code() {
    let (mut core, consumer) = core(Mode::Async, 3);
    let sub = fail_after_a_demotion(&mut core);
    read(&mut core, 1..=1);
    core.change_consumer(consumer, spec(Mode::Async, 3));
    // Of those that were started the highest is told.
    recalled(&mut core, sub, 2);
    assert_eq!(core.prefetch_window(sub), 2);
}

#[test]
fn a_stream_whose_window_has_room_beside_old_code_is_read_once_another_is_through() {
    let (mut core, consumer) = core(Mode::Async, 2);
    let sub = read(&mut core, 1..=1);
    core.on(Event::Started { sub, id: id(1) });
    core.change_consumer(consumer, spec(Mode::Async, 2));
    let other = KeyRef {
        db: 0,
        name: b"s:2",
    };
    core.on(Event::Appended(other));
    core.sweep(usize::MAX);
    core.on(Event::Appended(KEY));
    recalled(&mut core, sub, 1);
    while let Some(dispatch) = core.next_dispatch(false) {
        let Dispatch::Read(request) = dispatch else {
            panic!("{dispatch:?}");
        };
        core.on(Event::Read {
            sub: request.sub,
            entries: &[(id(9), 10)],
            end: true,
        });
        if request.sub == sub {
            return;
        }
    }
    panic!("it is not read");
}

fn checkpoint(position: u64, pending: &[u64]) -> Checkpoint {
    Checkpoint {
        position: id(position),
        pending: pending.iter().map(|seq| id(*seq)).collect(),
        ..Checkpoint::default()
    }
}

fn resume(core: &mut Delivery, consumer: ConsumerKey, checkpoint: &Checkpoint) {
    core.on(Event::Resumed {
        consumer,
        key: KEY,
        checkpoint,
    });
}

#[test]
fn what_is_read_again_after_a_checkpoint_of_the_primary_is_not_with_earlier_code() {
    let (mut core, consumer) = core(Mode::Async, 1);
    let sub = read(&mut core, 1..=2);
    core.on(Event::Started { sub, id: id(1) });
    core.change_consumer(consumer, spec(Mode::Async, 1));
    recalled(&mut core, sub, 1);
    finish(&mut core, sub, 1);
    core.on(Event::RoleChanged { primary: false });
    resume(&mut core, consumer, &checkpoint(0, &[]));
    core.on(Event::RoleChanged { primary: true });
    let again = read(&mut core, 1..=1);
    assert_eq!(core.prefetch_window(again), 1);
}

#[test]
fn callbacks_of_the_time_before_a_checkpoint_of_the_primary_end_unheard() {
    let (mut core, consumer) = core(Mode::Async, 2);
    let sub = read(&mut core, 1..=2);
    core.on(Event::Started { sub, id: id(2) });
    core.on(Event::RoleChanged { primary: false });
    resume(&mut core, consumer, &checkpoint(1, &[1]));
    finish(&mut core, sub, 1);
    finish(&mut core, sub, 2);
    let views: Vec<_> = core.streams_of(consumer).collect();
    assert_eq!(views[0].checkpoint(), checkpoint(1, &[1]));
    assert_eq!(views[0].stats.finished, 0);
}

#[test]
fn a_place_that_is_held_is_free_when_the_finish_is_on_record_or_nobody_keeps_records() {
    for primary in [true, false] {
        let (mut core, consumer) = core(Mode::Async, 1);
        let sub = read(&mut core, 1..=1);
        core.on(Event::Finished {
            sub,
            id: id(1),
            took: Duration::ZERO,
            now_ms: 0,
            error: None,
            uncommitted: true,
        });
        assert_eq!(control_messages(&mut core), []);
        core.on(Event::RoleChanged { primary });
        let progress = core.next_progress().map(|progress| progress.checkpoint);
        assert_eq!(progress, primary.then(|| checkpoint(1, &[])));
        let freed = ControlMessage::SlotsReleased {
            consumer,
            sub,
            places: 1,
        };
        assert_eq!(control_messages(&mut core), [freed]);
    }
}

#[test]
fn a_consumer_without_code_is_given_nothing_and_holds_back_trims() {
    let (mut core, consumer) = core(Mode::Sync, 1);
    core.add_consumer(ConsumerSpec {
        trim: true,
        ..spec(Mode::Async, 1)
    });
    core.suspend_consumer(consumer);
    core.on(Event::Found(KEY));
    let sub = read(&mut core, 1..=1);
    finish(&mut core, sub, 1);
    assert_eq!(core.next_dispatch(false), None);
    assert_eq!(core.next_trim(), None);
    core.change_consumer(consumer, spec(Mode::Sync, 1));
    core.sweep(usize::MAX);
    assert_backlog(&mut core);
}

#[test]
fn while_a_log_of_commands_is_replayed_progress_follows_its_stream_and_nothing_is_dispatched() {
    let mut core = Delivery::new(true);
    let consumer = core.add_consumer(spec(Mode::Async, 1));
    core.on(Event::Loading(true));
    resume(&mut core, consumer, &checkpoint(5, &[]));
    let other = KeyRef {
        db: 0,
        name: b"s:2",
    };
    core.on(Event::Moved {
        from: KEY,
        to: other,
    });
    core.on(Event::Appended(KEY));
    assert!(!core.has_work());
    core.on(Event::Loading(false));
    let positions: Vec<_> = core
        .streams_of(consumer)
        .map(|view| (view.name, view.position()))
        .collect();
    assert_eq!(positions, [(&b"s:1"[..], EntryId::ZERO), (b"s:2", id(5))]);
    assert!(core.has_work());
}

/// A primary that goes on from a checkpoint with this one entry pending, which is deleted by now.
fn after_a_deletion(spec: ConsumerSpec) -> (Delivery, SubscriptionKey) {
    let mut core = Delivery::new(true);
    let consumer = core.add_consumer(spec);
    let checkpoint = Checkpoint {
        position: id(2),
        pending: vec![id(1)],
        ..Checkpoint::default()
    };
    core.on(Event::Resumed {
        consumer,
        key: KEY,
        checkpoint: &checkpoint,
    });
    core.on(Event::Found(KEY));
    let Some(Dispatch::Read(request)) = core.next_dispatch(false) else {
        panic!("a read is due");
    };
    (core, request.sub)
}

fn pending_of(progress: Option<Progress>) -> Option<Vec<EntryId>> {
    progress.map(|progress| progress.checkpoint.pending)
}

#[test]
fn that_a_pending_entry_was_deleted_is_committed() {
    let (mut core, sub) = after_a_deletion(spec(Mode::Async, 1));
    core.on(Event::Read {
        sub,
        entries: &[],
        end: true,
    });
    assert_eq!(pending_of(core.next_progress()), Some(Vec::new()));
}

#[test]
fn that_a_pending_entry_was_deleted_is_committed_for_a_consumer_with_options() {
    let mut spec = spec(Mode::Async, 1);
    spec.policy = Some(Arc::default());
    let (mut core, sub) = after_a_deletion(spec);
    core.on(Event::Fetched {
        sub,
        batch: RecordBatch::default(),
        end: true,
    });
    assert_eq!(pending_of(core.next_progress()), Some(Vec::new()));
}

#[test]
fn what_was_not_committed_on_a_replica_is_committed_when_it_is_promoted() {
    let (mut core, _) = core(Mode::Async, 1);
    let sub = read(&mut core, 1..=1);
    core.on(Event::Started { sub, id: id(1) });
    finish(&mut core, sub, 1);
    core.on(Event::RoleChanged { primary: false });
    assert_eq!(core.next_progress(), None);
    core.on(Event::RoleChanged { primary: true });
    core.sweep(usize::MAX);
    let progress = core.next_progress().expect("it missed a commit");
    assert_eq!(progress.checkpoint.position, id(1));
    assert_eq!(core.next_progress(), None);
}

/// Each is matched when there are all those before it: together that is work for the square of
/// their number, and once it was for the cube, which took a start of the server half a minute.
#[test]
fn thousands_of_consumers_that_come_back_one_by_one_each_know_their_stream_once() {
    let mut core = Delivery::new(true);
    let mut consumers = Vec::new();
    for seq in 1..=3000 {
        let consumer = core.add_consumer(spec(Mode::Async, 1));
        resume(&mut core, consumer, &checkpoint(seq, &[]));
        consumers.push(consumer);
    }
    for (consumer, seq) in consumers.into_iter().zip(1..) {
        let positions = core.streams_of(consumer).map(|stream| stream.position());
        assert_eq!(positions.collect::<Vec<_>>(), [id(seq)]);
    }
}
