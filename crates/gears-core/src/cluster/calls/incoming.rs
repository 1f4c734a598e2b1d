//! The calls that other nodes made here.
//!
//! A call is known by its caller's process and its number there, until its caller has taken how it
//! ended, or some time after it must have given up. So one that comes again is not run again.

use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds for which a call is known after its time is over: what was sent before may still be on
/// its way.
const KNOWN_MS: u64 = 60_000;

/// A call: the node, its process, and the call's number there.
pub type IncomingKey<N, P> = (N, P, u64);

/// What is to be done with a call that has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new: it is to be run, or to be refused.
    Run,
    /// It runs.
    Runs,
    /// It has ended: that is to be told again.
    Ended(Vec<u8>),
}

#[derive(Debug)]
struct Known {
    /// How it ended, as the message that tells it.
    ended: Option<Vec<u8>>,
    until_ms: u64,
}

/// The calls that other nodes made here.
#[derive(Debug)]
pub struct Incoming<N, P> {
    known: BTreeMap<IncomingKey<N, P>, Known>,
    /// When they are forgotten.
    times: BTreeSet<(u64, IncomingKey<N, P>)>,
}

impl<N, P> Default for Incoming<N, P> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            times: BTreeSet::new(),
        }
    }
}

impl<N: Clone + Ord, P: Clone + Ord> Incoming<N, P> {
    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// A call has come that has so many milliseconds left.
    pub fn on_request(
        &mut self,
        now_ms: u64,
        key: &IncomingKey<N, P>,
        remaining_ms: u64,
    ) -> Verdict {
        if let Some(known) = self.known.get(key) {
            return match &known.ended {
                Some(ended) => Verdict::Ended(ended.clone()),
                None => Verdict::Runs,
            };
        }
        let until_ms = now_ms.saturating_add(remaining_ms).saturating_add(KNOWN_MS);
        self.times.insert((until_ms, key.clone()));
        let ended = None;
        self.known.insert(key.clone(), Known { ended, until_ms });
        Verdict::Run
    }

    /// A call was refused, or is late: it has not run. It may come again.
    pub fn refuse(&mut self, key: &IncomingKey<N, P>) {
        self.forget(key);
    }

    /// A call has ended; `message` tells it. False where nobody waits for that any more.
    pub fn end(&mut self, key: &IncomingKey<N, P>, message: Vec<u8>) -> bool {
        match self.known.get_mut(key) {
            Some(known) => {
                known.ended = Some(message);
                true
            }
            None => false,
        }
    }

    /// The caller knows how it ended.
    pub fn on_taken(&mut self, key: &IncomingKey<N, P>) {
        self.forget(key);
    }

    /// A node can be reached again; gives the messages about calls that have ended and that it may not
    /// have heard of. Another process of it knows nothing of the calls of the one before.
    pub fn on_peer_up(&mut self, node: &N, process: &P) -> Vec<Vec<u8>> {
        let others: Vec<_> = self
            .known
            .iter()
            .filter(|((of, by, _), known)| of == node && by != process && known.ended.is_some())
            .map(|(key, _)| key.clone())
            .collect();
        for key in others {
            self.forget(&key);
        }
        self.known
            .iter()
            .filter(|((of, by, _), _)| of == node && by == process)
            .filter_map(|(_, known)| known.ended.clone())
            .collect()
    }

    /// Forgets what is of no use any more.
    pub fn sweep(&mut self, now_ms: u64) {
        while let Some((until_ms, _)) = self.times.first()
            && *until_ms <= now_ms
        {
            if let Some((_, key)) = self.times.pop_first() {
                self.known.remove(&key);
            }
        }
    }

    fn forget(&mut self, key: &IncomingKey<N, P>) {
        if let Some(known) = self.known.remove(key) {
            self.times.remove(&(known.until_ms, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming() -> Incoming<u8, u8> {
        Incoming::default()
    }

    #[test]
    fn a_call_that_comes_again_is_not_run_again() {
        let mut calls = incoming();
        let key = (1, 1, 7);
        assert_eq!(calls.on_request(0, &key, 100), Verdict::Run);
        assert_eq!(calls.on_request(1, &key, 99), Verdict::Runs);
        assert!(calls.end(&key, b"end".to_vec()));
        assert_eq!(
            calls.on_request(2, &key, 98),
            Verdict::Ended(b"end".to_vec())
        );
        assert_eq!(calls.on_request(2, &(1, 2, 7), 98), Verdict::Run);
        calls.on_taken(&key);
        calls.refuse(&(1, 2, 7));
        assert!(calls.is_empty());
    }

    #[test]
    fn ends_are_told_again_to_the_process_that_asked_and_to_no_other() {
        let mut calls = incoming();
        for process in [1, 2] {
            calls.on_request(0, &(1, process, 7), 100);
            calls.end(&(1, process, 7), vec![process]);
        }
        calls.on_request(0, &(1, 2, 8), 100);
        assert_eq!(calls.on_peer_up(&1, &2), [vec![2]]);
        assert_eq!(calls.on_peer_up(&1, &1), [[0u8; 0]; 0]);
        assert_eq!(calls.len(), 1, "what runs is known until it has ended");
    }

    #[test]
    fn calls_are_forgotten_some_time_after_their_own() {
        let mut calls = incoming();
        calls.on_request(0, &(1, 1, 7), 100);
        calls.sweep(100 + KNOWN_MS - 1);
        assert_eq!(calls.len(), 1);
        calls.sweep(100 + KNOWN_MS);
        assert!(calls.is_empty());
        assert!(!calls.end(&(1, 1, 7), Vec::new()));
    }
}
