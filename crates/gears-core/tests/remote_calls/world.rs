//! The nodes, what is between them, and what is known of every call.

use std::collections::{BTreeMap, VecDeque};

use gears_core::cluster::Payload;
use gears_core::cluster::calls::{CallEnd, Ended, Figures, Refusal, Thrown, ThrownKind};
use gears_core::cluster::libraries::Stamp;
use proptest::prelude::prop;

use super::node::{ARGUMENTS_MAX, BOUNDS, Event, Link, MESSAGE_MAX, Node, Process, Server};

pub(crate) const NODES: usize = 4;

/// The time of a call that has no limit: how it ends must not depend on that.
pub(crate) const UNLIMITED_MS: u64 = u32::MAX as u64;

/// Milliseconds after which a connection without an answer is given up.
const ANSWER_MS: u64 = 30_000;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Size {
    Small,
    Large,
    TooLarge,
}

impl Size {
    fn bytes(self) -> usize {
        match self {
            Self::Small => 8,
            Self::Large => MESSAGE_MAX / 2,
            Self::TooLarge => MESSAGE_MAX + 1,
        }
    }
}

/// How a function ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    Result(Size),
    Throws,
}

/// How a connection is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// So many messages were on their way: nobody can say whether they have arrived.
    pub(crate) sent: usize,
    /// Which of them do.
    pub(crate) arrives: u8,
    /// Whether at once, or while there is no connection.
    pub(crate) at_once: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Wait(u64),
    /// A script calls a function by a key, or on a shard.
    Begin {
        from: Node,
        place: usize,
        by_key: bool,
        timeout_ms: u64,
        size: Size,
    },
    /// A node has time.
    Tick(Node),
    /// A message arrives.
    Carry(Node, Node, prop::sample::Index),
    /// A worker begins with a call that has come; and ends with it.
    Start(Node, prop::sample::Index),
    End(Node, prop::sample::Index, Ending),
    Break(Node, Node, Cut),
    Connect(Node, Node),
    Restart(Node),
    /// It does nothing from now on; or goes on.
    Stop(Node, bool),
    /// The others take it for failed, or not any more.
    Fail(Node, bool),
    /// A place is that of another node from now on.
    Move(usize, Node),
    /// A node learns where all places are.
    Learn(Node),
    /// A node has another library from now on, and the others after it.
    Upgrade(Node),
    /// A node refuses what comes, or not any more.
    Refuse {
        node: Node,
        refuses: bool,
        for_good: bool,
    },
}

/// What is known of a call.
struct Call {
    from: (Node, Process),
    until_ms: u64,
    /// Of the library that it was made in.
    stamp: Option<Stamp>,
    end: Option<CallEnd<Node>>,
    runs: usize,
}

/// A message of a lost connection: the process that sent it, the one that it is for, and its bytes.
type Late = (Process, Process, Payload);

