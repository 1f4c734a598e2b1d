//! The entries of one stream that wait for one consumer's callback, beside that callback.
//!
//! Keeps the window: at most that many are with the callback at once, the others wait in order.
//! The items are whatever the owner keeps of an entry.

use std::collections::VecDeque;

/// Entries of one stream that wait for one consumer's callback, with its window.
#[derive(Debug)]
pub struct PrefetchQueue<T> {
    window: usize,
    in_flight: usize,
    waiting: VecDeque<T>,
}

impl<T> PrefetchQueue<T> {
    /// A prefetch queue without entries.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self {
            window,
            in_flight: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Changes the window; what is in flight beyond it ends first.
    pub fn set_window(&mut self, window: usize) {
        self.window = window;
    }

    /// Adds an entry behind those that wait.
    pub fn push(&mut self, item: T) {
        self.waiting.push_back(item);
    }

    /// Takes the next entry for the callback, unless the window is full or nothing waits.
    pub fn start(&mut self) -> Option<T> {
        if self.in_flight >= self.window {
            return None;
        }
        let item = self.waiting.pop_front()?;
        self.in_flight += 1;
        Some(item)
    }

    /// Notes that the callback is done with one entry.
    pub fn finish(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Takes out what waits.
    pub fn take_waiting(&mut self) -> VecDeque<T> {
        std::mem::take(&mut self.waiting)
    }

    /// Whether [`PrefetchQueue::start`] would give an entry.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.in_flight < self.window && !self.waiting.is_empty()
    }

    /// Entries that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits and nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_window_is_in_flight_and_order_is_kept() {
        let mut prefetch = PrefetchQueue::new(2);
        (1..=4).for_each(|n| prefetch.push(n));
        assert_eq!(
            (prefetch.start(), prefetch.start(), prefetch.start()),
            (Some(1), Some(2), None)
        );
        prefetch.finish();
        assert_eq!((prefetch.start(), prefetch.start()), (Some(3), None));
        assert_eq!(prefetch.waiting(), 1);
    }

    #[test]
    fn a_smaller_window_waits_for_what_is_in_flight() {
        let mut prefetch = PrefetchQueue::new(2);
        (1..=3).for_each(|n| prefetch.push(n));
        prefetch.start();
        prefetch.start();
        prefetch.set_window(1);
        prefetch.finish();
        assert!(!prefetch.is_ready());
        prefetch.finish();
        assert_eq!(prefetch.start(), Some(3));
        prefetch.finish();
        assert!(prefetch.is_idle());
    }
}
