//! The calls of this node: where they are sent, and what became of them.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{Ended, Message, Refusal, Request, Thrown};

/// Milliseconds before a call that was not sent is tried again: twice as many each time.
const FIRST_PAUSE_MS: u64 = 10;
const LONGEST_PAUSE_MS: u64 = 200;
/// Calls that are on their way at a time.
const CALLS_MAX: usize = 100_000;

/// Where a call is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination<N> {
    /// On the node that has the slot of the request's key.
    Key,
    /// On this shard, whichever of its nodes is the primary.
    Shard(N),
}

/// The way to other nodes.
pub trait Wire<N, P> {
    /// The node that a call goes to now, and its process.
    ///
    /// # Errors
    /// Why it can go nowhere.
    fn route(&self, destination: &Destination<N>, key: Option<&[u8]>) -> Result<(N, P), String>;

    /// Sends a message.
    ///
    /// # Errors
    /// Why it certainly was not sent.
    fn send(&mut self, to: &N, message: Vec<u8>) -> Result<(), String>;
}

/// How a call ended, for its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEnd<N> {
    /// With a result.
    Done {
        /// Where it ran.
        on: N,
        /// The result.
        result: Vec<u8>,
    },
    /// The function has thrown.
    Thrown {
        /// Where it ran.
        on: N,
        /// What.
        thrown: Thrown,
    },
    /// It certainly has not run.
    NotSent {
        /// Where it was to run, if that is known.
        on: Option<N>,
        /// Why.
        why: String,
    },
    /// Its time was over; it may have run, or still run.
    Timeout {
        /// Where.
        on: N,
        /// Milliseconds that it had.
        ms: u64,
    },
    /// The node that had it is gone; it may have run.
    ShardFailed {
        /// Which one.
        on: N,
        /// Why.
        why: String,
    },
}

/// Why a call is not taken at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAccepted {
    /// Too many are on their way.
    TooMany,
    /// The arguments of those that are on their way take too much memory.
    TooLarge,
}

#[derive(Debug)]
enum State<N, P> {
    /// It has not run.
    Waiting {
        pause_ms: u64,
        last: Option<(Option<N>, String)>,
    },
    /// It may have run.
    Sent { to: N, process: P, accepted: bool },
}

#[derive(Debug)]
struct Call<N, P> {
    destination: Destination<N>,
    request: Request,
    timeout_ms: u64,
    until_ms: u64,
    /// When it is looked at next.
    next_ms: u64,
    state: State<N, P>,
}

/// The calls of this node that are on their way.
#[derive(Debug)]
pub struct Outgoing<N, P> {
    calls: BTreeMap<u64, Call<N, P>>,
    times: BTreeSet<(u64, u64)>,
    last_id: u64,
    bytes: usize,
    bytes_max: usize,
    ended: Vec<(u64, CallEnd<N>)>,
}

