//! Consumers with a policy against a naive model: random sequences of everything that can happen.
//!
//! ```text
//! world      the true contents of the streams, dead letters included
//! driver     the server, the event loop and the workers around the delivery core
//! outcome    how callbacks end, and what must become of their entries
//! interest   what became of every entry of one stream for one consumer
//! reference  all of that, and the promises, checked by looking through the lists
//! ```
//!
//! Each sequence ends by letting everything go on and checking that nothing was left out.
//! `PROPTEST_CASES` sets the number of sequences, `PROPTEST_RNG_SEED` which they are: without it
//! they are the same at each run. A difference is printed as the shortest sequence that shows it.
//!
//! The promise, word for word:
//! * Never more than the window of batches of a stream are with the callback or hold their place,
//!   however many wait beside it.
//! * A batch has no more entries than the policy's batch, of one stream, ascending, with what was
//!   tried with them alike; fewer only where they were there before, waited long enough, were
//!   tried before, are large, or are followed by some with which something else was tried.
//! * An entry is dispatched once, unless it failed, was given back, or the consumer began anew:
//!   after a restart, or where somebody sought. What the filter rejects never is, also where it was
//!   dispatched under another one; what comes of dead letters goes by none.
//! * What failed comes before everything else, in order, with the same company or half of it, and
//!   not before its time. Where somebody paused it, or it stopped, nothing is dispatched; and of what
//!   was dispatched before that is known nothing begins behind what failed, unless failures are passed
//!   over.
//! * Entries with an equal value of the field that orders are never in two batches at once, and are
//!   first dispatched in ID order; of others nothing is left out.
//! * Somebody may skip what comes again: it is given up, and what it held up goes on. Nothing else is.
//! * What is given up gets one dead letter, if the policy has a place for it, and is done when that
//!   is written. A dead letter whose entry is done after all is deleted. For one that is redriven in
//!   vain there is another with all that was tried, or none if somebody deleted it meanwhile.
//! * What is committed claims nothing as done that is not, and holds all that was tried.
//! * While the server refuses writes nothing is dispatched, no dead letter is written, and nothing
//!   is trimmed unless it only lacks memory.
//! * A trim takes nothing that some consumer is not done with.
//! * What waits for time is not forgotten: the core asks for the time that it needs.

