//! The calls that other nodes made here.
//!
//! A call is known by its caller's process and its number there, until its caller has taken how it
//! ended, or some time after it must have given up. So one that comes again is not run again.
//!
//! What is kept of a call is bounded, whatever the function does: once its time is over nobody waits
//! for its result, which is dropped; that it was there is known a little longer. How many there are,
//! and what they take, is bounded too: what finds no place is refused, and has not run. One library does not take the
//! places of all others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::message::{Request, Taken};
use super::shares::Shares;
use crate::cluster::Payload;

/// Milliseconds behind a call's time after which its caller has certainly given up: the time runs from
/// when the call came, which is later than when it was sent.
const GRACE_MS: u64 = 1000;

/// Milliseconds for which a call is known after its time is over: what was sent before may still be on
/// its way.
const KNOWN_MS: u64 = 60_000;

/// Milliseconds for which the end of a call is kept for a node that was taken for failed, where the call has more time
/// than that: it may only have been stopped, and wait.
const FAILED_MS: u64 = 600_000;

/// Time that goes by between two looks counts up to so many milliseconds. A process that was stopped
/// finds messages when it goes on that came before and while it was: none of their calls may be
/// forgotten by then.
const STEP_MS: u64 = 1000;

/// A call: the node, its process, and the call's number there.
pub type IncomingKey<N, P> = (N, P, u64);

/// What there may be at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Calls that are known, of all libraries; of one alone half as many.
    pub calls: usize,
    /// Bytes of the arguments of those that run, or wait for that.
    pub arguments: usize,
    /// Bytes of results that their callers have not taken.
    pub results: usize,
    /// Bytes of a call's arguments. Where there are more, its caller is told at once that it runs: should the connection
    /// be lost, it does not send them again to ask. Of others it hears when they end, or when it asks.
    pub untold: usize,
}

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Calls that run, or wait for that, and whose time is not over.
    pub running: usize,
    /// Bytes of their arguments.
    pub arguments: usize,
    /// Calls that are known, also such as have ended.
    pub known: usize,
    /// Bytes of results that their callers have not taken.
    pub results: usize,
}

/// What is to be done with a call that has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new: it is to be run, or to be refused.
    Run {
        /// Whether its caller is to be told that it runs.
        is_told: bool,
    },
    /// It runs, or has run; how it ended will be told, or cannot be any more.
    Runs,
    /// It has ended: that is to be told again.
    Ended(Payload),
    /// It is new, and finds no place: it is to be refused for now, for this reason.
    Full(&'static str),
}

#[derive(Debug)]
enum State {
    /// It has arguments of so many bytes.
    Runs(usize),
    /// How it ended, as the message that tells it.
    Ended(Payload),
    /// Its time is over: nobody waits for it.
    Over,
}

#[derive(Debug)]
struct Known {
    state: State,
    library: Arc<str>,
    /// The attempt that came last.
    attempt: u32,
    /// When it is looked at next.
    next_ms: u64,
}

/// The calls that other nodes made here.
#[derive(Debug)]
pub struct Incoming<N, P> {
    bounds: Bounds,
    known: BTreeMap<IncomingKey<N, P>, Known>,
    /// Of each library.
    shares: Shares,
    /// Refusals that could not be told.
    untold: BTreeMap<IncomingKey<N, P>, Payload>,
    /// When their time is over, and when they are forgotten, in the time of this process.
    times: BTreeSet<(u64, IncomingKey<N, P>)>,
    figures: Figures,
    /// When was looked last, and what the time of this process was then.
    looked_ms: u64,
    own_ms: u64,
}

