//! What happened and waits for one trigger's callback, within bounds, and what is counted of it.
//!
//! A trigger that is slower than the clients would pile up events without an end. So what is more
//! than the bounds is dropped when it happens, and counted: what waits already came first, and is
//! dispatched whole. `triggered = finished + dropped + running + waiting`, at any time.

use std::collections::VecDeque;
use std::sync::Arc;

/// How much may wait for one trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogLimits {
    /// Events that wait or are with the callback.
    pub length: usize,
    /// Bytes of those that wait.
    pub bytes: usize,
}

/// What is counted for a trigger. Times are whole milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TriggerStats {
    /// Events that concerned it.
    pub triggered: u64,
    /// Those that the callback is done with, failed ones included.
    pub finished: u64,
    /// Those among them that failed.
    pub failed: u64,
    /// Events that were dropped.
    pub dropped: u64,
    /// The last thing that went wrong.
    pub last_error: Option<Arc<str>>,
    /// Whether the last callback that ended failed.
    pub failing: bool,
    /// Time from the event to the end of its callback, of the last one finished.
    pub last_ms: u64,
    /// The same, summed over all.
    pub total_ms: u64,
}

impl TriggerStats {
    /// Average time; 0 before the first.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an average for people to read")]
    pub fn average_ms(&self) -> f64 {
        if self.finished == 0 {
            0.0
        } else {
            self.total_ms as f64 / self.finished as f64
        }
    }
}

/// The events that wait for one trigger's callback, with bounds and counts.
#[derive(Debug)]
pub struct Backlog<T> {
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    running: usize,
    /// What was counted.
    pub stats: TriggerStats,
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            running: 0,
            stats: TriggerStats::default(),
        }
    }
}

impl<T> Backlog<T> {
    /// Whether there is room for an event of so many bytes.
    #[must_use]
    pub fn has_room(&self, bytes: usize, bounds: BacklogLimits) -> bool {
        self.room(bounds).is_some_and(|room| bytes <= room)
    }

    /// How many bytes another event may have; `None` where there may be none.
    #[must_use]
    pub fn room(&self, bounds: BacklogLimits) -> Option<usize> {
        let length = self.waiting.len() + self.running;
        let is_free = length < bounds.length;
        is_free.then(|| bounds.bytes.saturating_sub(self.bytes))
    }

    /// Takes an event of so many bytes, for which there is room.
    pub fn push(&mut self, event: T, bytes: usize) {
        self.stats.triggered += 1;
        self.bytes += bytes;
        self.waiting.push_back((event, bytes));
    }

    /// Counts an event that is dropped, for this reason.
    pub fn lose(&mut self, reason: &str) {
        self.stats.triggered += 1;
        self.stats.dropped += 1;
        self.stats.last_error = Some(reason.into());
    }

    /// Counts an event that is not even queued, for want of something it needs.
    pub fn refuse(&mut self, error: Arc<str>) {
        self.stats.triggered += 1;
        self.running += 1;
        self.end(0, Some(error));
    }

