//! When streams that were refused are tried again, fairly among their consumers.
//!
//! A stream waits for longer the more there are, so that very many take a small part of the time. That is for
//! the consumer to bear whose streams they are: one with few has them tried again soon, whatever others have. And
//! where more are due than are tried at once, consumers take turns.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use hashbrown::{HashMap, HashSet};

/// How long a stream that was refused waits at least, in milliseconds.
const PAUSE_MS: u64 = 200;

/// How many streams of a consumer are tried in a millisecond, as long as it is the only one whose streams are refused;
/// otherwise it has its share of that. Those of all consumers are at most twice as many.
const TRIED_IN_A_MS: u64 = 20;

/// Streams that were refused, by `S`, of consumers, by `C`; times in milliseconds.
#[derive(Clone, Debug)]
pub struct Retries<C, S> {
    waiting: HashSet<S>,
    /// Those of each consumer, the one first that is tried first, and when.
    queues: HashMap<C, VecDeque<(S, u64)>>,
    /// When each consumer has its next turn; of those at the same time, who waits for longest comes first.
    turns: BTreeMap<(u64, u64), C>,
    turn: u64,
}

impl<C, S> Default for Retries<C, S> {
    fn default() -> Self {
        Self {
            waiting: HashSet::new(),
            queues: HashMap::new(),
            turns: BTreeMap::new(),
            turn: 0,
        }
    }
}

impl<C: Copy + Eq + Hash, S: Copy + Eq + Hash> Retries<C, S> {
    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// A stream of a consumer was refused.
    pub fn refused(&mut self, now: u64, consumer: C, stream: S) {
        if !self.waiting.insert(stream) {
            return;
        }
        let consumers = self.queues.len();
        let queue = self.queues.entry(consumer).or_default();
        let is_first = queue.is_empty();
        let consumers = consumers + usize::from(is_first);
        let pause = pause_ms(queue.len() + 1, consumers, self.waiting.len());
        // A queue keeps its order, also where there were more before.
        let last = queue.back().map_or(0, |(_, until)| *until);
        let until = last.max(now + pause);
        queue.push_back((stream, until));
        if is_first {
            self.give_turn(until, consumer);
        }
    }

    /// Takes the next one that has waited for long enough.
    pub fn next_due(&mut self, now: u64) -> Option<S> {
        if !self.is_any_due(now) {
            return None;
        }
        let (_, consumer) = self.turns.pop_first()?;
        let queue = self.queues.get_mut(&consumer)?;
        let (stream, _) = queue.pop_front()?;
        self.waiting.remove(&stream);
        match queue.front().map(|(_, until)| *until) {
            // It lines up behind all who have waited.
            Some(until) => self.give_turn(until.max(now), consumer),
            None => {
                self.queues.remove(&consumer);
            }
        }
        Some(stream)
    }

    /// Whether one has waited for long enough.
    #[must_use]
    pub fn is_any_due(&self, now: u64) -> bool {
        let first = self.turns.first_key_value();
        first.is_some_and(|((until, _), _)| *until <= now)
    }

    fn give_turn(&mut self, at: u64, consumer: C) {
        self.turn += 1;
        self.turns.insert((at, self.turn), consumer);
    }
}

/// How long a stream waits: `own` are refused of its consumer, `all` of so many `consumers`.
fn pause_ms(own: usize, consumers: usize, all: usize) -> u64 {
    // A consumer's share is what it has with others that have as many, and no less than if all were its own.
    let counted = own.saturating_mul(consumers).min(all);
    let counted = u64::try_from(counted).unwrap_or(u64::MAX);
    PAUSE_MS.max(counted / TRIED_IN_A_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT_ONCE: usize = 256;

    /// Tries what is due again and again, and has it refused each time, in iterations that take `step` milliseconds.
    /// Gives how long each consumer's streams waited at most, and how many were tried.
    fn wait(counts: &[usize], step: u64, iterations: u64) -> (Vec<u64>, u64) {
        let mut retries = Retries::default();
        let mut refused_at = HashMap::new();
        for (consumer, count) in counts.iter().enumerate() {
            for number in 0..*count {
                retries.refused(0, consumer, (consumer, number));
                refused_at.insert((consumer, number), 0);
            }
        }
        let mut longest = vec![0; counts.len()];
        let mut tried = 0;
        for now in (1..=iterations).map(|turn| turn * step) {
            let mut again = Vec::new();
            while again.len() < AT_ONCE
                && let Some(stream) = retries.next_due(now)
            {
                again.push(stream);
            }
            tried += again.len() as u64;
            for stream in again {
                let since = refused_at.insert(stream, now).expect("it was refused");
                longest[stream.0] = longest[stream.0].max(now - since);
                retries.refused(now, stream.0, stream);
            }
        }
        // Who still waits counts as well.
        let end = iterations * step;
        for ((consumer, _), since) in refused_at {
            longest[consumer] = longest[consumer].max(end - since);
        }
        (longest, tried)
    }

    #[test]
    fn a_few_are_tried_again_soon_and_very_many_take_longer() {
        assert_eq!(pause_ms(1, 1, 1), 200);
        assert_eq!(pause_ms(4000, 1, 4000), 200);
        assert_eq!(pause_ms(200_000, 1, 200_000), 10_000);
        assert_eq!(pause_ms(200_000, 2, 200_003), 10_000);
        assert_eq!(pause_ms(3, 2, 200_003), 200);
        assert_eq!(pause_ms(1000, 200, 200_000), 10_000);
    }

    #[test]
    fn a_consumer_with_few_waits_for_none_with_very_many() {
        let (longest, tried) = wait(&[200_000, 3, 40], 10, 3000);
        assert!(longest[1] <= 220 && longest[2] <= 220, "{longest:?}");
        assert!((10_000..12_000).contains(&longest[0]), "{longest:?}");
        assert!(tried <= 31_000 * TRIED_IN_A_MS, "{tried}");
    }

    #[test]
    fn consumers_take_turns_where_more_are_due_than_are_tried() {
        // 256 in 100 ms are a tenth of what is due.
        let (longest, _) = wait(&[200_000, 3, 40], 100, 300);
        assert!(longest[1] <= 400 && longest[2] <= 400, "{longest:?}");
    }

    #[test]
    fn what_is_refused_twice_waits_once() {
        let mut retries = Retries::default();
        retries.refused(0, 'c', 's');
        retries.refused(100, 'c', 's');
        assert!(!retries.is_any_due(199));
        assert_eq!(retries.next_due(200), Some('s'));
        assert_eq!(retries.next_due(1000), None);
        assert!(retries.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 8 } else { 64 }))]

        #[test]
        fn few_are_tried_within_a_second_and_all_together_not_too_often(
            large in prop::collection::vec(1000usize..30_000, 0..4),
            small in prop::collection::vec(1usize..50, 1..20),
            step in 1u64..10,
        ) {
            let counts: Vec<_> = large.iter().chain(&small).copied().collect();
            let iterations = 5000 / step;
            let (longest, tried) = wait(&counts, step, iterations);
            for longest in &longest[large.len()..] {
                prop_assert!(*longest <= 1000, "{longest} of {counts:?}");
            }
            let most = iterations * step * 2 * TRIED_IN_A_MS;
            prop_assert!(tried <= most, "{tried} of {most}");
        }
    }
}
