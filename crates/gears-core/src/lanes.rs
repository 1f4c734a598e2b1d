//! What waits for its turn, small things before large ones: a large one takes as long as thousands of
//! small ones, which are not to wait for it. Of each kind what came first goes first, and now and then
//! a large one goes though small ones wait: so none waits for ever.

use std::collections::VecDeque;
use std::time::Duration;

/// Bytes up to which something is small.
const SMALL: usize = 16 * 1024;

/// After so many small ones a large one has its turn: they take about as long.
const IN_A_ROW: u32 = 1000;

/// For how long a large thing lets small ones of another kind go first, see [`Patience`].
const PATIENCE: Duration = Duration::from_millis(50);

/// When something large has its turn that waits beside small things of another kind.
#[derive(Debug, Default)]
pub struct Patience {
    /// By the clock of whoever asks.
    since: Option<Duration>,
}

impl Patience {
    /// Whether it has its turn at that time: where no small thing waits, or it has let them go first for long enough.
    pub fn is_over(&mut self, now: Duration, small_wait: bool) -> bool {
        let since = *self.since.get_or_insert(now);
        let is_over = !small_wait || now.saturating_sub(since) >= PATIENCE;
        if is_over {
            self.since = None;
        }
        is_over
    }
}

/// What waits, in two lanes.
#[derive(Debug)]
pub struct Lanes<T> {
    small: VecDeque<T>,
    large: VecDeque<T>,
    in_a_row: u32,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            small: VecDeque::new(),
            large: VecDeque::new(),
            in_a_row: 0,
        }
    }
}

impl<T> Lanes<T> {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.small.is_empty() && self.large.is_empty()
    }

    /// How many large ones wait.
    #[must_use]
    pub fn large(&self) -> usize {
        self.large.len()
    }

    /// Adds something of so many bytes.
    pub fn push(&mut self, bytes: usize, one: T) {
        if bytes <= SMALL {
            self.small.push_back(one);
        } else {
            self.large.push_back(one);
        }
    }

    /// Takes what is next.
    pub fn pop(&mut self) -> Option<T> {
        self.take_next().map(|(one, _)| one)
    }

    /// The same, and whether it is large.
    fn take_next(&mut self) -> Option<(T, bool)> {
        if (self.large.is_empty() || self.in_a_row < IN_A_ROW)
            && let Some(one) = self.small.pop_front()
        {
            self.in_a_row += 1;
            return Some((one, false));
        }
        self.in_a_row = 0;
        let one = self.large.pop_front()?;
        Some((one, true))
    }

    /// Takes small ones, at most so many.
    #[must_use]
    pub fn take_small(&mut self, most: usize) -> Vec<T> {
        let most = most.min(self.small.len());
        self.small.drain(..most).collect()
    }

    /// Takes what is next, at most so many, and one large one at most, which is the last then.
    #[must_use]
    pub fn take(&mut self, most: usize) -> Vec<T> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((one, is_large)) = self.take_next()
        {
            taken.push(one);
            if is_large {
                break;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(small: u32, large: u32) -> Lanes<u32> {
        let mut lanes = Lanes::default();
        for number in 0..large {
            lanes.push(SMALL + 1, 1000 + number);
        }
        for number in 0..small {
            lanes.push(SMALL, number);
        }
        lanes
    }

    #[test]
    fn small_ones_go_first_and_each_kind_in_its_order() {
        let mut lanes = lanes(3, 2);
        let all: Vec<_> = std::iter::from_fn(|| lanes.pop()).collect();
        assert_eq!(all, [0, 1, 2, 1000, 1001]);
        assert!(lanes.is_empty());
    }

    #[test]
    fn a_large_one_does_not_wait_for_ever() {
        let mut lanes = lanes(0, 1);
        let waited = (0..).take_while(|number| {
            lanes.push(1, *number);
            lanes.pop() != Some(1000)
        });
        assert_eq!(waited.count(), IN_A_ROW as usize);
    }

    #[test]
    fn small_ones_can_be_taken_alone() {
        let mut lanes = lanes(3, 2);
        assert_eq!(lanes.take_small(2), [0, 1]);
        assert_eq!(lanes.take_small(9), [2]);
        assert_eq!(lanes.take_small(9), [0; 0]);
        assert_eq!(lanes.large(), 2);
    }

    #[test]
    fn a_large_one_lets_small_ones_of_another_kind_go_first_and_not_for_ever() {
        let mut patience = Patience::default();
        let begin = Duration::ZERO;
        for turn in 0..3 {
            let since = begin + PATIENCE * 2 * turn;
            assert!(!patience.is_over(since, true));
            assert!(!patience.is_over(
                since + PATIENCE.saturating_sub(Duration::from_nanos(1)),
                true
            ));
            assert!(patience.is_over(since + PATIENCE, true));
        }
        assert!(!patience.is_over(begin, true));
        assert!(patience.is_over(begin, false));
        assert!(!patience.is_over(begin + PATIENCE, true));
    }

    #[test]
    fn a_large_one_is_the_last_of_those_that_are_taken_together() {
        let mut lanes = lanes(3, 2);
        assert_eq!(lanes.take(2), [0, 1]);
        assert_eq!(lanes.take(9), [2, 1000]);
        assert_eq!(lanes.take(9), [1001]);
        assert_eq!(lanes.take(9), [0; 0]);
    }
}
