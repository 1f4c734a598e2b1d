//! The calls of this node: where they are sent, and what became of them.

use std::collections::{BTreeMap, BTreeSet};

use super::call::{CallEnd, Destination, NotAccepted, Times, Wire};
use super::message::{Ended, Message, Refusal, Request, Taken};
use super::quotas::LibraryQuotas;

/// Milliseconds before a call that was not sent is tried again: twice as many each time.
const FIRST_PAUSE_MS: u64 = 10;
const LONGEST_PAUSE_MS: u64 = 200;
/// Calls that one message says to be taken.
const TAKEN_MAX: usize = 1000;
/// Calls that are on their way at a time, of all libraries; of one alone half as many.
const CALLS_MAX: usize = 200_000;

#[derive(Debug)]
enum State<N, P> {
    /// It has not run.
    Waiting {
        pause_ms: u64,
        last: Option<(Option<N>, String)>,
    },
    /// It may have run.
    Sent {
        to: N,
        process: P,
        accepted: bool,
        asked: Asked,
    },
}

/// How often a process was asked for a call that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Once,
    /// It is to be asked once more.
    Due,
    /// That one of the requests did not get there says nothing of the others.
    Again,
}

#[derive(Debug)]
struct Call<N, P> {
    destination: Destination<N>,
    request: Request,
    timeout_ms: u64,
    until_ms: u64,
    /// When it ends if it was not sent: its time may be longer than anybody waits for a shard.
    sent_by_ms: u64,
    /// When it is looked at next.
    next_ms: u64,
    state: State<N, P>,
}

/// The calls of this node that are on their way.
#[derive(Debug)]
pub struct Outgoing<N, P> {
    /// By their numbers. Apart, since they are large, and a tree moves what it holds.
    calls: BTreeMap<u64, Box<Call<N, P>>>,
    /// Of each library.
    quotas: LibraryQuotas,
    times: BTreeSet<(u64, u64)>,
    last_id: u64,
    bytes: usize,
    bytes_max: usize,
    ended: Vec<(u64, CallEnd<N>)>,
    /// Calls whose end a node has told, and that it has not heard to be taken; whether they may have been asked for again.
    taken: BTreeMap<N, Vec<(u64, bool)>>,
}

impl<N: Clone + Ord, P: Clone + Ord> Outgoing<N, P> {
    /// None is on its way. Their arguments may take so many bytes altogether.
    ///
    /// The first call has the number behind `last_id`, which is to be another one in each process of a
    /// node: what others still have to tell the process before must not be taken for what this one
    /// waits for.
    #[must_use]
    pub fn new(last_id: u64, bytes_max: usize) -> Self {
        Self {
            calls: BTreeMap::new(),
            quotas: LibraryQuotas::new(CALLS_MAX),
            times: BTreeSet::new(),
            last_id,
            bytes: 0,
            bytes_max,
            ended: Vec::new(),
            taken: BTreeMap::new(),
        }
    }