pub(crate) struct World {
    servers: Vec<Server>,
    is_stopped: [bool; NODES],
    is_failed: [bool; NODES],
    owners: Vec<Node>,
    /// What was on its way when a connection was lost, and arrives though nobody says so.
    limbo: BTreeMap<(Node, Node), VecDeque<Late>>,
    calls: Vec<Call>,
    last_process: Process,
    last_library: u64,
    now_ms: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let owners: Vec<_> = (0..NODES).collect();
        let server = |me: Node| Server::new(me, me as Process + 1, owners.clone(), None);
        Self {
            servers: (0..NODES).map(server).collect(),
            is_stopped: [false; NODES],
            is_failed: [false; NODES],
            owners: owners.clone(),
            limbo: BTreeMap::new(),
            calls: Vec::new(),
            last_process: NODES as Process,
            last_library: 0,
            now_ms: 0,
        }
    }

    pub(crate) fn apply(&mut self, step: Step) {
        match step {
            Step::Wait(ms) => self.wait(ms),
            Step::Begin {
                from,
                place,
                by_key,
                timeout_ms,
                size,
            } => self.begin(from, (place, by_key), timeout_ms, size),
            Step::Tick(node) => self.tick(node),
            Step::Carry(from, to, which) => {
                self.carry(from, to, |count| which.index(count));
            }
            Step::Start(node, which) => self.start(node, |count| which.index(count)),
            Step::End(node, which, ending) => self.end(node, |count| which.index(count), ending),
            Step::Break(from, to, cut) => self.cut(from, to, cut, false),
            Step::Connect(from, to) => self.connect(from, to),
            Step::Restart(node) => self.restart(node),
            Step::Stop(node, is) => self.is_stopped[node] = is,
            Step::Fail(node, is) => self.fail(node, is),
            Step::Move(place, to) => {
                self.owners[place] = to;
                for (node, server) in self.servers.iter_mut().enumerate() {
                    // Both know it themselves at once.
                    server.owns[place] = node == to;
                }
            }
            Step::Upgrade(node) => {
                self.last_library += 1;
                self.servers[node].upgrade(self.last_library);
            }
            Step::Learn(node) => self.servers[node].way.owners.clone_from(&self.owners),
            Step::Refuse {
                node,
                refuses,
                for_good,
            } => {
                let refusal = if for_good {
                    Refusal::ForGood
                } else {
                    Refusal::ForNow
                };
                self.servers[node].refuses = refuses.then_some(refusal);
            }
        }
    }

    /// Time goes by; nodes that are not stopped have time once a second at least.
    fn wait(&mut self, mut ms: u64) {
        while ms > 0 {
            let part = ms.min(1000);
            ms -= part;
            self.now_ms += part;
            for node in 0..NODES {
                self.servers[node].way.now_ms = self.now_ms;
            }
            for from in 0..NODES {
                for to in 0..NODES {
                    let link = self.servers[from].way.links.get(&to);
                    let is_dead = link.is_some_and(|link| {
                        !link.queue.is_empty() && self.now_ms >= link.since_ms + ANSWER_MS
                    });
                    if is_dead && !self.is_stopped[from] {
                        let cut = Cut {
                            sent: 3,
                            arrives: 0b101,
                            at_once: false,
                        };
                        self.cut(from, to, cut, false);
                    }
                }
                if part == 1000 {
                    self.tick(from);
                }
            }
        }
    }

    fn begin(&mut self, from: Node, to: (usize, bool), timeout_ms: u64, size: Size) {
        if self.is_stopped[from] {
            return;
        }
        let call = self.calls.len() as u64;
        let server = &mut self.servers[from];
        let before = server.outgoing.bytes();
        if server.begin(call, to, timeout_ms, size.bytes()) {
            self.calls.push(Call {
                from: (from, server.process),
                until_ms: self.now_ms + timeout_ms,
                stamp: server.loaded,
                end: None,
                runs: 0,
            });
        } else {
            assert!(before + size.bytes() > ARGUMENTS_MAX);
        }
    }

    fn tick(&mut self, node: Node) {
        if self.is_stopped[node] {
            return;
        }
        // What lies at its door comes in first.
        let doors: Vec<_> = self.limbo.keys().copied().collect();
        for door in doors.into_iter().filter(|(_, to)| *to == node) {
            while self.arrive_late(door) {}
        }
        let ended = self.servers[node].tick();
        for (number, end) in ended {
            let call = &mut self.calls[usize::try_from(number).unwrap()];
            assert!(call.end.is_none(), "{number} ended twice");
            match &end {
                CallEnd::Done { result, .. } => {
                    assert_eq!(result[..8], number.to_le_bytes(), "another call's result");
                    assert_eq!(call.runs, 1);
                }
                // Its caller was taken for failed: it may have run.
                CallEnd::Thrown { thrown, .. } if thrown.kind == ThrownKind::NoResult => {}
                CallEnd::Thrown { .. } => assert_eq!(call.runs, 1),
                CallEnd::NotSent { .. } => assert_eq!(call.runs, 0, "{number}: {end:?}"),
                CallEnd::Timeout { .. } => assert!(self.now_ms >= call.until_ms),
                CallEnd::ShardFailed { .. } => {}
            }
            call.end = Some(end);
        }
        let server = &self.servers[node];
        for number in server.calls.values() {
            let call = &self.calls[usize::try_from(*number).unwrap()];
            assert!(
                call.until_ms > self.now_ms,
                "{number} waits beyond its time"
            );
        }
        let here = server.incoming.figures();
        assert!(here.known <= BOUNDS.calls, "{here:?}");
        // One is let in, however large it is.
        assert!(here.arguments <= BOUNDS.arguments + MESSAGE_MAX, "{here:?}");
        assert!(here.results <= BOUNDS.results + MESSAGE_MAX, "{here:?}");
    }

    /// False where there is nothing to carry.
    pub(crate) fn carry(&mut self, from: Node, to: Node, which: impl Fn(usize) -> usize) -> bool {
        let now_ms = self.now_ms;
        let sender = self.servers[from].process;
        let Some(link) = self.servers[from].way.links.get_mut(&to) else {
            return false;
        };
        // A process that is stopped takes nothing.
        if link.queue.is_empty() || self.is_stopped[to] || self.is_stopped[from] {
            return false;
        }
        let at = which(link.queue.len());
        let (_, message) = link.queue.remove(at).unwrap();
        link.since_ms = now_ms;
        let event = Event::Message(from, sender, message);
        self.servers[to].events.push_back(event);
        true
    }

    pub(crate) fn start(&mut self, node: Node, which: impl Fn(usize) -> usize) {
        let now_ms = self.now_ms;
        let server = &mut self.servers[node];
        let waiting: Vec<_> = (0..server.running.len())
            .filter(|at| !server.running[*at].has_begun)
            .collect();
        if waiting.is_empty() || self.is_stopped[node] {
            return;
        }
        let at = waiting[which(waiting.len())];
        if server.running[at].until_ms <= now_ms {
            let late = server.running.remove(at);
            return server.late(late.key);
        }
        let one = &mut server.running[at];
        one.has_begun = true;
        let number = one.call;
        let call = &mut self.calls[usize::try_from(number).unwrap()];
        call.runs += 1;
        assert_eq!(call.runs, 1, "{number} runs twice");
        assert!(one.stamp >= call.stamp, "{number} runs in an older library");
        let has_not_run = matches!(call.end, Some(CallEnd::NotSent { .. }));
        assert!(
            !has_not_run,
            "{number} runs, and its caller knows that it does not"
        );
    }

    pub(crate) fn end(&mut self, node: Node, which: impl Fn(usize) -> usize, ending: Ending) {
        let server = &mut self.servers[node];
        let begun: Vec<_> = (0..server.running.len())
            .filter(|at| server.running[*at].has_begun)
            .collect();
        if begun.is_empty() || self.is_stopped[node] {
            return;
        }
        let one = server.running.remove(begun[which(begun.len())]);
        let ended = match ending {
            Ending::Result(size) => {
                let mut result = vec![0; size.bytes()];
                result[..8].copy_from_slice(&one.call.to_le_bytes());
                Ended::Done(result.into())
            }
            Ending::Throws => Ended::Thrown(Thrown::default()),
        };
        server.end(one.key, ended);
    }

    /// A connection is lost: what was on its way arrives or not, the rest certainly does not.
    fn cut(&mut self, from: Node, to: Node, cut: Cut, has_failed: bool) {
        let sender = self.servers[from].process;
        let Some(link) = self.servers[from].way.links.remove(&to) else {
            return;
        };
        let mut not_sent = Vec::new();
        let limbo = self.limbo.entry((from, to)).or_default();
        for (at, (ticket, message)) in link.queue.into_iter().enumerate() {
            if at >= cut.sent {
                not_sent.push(ticket);
            } else if cut.arrives & (1 << at) != 0 {
                limbo.push_back((sender, link.process, message));
            }
        }
        let event = Event::Gone(to, not_sent, has_failed);
        self.servers[from].events.push_back(event);
        if cut.at_once && !self.is_stopped[to] {
            while self.arrive_late((from, to)) {}
        }
    }

    /// One of the messages of a lost connection arrives; false where there is none.
    fn arrive_late(&mut self, (from, to): (Node, Node)) -> bool {
        let limbo = self.limbo.get_mut(&(from, to));
        let Some((sender, process, message)) = limbo.and_then(VecDeque::pop_front) else {
            return false;
        };
        if self.servers[to].process == process {
            let event = Event::Message(from, sender, message);
            self.servers[to].events.push_back(event);
        }
        true
    }

    fn connect(&mut self, from: Node, to: Node) {
        let has_link = self.servers[from].way.links.contains_key(&to);
        let can = |node: Node| !self.is_stopped[node] && !self.is_failed[node];
        if from == to || has_link || !can(from) || !can(to) {
            return;
        }
        // What comes over an earlier connection is taken no more.
        self.limbo.remove(&(from, to));
        let process = self.servers[to].process;
        let link = Link {
            process,
            queue: VecDeque::new(),
            since_ms: self.now_ms,
        };
        self.servers[from].way.links.insert(to, link);
        let inbound = Event::Inbound(from, self.servers[from].process);
        self.servers[from].events.push_back(Event::Up(to, process));
        self.servers[to].events.push_back(inbound);
    }

    pub(crate) fn connect_all(&mut self) {
        for from in 0..NODES {
            for to in 0..NODES {
                self.connect(from, to);
            }
        }
    }

    fn restart(&mut self, node: Node) {
        let cut = Cut {
            sent: 2,
            arrives: 0b01,
            at_once: false,
        };
        for other in 0..NODES {
            self.cut(node, other, cut, false);
            self.cut(other, node, cut, false);
        }
        self.last_process += 1;
        let mut server = Server::new(
            node,
            self.last_process,
            self.owners.clone(),
            Some(&self.servers[node]),
        );
        server.way.now_ms = self.now_ms;
        self.servers[node] = server;
        self.is_stopped[node] = false;
    }

    fn fail(&mut self, node: Node, is: bool) {
        self.is_failed[node] = is;
        let cut = Cut {
            sent: 2,
            arrives: 0b10,
            at_once: false,
        };
        for other in (0..NODES).filter(|other| is && *other != node) {
            if self.servers[other].way.links.contains_key(&node) {
                self.cut(other, node, cut, true);
            } else {
                // Its connection is gone already; the table says the rest.
                let event = Event::Gone(node, Vec::new(), true);
                self.servers[other].events.push_back(event);
            }
        }
    }

    /// Everybody goes on, is connected, and has all the time that there is; what has come runs.
    pub(crate) fn heal(&mut self) {
        self.is_stopped = [false; NODES];
        self.is_failed = [false; NODES];
        for _ in 0..120 {
            self.connect_all();
            self.wait(1000);
            for node in 0..NODES {
                self.start(node, |_| 0);
                self.end(node, |_| 0, Ending::Result(Size::Small));
            }
            for _ in 0..40 {
                for from in 0..NODES {
                    for to in 0..NODES {
                        self.carry(from, to, |_| 0);
                    }
                }
            }
        }
    }

    /// How often a call has run.
    pub(crate) fn runs(&self, number: usize) -> usize {
        self.calls[number].runs
    }

    pub(crate) fn check(&self) {
        for (number, call) in self.calls.iter().enumerate() {
            let lives = self.servers[call.from.0].process == call.from.1;
            assert!(call.end.is_some() || !lives, "{number} has no end");
            let has_not_run = matches!(call.end, Some(CallEnd::NotSent { .. }));
            assert!(call.runs <= usize::from(!has_not_run), "{number} has run");
        }
        for (node, server) in self.servers.iter().enumerate() {
            assert_eq!(
                (server.outgoing.len(), server.outgoing.bytes()),
                (0, 0),
                "{node}"
            );
            assert!(
                server.outgoing.is_empty() && server.calls.is_empty(),
                "{node}"
            );
            assert_eq!(server.incoming.figures(), Figures::default(), "{node}");
            assert!(server.unsent.is_empty(), "{node}");
            assert_eq!(server.loaded, self.servers[0].loaded, "{node}");
            assert!(!server.has_tickets(), "{node}");
            assert!(server.running.is_empty() || server.running.iter().all(|one| !one.has_begun));
        }
    }
}
