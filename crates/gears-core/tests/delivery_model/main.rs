//! The delivery core against a naive model: random sequences of everything that can happen.
//!
//! ```text
//! world      the true contents of the keys, and what commands do to them
//! code       a consumer's code: prefetch queues, dead letters in, reports out
//! driver     the server, the event loop and the workers around the delivery core
//! interest   what one consumer was given of one stream, entry by entry
//! reference  all of that, and the promises, checked by looking through the lists
//! ```
//!
//! After each step every promise of `gears_core::delivery` is checked; each sequence ends by
//! letting everything come to rest and checking that nothing was left out. `PROPTEST_CASES` sets
//! the number of sequences, `PROPTEST_RNG_SEED` which they are: without it they are the same at
//! each run. A difference is printed as the shortest sequence that shows it.
//!
//! The promise, word for word:
//! * An entry is given to a consumer at most once for as long as the key is the same stream, has
//!   a name that the consumer matches, and the server loads no data set. A change of role
//!   or code by itself repeats nothing: what was not started is read again, what was started is
//!   reported by whoever has it.
//! * It is given in ID order, none that is still in the stream is skipped, and never more than
//!   the window of the code that is given it are in flight, those with earlier code included.
//! * Of the streams of an async consumer none is read so far ahead of an entry that was added before
//!   to another one whose window has room.
//! * On a replica and while loading nothing is read, run or trimmed; what waits beside a worker
//!   may still be started until the worker hears that it is recalled.
//! * While the server refuses writes the same holds; but what was done is committed, and trims
//!   go on where only memory is out.
//! * A trim takes only entries that each matching consumer, known or not yet known to the
//!   stream, has reported as finished, and only where one of them wants trims.
//! * What a sync consumer must be given before the tick ends was added in this tick; a sync
//!   consumer that had nothing to do is given what a client adds before that client's reply.
//! * Reports for subscriptions that are no more change nothing.
//! * A change of all streams of a consumer holds for all of them at once, however far the core has
//!   come with carrying it out.
//! * What is committed claims as done just what was reported as done. A server that goes on
//!   from there gives everything else again, and nothing of that.
//! * Entries with a callback, and entries that are done, may have written and are not committed
//!   together never exceed the window of the code that has them.

mod code;
mod driver;
mod interest;
#[path = "../common/overview.rs"]
mod overview;
mod reference;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use gears_core::delivery::{ConsumerSpec, Mode, READ_BYTES};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use code::Outcome;
use driver::{Callback, Driver, Tick};
use world::{Key, StaticKey, Step};

/// Sequences in a run, unless `PROPTEST_CASES` says otherwise: more than a million steps in all
/// where the code is optimised.
const CASES: u32 = if cfg!(debug_assertions) { 400 } else { 10_000 };
/// Steps of a sequence at most; half of that on average.
const STEPS: usize = 300;
/// Consumers at once.
const CONSUMERS: usize = 5;
const NAMES: [&[u8]; 6] = [b"", b"a", b"ab", b"abc", b"b", b"\xff\0"];
const PREFIXES: [&[u8]; 5] = [b"", b"a", b"ab", b"b", b"\xff"];
const DATABASES: i32 = 2;

/// One step of a sequence. Numbers that pick one of several wrap around.
#[derive(Clone, Debug)]
enum Action {
    AddConsumer(ConsumerSpec),
    ChangeConsumer(u8, usize, bool, Mode),
    RemoveConsumer(u8),
    Add(StaticKey, Vec<(Step, usize)>),
    DeleteEntry(StaticKey, usize, bool),
    KeepLast(StaticKey, usize, bool),
    Remove(StaticKey),
    Restore(StaticKey, u64),
    Copy(StaticKey, StaticKey),
    Rename(StaticKey, StaticKey),
    Swap(i32, i32),
    Flush(Option<i32>),
    Role(bool),
    Loading(bool),
    Refuse(Option<bool>),
    Crash(bool, bool),
    Follow(u8, StaticKey, usize, u8),
    Found(StaticKey),
    Scan,
    Sweep(usize),
    Tick(Tick),
    Receive(u8, u8),
    Start(u8, u8, u8),
    Finish(u8, u8, Outcome),
    Abandon(u8, u8),
    Deliver(u8, u8, u8),
    ForgetIdle(u8),
    CountBacklog(u8, usize),
    Pack,
    Settle,
}

