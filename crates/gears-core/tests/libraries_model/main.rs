//! The libraries of a cluster against a naive model: random sequences of everything that can happen.
//!
//! ```text
//! machine    a process with its libraries, and who copies it: its disk, and its replica
//! world      machines, shards, the cluster's own view of these, and the wire between them
//! checks     what has to hold of all that
//! rivals     clients that change the same library at once, without a pause: somebody gets on
//! reference  what was ever said, what clients were told, and the promises, checked by looking through all of it
//! ```
//!
//! `PROPTEST_CASES` sets the number of sequences, `PROPTEST_RNG_SEED` which they are. A million steps are
//! `PROPTEST_CASES=20000`. A difference is printed as the shortest sequence that shows it.
//!
//! The promise, word for word:
//! * Nothing is in any map that was not said by a change all shards that were asked have promised to take.
//! * A change that was refused is in no map, and none of its counterparts anywhere.
//! * What a client was told to be done is there as long as any machine is that has it, unless
//!   something of a greater stamp was said; so nothing deleted comes back.
//! * A cluster with slots never takes a library from a node that had none when it joined, nor loses one to it.
//! * Once the network is whole and everybody is back, all have the same: the greatest stamp of each name
//!   that anybody had. So have disks and replicas. No more deletions are remembered than allowed.
//! * Of changes of one library that meet at least one is made, while all shards are up and no message is lost: clients
//!   that try again without a pause get on.
//! * What a client only asks about is in no map, and the client is told what comes of it once.
//! * The rest holds with messages lost, late, doubled and out of order; with machines that die with and without
//!   what they wrote last, or with nothing; with replicas that lag and take over; with networks that are cut; with nodes
//!   that join, with libraries of their own; and with clusters that meet.

mod checks;
mod machine;
mod reference;
mod rivals;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use world::World;

/// Sequences in a run, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = if cfg!(debug_assertions) { 50 } else { 500 };
/// Steps of a sequence at most; half of that on average.
const STEPS: usize = 150;

/// One step of a sequence. Numbers that pick one of several wrap around.
#[derive(Clone, Debug)]
enum Action {
    /// A client loads a library; some shards cannot load it.
    Load(usize, usize, u8),
    /// A client deletes it.
    Delete(usize, usize),
    /// A client asks whether all shards could load one.
    Inquire(usize, usize, u8),
    /// A script of a client stays.
    Say(usize, usize),
    /// A script of one machine calls a function on another: the stamp of its library goes along.
    Call(usize, usize, usize),
    /// Some messages arrive in the order in which they were sent.
    Deliver(usize),
    /// One arrives, whichever.
    DeliverAny(usize),
    Drop(usize),
    Double(usize),
    Tick(usize, u64),
    /// The disk or the replica of a shard gets so many commands.
    Replicate(usize, usize),
    Fsync(usize, usize),
    /// A process dies; with or without its disk.
    Kill(usize, bool),
    Restart(usize),
    /// The cluster notices who does not answer.
    Notice,
    /// A machine learns what the cluster knows.
    Learn(usize),
    /// A replica of a shard that failed takes over.
    Promote(usize),
    /// A replica takes over from a primary that lives.
    FailOver(usize),
    /// The network is cut: these are on one side.
    Cut(u8),
    Join,
    GiveSlots(usize),
    /// Two clusters become one.
    Meet,
    /// All is well for a while.
    Heal,
}

fn carry_out(world: &mut World, action: &Action) {
    match *action {
        Action::Load(at, name, refusing) => world.load(at, name, refusing),
        Action::Delete(at, name) => world.delete(at, name),
        Action::Inquire(at, name, refusing) => world.inquire(at, name, refusing),
        Action::Say(at, name) => world.say(at, name),
        Action::Call(from, to, name) => world.call(from, to, name),
        Action::Deliver(count) => world.deliver(count),
        Action::DeliverAny(which) => world.deliver_any(which),
        Action::Drop(which) => world.drop_message(which),
        Action::Double(which) => world.double(which),
        Action::Tick(at, ms) => world.tick(at, ms),
        Action::Replicate(at, count) => world.replicate(at, count),
        Action::Fsync(at, count) => world.fsync(at, count),
        Action::Kill(at, with_disk) => world.kill(at, with_disk),
        Action::Restart(at) => world.restart(at),
        Action::Notice => world.notice(),
        Action::Learn(at) => world.learn(at),
        Action::Promote(at) => world.promote(at),
        Action::FailOver(at) => world.fail_over(at),
        Action::Cut(side) => world.cut(side),
        Action::Join => world.join(),
        Action::GiveSlots(at) => world.give_slots(at),
        Action::Meet => world.meet(),
        Action::Heal => world.heal(),
    }
}

