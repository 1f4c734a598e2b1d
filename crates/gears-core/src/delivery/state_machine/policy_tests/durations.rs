//! Batches that are dispatched in time, full or not.

use super::super::super::filter::Filter;
use super::*;

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

/// What is delivered to a consumer of batches, call by call with the time, of so many entries of that size
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
                    let most = request.max.min(super::super::super::READ_BYTES / bytes + 1);
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
                Dispatch::ReadLetters(_) => panic!("none are redriven"),
            }
        }
        match core.next_time() {
            Some(at) => core.set_time(at),
            None => return calls,
        }
    }
}

#[test]
fn when_its_duration_ends_a_batch_is_delivered_with_all_that_is_there() {
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
fn a_full_batch_is_delivered_to_its_end_in_as_many_calls_as_its_size_needs() {
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
        filter: Some(Filter::default()),
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
        filter: Some(Filter::default()),
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
