//! Dead letters that are redriven.

use hashbrown::HashSet;

use super::*;

/// Entries are given up at their first failure.
fn gives_up() -> Policy {
    Policy {
        on_failure: OnFailure::Continue,
        ..policy()
    }
}

fn item(seq: u64) -> Item {
    Item::all(batch(&[(seq, "a")])).next().expect("one entry")
}

/// One that waits for what is added, and its subscription.
fn at_rest(count: u64) -> (Delivery, ConsumerKey, SubscriptionKey) {
    let (mut core, consumer) = core(1, gives_up(), count);
    let sub = fetch(&mut core, &[]);
    (core, consumer, sub)
}

/// What was redriven: those that wait, those with the callback, those done, those that failed.
fn counts(core: &mut Delivery, consumer: ConsumerKey) -> (usize, usize, u64, u64) {
    let view = core.redrives(consumer).expect("it is there");
    (view.waiting, view.running, view.done.ok, view.done.failed)
}

#[test]
fn another_letter_with_the_new_failure_comes_in_the_place_of_one_that_is_redriven_in_vain() {
    let (mut core, consumer, sub) = at_rest(1);
    redrive(&mut core, consumer, &[(9, item(1))]);
    assert_eq!(counts(&mut core, consumer), (1, 0, 0, 0));
    let number = batches(&mut core)[0].0;
    core.on(Event::Begun { sub, batch: number });
    assert_eq!(counts(&mut core, consumer), (0, 1, 0, 0));
    core.set_time(2000);
    fail(&mut core, sub, number);
    assert_eq!(counts(&mut core, consumer), (1, 0, 0, 1));
    let letter = core.next_dead_letter().expect("it is given up again");
    assert_eq!(
        (letter.attempts, letter.first_ms, letter.last_ms),
        (4, 500, 2000)
    );
    let replaced = letter.replaces.as_ref().expect("there was one");
    assert_eq!((replaced.letter, replaced.redrives), (id(9), 2));
    assert!(
        core.next_dead_letter_deletion().is_none(),
        "it is not written yet"
    );
    assert!(core.is_redriven(consumer, KEY, id(9)));
    core.on(Event::DeadLetterWritten(letter));
    let deletion = core.next_dead_letter_deletion().expect("it is written");
    assert_eq!(deletion.dead_letters, [id(9)]);
    assert_eq!(counts(&mut core, consumer), (0, 0, 0, 1));
    let view = core.redrives(consumer).expect("it is there");
    assert_eq!(view.done.errors.iter().collect::<Vec<_>>(), [("boom", 1)]);
    assert_eq!(view.done.last_error.as_deref(), Some("boom"));
    assert_eq!(view.done.last_error_ms, 2000);
    // The entry itself was done long ago.
    assert_eq!(checkpoint(&core, consumer).pending, []);
}

#[test]
fn one_whose_successor_is_not_written_is_not_redriven_meanwhile() {
    let (mut core, consumer, sub) = at_rest(1);
    redrive(&mut core, consumer, &[(9, item(1))]);
    let number = batches(&mut core)[0].0;
    fail(&mut core, sub, number);
    let dead_letter = core.next_dead_letter().expect("it is given up again");
    let error = "no room".into();
    core.on(Event::DeadLetterRefused { dead_letter, error });
    assert_eq!(core.redrive(consumer, KEY, &[id(9)]), 0);
    core.set_time(core.now_ms + 1000);
    assert!(core.next_dead_letter().is_some());
}

#[test]
fn without_a_place_for_letters_the_old_one_stays() {
    let (mut core, consumer, sub) = at_rest(1);
    redrive(&mut core, consumer, &[(9, item(1))]);
    let number = batches(&mut core)[0].0;
    core.change_consumer(consumer, spec(1, Policy::default()));
    core.on(Event::Recalled {
        sub,
        started: EntryId::ZERO,
        back: Vec::new(),
    });
    fail(&mut core, sub, number);
    assert!(core.next_dead_letter().is_none());
    assert!(core.next_dead_letter_deletion().is_none());
    assert!(!core.is_redriven(consumer, KEY, id(9)));
}