mod driver;
mod interest;
mod outcome;
#[path = "../common/overview.rs"]
mod overview;
mod reference;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gears_core::delivery::{
    Backoff, Condition, ConsumerSpec, Filter, Mode, OnFailure, Policy, Scope,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use driver::{Driver, Tick};
use outcome::Outcome;
use reference::starts;
use world::{DEAD, NAMES};

/// Sequences in a run, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = if cfg!(debug_assertions) { 400 } else { 50_000 };
/// Steps of a sequence at most; half of that on average.
const STEPS: usize = 150;

/// One step of a sequence. Numbers that pick one of several wrap around.
#[derive(Clone, Debug)]
enum Action {
    Add(usize, Vec<(Option<u8>, bool, usize)>),
    Found(usize),
    Remove(usize),
    Flush,
    Swap,
    Move(usize),
    Tick(Tick),
    Start(usize),
    End(usize, Outcome, bool),
    Abandon(usize),
    Receive(usize),
    PassTime(u64),
    PassToNext,
    Pack,
    Pause(u8, Option<usize>),
    Resume(u8, Option<usize>),
    RetryNow(u8, usize),
    Seek(u8, usize, usize),
    Redrive(u8, usize, usize),
    /// And whether the core is told of it.
    DropLetter(usize, bool),
    Skip(u8, usize, usize),
    Change(u8, ConsumerSpec),
    Role(bool),
    /// By so much the clock of the next server is ahead of what this one would have.
    Crash(bool, i64),
    Refuse(Option<bool>),
}

fn carry_out(driver: &mut Driver, action: &Action) {
    match *action {
        Action::Add(stream, ref entries) => {
            for (group, wanted, bytes) in entries {
                driver.add(stream, *group, *wanted, *bytes);
            }
        }
        Action::Found(stream) => driver.found(stream),
        Action::Remove(stream) => driver.remove(stream),
        Action::Flush => driver.flush(),
        Action::Swap => driver.swap(),
        Action::Move(stream) => driver.move_away(stream),
        Action::Tick(ref tick) => driver.tick(tick),
        Action::Start(count) => driver.start(count),
        Action::End(at, outcome, uncommitted) => driver.end(at, outcome, uncommitted),
        Action::Abandon(at) => driver.abandon(at),
        Action::Receive(count) => driver.receive(count),
        Action::PassTime(ms) => driver.pass_time(ms),
        Action::Pack => driver.pack(),
        Action::PassToNext => _ = driver.pass_to_next(),
        Action::Pause(which, stream) => driver.pause(which, stream),
        Action::Resume(which, stream) => driver.resume(which, stream),
        Action::RetryNow(which, stream) => driver.retry_now(which, stream),
        Action::Seek(which, stream, at) => driver.seek(which, stream, at),
        Action::Redrive(which, stream, most) => driver.redrive(which, stream, most),
        Action::Skip(which, stream, at) => driver.skip(which, stream, at),
        Action::DropLetter(at, is_told) => driver.drop_letter(at, is_told),
        Action::Change(which, ref spec) => driver.change_consumer(which, spec.clone()),
        Action::Refuse(refused) => driver.refuse(refused),
        Action::Role(primary) => driver.change_role(primary),
        Action::Crash(dump, other_clock_ms) => driver.crash(dump, other_clock_ms),
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    let batch = prop::option::weighted(0.6, 1usize..=5);
    let duration = prop_oneof![Just(0u64), 1u64..200];
    let on_failure = prop_oneof![
        1 => Just(OnFailure::Continue),
        4 => Just(OnFailure::Retry),
        1 => Just(OnFailure::Abort),
    ];
    let backoff = (prop_oneof![1 => Just(0u64), 4 => 1u64..100], any::<bool>()).prop_map(
        |(initial_ms, grows)| Backoff {
            initial_ms,
            factor: if grows { 2.0 } else { 1.0 },
            max_ms: 300,
            jitter: 0.0,
        },
    );
    let ends = (
        prop::option::of(1u32..4),
        prop::option::weighted(0.2, 1u64..400),
        any::<bool>(),
    );
    let rest = (
        any::<bool>(),
        prop_oneof![Just(Scope::Stream), Just(Scope::Consumer)],
        any::<bool>(),
        prop::bool::weighted(0.4),
    );
    (batch, duration, on_failure, backoff, ends, rest).prop_map(
        |(batch, duration_ms, on_failure, backoff, ends, rest)| {
            let (max_attempts, max_age_ms, dead_letter) = ends;
            let (bisect, scope, ordered, filtered) = rest;
            let wanted = Condition::Equals(b"1".to_vec());
            Policy {
                batch,
                duration_ms: if batch.is_some() { duration_ms } else { 0 },
                on_failure,
                backoff,
                max_attempts,
                max_age_ms,
                dead_letter: dead_letter.then(|| DEAD.into()),
                bisect,
                scope,
                timeout_ms: None,
                order_by: ordered.then(|| b"group"[..].into()),
                filter: filtered.then(|| Filter {
                    fields: vec![(b"wanted".to_vec(), wanted)],
                }),
            }
        },
    )
}

fn spec() -> impl Strategy<Value = ConsumerSpec> {
    let prefix = prop_oneof![3 => Just(&b"s:"[..]), 1 => Just(NAMES[0])];
    let mode = prop_oneof![1 => Just(Mode::Sync), 2 => Just(Mode::Async)];
    let start = prop::sample::select(starts().to_vec());
    (prefix, 1usize..5, any::<bool>(), mode, start, policy()).prop_map(
        |(prefix, window, trim, mode, start, policy)| ConsumerSpec {
            start,
            policy: Some(Arc::new(policy)),
            ..ConsumerSpec::new(prefix, window, trim, mode)
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        8 => Just(Outcome::Well),
        4 => Just(Outcome::Throws),
        3 => any::<u8>().prop_map(Outcome::Partly),
        1 => Just(Outcome::Stranger),
        1 => Just(Outcome::Fatal),
        1 => (0u64..150).prop_map(Outcome::RetryAfter),
    ]
}

fn tick() -> impl Strategy<Value = Tick> {
    let records = prop_oneof![
        1 => Just(None),
        2 => (0usize..3).prop_map(Some),
        3 => Just(Some(usize::MAX)),
    ];
    let dead_letters = prop::collection::vec(prop::bool::weighted(0.7), 0..4);
    let outcomes = prop::collection::vec(prop::option::weighted(0.8, outcome()), 0..6);
    let stalls = prop_oneof![9 => Just(0usize), 1 => 1usize..3];
    let limits = (0usize..12, 1usize..9, 0usize..3, any::<bool>(), 0usize..3);
    (limits, records, dead_letters, outcomes, stalls).prop_map(
        |(limits, records, dead_letters, outcomes, stalls)| {
            let (dispatches, read_limit, trims, is_deaf, sweep) = limits;
            Tick {
                dispatches,
                read_limit,
                records,
                trims,
                dead_letters,
                outcomes,
                stalls,
                is_deaf,
                sweep,
            }
        },
    )
}

fn action(upheaval: u32) -> impl Strategy<Value = Action> {
    let stream = || 0..NAMES.len();
    let some_stream = || prop::option::weighted(0.7, stream());
    let bytes = prop_oneof![400 => Just(0usize), 1 => Just(600_000)];
    let entry = (prop::option::weighted(0.8, 0u8..3), any::<bool>(), bytes);
    let entries = prop::collection::vec(entry, 1..5);
    prop_oneof![
        24 => (stream(), entries).prop_map(|(stream, entries)| Action::Add(stream, entries)),
        1 => stream().prop_map(Action::Found),
        1 => stream().prop_map(Action::Remove),
        1 => Just(Action::Flush),
        2 => Just(Action::Swap),
        1 => stream().prop_map(Action::Move),
        40 => tick().prop_map(Action::Tick),
        20 => (1usize..4).prop_map(Action::Start),
        40 => (any::<usize>(), outcome(), any::<bool>())
            .prop_map(|(at, outcome, uncommitted)| Action::End(at, outcome, uncommitted)),
        2 => any::<usize>().prop_map(Action::Abandon),
        10 => (1usize..4).prop_map(Action::Receive),
        10 => (0u64..300).prop_map(Action::PassTime),
        16 => Just(Action::PassToNext),
        12 => Just(Action::Pack),
        2 * upheaval => (any::<u8>(), some_stream()).prop_map(|(which, s)| Action::Pause(which, s)),
        4 * upheaval => (any::<u8>(), some_stream()).prop_map(|(which, s)| Action::Resume(which, s)),
        upheaval => (any::<u8>(), stream()).prop_map(|(which, s)| Action::RetryNow(which, s)),
        upheaval => (any::<u8>(), stream(), 0usize..30)
            .prop_map(|(which, s, at)| Action::Seek(which, s, at)),
        4 => (any::<u8>(), stream(), 1usize..4)
            .prop_map(|(which, s, most)| Action::Redrive(which, s, most)),
        1 => (any::<usize>(), any::<bool>())
            .prop_map(|(at, is_told)| Action::DropLetter(at, is_told)),
        3 => (any::<u8>(), stream(), any::<usize>())
            .prop_map(|(which, s, at)| Action::Skip(which, s, at)),
        upheaval => (any::<u8>(), spec()).prop_map(|(which, spec)| Action::Change(which, spec)),
        upheaval => prop::bool::weighted(0.7).prop_map(Action::Role),
        upheaval => (any::<bool>(), prop_oneof![Just(0i64), -5000i64..1000])
            .prop_map(|(dump, other_clock_ms)| Action::Crash(dump, other_clock_ms)),
        upheaval => prop::option::weighted(0.3, any::<bool>()).prop_map(Action::Refuse),
    ]
}

/// Other options find entries in every place, again and again, and little else happens.
fn change() -> impl Strategy<Value = Action> {
    let entry = (
        prop::option::weighted(0.3, 0u8..2),
        any::<bool>(),
        Just(0usize),
    );
    let entries = prop::collection::vec(entry, 1..5);
    let still = (0usize..3, 1usize..5, any::<bool>()).prop_map(|(dispatches, read_limit, on)| {
        Action::Tick(Tick {
            dispatches,
            read_limit,
            records: on.then_some(usize::MAX),
            ..Tick::full()
        })
    });
    prop_oneof![
        20 => entries.prop_map(|entries| Action::Add(0, entries)),
        20 => still,
        10 => tick().prop_map(Action::Tick),
        10 => (any::<usize>(), outcome(), any::<bool>())
            .prop_map(|(at, outcome, uncommitted)| Action::End(at, outcome, uncommitted)),
        6 => (1usize..4).prop_map(Action::Start),
        3 => any::<usize>().prop_map(Action::Abandon),
        6 => (1usize..4).prop_map(Action::Receive),
        3 => (0u64..300).prop_map(Action::PassTime),
        3 => Just(Action::PassToNext),
        3 => Just(Action::Pack),
        8 => (any::<u8>(), spec()).prop_map(|(which, spec)| Action::Change(which, spec)),
    ]
}

/// Options of which those differ that say what is read and what makes a batch, and nothing else.
fn plain_spec() -> impl Strategy<Value = ConsumerSpec> {
    let wanted = Condition::Equals(b"1".to_vec());
    let filter = Filter {
        fields: vec![(b"wanted".to_vec(), wanted)],
    };
    let policy =
        (prop::option::of(2usize..=5), any::<bool>()).prop_map(move |(batch, filtered)| Policy {
            batch,
            filter: filtered.then(|| filter.clone()),
            ..Policy::default()
        });
    let mode = prop_oneof![4 => Just(Mode::Sync), 1 => Just(Mode::Async)];
    (1usize..3, mode, policy).prop_map(|(window, mode, policy)| ConsumerSpec {
        policy: Some(Arc::new(policy)),
        ..ConsumerSpec::new(&b"s:"[..], window, false, mode)
    })
}

/// Entries of which few are wanted, ticks that get through little, and plain options that change.
fn plain_change() -> impl Strategy<Value = Action> {
    let entry = (Just(None), prop::bool::weighted(0.25), Just(0usize));
    let entries = prop::collection::vec(entry, 1..5);
    let dispatches = prop_oneof![3 => Just(0usize), 1 => 1usize..3];
    let still = (dispatches, 1usize..5).prop_map(|(dispatches, read_limit)| {
        Action::Tick(Tick {
            dispatches,
            read_limit,
            ..Tick::full()
        })
    });
    prop_oneof![
        20 => entries.prop_map(|entries| Action::Add(0, entries)),
        20 => still,
        2 => tick().prop_map(Action::Tick),
        4 => (any::<usize>(), outcome(), any::<bool>())
            .prop_map(|(at, outcome, uncommitted)| Action::End(at, outcome, uncommitted)),
        2 => (1usize..4).prop_map(Action::Start),
        1 => any::<usize>().prop_map(Action::Abandon),
        2 => (1usize..4).prop_map(Action::Receive),
        1 => Just(Action::PassToNext),
        3 => Just(Action::Pack),
        10 => plain_spec().prop_map(|spec| Action::Change(0, spec)),
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let of = |upheaval| prop::collection::vec(action(upheaval), 1..=STEPS);
    let changes = prop::collection::vec(change(), 1..=STEPS / 3);
    prop_oneof![of(1).boxed(), of(4).boxed(), changes.boxed()]
}

/// Carries out so many sequences.
fn check(
    cases: u32,
    consumers: impl Strategy<Value = Vec<ConsumerSpec>>,
    actions: impl Strategy<Value = Vec<Action>>,
) {
    let asked_for = std::env::var_os("PROPTEST_CASES").is_some();
    let mut config = Config {
        failure_persistence: None,
        max_shrink_time: 60_000,
        ..Config::default()
    };
    if !asked_for {
        config.cases = cases;
    }
    let seed = config.rng_seed;
    let steps = AtomicU64::new(0);
    let result = TestRunner::new(config).run(&(consumers, actions), |(consumers, actions)| {
        let mut driver = Driver::new(consumers);
        for action in &actions {
            carry_out(&mut driver, action);
            driver.check();
            steps.fetch_add(1, Ordering::Relaxed);
        }
        driver.finish();
        Ok(())
    });
    eprintln!("{} steps", steps.into_inner());
    if let Err(difference) = result {
        panic!("with the seed {seed}: {difference}");
    }
}

#[test]
fn consumers_with_a_policy_keep_their_promises_whatever_happens_in_whatever_order() {
    check(CASES, prop::collection::vec(spec(), 1..=2), actions());
}

#[test]
fn entries_are_not_forgotten_whatever_options_find_them_wherever_they_are() {
    let consumers = prop::collection::vec(plain_spec(), 1..=1);
    let actions = prop::collection::vec(plain_change(), 1..=STEPS / 10);
    // They are short.
    check(3 * CASES, consumers, actions);
}

/// A dead letter may be written without the progress that goes with it. Then the entry comes again,
/// and its dead letter can be redriven at the same time.
#[test]
fn an_entry_and_its_dead_letter_on_their_way_at_once_are_not_confused() {
    let spec = |mode, on_failure| ConsumerSpec {
        policy: Some(Arc::new(Policy {
            on_failure,
            dead_letter: (mode == Mode::Async).then(|| DEAD.into()),
            ..Policy::default()
        })),
        ..ConsumerSpec::new(&b"s:"[..], 4, false, mode)
    };
    let without_progress = Tick {
        records: Some(0),
        ..Tick::full()
    };
    let actions = [
        Action::Add(0, vec![(None, true, 0)]),
        Action::Tick(Tick::full()),
        Action::End(0, Outcome::Fatal, false),
        Action::Tick(without_progress),
        Action::Crash(false, 0),
        Action::Redrive(0, 0, 1),
        Action::Tick(Tick::full()),
        Action::Change(0, spec(Mode::Sync, OnFailure::Continue)),
        Action::Receive(1),
        // What was given back is looked through for what another filter does not want.
        Action::Change(0, spec(Mode::Async, OnFailure::Retry)),
        Action::Tick(Tick::full()),
        Action::End(0, Outcome::Throws, false),
        Action::Tick(Tick::full()),
    ];
    let mut driver = Driver::new(vec![spec(Mode::Async, OnFailure::Retry)]);
    for action in &actions {
        carry_out(&mut driver, action);
        driver.check();
    }
    driver.finish();
}

fn passing_over(window: usize, mode: Mode, on_failure: OnFailure) -> ConsumerSpec {
    ConsumerSpec {
        policy: Some(Arc::new(Policy {
            on_failure,
            backoff: Backoff::every(0),
            ..Policy::default()
        })),
        ..ConsumerSpec::new(&b"s:"[..], window, false, mode)
    }
}

fn plain(count: usize) -> Action {
    Action::Add(0, vec![(None, false, 0); count])
}

fn short_tick(dispatches: usize, is_deaf: bool, sweep: usize) -> Action {
    Action::Tick(Tick {
        dispatches,
        read_limit: 1,
        records: None,
        is_deaf,
        sweep,
        trims: if is_deaf { 0 } else { usize::MAX },
        ..Tick::full()
    })
}

fn check_sequence(spec: ConsumerSpec, actions: &[Action]) {
    let mut driver = Driver::new(vec![spec]);
    for action in actions {
        carry_out(&mut driver, action);
        driver.check();
    }
    driver.finish();
}

/// What came before a restart may be all there is to drain.
#[test]
fn what_is_added_behind_entries_that_were_skipped_after_a_crash_waits_for_its_batch() {
    for dead_letter in [None, Some(DEAD.into())] {
        for dump in [false, true] {
            let spec = ConsumerSpec {
                policy: Some(Arc::new(Policy {
                    batch: Some(2),
                    dead_letter: dead_letter.clone(),
                    ..Policy::default()
                })),
                ..ConsumerSpec::new(&b"s:"[..], 1, false, Mode::Async)
            };
            let actions = [
                plain(2),
                Action::Tick(Tick::full()),
                Action::Start(1),
                Action::Receive(1),
                Action::Tick(Tick::full()),
                Action::Crash(dump, 0),
                Action::Skip(0, 0, 0),
                Action::Skip(0, 0, 1),
                plain(3),
            ];
            check_sequence(spec, &actions);
        }
    }
}

/// The core comes to new code a stream at a time, and may hear of the old one before that.
#[test]
fn what_replaced_code_holds_takes_no_place_of_the_new_one() {
    let spec = |window, mode| passing_over(window, mode, OnFailure::Continue);
    let all = usize::MAX;
    let actions = [
        Action::Change(0, spec(2, Mode::Async)),
        plain(3),
        short_tick(1, false, all),
        plain(1),
        Action::End(0, Outcome::Well, false),
        short_tick(1, false, all),
        Action::Start(1),
        Action::Change(0, spec(1, Mode::Async)),
        Action::Receive(1),
        Action::End(0, Outcome::Well, true),
        short_tick(2, false, all),
        Action::End(0, Outcome::Well, false),
    ];
    check_sequence(spec(1, Mode::Sync), &actions);
}

/// What fails with replaced code is not counted beside the new one.
#[test]
fn a_failure_of_replaced_code_does_not_hide_one_of_the_new() {
    let spec = |window, mode| passing_over(window, mode, OnFailure::Continue);
    let all = usize::MAX;
    let actions = [
        plain(2),
        Action::Change(0, spec(1, Mode::Async)),
        plain(1),
        short_tick(1, false, all),
        short_tick(1, false, all),
        Action::Change(0, passing_over(2, Mode::Async, OnFailure::Retry)),
        Action::Start(1),
        Action::Receive(1),
        plain(1),
        Action::End(0, Outcome::Throws, false),
        short_tick(2, true, 0),
        Action::End(0, Outcome::Stranger, false),
        Action::End(0, Outcome::Well, false),
        short_tick(1, true, 0),
    ];
    check_sequence(spec(1, Mode::Sync), &actions);
}
