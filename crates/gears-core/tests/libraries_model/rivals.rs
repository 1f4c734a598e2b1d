//! Clients that change the same library at once, on several shards, and try again without a pause.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::machine::LIMITS;
use super::world::{Sent, World};

/// Messages that arrive while nothing is done, at most: some meetings' worth, and what has to be asked for again.
const IDLE_MAX: usize = 3000;

/// In which order messages arrive.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// As they were sent.
    Sent,
    /// Those of each connection as they were sent.
    Connections,
    /// By chance.
    Chance,
}

impl World {
    /// Has a client at each of these shards make so many changes, of one library or of two. All shards are up and no
    /// message is lost. As long as messages come in their order, no time passes: nothing has to be waited for.
    fn race(&mut self, clients: &[usize], changes: u64, order: Order, names: usize) {
        let begin: Vec<u64> = clients.iter().map(|at| self.done_at(*at)).collect();
        let (mut idle, mut done) = (0, self.done());
        loop {
            let (mut is_over, mut waits) = (true, false);
            for (client, (at, begin)) in clients.iter().zip(&begin).enumerate() {
                if self.done_at(*at) - begin == changes {
                    continue;
                }
                is_over = false;
                if !self.reference.is_open(self.shards[*at].id) {
                    match self.seed() >> 33 & 7 {
                        0 => self.delete(*at, client % names),
                        _ => self.load(*at, client % names, 0),
                    }
                }
                waits |= self.reference.is_open(self.shards[*at].id);
            }
            if is_over {
                return;
            }
            if self.wire.is_empty() && waits {
                // What was overtaken is asked for again after a while.
                assert!(matches!(order, Order::Chance), "they wait for each other");
                self.now += LIMITS.resend_ms;
                (0..self.shards.len()).for_each(|at| self.tick(at, 0));
            }
            if matches!(order, Order::Chance) {
                let at = self.any();
                self.tick(at, 5);
            }
            let which = match order {
                Order::Sent => 0,
                Order::Chance => self.any(),
                Order::Connections => {
                    let any = self.any();
                    self.first_of(any)
                }
            };
            self.deliver_any(which);
            self.check();
            idle += 1;
            if self.done() > done {
                (idle, done) = (0, self.done());
            }
            assert!(idle < IDLE_MAX, "all refuse each other");
        }
    }

    fn any(&mut self) -> usize {
        usize::try_from(self.seed() >> 40).expect("it is small")
    }

    /// The first message of the connection of one.
    fn first_of(&self, which: usize) -> usize {
        let Some(one) = self.wire.get(which % self.wire.len().max(1)) else {
            return 0;
        };
        let is_of = |other: &Sent| (other.from, other.to) == (one.from, one.to);
        self.wire.iter().position(is_of).unwrap_or_default()
    }

    fn done_at(&self, at: usize) -> u64 {
        let done = self.reference.done.get(&self.shards[at].id);
        done.copied().unwrap_or_default()
    }
}

#[test]
fn of_changes_that_meet_one_is_made() {
    let order = prop_oneof![1 => Just(Order::Sent), 2 => Just(Order::Connections), 2 => Just(Order::Chance)];
    let race = (
        3usize..6,
        any::<u64>(),
        2usize..5,
        prop::option::of(any::<bool>()),
        1usize..3,
        order,
    );
    let config = Config {
        failure_persistence: None,
        cases: if cfg!(debug_assertions) { 20 } else { 200 },
        ..Config::default()
    };
    let seed = config.rng_seed;
    let result =
        TestRunner::new(config).run(&race, |(shards, chance, clients, joins, names, order)| {
            // The first library of all also meets those of other names.
            let mut world = match joins {
                None => World::empty(shards, chance),
                Some(_) => World::new(shards, chance, false),
            };
            let mut clients: Vec<usize> = (0..clients.min(shards)).collect();
            if joins == Some(true) {
                // A node without slots is asked for no promise, but may be asked for a change.
                world.join();
                world.heal();
                clients.push(shards);
            }
            world.race(&clients, 5, order, names);
            world.heal();
            Ok(())
        });
    if let Err(difference) = result {
        panic!("with the seed {seed}: {difference}");
    }
}
