//! Remote calls between nodes over a simulated wire, which loses connections in the middle of messages,
//! between nodes that are stopped, start anew, fail, and give their keys to others.
//!
//! What has to hold: a call ends once, in its time, while its caller lives. It runs once at most,
//! wherever that is, in a library no older than its caller's; not at all where its end says so. A result is that of the call which gets it. In
//! the end nothing is kept of any call: no memory, no number, no message.
//!
//! ```text
//! main   the steps, and what has to hold in the end
//! world  the nodes, what is between them, and what is known of every call
//! node   one node: what `src/remote` does with the parts of the core
//! ```

mod node;
mod world;

use proptest::prelude::*;

use world::{Cut, Ending, NODES, Size, Step, UNLIMITED_MS, World};

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![6 => Just(Size::Small), 2 => Just(Size::Large), 1 => Just(Size::TooLarge)]
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        4 => size().prop_map(Ending::Result),
        1 => Just(Ending::Throws),
    ]
}

fn cut() -> impl Strategy<Value = Cut> {
    // Which of the first messages arrive though nobody says so, and how many are on their way.
    (0_usize..4, any::<u8>(), any::<bool>()).prop_map(|(sent, arrives, at_once)| Cut {
        sent,
        arrives,
        at_once,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    let index = any::<prop::sample::Index>;
    let timeout = prop_oneof![
        1 => Just(0_u64),
        1 => 1_u64..100,
        1 => 100_u64..3000,
        1 => 3000_u64..40_000,
        2 => Just(UNLIMITED_MS),
    ];
    prop_oneof![
        6 => prop_oneof![6 => 1_u64..300, 2 => 300_u64..3000, 1 => 3000_u64..90_000].prop_map(Step::Wait),
        12 => (node(), node(), any::<bool>(), timeout, size())
            .prop_map(|(from, place, by_key, timeout_ms, size)| Step::Begin { from, place, by_key, timeout_ms, size }),
        10 => node().prop_map(Step::Tick),
        16 => (node(), node(), index()).prop_map(|(from, to, which)| Step::Carry(from, to, which)),
        10 => (node(), index()).prop_map(|(node, which)| Step::Start(node, which)),
        10 => (node(), index(), ending()).prop_map(|(node, which, ending)| Step::End(node, which, ending)),
        3 => (node(), node(), cut()).prop_map(|(from, to, cut)| Step::Break(from, to, cut)),
        4 => (node(), node()).prop_map(|(from, to)| Step::Connect(from, to)),
        1 => node().prop_map(Step::Restart),
        2 => (node(), any::<bool>()).prop_map(|(node, is)| Step::Stop(node, is)),
        1 => (node(), any::<bool>()).prop_map(|(node, is)| Step::Fail(node, is)),
        2 => (node(), node()).prop_map(|(place, to)| Step::Move(place, to)),
        2 => node().prop_map(Step::Upgrade),
        2 => node().prop_map(Step::Learn),
        2 => (node(), any::<bool>(), any::<bool>()).prop_map(|(node, refuses, for_good)| Step::Refuse { node, refuses, for_good }),
    ]
}

#[test]
fn a_call_waits_for_the_library_of_its_caller_which_the_shard_fetches() {
    let mut world = World::new();
    world.connect_all();
    let begin = Step::Begin {
        from: 0,
        place: 1,
        by_key: true,
        timeout_ms: 5000,
        size: Size::Small,
    };
    for step in [Step::Tick(0), Step::Upgrade(0), begin, Step::Tick(0)] {
        world.apply(step);
    }
    // The call overtakes what is said of the library.
    world.carry(0, 1, |count| count - 1);
    world.apply(Step::Tick(1));
    world.start(1, |_| 0);
    assert_eq!(world.runs(0), 0, "it has run in an older library");
    // It is refused for now, and the library is asked for: that comes, and then the call again.
    for _ in 0..20 {
        for (from, to) in [(1, 0), (0, 1)] {
            for _ in 0..5 {
                world.carry(from, to, |_| 0);
            }
        }
        for step in [Step::Wait(10), Step::Tick(0), Step::Tick(1)] {
            world.apply(step);
        }
    }
    world.start(1, |_| 0);
    world.end(1, |_| 0, Ending::Result(Size::Small));
    assert_eq!(world.runs(0), 1);
    world.heal();
    world.check();
}

#[test]
fn a_question_that_is_overtaken_by_what_tells_that_the_end_was_taken_does_not_run_the_call_again() {
    let mut world = World::new();
    world.connect_all();
    world.apply(Step::Begin {
        from: 0,
        place: 1,
        by_key: true,
        timeout_ms: 5000,
        size: Size::Small,
    });
    world.apply(Step::Tick(0));
    while world.carry(0, 1, |_| 0) {
        world.apply(Step::Tick(1));
    }
    world.start(1, |_| 0);
    assert_eq!(world.runs(0), 1);
    // The shard has another connection to its caller, which asks once more.
    let cut = Cut {
        sent: 0,
        arrives: 0,
        at_once: false,
    };
    for step in [
        Step::Break(1, 0, cut),
        Step::Connect(1, 0),
        Step::Tick(1),
        Step::Tick(0),
    ] {
        world.apply(step);
    }
    world.end(1, |_| 0, Ending::Result(Size::Small));
    while world.carry(1, 0, |_| 0) {}
    world.apply(Step::Tick(0));
    // What was sent last is there first.
    while world.carry(0, 1, |count| count - 1) {
        world.apply(Step::Tick(1));
    }
    world.start(1, |_| 0);
    world.heal();
    world.check();
}

proptest! {
    // As many as `PROPTEST_CASES` says, twice.
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    #[test]
    fn a_call_ends_once_and_runs_once_at_most(steps in prop::collection::vec(step(), 1..400)) {
        let mut world = World::new();
        world.connect_all();
        for step in steps {
            world.apply(step);
        }
        world.heal();
        world.check();
    }
}