fn carry_out(driver: &mut Driver, action: &Action) {
    match *action {
        Action::AddConsumer(ref spec) => {
            if driver.consumer_count() < CONSUMERS {
                driver.add_consumer(spec.clone());
            }
        }
        Action::ChangeConsumer(which, window, trim, mode) => {
            driver.change_consumer(which, window, trim, mode);
        }
        Action::RemoveConsumer(which) => driver.remove_consumer(which),
        Action::Add(key, ref entries) => {
            for (step, bytes) in entries {
                driver.add(key, *step, *bytes);
            }
        }
        Action::DeleteEntry(key, at, heard) => driver.delete_entry(key, at, heard),
        Action::KeepLast(key, keep, heard) => driver.keep_last(key, keep, heard),
        Action::Remove(key) => driver.remove(key),
        Action::Restore(key, count) => driver.restore(key, count),
        Action::Copy(from, to) => driver.copy(from, to),
        Action::Rename(from, to) => driver.rename(from, to),
        Action::Swap(a, b) => driver.swap(a, b),
        Action::Flush(db) => driver.flush(db),
        Action::Role(primary) => driver.change_role(primary),
        Action::Refuse(refused) => driver.refuse(refused),
        Action::Loading(loading) => driver.set_loading(loading),
        Action::Crash(dump, primary) => driver.crash(dump, primary),
        Action::Follow(which, key, at, pending) => driver.follow(which, key, at, pending),
        Action::Found(key) => driver.found(key),
        Action::Scan => driver.scan(),
        Action::Sweep(most) => driver.sweep(most),
        Action::Tick(ref tick) => driver.tick(tick),
        Action::Receive(which, count) => driver.receive(which, count),
        Action::Start(which, prefetch, count) => driver.start(which, prefetch, count),
        Action::Finish(which, running, outcome) => driver.finish(which, running, outcome),
        Action::Abandon(which, running) => driver.abandon(which, running),
        Action::Deliver(which, first, count) => driver.deliver(which, first, count),
        Action::ForgetIdle(which) => driver.forget_idle(which),
        Action::CountBacklog(which, most) => driver.count_backlog(which, most),
        Action::Pack => driver.pack(),
        Action::Settle => driver.settle(),
    }
}

/// What a sequence is about.
#[derive(Clone, Copy)]
struct Emphasis {
    /// Keys it uses.
    names: &'static [&'static [u8]],
    /// Weight of changes of roles and code.
    upheaval: u32,
    /// Weight of what clients do to whole keys.
    keys: u32,
}

fn db() -> impl Strategy<Value = i32> + Clone {
    0..DATABASES
}

fn key(names: &'static [&'static [u8]]) -> impl Strategy<Value = StaticKey> + Clone {
    (db(), prop::sample::select(names)).prop_map(|(db, name)| Key { db, name })
}

fn mode() -> impl Strategy<Value = Mode> + Clone {
    prop_oneof![Just(Mode::Sync), Just(Mode::Async)]
}

fn spec() -> impl Strategy<Value = ConsumerSpec> {
    let prefix = prop::sample::select(&PREFIXES[..]);
    (prefix, 1usize..5, any::<bool>(), mode())
        .prop_map(|(prefix, window, trim, mode)| ConsumerSpec::new(prefix, window, trim, mode))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => Just(Step::Next),
        10 => any::<u8>().prop_map(Step::Sequence),
        10 => any::<u8>().prop_map(Step::Time),
        2 => Just(Step::LastOfTime),
        1 => Just(Step::LastOfAll),
    ]
}

fn callback(names: &'static [&'static [u8]]) -> impl Strategy<Value = Callback> {
    prop_oneof![
        4 => Just(Callback::Returns),
        2 => Just(Callback::Throws),
        4 => Just(Callback::Promises),
        3 => key(names).prop_map(Callback::AddsTo),
        1 => key(names).prop_map(Callback::Deletes),
        1 => (key(names), key(names)).prop_map(|(from, to)| Callback::Renames(from, to)),
        1 => Just(Callback::FlushesAll),
    ]
}