#[test]
fn letters_and_entries_of_the_stream_take_turns_however_many_there_are_of_both() {
    let (mut core, consumer, sub) = at_rest(1);
    let ids: Vec<_> = (1000..1100).map(id).collect();
    assert_eq!(core.redrive(consumer, KEY, &ids), 100);
    let mut order = String::new();
    let mut next_entry = 2000;
    while order.len() < 200 {
        core.on(Event::Appended(KEY));
        match core.next_dispatch(false).expect("there is much to do") {
            Dispatch::Read(request) => {
                let entries: Vec<_> = (0..request.max.min(20))
                    .map(|at| (next_entry + at as u64, "a"))
                    .collect();
                next_entry += 20;
                let batch = batch(&entries);
                core.on(Event::Fetched {
                    sub,
                    batch,
                    end: false,
                });
            }
            Dispatch::ReadLetters(request) => {
                let letters: Vec<_> = request
                    .letters
                    .iter()
                    .map(|one| (one.seq, item(one.seq - 999)))
                    .collect();
                assert!(letters.len() <= 16);
                core.letters_read(sub, letters.len(), found(&letters));
            }
            Dispatch::Deliver { batch, .. } => {
                order.push(if batch.items[0].id().seq < 1000 {
                    'l'
                } else {
                    'e'
                });
                end(&mut core, sub, batch.number, End::Done, false);
            }
            Dispatch::Run { .. } => panic!("it has a policy"),
        }
    }
    let turns = format!("{}{}", "l".repeat(16), "e".repeat(16));
    let from = order.find("llll").expect("letters come");
    assert!(from <= 32, "{order}");
    assert!(order[from..].starts_with(&turns.repeat(3)), "{order}");
}

#[test]
fn letters_that_somebody_deleted_are_not_dispatched() {
    let (mut core, consumer, sub) = at_rest(1);
    assert_eq!(core.redrive(consumer, KEY, &[id(7), id(8), id(9)]), 3);
    core.letters_read(sub, 2, found(&[(8, item(1))]));
    assert_eq!(counts(&mut core, consumer), (2, 0, 0, 0));
    core.forget_letters(consumer, KEY.db, &HashSet::from_iter([id(9)]));
    assert_eq!(batches(&mut core), [(1, vec![1])]);
    assert_eq!(counts(&mut core, consumer).0, 1);
    core.forget_letters(consumer, KEY.db, &HashSet::from_iter([id(8)]));
    end(&mut core, sub, 1, End::Done, false);
    assert!(core.next_dead_letter_deletion().is_some());
    assert_eq!(counts(&mut core, consumer), (0, 0, 1, 0));
}

#[test]
fn what_is_selected_waits_while_the_stream_is_held_up_and_takes_no_memory_of_its_own() {
    let (mut core, consumer, _) = at_rest(1);
    core.pause(consumer, Some(KEY));
    let ids: Vec<_> = (1000..1100).map(id).collect();
    assert_eq!(core.redrive(consumer, KEY, &ids), 100);
    assert!(core.next_dispatch(false).is_none());
    core.pack();
    assert_eq!(counts(&mut core, consumer), (100, 0, 0, 0));
    core.resume(consumer, Some(KEY));
    assert!(matches!(
        core.next_dispatch(false),
        Some(Dispatch::Read(_) | Dispatch::ReadLetters(_))
    ));
}

#[test]
fn what_is_redriven_is_not_counted_among_the_entries() {
    let (mut core, consumer, sub) = at_rest(1);
    let later = 1000 + 3_600_000;
    core.set_time(later);
    for (letter, is_failure) in [(8, true), (9, false)] {
        redrive(&mut core, consumer, &[(letter, item(1))]);
        let number = batches(&mut core)[0].0;
        if is_failure {
            fail(&mut core, sub, number);
            let letter = core.next_dead_letter().expect("it is given up again");
            core.on(Event::DeadLetterWritten(letter));
        } else {
            end(&mut core, sub, number, End::Done, false);
        }
        let deletion = core.next_dead_letter_deletion().expect("it is done");
        core.end_redrive(sub, deletion.dead_letters[0]);
    }
    let view = core.stream(consumer, KEY).expect("it knows the stream");
    assert_eq!((view.stats.finished, view.stats.given_up), (0, 0));
    assert_eq!((view.stats.attempts, view.stats.failures), (2, 1));
    let overview = core.overview(consumer).expect("it is there");
    let totals = overview.totals;
    assert_eq!((totals.finished, totals.given_up), (0, 0));
    assert_eq!((totals.attempts, totals.failures), (2, 1));
    let times = overview.times.summary(later);
    assert_eq!((times.lag.count, times.processing.count), (0, 0));
    let errors = overview.errors.expect("one failed");
    assert_eq!((errors.last_ms, errors.last_id), (later, Some(id(1))));
    assert_eq!(*errors.last_stream, *KEY.name);
    assert_eq!(errors.classes.iter().collect::<Vec<_>>(), [("boom", 1)]);
    core.clear_stats(consumer);
    assert!(
        core.overview(consumer)
            .expect("it is there")
            .errors
            .is_none()
    );
}