fn action(upheaval: u32, names: usize) -> impl Strategy<Value = Action> {
    let at = || 0usize..8;
    let name = move || 0..names;
    let which = || 0usize..40;
    let refusing = || prop_oneof![4 => Just(0u8), 1 => any::<u8>()];
    let ms = prop_oneof![4 => 0u64..1500, 1 => 1500u64..12_000];
    prop_oneof![
        14 => (at(), name(), refusing()).prop_map(|(at, name, refusing)| Action::Load(at, name, refusing)),
        14 => (at(), name()).prop_map(|(at, name)| Action::Delete(at, name)),
        2 => (at(), name(), refusing()).prop_map(|(at, name, refusing)| Action::Inquire(at, name, refusing)),
        1 => (at(), name()).prop_map(|(at, name)| Action::Say(at, name)),
        6 => (at(), at(), name()).prop_map(|(from, to, name)| Action::Call(from, to, name)),
        40 => (1usize..20).prop_map(Action::Deliver),
        30 => which().prop_map(Action::DeliverAny),
        3 => which().prop_map(Action::Drop),
        3 => which().prop_map(Action::Double),
        20 => (at(), ms).prop_map(|(at, ms)| Action::Tick(at, ms)),
        8 => (at(), 1usize..9).prop_map(|(at, count)| Action::Replicate(at, count)),
        8 => (at(), 1usize..9).prop_map(|(at, count)| Action::Fsync(at, count)),
        upheaval => (at(), prop::bool::weighted(0.7)).prop_map(|(at, disk)| Action::Kill(at, disk)),
        upheaval => at().prop_map(Action::Restart),
        2 * upheaval => Just(Action::Notice),
        2 * upheaval => at().prop_map(Action::Learn),
        upheaval => at().prop_map(Action::Promote),
        upheaval => at().prop_map(Action::FailOver),
        upheaval => any::<u8>().prop_map(Action::Cut),
        1 => Just(Action::Join),
        1 => at().prop_map(Action::GiveSlots),
        1 => Just(Action::Meet),
        1 => Just(Action::Heal),
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let of = |upheaval, names| prop::collection::vec(action(upheaval, names), 1..=STEPS);
    prop_oneof![of(1, 3), of(5, 3), of(1, 8), of(3, 8)]
}

/// Carries out so many sequences; gives the number of their steps.
fn check(cases: u32, actions: impl Strategy<Value = Vec<Action>>) -> u64 {
    let mut config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let seed = config.rng_seed;
    let (steps, told) = (AtomicU64::new(0), AtomicU64::new(0));
    let sequence = (3usize..6, any::<u64>(), any::<bool>(), actions);
    let result = TestRunner::new(config).run(&sequence, |(shards, chance, two, actions)| {
        let mut world = World::new(shards, chance, two);
        for action in &actions {
            carry_out(&mut world, action);
            world.check();
            steps.fetch_add(1, Ordering::Relaxed);
        }
        world.heal();
        told.fetch_add(world.done(), Ordering::Relaxed);
        Ok(())
    });
    let (steps, told) = (steps.into_inner(), told.into_inner());
    eprintln!("{steps} steps, {told} changes of which clients were told that they are done");
    if let Err(difference) = result {
        panic!("with the seed {seed}: {difference}");
    }
    assert!(
        told * 50 > steps,
        "the model changes too little to show anything"
    );
    steps
}

#[test]
fn all_shards_have_the_same_libraries_in_the_end_whatever_happens_in_whatever_order() {
    check(CASES, actions());
}