impl<N: Clone + Ord, P: Clone + Ord> Incoming<N, P> {
    /// None has come.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            shares: Shares::new(bounds.calls),
            bounds,
            known: BTreeMap::new(),
            untold: BTreeMap::new(),
            times: BTreeSet::new(),
            figures: Figures::default(),
            looked_ms: 0,
            own_ms: 0,
        }
    }

    /// The time of this process, which goes by while it is not stopped.
    fn own_time(&mut self, now_ms: u64) -> u64 {
        let step = now_ms.saturating_sub(self.looked_ms).min(STEP_MS);
        self.looked_ms = self.looked_ms.max(now_ms);
        self.own_ms += step;
        self.own_ms
    }

    /// How much there is.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            known: self.known.len(),
            ..self.figures
        }
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// A call has come.
    pub fn on_request(
        &mut self,
        now_ms: u64,
        key: &IncomingKey<N, P>,
        request: &Request,
    ) -> Verdict {
        let now_ms = self.own_time(now_ms);
        if let Some(known) = self.known.get_mut(key) {
            known.attempt = known.attempt.max(request.attempt);
            return match &known.state {
                State::Ended(ended) => Verdict::Ended(ended.clone()),
                State::Runs(_) | State::Over => Verdict::Runs,
            };
        }
        let arguments = request.large_bytes();
        let bytes = self.figures.arguments.saturating_add(arguments);
        // One is always let in: it may be larger than all there is.
        if self.figures.arguments > 0 && bytes > self.bounds.arguments {
            return Verdict::Full(
                "the arguments of calls of other shards take too much memory here",
            );
        }
        let Some(library) = self.shares.take(&request.library) else {
            return Verdict::Full("too many calls of the library are known here");
        };
        self.figures.arguments = bytes;
        self.figures.running += 1;
        let next_ms = now_ms.saturating_add(request.remaining_ms);
        let next_ms = next_ms.saturating_add(GRACE_MS);
        self.times.insert((next_ms, key.clone()));
        let known = Known {
            state: State::Runs(arguments),
            library,
            attempt: request.attempt,
            next_ms,
        };
        self.known.insert(key.clone(), known);
        Verdict::Run {
            is_told: arguments > self.bounds.untold,
        }
    }

    /// A call was refused, or is late: it has not run. It may come again. Gives the attempt that this is
    /// the answer to; nothing where nobody waits for it any more.
    pub fn refuse(&mut self, key: &IncomingKey<N, P>) -> Option<u32> {
        let attempt = self.known.get(key)?.attempt;
        self.forget(key);
        Some(attempt)
    }

    /// A refusal found no connection to its caller, which waits for it. It is told as soon as there is one: the caller
    /// may have asked anew when its own end of that was there, and asks no more.
    pub fn keep_refusal(&mut self, key: IncomingKey<N, P>, message: Payload) {
        if self.untold.len() < self.bounds.calls {
            self.untold.insert(key, message);
        }
    }

    /// Whether there is room for a result of so many bytes.
    #[must_use]
    pub fn has_room_for(&self, bytes: usize) -> bool {
        let results = self.figures.results;
        results == 0 || results.saturating_add(bytes) <= self.bounds.results
    }

    /// A call has ended; `message` tells it. Gives what is to be sent; nothing where nobody waits for it
    /// any more.
    pub fn end(&mut self, key: &IncomingKey<N, P>, message: Payload) -> Option<Payload> {
        let known = self.known.get_mut(key)?;
        let State::Runs(arguments) = known.state else {
            return None;
        };
        known.state = State::Ended(message.clone());
        self.figures.running -= 1;
        self.figures.arguments -= arguments;
        self.figures.results += message.len();
        Some(message)
    }

    /// The caller knows how calls ended.
    pub fn on_taken(&mut self, node: &N, process: &P, taken: &Taken) {
        let key = |id: &u64| (node.clone(), process.clone(), *id);
        for key in taken.ids.iter().map(key) {
            let is_over = |known: &Known| matches!(known.state, State::Over);
            if !self.known.get(&key).is_some_and(is_over) {
                self.forget(&key);
            }
        }
        for key in taken.asked_again.iter().map(key) {
            self.leave(&key);
        }
    }

    /// How calls of a node ended that it cannot be told, since no message so large would be sent to it: they end with
    /// `message` instead.
    pub fn shorten(
        &mut self,
        node: &N,
        fits: impl Fn(usize) -> bool,
        message: impl Fn(u64) -> Payload,
    ) {
        let ended = self.known.iter().filter(|((of, ..), _)| of == node);
        let too_large = ended.filter(
            |(_, known)| matches!(&known.state, State::Ended(message) if !fits(message.len())),
        );
        for key in too_large.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.end_instead(&key, message(key.2));
        }
    }

    /// A node can be reached again; gives the messages about calls that have ended or were refused, and that it
    /// may not have heard of.
    #[must_use]
    pub fn on_peer_up(&mut self, node: &N, process: &P) -> Vec<Payload> {
        let mut messages = self.ended_of(node, process);
        self.untold.retain(|(of, by, _), message| {
            if of == node && by == process {
                messages.push(message.clone());
            }
            of != node
        });
        messages
    }

    fn ended_of(&self, node: &N, process: &P) -> Vec<Payload> {
        let of_node = self.known.iter().filter(|((of, ..), _)| of == node);
        let ended = of_node.filter_map(|(key, known)| match &known.state {
            State::Ended(message) if key.1 == *process => Some(message.clone()),
            _ => None,
        });
        ended.collect()
    }

    /// A node can reach this one again: what it has taken is told again, since that it took it may be lost. Another
    /// process of it knows nothing of the calls of the one before, and waits for none of them.
    pub fn on_peer_inbound(&mut self, node: &N, process: &P) -> Vec<Payload> {
        let others = self.known.keys();
        let others = others.filter(|(of, by, _)| of == node && by != process);
        for key in others.cloned().collect::<Vec<_>>() {
            self.leave(&key);
        }
        self.ended_of(node, process)
    }

    /// A node is taken for failed. Calls of it that have much time yet are not kept for so long, nor what came of
    /// them: they end with `message`, which it hears should it wait after all.
    pub fn on_peer_failed(&mut self, node: &N, message: impl Fn(u64) -> Payload) {
        self.untold.retain(|(of, ..), _| of != node);
        let far_ms = self.own_ms.saturating_add(KNOWN_MS);
        let until_ms = self.own_ms.saturating_add(FAILED_MS);
        let far = self.known.iter().filter(|((of, ..), known)| {
            of == node && known.next_ms > far_ms && !matches!(known.state, State::Over)
        });
        for key in far.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.end_instead(&key, message(key.2));
            self.look_earlier(&key, until_ms);
        }
    }

    /// A node is of the cluster no more: nobody waits for its calls.
    pub fn on_peer_left(&mut self, node: &N) {
        self.untold.retain(|(of, ..), _| of != node);
        let its = self.known.keys().filter(|(of, ..)| of == node);
        for key in its.cloned().collect::<Vec<_>>() {
            self.leave(&key);
        }
    }

    /// A call ends with this, whatever came of it.
    fn end_instead(&mut self, key: &IncomingKey<N, P>, message: Payload) {
        if let Some(known) = self.known.get_mut(key) {
            self.figures.results += message.len();
            let before = std::mem::replace(&mut known.state, State::Ended(message));
            self.give_back(&before);
        }
    }

    /// Has a call looked at by then.
    fn look_earlier(&mut self, key: &IncomingKey<N, P>, until_ms: u64) {
        if let Some(known) = self.known.get_mut(key)
            && until_ms < known.next_ms
        {
            self.times.remove(&(known.next_ms, key.clone()));
            self.times.insert((until_ms, key.clone()));
            known.next_ms = until_ms;
        }
    }

    /// The nodes that something is kept for.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<N> {
        let all = self.known.keys().chain(self.untold.keys());
        all.map(|(node, ..)| node.clone()).collect()
    }

    /// Looks at the calls whose time is over, and forgets those that are of no use any more.
    pub fn sweep(&mut self, now_ms: u64) {
        let now_ms = self.own_time(now_ms);
        while let Some((next_ms, _)) = self.times.first()
            && *next_ms <= now_ms
        {
            let Some((_, key)) = self.times.pop_first() else {
                return;
            };
            let Some(known) = self.known.get_mut(&key) else {
                continue;
            };
            if matches!(known.state, State::Over) {
                self.forget(&key);
                continue;
            }
            known.next_ms = known.next_ms.saturating_add(KNOWN_MS - GRACE_MS);
            self.times.insert((known.next_ms, key.clone()));
            self.leave(&key);
        }
    }

    /// Nobody waits for how that call ends, or ended. That it is there stays known for some time.
    fn leave(&mut self, key: &IncomingKey<N, P>) {
        if let Some(known) = self.known.get_mut(key) {
            let state = std::mem::replace(&mut known.state, State::Over);
            self.give_back(&state);
            self.look_earlier(key, self.own_ms.saturating_add(KNOWN_MS));
        }
    }

    fn forget(&mut self, key: &IncomingKey<N, P>) {
        if let Some(known) = self.known.remove(key) {
            self.times.remove(&(known.next_ms, key.clone()));
            self.shares.give_back(&known.library);
            self.give_back(&known.state);
        }
    }

    fn give_back(&mut self, state: &State) {
        match state {
            State::Runs(arguments) => {
                self.figures.running -= 1;
                self.figures.arguments -= arguments;
            }
            State::Ended(message) => self.figures.results -= message.len(),
            State::Over => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        // Three of one library.
        calls: 6,
        arguments: 100,
        results: 100,
        untold: 50,
    };

    const RUN: Verdict = Verdict::Run { is_told: false };

    fn incoming() -> Incoming<u8, u8> {
        Incoming::new(BOUNDS)
    }

    /// With arguments of so many bytes.
    fn request(attempt: u32, remaining_ms: u64, arguments: usize) -> Request {
        Request {
            id: 0,
            attempt,
            remaining_ms,
            library: "lib".into(),
            stamp: None,
            function: "f".into(),
            user: "u".into(),
            db: 0,
            flags: 0,
            key: None,
            script: None,
            arguments: vec![0; arguments].into(),
        }
    }

    fn taken(ids: &[u64], asked_again: &[u64]) -> Taken {
        Taken {
            ids: ids.to_vec(),
            asked_again: asked_again.to_vec(),
        }
    }

    fn ended(text: &[u8]) -> Verdict {
        Verdict::Ended(text.to_vec().into())
    }

    #[test]
    fn a_call_that_comes_again_is_not_run_again() {
        let mut calls = incoming();
        let key = (1, 1, 7);
        assert_eq!(calls.on_request(0, &key, &request(1, 100, 10)), RUN);
        assert_eq!(
            calls.on_request(1, &key, &request(2, 99, 10)),
            Verdict::Runs
        );
        let message = |text: &[u8]| Payload::from(text.to_vec());
        assert_eq!(calls.end(&key, message(b"end")), Some(message(b"end")));
        assert_eq!(calls.end(&key, message(b"again")), None);
        assert_eq!(
            calls.on_request(2, &key, &request(3, 98, 10)),
            ended(b"end")
        );
        assert_eq!(calls.on_request(2, &(1, 2, 7), &request(1, 98, 10)), RUN);
        calls.on_taken(&1, &1, &taken(&[7], &[]));
        assert_eq!(calls.refuse(&(1, 2, 7)), Some(1));
        assert!(calls.is_empty());
        assert_eq!(calls.figures(), Figures::default());
    }

    #[test]
    fn only_what_is_large_is_said_to_run_without_being_asked() {
        let mut calls = incoming();
        let mut ask = |number, attempt, arguments| {
            calls.on_request(0, &(1, 1, number), &request(attempt, 100, arguments))
        };
        assert_eq!(ask(1, 1, 49), RUN);
        assert_eq!(ask(2, 1, 51), Verdict::Run { is_told: true });
        assert_eq!(ask(1, 2, 49), Verdict::Runs, "that is said");
    }

    #[test]
    fn what_may_have_been_asked_for_again_is_known_for_a_while_after_its_end_was_taken() {
        let mut calls = incoming();
        let key = (1, 1, 7);
        calls.on_request(0, &key, &request(1, 3_600_000, 10));
        calls.end(&key, vec![0; 5].into());
        calls.on_taken(&1, &1, &taken(&[], &[7]));
        let known = Figures {
            known: 1,
            ..Figures::default()
        };
        assert_eq!(calls.figures(), known);
        // That it was taken is said more than once, where its end is.
        calls.on_taken(&1, &1, &taken(&[7], &[]));
        let verdict = calls.on_request(0, &key, &request(2, 3_600_000, 10));
        assert_eq!(verdict, Verdict::Runs, "it does not run again");
        sweep_until(&mut calls, KNOWN_MS);
        assert!(calls.is_empty());
    }

    #[test]
    fn a_call_that_is_late_is_refused_by_its_last_attempt() {
        let mut calls = incoming();
        let key = (1, 1, 7);
        calls.on_request(0, &key, &request(1, 100, 0));
        calls.on_request(0, &key, &request(3, 100, 0));
        calls.on_request(0, &key, &request(2, 100, 0));
        assert_eq!(calls.refuse(&key), Some(3));
        assert_eq!(calls.refuse(&key), None);
    }

    #[test]
    fn ends_are_told_again_to_the_process_that_asked_and_to_no_other() {
        let mut calls = incoming();
        for process in [1, 2] {
            calls.on_request(0, &(1, process, 7), &request(1, 100, 0));
            calls.end(&(1, process, 7), vec![process].into());
        }
        calls.on_request(0, &(1, 2, 8), &request(1, 100, 0));
        assert_eq!(calls.on_peer_up(&1, &2), [Payload::from(vec![2])]);
        assert_eq!(calls.figures().results, 2);
        assert_eq!(calls.on_peer_inbound(&1, &2), [Payload::from(vec![2])]);
        assert_eq!(calls.figures().results, 1);
        assert_eq!(calls.on_peer_inbound(&1, &3), []);
        assert_eq!(
            calls.end(&(1, 2, 8), vec![8].into()),
            None,
            "its caller is gone"
        );
        let known = Figures {
            known: 3,
            ..Figures::default()
        };
        assert_eq!(calls.figures(), known, "what ran must not run again");
    }

    /// Goes on to that time, in steps.
    fn sweep_until(calls: &mut Incoming<u8, u8>, now_ms: u64) {
        for at in (calls.looked_ms..now_ms).step_by(500) {
            calls.sweep(at);
        }
        calls.sweep(now_ms);
    }

    #[test]
    fn a_refusal_that_found_no_connection_is_told_when_there_is_one() {
        let mut calls = incoming();
        let refused = |byte| Payload::from(vec![byte]);
        for (key, byte) in [((1, 1, 1), 1), ((1, 2, 2), 2), ((2, 1, 3), 3)] {
            assert_eq!(calls.on_request(0, &key, &request(1, 1000, 1)), RUN);
            calls.refuse(&key);
            calls.keep_refusal(key, refused(byte));
        }
        assert_eq!(calls.on_peer_inbound(&1, &2), [], "not yet");
        assert_eq!(
            calls.on_peer_up(&1, &2),
            [refused(2)],
            "the other process is gone"
        );
        assert_eq!(calls.on_peer_up(&1, &2), []);
        calls.on_peer_failed(&2, |_| refused(0));
        assert_eq!(calls.on_peer_up(&2, &1), []);
    }

    #[test]
    fn once_a_calls_time_is_over_only_that_it_was_there_is_known_and_not_for_long() {
        let mut calls = incoming();
        calls.on_request(0, &(1, 1, 7), &request(1, 100, 10));
        calls.on_request(0, &(1, 1, 8), &request(1, 100, 20));
        calls.end(&(1, 1, 8), vec![0; 5].into());
        sweep_until(&mut calls, 100 + GRACE_MS - 1);
        let all = Figures {
            running: 1,
            arguments: 10,
            known: 2,
            results: 5,
        };
        assert_eq!(calls.figures(), all);
        sweep_until(&mut calls, 100 + GRACE_MS);
        let known = Figures {
            known: 2,
            ..Figures::default()
        };
        assert_eq!(calls.figures(), known);
        assert_eq!(
            calls.on_request(1500, &(1, 1, 7), &request(2, 1, 10)),
            Verdict::Runs
        );
        assert_eq!(calls.end(&(1, 1, 7), Payload::default()), None);
        sweep_until(&mut calls, 100 + KNOWN_MS - 1);
        assert_eq!(calls.figures(), known);
        sweep_until(&mut calls, 100 + KNOWN_MS);
        assert!(calls.is_empty());
    }

    #[test]
    fn an_end_that_does_not_get_to_its_caller_is_another_one() {
        let mut calls = incoming();
        for (number, size) in [(7, 40), (8, 5)] {
            calls.on_request(0, &(1, 1, number), &request(1, 100, 0));
            calls.end(&(1, 1, number), vec![0; size].into());
        }
        let message = |id| vec![u8::try_from(id).unwrap()].into();
        calls.shorten(&2, |_| false, message);
        assert_eq!(calls.figures().results, 45);
        calls.shorten(&1, |size| size <= 5, message);
        assert_eq!(calls.figures().results, 6);
        let told = [vec![7], vec![0; 5]].map(Payload::from);
        assert_eq!(calls.on_peer_up(&1, &1), told);
    }

    #[test]
    fn what_has_no_time_limit_ends_with_the_node_that_asked_for_it() {
        let mut calls = incoming();
        let long = u64::from(u32::MAX);
        calls.on_request(0, &(1, 1, 7), &request(1, long, 10));
        calls.on_request(0, &(1, 1, 8), &request(1, long, 20));
        calls.on_request(0, &(1, 1, 9), &request(1, 100, 30));
        calls.end(&(1, 1, 7), vec![0; 50].into());
        assert_eq!(calls.nodes(), BTreeSet::from([1]));
        calls.on_peer_failed(&2, |_| unreachable!("it has asked for nothing"));
        calls.on_peer_failed(&1, |id| vec![u8::try_from(id).unwrap()].into());
        let all = Figures {
            running: 1,
            arguments: 30,
            known: 3,
            results: 2,
        };
        assert_eq!(calls.figures(), all);
        assert_eq!(calls.end(&(1, 1, 8), vec![0; 50].into()), None);
        let told = [7, 8].map(|id| Payload::from(vec![id]));
        assert_eq!(calls.on_peer_up(&1, &1), told, "it was not gone");
        assert_eq!(
            calls.on_peer_inbound(&1, &2),
            [],
            "another process waits for none"
        );
        sweep_until(&mut calls, KNOWN_MS - 1);
        assert_eq!(calls.figures().known, 2);
        sweep_until(&mut calls, KNOWN_MS + GRACE_MS);
        assert!(calls.is_empty());
        assert_eq!(calls.figures(), Figures::default());
    }

    #[test]
    fn calls_of_a_node_that_has_left_are_forgotten_soon() {
        let mut calls = incoming();
        calls.on_request(0, &(1, 1, 7), &request(1, 3_600_000, 10));
        calls.end(&(1, 1, 7), vec![0; 50].into());
        calls.on_peer_left(&1);
        assert_eq!(calls.figures().results, 0);
        sweep_until(&mut calls, KNOWN_MS);
        assert!(calls.is_empty());
    }

    #[test]
    fn a_process_that_was_stopped_knows_what_it_knew() {
        let mut calls = incoming();
        let key = (1, 1, 7);
        calls.on_request(0, &key, &request(1, 100, 10));
        calls.end(&key, Payload::default());
        calls.sweep(3_600_000);
        assert_ne!(calls.on_request(3_600_001, &key, &request(2, 100, 10)), RUN);
        sweep_until(&mut calls, 3_600_000 + 100 + KNOWN_MS);
        assert!(calls.is_empty());
    }

    #[test]
    fn what_finds_no_place_is_refused_and_one_is_always_let_in() {
        let mut calls = incoming();
        assert_eq!(
            calls.on_request(0, &(1, 1, 1), &request(1, 100, 101)),
            Verdict::Run { is_told: true }
        );
        let full = calls.on_request(0, &(1, 1, 2), &request(1, 100, 1));
        assert!(matches!(full, Verdict::Full(why) if why.contains("memory")));
        assert!(calls.has_room_for(101));
        calls.end(&(1, 1, 1), vec![0; 60].into());
        assert!(calls.has_room_for(40) && !calls.has_room_for(41));
        for number in [2, 3] {
            assert_eq!(
                calls.on_request(0, &(1, 1, number), &request(1, 100, 50)),
                RUN
            );
        }
        let full = calls.on_request(0, &(1, 1, 4), &request(1, 100, 0));
        assert!(matches!(full, Verdict::Full(why) if why.contains("too many")));
        let of_another = Request {
            library: "other".into(),
            ..request(1, 100, 0)
        };
        let verdict = calls.on_request(0, &(1, 1, 4), &of_another);
        assert_eq!(verdict, RUN);
    }
}
