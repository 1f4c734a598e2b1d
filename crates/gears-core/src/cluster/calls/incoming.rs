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
use super::quotas::LibraryQuotas;
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
    pub confirm_above: usize,
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
    quotas: LibraryQuotas,
    /// Refusals that could not be told.
    kept_refusals: BTreeMap<IncomingKey<N, P>, Payload>,
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
            quotas: LibraryQuotas::new(bounds.calls),
            bounds,
            known: BTreeMap::new(),
            kept_refusals: BTreeMap::new(),
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
        let Some(library) = self.quotas.take(&request.library) else {
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
            is_told: arguments > self.bounds.confirm_above,
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
        if self.kept_refusals.len() < self.bounds.calls {
            self.kept_refusals.insert(key, message);
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

    /// Where a node cannot be told how a call ended, since no message of so many bytes would be sent to it, the call ends
    /// with what `instead` gives for its number and these bytes.
    pub fn shorten(&mut self, node: &N, instead: impl Fn(u64, usize) -> Option<Payload>) {
        let its = self.known.iter().filter(|((of, ..), _)| of == node);
        let too_large = its.filter_map(|(key, known)| match &known.state {
            State::Ended(message) => Some((key.clone(), instead(key.2, message.len())?)),
            State::Runs(_) | State::Over => None,
        });
        for (key, message) in too_large.collect::<Vec<_>>() {
            self.end_instead(&key, message);
        }
    }

    /// A node can be reached again; gives the messages about calls that have ended or were refused, and that it
    /// may not have heard of.
    #[must_use]
    pub fn on_peer_up(&mut self, node: &N, process: &P) -> Vec<Payload> {
        let mut messages = self.ended_of(node, process);
        self.kept_refusals.retain(|(of, by, _), message| {
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
        self.kept_refusals.retain(|(of, ..), _| of != node);
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
        self.kept_refusals.retain(|(of, ..), _| of != node);
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
        let all = self.known.keys().chain(self.kept_refusals.keys());
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
            self.quotas.give_back(&known.library);
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
mod tests;