fn tick(names: &'static [&'static [u8]]) -> impl Strategy<Value = Tick> {
    let callbacks = prop::collection::vec(callback(names), 0..3);
    let stalls = prop_oneof![9 => Just(0usize), 1 => 1usize..3];
    let decisions = (0usize..5, 0usize..4, 0usize..3, 0usize..3);
    (decisions, 0u64..4, 1usize..9, callbacks, stalls).prop_map(
        |((dispatches, records, trims, sweep), budget, read_limit, callbacks, stalls)| Tick {
            dispatches,
            records,
            trims,
            budget,
            read_limit,
            callbacks,
            stalls,
            sweep,
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    (
        prop::bool::weighted(0.2),
        any::<bool>(),
        any::<bool>(),
        0u64..20,
        0u64..300,
    )
        .prop_map(|(failed, at_once, wrote, took_ms, now_ms)| Outcome {
            failed,
            at_once,
            wrote,
            took_ms,
            now_ms,
        })
}

fn action(emphasis: Emphasis) -> impl Strategy<Value = Action> {
    let Emphasis {
        names,
        upheaval,
        keys,
    } = emphasis;
    let key = || key(names);
    let bytes = prop_oneof![9 => Just(10), 1 => Just(READ_BYTES)];
    let entries = prop::collection::vec((step(), bytes), 1..4);
    let change = (any::<u8>(), 1usize..5, any::<bool>(), mode());
    let any3 = (any::<u8>(), any::<u8>(), 1u8..4);
    prop_oneof![
        4 => spec().prop_map(Action::AddConsumer),
        upheaval => change.prop_map(|(which, window, trim, mode)| {
            Action::ChangeConsumer(which, window, trim, mode)
        }),
        2 => any::<u8>().prop_map(Action::RemoveConsumer),
        30 => (key(), entries).prop_map(|(key, entries)| Action::Add(key, entries)),
        3 => (key(), 0usize..20, any::<bool>())
            .prop_map(|(key, at, heard)| Action::DeleteEntry(key, at, heard)),
        1 => (key(), 0usize..5, any::<bool>())
            .prop_map(|(key, keep, heard)| Action::KeepLast(key, keep, heard)),
        keys => key().prop_map(Action::Remove),
        keys => (key(), 0u64..6).prop_map(|(key, count)| Action::Restore(key, count)),
        keys => (key(), key()).prop_map(|(from, to)| Action::Copy(from, to)),
        3 * keys => (key(), key()).prop_map(|(from, to)| Action::Rename(from, to)),
        keys => (db(), db()).prop_map(|(a, b)| Action::Swap(a, b)),
        1 => prop::option::weighted(0.8, db()).prop_map(Action::Flush),
        upheaval => prop::bool::weighted(0.7).prop_map(Action::Role),
        2 => prop::bool::weighted(0.2).prop_map(Action::Loading),
        upheaval => prop::option::weighted(0.3, any::<bool>()).prop_map(Action::Refuse),
        upheaval => (any::<bool>(), prop::bool::weighted(0.8))
            .prop_map(|(dump, primary)| Action::Crash(dump, primary)),
        upheaval => (any::<u8>(), key(), 0usize..20, any::<u8>())
            .prop_map(|(which, key, at, pending)| Action::Follow(which, key, at, pending)),
        3 => key().prop_map(Action::Found),
        1 => Just(Action::Scan),
        3 => (1usize..4).prop_map(Action::Sweep),
        30 => tick(names).prop_map(Action::Tick),
        18 => (any::<u8>(), 1u8..4).prop_map(|(which, count)| Action::Receive(which, count)),
        18 => any3.clone().prop_map(|(which, prefetch, count)| Action::Start(which, prefetch, count)),
        24 => (any::<u8>(), any::<u8>(), outcome())
            .prop_map(|(which, running, outcome)| Action::Finish(which, running, outcome)),
        2 * upheaval => (any::<u8>(), any::<u8>())
            .prop_map(|(which, running)| Action::Abandon(which, running)),
        18 => any3.prop_map(|(which, first, count)| Action::Deliver(which, first, count)),
        2 => any::<u8>().prop_map(Action::ForgetIdle),
        8 => (any::<u8>(), 1usize..9).prop_map(|(which, most)| Action::CountBacklog(which, most)),
        12 => Just(Action::Pack),
        1 => Just(Action::Settle),
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let of = |emphasis| prop::collection::vec(action(emphasis), 1..=STEPS);
    prop_oneof![
        of(Emphasis {
            names: &NAMES,
            upheaval: 4,
            keys: 1
        }),
        of(Emphasis {
            names: &NAMES[1..3],
            upheaval: 20,
            keys: 1
        }),
        of(Emphasis {
            names: &NAMES[..4],
            upheaval: 2,
            keys: 8
        }),
    ]
}

/// Several streams of async consumers get many entries, and are read a few at a time.
fn streams_in_turns() -> impl Strategy<Value = Vec<Action>> {
    let key = || prop::sample::select(&NAMES[1..4]).prop_map(|name| Key { db: 0, name });
    let entries = prop::collection::vec((Just(Step::Next), Just(10)), 1..12);
    let tick = (
        0usize..5,
        0usize..4,
        prop_oneof![1usize..9, Just(usize::MAX)],
    )
        .prop_map(|(dispatches, records, read_limit)| Tick {
            dispatches,
            records,
            read_limit,
            ..Tick::full()
        });
    let any3 = (any::<u8>(), any::<u8>(), 1u8..20);
    let action = prop_oneof![
        30 => (key(), entries).prop_map(|(key, entries)| Action::Add(key, entries)),
        20 => tick.prop_map(Action::Tick),
        10 => (any::<u8>(), 1u8..4).prop_map(|(which, count)| Action::Receive(which, count)),
        15 => any3.clone().prop_map(|(which, prefetch, count)| Action::Start(which, prefetch, count)),
        30 => (any::<u8>(), any::<u8>(), outcome())
            .prop_map(|(which, running, outcome)| Action::Finish(which, running, outcome)),
        15 => any3.prop_map(|(which, first, count)| Action::Deliver(which, first, count)),
        1 => (key(), 0usize..20, any::<bool>())
            .prop_map(|(key, at, heard)| Action::DeleteEntry(key, at, heard)),
        1 => key().prop_map(Action::Remove),
        1 => (any::<u8>(), 1usize..5)
            .prop_map(|(which, window)| Action::ChangeConsumer(which, window, false, Mode::Async)),
        1 => prop::bool::weighted(0.7).prop_map(Action::Role),
    ];
    prop::collection::vec(action, 1..=STEPS)
}

/// Carries out so many sequences; gives the number of their steps.
fn check(
    cases: u32,
    primary: impl Strategy<Value = bool>,
    consumers: impl Strategy<Value = Vec<ConsumerSpec>>,
    actions: impl Strategy<Value = Vec<Action>>,
) -> u64 {
    let asked_for = std::env::var_os("PROPTEST_CASES").is_some();
    let mut config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    if !asked_for {
        config.cases = cases;
    }
    let seed = config.rng_seed;
    let steps = AtomicU64::new(0);
    let sequence = (primary, consumers, actions);
    let result = TestRunner::new(config).run(&sequence, |(primary, consumers, actions)| {
        let mut driver = Driver::new(primary);
        for spec in consumers {
            driver.add_consumer(spec);
        }
        for action in &actions {
            carry_out(&mut driver, action);
            driver.check();
            steps.fetch_add(1, Ordering::Relaxed);
        }
        driver.end();
        Ok(())
    });
    let steps = steps.into_inner();
    eprintln!("{steps} steps");
    if let Err(difference) = result {
        panic!("with the seed {seed}: {difference}");
    }
    steps
}

#[test]
fn the_delivery_core_keeps_its_promises_whatever_happens_in_whatever_order() {
    let asked_for = std::env::var_os("PROPTEST_CASES").is_some();
    let consumers = prop::collection::vec(spec(), 1..3);
    let steps = check(CASES, any::<bool>(), consumers, actions());
    assert!(asked_for || cfg!(debug_assertions) || steps > 1_000_000);
}

#[test]
fn streams_of_an_async_consumer_are_read_in_about_the_order_in_which_entries_were_added() {
    let spec = (1usize..5).prop_map(|window| ConsumerSpec::new(b"a", window, false, Mode::Async));
    let consumers = prop::collection::vec(spec, 1..3);
    check(CASES / 4, Just(true), consumers, streams_in_turns());
}