    /// How many are on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Bytes of the arguments of those that are on their way.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether none is, and of none it is still to be told how it ended, or that this is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.ended.is_empty() && self.taken.is_empty()
    }

    /// Takes a call, whose request gets its number and time here; the next step sends it. It ends where it was
    /// not sent in `attempts_ms`.
    ///
    /// # Errors
    /// Where too much is on its way.
    pub fn begin(
        &mut self,
        now_ms: u64,
        destination: Destination<N>,
        request: Request,
        Times {
            timeout_ms,
            attempts_ms,
        }: Times,
    ) -> Result<u64, NotAccepted> {
        let bytes = self.bytes.saturating_add(request.large_bytes());
        if bytes > self.bytes_max {
            return Err(NotAccepted::TooLarge);
        }
        if self.quotas.take(&request.library).is_none() {
            return Err(NotAccepted::TooMany);
        }
        self.bytes = bytes;
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        self.times.insert((now_ms, id));
        let call = Call {
            destination,
            request: Request { id, ..request },
            timeout_ms,
            until_ms: now_ms.saturating_add(timeout_ms),
            sent_by_ms: now_ms.saturating_add(timeout_ms.min(attempts_ms)),
            next_ms: now_ms,
            state: State::Waiting {
                pause_ms: FIRST_PAUSE_MS,
                last: None,
            },
        };
        self.calls.insert(id, Box::new(call));
        Ok(id)
    }

    /// When there is something to do, if nothing is heard before.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        self.times.first().map(|(at, _)| *at)
    }

    /// The call that the next step is about, if there is one now.
    #[must_use]
    pub fn next_id(&self, now_ms: u64) -> Option<u64> {
        self.times
            .first()
            .filter(|(at, _)| *at <= now_ms)
            .map(|(_, id)| *id)
    }

    /// Does the next thing that is due: a call is sent, or its time is over. False where nothing is.
    pub fn step(&mut self, now_ms: u64, wire: &mut dyn Wire<N, P>) -> bool {
        let Some((_, id)) = self.times.first().copied().filter(|(at, _)| *at <= now_ms) else {
            return false;
        };
        let Some(call) = self.calls.get_mut(&id) else {
            self.times.pop_first();
            return true;
        };
        let is_over = call.until_ms <= now_ms;
        match &mut call.state {
            State::Sent { to, .. } if is_over => {
                let end = CallEnd::Timeout {
                    on: to.clone(),
                    ms: call.timeout_ms,
                };
                self.end(id, end);
            }
            // One that has no time at all has its first attempt.
            State::Waiting { last, .. } if call.sent_by_ms <= now_ms && last.is_some() => {
                let (on, why) = last.take().unwrap_or((None, String::new()));
                let since_ms = call.until_ms.saturating_sub(call.timeout_ms);
                let ms = call.sent_by_ms.saturating_sub(since_ms);
                let why = format!("{why}, for {ms} ms");
                self.end(id, CallEnd::NotSent { on, why });
            }
            State::Sent {
                to,
                accepted: false,
                asked: asked @ Asked::Due,
                ..
            } => {
                let sent = send(&mut call.request, call.until_ms, now_ms, to, wire);
                let next_ms = if sent.is_ok() {
                    *asked = Asked::Again;
                    call.until_ms
                } else {
                    call.until_ms.min(now_ms.saturating_add(LONGEST_PAUSE_MS))
                };
                self.look_at(id, next_ms);
            }
            State::Sent { .. } => {
                let until_ms = call.until_ms;
                self.look_at(id, until_ms);
            }
            State::Waiting { .. } => self.attempt(now_ms, id, wire),
        }
        true
    }

    fn attempt(&mut self, now_ms: u64, id: u64, wire: &mut dyn Wire<N, P>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let key = call.request.key.as_deref();
        let sent = match wire.route(&call.destination, key) {
            Err((to, why)) => Err((Refusal::ForNow, to, why)),
            Ok((to, process)) => match send(&mut call.request, call.until_ms, now_ms, &to, wire) {
                Ok(()) => Ok((to, process)),
                Err((refusal, why)) => Err((refusal, Some(to), why)),
            },
        };
        match sent {
            Ok((to, process)) => {
                call.state = State::Sent {
                    to,
                    process,
                    accepted: false,
                    asked: Asked::Once,
                };
                let until_ms = call.until_ms;
                self.look_at(id, until_ms);
            }
            Err((refusal, on, why)) => self.not_run(now_ms, id, refusal, (on, why)),
        }
    }

    /// A call has not run.
    fn not_run(&mut self, now_ms: u64, id: u64, refusal: Refusal, (on, why): (Option<N>, String)) {
        match refusal {
            Refusal::ForNow => self.wait(now_ms, id, (on, why)),
            Refusal::ForGood => self.end(id, CallEnd::NotSent { on, why }),
        }
    }

    /// A call has not run; it is tried again.
    fn wait(&mut self, now_ms: u64, id: u64, why: (Option<N>, String)) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let pause_ms = match call.state {
            State::Waiting { pause_ms, .. } => pause_ms,
            State::Sent { .. } => FIRST_PAUSE_MS,
        };
        call.state = State::Waiting {
            pause_ms: (pause_ms * 2).min(LONGEST_PAUSE_MS),
            last: Some(why),
        };
        let next_ms = now_ms.saturating_add(pause_ms);
        let next_ms = next_ms.min(call.sent_by_ms.max(now_ms));
        self.look_at(id, next_ms);
    }

    fn look_at(&mut self, id: u64, at_ms: u64) {
        if let Some(call) = self.calls.get_mut(&id) {
            self.times.remove(&(call.next_ms, id));
            call.next_ms = at_ms;
            self.times.insert((at_ms, id));
        }
    }

    fn end(&mut self, id: u64, end: CallEnd<N>) {
        if self.forget(id) {
            self.ended.push((id, end));
        }
    }

    /// The calls that have ended since the last time.
    pub fn take_ended(&mut self) -> Vec<(u64, CallEnd<N>)> {
        std::mem::take(&mut self.ended)
    }

    /// Whether that process has the call, as far as is known here.
    fn is_with(&self, id: u64, node: &N, process: &P) -> bool {
        let call = self.calls.get(&id);
        call.is_some_and(|call| {
            matches!(&call.state, State::Sent { to, process: by, .. } if to == node && by == process)
        })
    }

    /// The same, and that what it says is about what was asked last. Of what was asked before, the
    /// opposite may be true by now: the answer to the last question is still to come.
    fn is_about(&self, (id, attempt): (u64, u32), node: &N, process: &P) -> bool {
        let call = self.calls.get(&id);
        call.is_some_and(|call| call.request.attempt == attempt) && self.is_with(id, node, process)
    }

    /// A node says that it has a call, and runs it.
    pub fn on_accepted(&mut self, node: &N, process: &P, (id, attempt): (u64, u32)) {
        if self.is_about((id, attempt), node, process)
            && let Some(call) = self.calls.get_mut(&id)
            && let State::Sent { accepted, .. } = &mut call.state
        {
            *accepted = true;
        }
    }

    /// A node says that a call has not run there.
    pub fn on_refused(
        &mut self,
        now_ms: u64,
        (node, process): (&N, &P),
        (id, attempt): (u64, u32),
        refusal: Refusal,
        why: String,
    ) {
        if self.is_about((id, attempt), node, process) {
            self.not_run(now_ms, id, refusal, (Some(node.clone()), why));
        }
    }

    /// What nodes are to be told that can be reached: that it is known here how calls ended.
    pub fn take_taken(&mut self, can_reach: impl Fn(&N) -> bool) -> Vec<(N, Message)> {
        let mut messages = Vec::new();
        self.taken.retain(|node, calls| {
            if !can_reach(node) {
                return true;
            }
            for calls in calls.chunks(TAKEN_MAX) {
                let of = |again| {
                    let some = calls.iter().filter(move |(_, asked)| *asked == again);
                    some.map(|(id, _)| *id).collect()
                };
                let taken = Taken {
                    ids: of(false),
                    asked_again: of(true),
                };
                messages.push((node.clone(), Message::Taken(taken)));
            }
            false
        });
        messages
    }

    /// Forgets a call: nobody is told how it ends. False where there is none.
    pub fn forget(&mut self, id: u64) -> bool {
        let Some(call) = self.calls.remove(&id) else {
            return false;
        };
        self.times.remove(&(call.next_ms, id));
        self.bytes -= call.request.large_bytes();
        self.quotas.give_back(&call.request.library);
        true
    }

    /// Whether a question about a call may be on its way, behind what its callee is told now. Of a call that is not known
    /// here any more that cannot be said.
    fn may_be_asked_again(&self, id: u64) -> bool {
        let asked = |call: &Call<N, P>| match call.state {
            State::Sent { asked, .. } => asked == Asked::Again,
            State::Waiting { .. } => false,
        };
        self.calls.get(&id).is_none_or(|call| asked(call))
    }

    /// A node says how a call ended. It is told that this is known, also where it was known before.
    pub fn on_ended(&mut self, node: &N, process: &P, id: u64, ended: Ended) {
        let asked_again = self.may_be_asked_again(id);
        let taken = self.taken.entry(node.clone()).or_default();
        taken.push((id, asked_again));
        if !self.is_with(id, node, process) {
            return;
        }
        let on = node.clone();
        let end = match ended {
            Ended::Done(result) => CallEnd::Done { on, result },
            Ended::Thrown(thrown) => CallEnd::Thrown { on, thrown },
        };
        self.end(id, end);
    }

    /// The request of a call certainly did not get there, though it was sent.
    pub fn on_undelivered(&mut self, now_ms: u64, node: &N, id: u64, why: String) {
        let call = self.calls.get(&id);
        let is_there = call.is_some_and(
            |call| matches!(&call.state, State::Sent { to, accepted: false, asked: Asked::Once, .. } if to == node),
        );
        if is_there {
            self.wait(now_ms, id, (Some(node.clone()), why));
        }
    }

    /// A node can be reached again. Its process is asked once more for what may not have arrived; what
    /// another process had is lost.
    pub fn on_peer_up(&mut self, now_ms: u64, node: &N, process: &P) {
        let with_it: Vec<_> = self.sent_to(node).collect();
        for (id, by) in with_it {
            if by != *process {
                let why = "it was started anew".to_owned();
                let on = node.clone();
                self.end(id, CallEnd::ShardFailed { on, why });
            }
        }
        self.ask_again(now_ms, node, process);
    }

    /// A node's process can reach this one again. What it said before may be lost, and it says only once that it
    /// refuses a call: so it is asked once more.
    pub fn on_peer_inbound(&mut self, now_ms: u64, node: &N, process: &P) {
        self.ask_again(now_ms, node, process);
    }

    /// Has the next steps ask a process for all that it has not said to run.
    fn ask_again(&mut self, now_ms: u64, node: &N, process: &P) {
        let Self { calls, times, .. } = self;
        for (id, call) in calls {
            if let State::Sent {
                to,
                process: by,
                accepted: false,
                asked,
            } = &mut call.state
                && to == node
                && by == process
            {
                *asked = Asked::Due;
                times.remove(&(call.next_ms, *id));
                call.next_ms = now_ms;
                times.insert((now_ms, *id));
            }
        }
    }

    /// The nodes that may have run something whose end is not known.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<N> {
        let calls = self.calls.values();
        let nodes = calls.filter_map(|call| match &call.state {
            State::Sent { to, .. } => Some(to.clone()),
            State::Waiting { .. } => None,
        });
        nodes.collect()
    }

    /// A node is taken for failed, or has left: what it had is lost.
    pub fn on_peer_gone(&mut self, node: &N, why: &str) {
        self.taken.remove(node);
        let with_it: Vec<_> = self.sent_to(node).map(|(id, _)| id).collect();
        for id in with_it {
            let (on, why) = (node.clone(), why.to_owned());
            self.end(id, CallEnd::ShardFailed { on, why });
        }
    }

    fn sent_to<'a>(&'a self, node: &'a N) -> impl Iterator<Item = (u64, P)> + 'a {
        self.calls
            .iter()
            .filter_map(move |(id, call)| match &call.state {
                State::Sent { to, process, .. } if to == node => Some((*id, process.clone())),
                _ => None,
            })
    }
}

/// Sends a request as another attempt, if there is room for it.
fn send<N, P>(
    request: &mut Request,
    until_ms: u64,
    now_ms: u64,
    to: &N,
    wire: &mut dyn Wire<N, P>,
) -> Result<(), (Refusal, String)> {
    // A large message is not made to be thrown away.
    wire.room_for(to, request.arguments.len())?;
    request.remaining_ms = until_ms.saturating_sub(now_ms);
    request.attempt += 1;
    wire.send(to, request.encode())
}

#[cfg(test)]
mod tests;