    /// The event that has waited longest.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.waiting.front().map(|(event, _)| event)
    }

    /// The events that wait, the longest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter().map(|(event, _)| event)
    }

    /// The event that has waited longest, for the callback: [`Backlog::end`] is to follow.
    pub fn take(&mut self) -> Option<T> {
        let (event, bytes) = self.waiting.pop_front()?;
        self.bytes -= bytes;
        self.running += 1;
        Some(event)
    }

    /// Takes out all for which this holds, in order, for the callback as with [`Backlog::take`].
    pub fn take_where(&mut self, is_wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let (taken, kept): (VecDeque<_>, _) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(event, _)| is_wanted(event));
        self.waiting = kept;
        self.bytes -= taken.iter().map(|(_, bytes)| bytes).sum::<usize>();
        self.running += taken.len();
        taken.into_iter().map(|(event, _)| event).collect()
    }

    /// The callback is done with an event, so many milliseconds after it happened.
    pub fn end(&mut self, took_ms: u64, error: Option<Arc<str>>) {
        self.running = self.running.saturating_sub(1);
        self.stats.finished += 1;
        self.stats.last_ms = took_ms;
        self.stats.total_ms = self.stats.total_ms.saturating_add(took_ms);
        self.stats.failing = error.is_some();
        if error.is_some() {
            self.stats.failed += 1;
            self.stats.last_error = error;
        }
    }

    /// Drops all that waits, for this reason; how many.
    pub fn clear(&mut self, reason: &str) -> usize {
        let count = self.waiting.len();
        if count > 0 {
            self.stats.dropped += count as u64;
            self.stats.last_error = Some(reason.into());
        }
        self.waiting.clear();
        self.bytes = 0;
        count
    }

    /// Counts anew. What is not finished yet counts as if it had just happened.
    pub fn clear_stats(&mut self) {
        self.stats = TriggerStats {
            triggered: (self.waiting.len() + self.running) as u64,
            ..TriggerStats::default()
        };
    }

    /// Events that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: BacklogLimits = BacklogLimits {
        length: 3,
        bytes: 10,
    };

    /// Whether there was room for it.
    fn push<T>(backlog: &mut Backlog<T>, event: T, bytes: usize) -> bool {
        let has_room = backlog.has_room(bytes, BOUNDS);
        if has_room {
            backlog.push(event, bytes);
        } else {
            backlog.lose("no room");
        }
        has_room
    }

    #[test]
    fn what_has_no_room_is_dropped_and_what_waits_is_kept() {
        let mut backlog = Backlog::default();
        let pushed: Vec<_> = (0..4).map(|n| push(&mut backlog, n, 2)).collect();
        assert_eq!(pushed, [true, true, true, false]);
        assert_eq!((backlog.take(), backlog.waiting()), (Some(0), 2));
        assert!(!push(&mut backlog, 4, 1), "one is running");
        backlog.end(5, None);
        assert!(!push(&mut backlog, 5, 7), "too large");
        assert!(push(&mut backlog, 6, 6));
        assert_eq!(
            std::iter::from_fn(|| backlog.take()).collect::<Vec<_>>(),
            [1, 2, 6]
        );
        assert_eq!(backlog.stats.dropped, 3);
    }

    #[test]
    fn times_and_errors_are_counted() {
        let mut backlog = Backlog::default();
        assert!(backlog.stats.average_ms().abs() < f64::EPSILON);
        for (took, error) in [(2, None), (5, Some("boom".into())), (2, None)] {
            assert!(push(&mut backlog, (), 1));
            backlog.take();
            backlog.end(took, error);
        }
        let stats = &backlog.stats;
        assert_eq!((stats.finished, stats.failed), (3, 1));
        assert_eq!((stats.last_ms, stats.total_ms), (2, 9));
        assert!((stats.average_ms() - 3.0).abs() < f64::EPSILON);
        assert_eq!(stats.last_error.as_deref(), Some("boom"));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Push(usize),
        Take,
        TakeEven,
        End,
        Clear,
        Refuse,
        ClearStats,
    }

    proptest! {
        #[test]
        fn every_event_is_counted_once_and_the_bounds_hold(
            steps in prop::collection::vec(
                prop_oneof![
                    4 => (0usize..6).prop_map(Step::Push),
                    2 => Just(Step::Take),
                    1 => Just(Step::TakeEven),
                    2 => Just(Step::End),
                    1 => Just(Step::Clear),
                    1 => Just(Step::Refuse),
                    1 => Just(Step::ClearStats),
                ],
                0..200,
            ),
        ) {
            let mut backlog = Backlog::default();
            let mut waiting = VecDeque::new();
            let mut running = 0;
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push(bytes) => {
                        let sum: usize = waiting.iter().map(|(_, bytes)| bytes).sum();
                        let room = waiting.len() + running < BOUNDS.length
                            && sum + bytes <= BOUNDS.bytes;
                        prop_assert_eq!(push(&mut backlog, number, bytes), room);
                        if room {
                            waiting.push_back((number, bytes));
                        }
                    }
                    Step::Take => {
                        let taken = waiting.pop_front().map(|(number, _)| number);
                        running += usize::from(taken.is_some());
                        prop_assert_eq!(backlog.take(), taken);
                    }
                    Step::TakeEven => {
                        let is_even = |number: &usize| number.is_multiple_of(2);
                        let taken: Vec<_> = waiting.iter().map(|(number, _)| *number).filter(is_even).collect();
                        waiting.retain(|(number, _)| !is_even(number));
                        running += taken.len();
                        prop_assert_eq!(backlog.take_where(is_even), taken);
                    }
                    Step::End if running > 0 => {
                        running -= 1;
                        backlog.end(1, None);
                    }
                    Step::End => {}
                    Step::Clear => {
                        prop_assert_eq!(backlog.clear("why"), waiting.len());
                        waiting.clear();
                    }
                    Step::Refuse => backlog.refuse("no".into()),
                    Step::ClearStats => backlog.clear_stats(),
                }
                let stats = &backlog.stats;
                prop_assert_eq!(
                    stats.triggered,
                    stats.finished + stats.dropped + (running + waiting.len()) as u64
                );
            }
        }
    }
}