impl<N: Clone + Ord, P: Clone + Ord> Outgoing<N, P> {
    /// None is on its way. Their arguments may take so many bytes altogether.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            calls: BTreeMap::new(),
            times: BTreeSet::new(),
            last_id: 0,
            bytes: 0,
            bytes_max,
            ended: Vec::new(),
        }
    }

    /// How many are on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether none is, and of none it is still to be told how it ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.ended.is_empty()
    }

    /// Takes a call, whose request gets its number and time here; the next step sends it.
    ///
    /// # Errors
    /// Where too much is on its way.
    pub fn begin(
        &mut self,
        now_ms: u64,
        destination: Destination<N>,
        request: Request,
        timeout_ms: u64,
    ) -> Result<u64, NotAccepted> {
        if self.calls.len() >= CALLS_MAX {
            return Err(NotAccepted::TooMany);
        }
        let bytes = self.bytes.saturating_add(request.arguments.len());
        if bytes > self.bytes_max {
            return Err(NotAccepted::TooLarge);
        }
        self.bytes = bytes;
        self.last_id += 1;
        let id = self.last_id;
        self.times.insert((now_ms, id));
        let call = Call {
            destination,
            request: Request { id, ..request },
            timeout_ms,
            until_ms: now_ms.saturating_add(timeout_ms),
            next_ms: now_ms,
            state: State::Waiting {
                pause_ms: FIRST_PAUSE_MS,
                last: None,
            },
        };
        self.calls.insert(id, call);
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
            State::Waiting { last, .. } if is_over && last.is_some() => {
                let (on, why) = last.take().unwrap_or((None, String::new()));
                let ms = call.timeout_ms;
                let why = format!("{why}, for {ms} ms");
                self.end(id, CallEnd::NotSent { on, why });
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
        call.request.remaining_ms = call.until_ms.saturating_sub(now_ms);
        let key = call.request.key.as_deref();
        let sent = wire
            .route(&call.destination, key)
            .map_err(|why| (None, why))
            .and_then(|(to, process)| {
                let message = Message::Request(call.request.clone()).encode();
                match wire.send(&to, message) {
                    Ok(()) => Ok((to, process)),
                    Err(why) => Err((Some(to), why)),
                }
            });
        match sent {
            Ok((to, process)) => {
                call.state = State::Sent {
                    to,
                    process,
                    accepted: false,
                };
                let until_ms = call.until_ms;
                self.look_at(id, until_ms);
            }
            Err(why) => self.wait(now_ms, id, why),
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
        let next_ms = now_ms.saturating_add(pause_ms).min(call.until_ms);
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
        if let Some(call) = self.calls.remove(&id) {
            self.times.remove(&(call.next_ms, id));
            self.bytes -= call.request.arguments.len();
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

    /// A node says that it has a call, and runs it.
    pub fn on_accepted(&mut self, node: &N, process: &P, id: u64) {
        if self.is_with(id, node, process)
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
        id: u64,
        refusal: Refusal,
        why: String,
    ) {
        if !self.is_with(id, node, process) {
            return;
        }
        let on = Some(node.clone());
        match refusal {
            Refusal::ForNow => self.wait(now_ms, id, (on, why)),
            Refusal::ForGood => self.end(id, CallEnd::NotSent { on, why }),
        }
    }

    /// A node says how a call ended. It is to be told that this is known, also where it was known
    /// before.
    pub fn on_ended(&mut self, node: &N, process: &P, id: u64, ended: Ended) {
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
            |call| matches!(&call.state, State::Sent { to, accepted: false, .. } if to == node),
        );
        if is_there {
            self.wait(now_ms, id, (Some(node.clone()), why));
        }
    }

    /// A node can be reached again. Its process is asked once more for what may not have arrived; what
    /// another process had is lost.
    pub fn on_peer_up(&mut self, now_ms: u64, node: &N, process: &P, wire: &mut dyn Wire<N, P>) {
        let with_it: Vec<_> = self.sent_to(node).collect();
        for (id, by, accepted) in with_it {
            if by != *process {
                let why = "it was started anew".to_owned();
                let on = node.clone();
                self.end(id, CallEnd::ShardFailed { on, why });
            } else if !accepted && let Some(call) = self.calls.get_mut(&id) {
                call.request.remaining_ms = call.until_ms.saturating_sub(now_ms);
                let message = Message::Request(call.request.clone()).encode();
                // If that fails it is asked again when it is back, or its time is over.
                let _ = wire.send(node, message);
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
        let with_it: Vec<_> = self.sent_to(node).map(|(id, ..)| id).collect();
        for id in with_it {
            let (on, why) = (node.clone(), why.to_owned());
            self.end(id, CallEnd::ShardFailed { on, why });
        }
    }

    fn sent_to<'a>(&'a self, node: &'a N) -> impl Iterator<Item = (u64, P, bool)> + 'a {
        self.calls
            .iter()
            .filter_map(move |(id, call)| match &call.state {
                State::Sent {
                    to,
                    process,
                    accepted,
                } if to == node => Some((*id, process.clone(), *accepted)),
                _ => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Calls = Outgoing<u8, u8>;

    /// A way to node 1, process 1, or to none.
    struct Way {
        to: Option<(u8, u8)>,
        is_full: bool,
        sent: Vec<Message>,
    }

    impl Way {
        fn to(to: Option<(u8, u8)>) -> Self {
            Self {
                to,
                is_full: false,
                sent: Vec::new(),
            }
        }
    }

    impl Wire<u8, u8> for Way {
        fn route(&self, _: &Destination<u8>, _: Option<&[u8]>) -> Result<(u8, u8), String> {
            self.to.ok_or_else(|| "nobody has the slot".to_owned())
        }

        fn send(&mut self, _: &u8, message: Vec<u8>) -> Result<(), String> {
            if self.is_full {
                return Err("the queue is full".into());
            }
            self.sent.push(Message::decode(&message).unwrap());
            Ok(())
        }
    }

    fn request(arguments: &[u8]) -> Request {
        Request {
            id: 0,
            remaining_ms: 0,
            library: "lib".into(),
            function: "f".into(),
            user: "default".into(),
            db: 0,
            flags: 0,
            key: None,
            arguments: arguments.to_vec(),
        }
    }

    fn begin(calls: &mut Calls, timeout_ms: u64) -> u64 {
        let destination = Destination::Key;
        calls
            .begin(0, destination, request(b"1234"), timeout_ms)
            .unwrap()
    }

    fn run(calls: &mut Calls, now_ms: u64, way: &mut Way) {
        while calls.step(now_ms, way) {}
    }

    #[test]
    fn a_call_is_sent_once_and_its_result_is_its_end() {
        let (mut calls, mut way) = (Calls::new(100), Way::to(Some((1, 1))));
        let id = begin(&mut calls, 500);
        run(&mut calls, 3, &mut way);
        let sent = Request {
            id,
            remaining_ms: 497,
            ..request(b"1234")
        };
        assert_eq!(way.sent, [Message::Request(sent)]);
        assert_eq!(calls.next_ms(), Some(500));
        calls.on_accepted(&1, &1, id);
        let result = b"r".to_vec();
        calls.on_ended(&2, &1, id, Ended::Done(result.clone()));
        calls.on_ended(&1, &2, id, Ended::Done(result.clone()));
        assert_eq!(calls.take_ended(), []);
        calls.on_ended(&1, &1, id, Ended::Done(result.clone()));
        assert_eq!(calls.take_ended(), [(id, CallEnd::Done { on: 1, result })]);
        assert_eq!((calls.len(), calls.bytes, calls.next_ms()), (0, 0, None));
    }

    #[test]
    fn what_has_not_run_is_tried_until_its_time_is_over() {
        let (mut calls, mut way) = (Calls::new(100), Way::to(None));
        let id = begin(&mut calls, 100);
        run(&mut calls, 0, &mut way);
        assert_eq!(calls.next_ms(), Some(10));
        way = Way::to(Some((1, 1)));
        way.is_full = true;
        run(&mut calls, 10, &mut way);
        way.is_full = false;
        run(&mut calls, 30, &mut way);
        assert_eq!(way.sent.len(), 1);
        calls.on_refused(35, (&1, &1), id, Refusal::ForNow, "it loads".into());
        assert_eq!(calls.next_ms(), Some(45));
        way.to = None;
        run(&mut calls, 45, &mut way);
        run(&mut calls, 100, &mut way);
        let why = "nobody has the slot, for 100 ms".to_owned();
        assert_eq!(
            calls.take_ended(),
            [(id, CallEnd::NotSent { on: None, why })]
        );
    }

    #[test]
    fn what_is_refused_for_good_has_not_run() {
        let (mut calls, mut way) = (Calls::new(100), Way::to(Some((1, 1))));
        let id = begin(&mut calls, 100);
        run(&mut calls, 0, &mut way);
        calls.on_refused(5, (&1, &1), id, Refusal::ForGood, "NOPERM".into());
        let (on, why) = (Some(1), "NOPERM".to_owned());
        assert_eq!(calls.take_ended(), [(id, CallEnd::NotSent { on, why })]);
    }

    #[test]
    fn what_was_sent_may_have_run_when_its_time_is_over() {
        let (mut calls, mut way) = (Calls::new(100), Way::to(Some((1, 1))));
        let id = begin(&mut calls, 100);
        run(&mut calls, 0, &mut way);
        run(&mut calls, 99, &mut way);
        assert_eq!(calls.take_ended(), []);
        run(&mut calls, 100, &mut way);
        assert_eq!(
            calls.take_ended(),
            [(id, CallEnd::Timeout { on: 1, ms: 100 })]
        );
    }

    #[test]
    fn the_same_process_is_asked_again_and_what_another_one_had_is_lost() {
        let (mut calls, mut way) = (Calls::new(100), Way::to(Some((1, 1))));
        let ids = [(); 3].map(|()| begin(&mut calls, 100));
        run(&mut calls, 0, &mut way);
        calls.on_accepted(&1, &1, ids[0]);
        calls.on_undelivered(1, &1, ids[0], "gone".into());
        calls.on_undelivered(1, &1, ids[2], "gone".into());
        way.sent.clear();
        calls.on_peer_up(2, &1, &1, &mut way);
        let asked: Vec<_> = way.sent.iter().filter_map(Message::id_of_request).collect();
        assert_eq!(asked, [ids[1]], "the first was accepted, the last waits");
        calls.on_peer_up(3, &1, &2, &mut way);
        let mut lost: Vec<_> = calls.take_ended().into_iter().map(|(id, _)| id).collect();
        lost.sort_unstable();
        assert_eq!(lost, ids[..2]);
        calls.on_peer_gone(&1, "it failed");
        assert_eq!((calls.len(), calls.take_ended().len()), (1, 0));
    }

    impl Message {
        fn id_of_request(&self) -> Option<u64> {
            match self {
                Self::Request(request) => Some(request.id),
                _ => None,
            }
        }
    }

    #[test]
    fn calls_on_their_way_are_bounded() {
        let mut calls = Calls::new(7);
        begin(&mut calls, 100);
        let refused = calls.begin(0, Destination::Shard(1), request(b"1234"), 100);
        assert_eq!(refused, Err(NotAccepted::TooLarge));
        assert!(
            calls
                .begin(0, Destination::Shard(1), request(b"123"), 100)
                .is_ok()
        );
    }
}
