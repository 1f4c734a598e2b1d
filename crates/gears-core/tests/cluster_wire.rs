//! Nodes that talk to each other over a simulated wire: a bus that loses, delays and repeats, and
//! connections that break in the middle of a message, between nodes that are stopped, fail, start
//! anew and leave.
//!
//! What has to hold: a message arrives once, whole, at the process that it was sent to, or its sender
//! is told of it once: nothing that is said not to have been delivered has been. What is not told of
//! arrives. In the end, whoever lives is connected, and no memory and no queue is left in use.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use gears_core::cluster::{
    Answer, Batch, CHUNK, Closed, ClosedWhy, Connection, Decision, Hello, Incoming, Limits, Memory,
    NodeId, NotSent, Opened, Outgoing, PeerState, Peers, ProcessId, Pulse, Ticket, Token, Topic,
    Topology,
};
use proptest::prelude::*;

const NODES: usize = 4;
/// The last one is a replica of the first.
const REPLICA: usize = NODES - 1;
const LIMITS: Limits = Limits {
    message: 20 * CHUNK,
    queue: 30 * CHUNK,
};

/// Bytes of the largest message that a node says it takes: the last one takes less.
fn taken_by(node: usize) -> usize {
    LIMITS.message / (1 + node / (NODES - 1))
}
const MEMORY: usize = 25 * CHUNK;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time goes by.
    Wait(u16),
    /// A node sends a message of so many bytes.
    Send(usize, usize, usize),
    /// A batch of a connection arrives, and is answered; or the connection breaks before that, in the
    /// middle of it (after so many frames), or before the answers are back.
    Carry(usize, usize, Wire),
    /// The next bus message arrives, is lost, or comes once more later.
    Bus(Wire),
    /// A node starts anew.
    Restart(usize),
    /// The table has it as failed, or not.
    Fail(usize, bool),
    /// It is in nobody's table, or is again.
    Leave(usize, bool),
    /// Whoever has messages handles them.
    Handle(usize),
}

#[derive(Clone, Copy, Debug)]
enum Wire {
    Fine,
    Lost(usize),
    AnswersLost,
}

fn wire() -> impl Strategy<Value = Wire> {
    prop_oneof![
        6 => Just(Wire::Fine),
        1 => (0_usize..20).prop_map(Wire::Lost),
        1 => Just(Wire::AnswersLost),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    let size = prop_oneof![0_usize..100, 0..3 * CHUNK, 0..21 * CHUNK];
    prop_oneof![
        4 => (1_u16..700).prop_map(Step::Wait),
        8 => (node.clone(), node.clone(), size).prop_map(|(from, to, size)| Step::Send(from, to, size)),
        12 => (node.clone(), node.clone(), wire()).prop_map(|(from, to, wire)| Step::Carry(from, to, wire)),
        8 => wire().prop_map(Step::Bus),
        1 => node.clone().prop_map(Step::Restart),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, is)| Step::Fail(node, is)),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, is)| Step::Leave(node, is)),
        3 => node.prop_map(Step::Handle),
    ]
}

/// What a node sent: by sender's process and ticket.
type Name = (ProcessId, Ticket);

struct Link {
    to: usize,
    /// The process it was opened to; none before.
    process: Option<ProcessId>,
    outgoing: Outgoing,
}

struct Server {
    process: ProcessId,
    peers: Peers,
    links: BTreeMap<Connection, Link>,
    /// By the node whose connection it is: which one, and what came of it.
    inbound: BTreeMap<NodeId, (ProcessId, Connection, Incoming)>,
    memory: Memory,
    /// Sizes of messages that nobody has handled.
    inbox: VecDeque<usize>,
    is_failed: bool,
    has_left: bool,
}

#[derive(Default)]
struct Told {
    /// Sent to that process, with their text.
    sent: BTreeMap<Name, (ProcessId, Vec<u8>)>,
    arrived: BTreeSet<Name>,
    not_sent: BTreeSet<Name>,
    uncertain: BTreeSet<Name>,
}

struct World {
    servers: Vec<Server>,
    bus: VecDeque<(usize, usize, Vec<u8>)>,
    now: u64,
    random: u64,
    told: Told,
}

fn id(node: usize) -> NodeId {
    let digit = char::from_digit(u32::try_from(node).unwrap() + 1, 16).unwrap();
    NodeId::parse(digit.to_string().repeat(40).as_bytes()).unwrap()
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            servers: Vec::new(),
            bus: VecDeque::new(),
            now: 0,
            random: 0,
            told: Told::default(),
        };
        for node in 0..NODES {
            let process = world.process();
            world.servers.push(Server {
                process,
                peers: Peers::new(id(node), process, LIMITS),
                links: BTreeMap::new(),
                inbound: BTreeMap::new(),
                memory: Memory::new(MEMORY),
                inbox: VecDeque::new(),
                is_failed: false,
                has_left: false,
            });
        }
        world
    }

    fn process(&mut self) -> ProcessId {
        self.random += 1;
        ProcessId(u128::from(self.random).to_be_bytes())
    }

    fn table(&self, me: usize) -> Topology {
        let mut text = String::new();
        for (node, server) in self.servers.iter().enumerate() {
            if node != me && server.has_left {
                continue;
            }
            let flags = if node == me { "myself," } else { "" };
            let fail = if server.is_failed && node != me {
                ",fail"
            } else {
                ""
            };
            let rest = if node == REPLICA {
                format!("slave{fail} {}", id(0))
            } else {
                format!("master{fail} -")
            };
            writeln!(
                text,
                "{} 10.0.0.{node}:7000@17000 {flags}{rest} 0 0 1 connected",
                id(node)
            )
            .unwrap();
        }
        Topology::parse(&text).unwrap()
    }

    /// The table is read, and what is due is done.
    fn look(&mut self, node: usize) {
        let table = self.table(node);
        let mut out = Vec::new();
        let random = &mut self.random;
        let token = || {
            *random += 1;
            let mut token = [0; 32];
            token[..8].copy_from_slice(&random.to_le_bytes());
            Token(token)
        };
        self.servers[node]
            .peers
            .on_topology(&table, false, self.now, token, &mut out);
        // Who is not of the cluster any more has no connection here.
        let server = &mut self.servers[node];
        let (peers, memory) = (&server.peers, &mut server.memory);
        server.inbound.retain(|from, (.., incoming)| {
            let stays = peers.knows(*from);
            if !stays {
                incoming.clear(memory);
            }
            stays
        });
        self.carry_out(node, out);
    }

    fn carry_out(&mut self, node: usize, decisions: Vec<Decision>) {
        for decision in decisions {
            match decision {
                Decision::Greet(to, hello) => {
                    let to = (0..NODES).find(|other| id(*other) == to).unwrap();
                    self.bus.push_back((node, to, hello.encode()));
                }
                Decision::Connect {
                    node: to,
                    connection,
                    endpoint,
                    token,
                } => {
                    let to = (0..NODES).find(|other| id(*other) == to).unwrap();
                    assert_eq!(endpoint.address, format!("10.0.0.{to}"));
                    let link = Link {
                        to,
                        process: None,
                        outgoing: Outgoing::default(),
                    };
                    self.servers[node].links.insert(connection, link);
                    self.open(node, connection, &token);
                }
                Decision::Close(_, connection) => self.close(node, connection, ClosedWhy::Broken),
                Decision::Up {
                    node: peer,
                    process,
                } => {
                    assert_eq!(self.servers[node].peers.process_of(peer), Some(process));
                }
                Decision::Gone {
                    not_sent,
                    uncertain,
                    ..
                } => {
                    let process = self.servers[node].process;
                    for ticket in not_sent {
                        assert!(self.told.not_sent.insert((process, ticket)), "told twice");
                    }
                    for ticket in uncertain {
                        assert!(self.told.uncertain.insert((process, ticket)), "told twice");
                    }
                }
            }
        }
    }

    fn open(&mut self, node: usize, connection: Connection, token: &Token) {
        let to = self.servers[node].links[&connection].to;
        let now = self.now;
        let (from, mine) = (id(node), self.servers[node].process);
        let there = &mut self.servers[to];
        if there.is_failed {
            return self.close(node, connection, ClosedWhy::Broken);
        }
        if !there.peers.is_member(from, token.shown().as_bytes()) {
            return self.close(node, connection, ClosedWhy::WrongToken);
        }
        let before = there
            .inbound
            .insert(from, (mine, connection, Incoming::default()));
        if let Some((.., mut incoming)) = before {
            incoming.clear(&mut there.memory);
        }
        there.peers.set_inbound(from, true, now);
        let process = there.process;
        self.servers[node]
            .links
            .get_mut(&connection)
            .unwrap()
            .process = Some(process);
        let mut out = Vec::new();
        self.servers[node].peers.on_opened(
            id(to),
            connection,
            Opened {
                process,
                version: "1".into(),
                message_max: None,
            },
            now,
            &mut out,
        );
        self.carry_out(node, out);
    }

    /// A connection is gone, at both ends.
    fn close(&mut self, node: usize, connection: Connection, why: ClosedWhy) {
        let Some(link) = self.servers[node].links.remove(&connection) else {
            return;
        };
        let now = self.now;
        let sender = self.servers[node].process;
        let inbound = self.servers[link.to].inbound.get(&id(node));
        let mine =
            inbound.is_some_and(|(process, one, _)| (*process, *one) == (sender, connection));
        let there = &mut self.servers[link.to];
        if mine && let Some((.., mut incoming)) = there.inbound.remove(&id(node)) {
            incoming.clear(&mut there.memory);
            there.peers.set_inbound(id(node), false, now);
        }
        let closed = Closed {
            why,
            error: "closed".into(),
            uncertain: link.outgoing.unfinished().uncertain,
        };
        let mut out = Vec::new();
        self.servers[node]
            .peers
            .on_closed(id(link.to), connection, closed, now, &mut out);
        self.carry_out(node, out);
    }

    fn send(&mut self, from: usize, to: usize, size: usize) {
        let server = &mut self.servers[from];
        let queued = server
            .peers
            .views(self.now)
            .find(|peer| peer.node == id(to));
        match server.peers.send(id(to), Topic::Calls, size) {
            Ok((connection, ticket)) => {
                assert!(size <= LIMITS.message);
                let name = (server.process, ticket);
                let mut text = vec![u8::try_from(ticket.0 % 251).unwrap(); size];
                if let Some(first) = text.first_mut() {
                    *first = 255;
                }
                let link = server.links.get_mut(&connection).expect("one that is open");
                link.outgoing.push(ticket, Topic::Calls, text.clone());
                let process = link.process.expect("it is open");
                self.told.sent.insert(name, (process, text));
            }
            Err(NotSent::NoSuchNode) => assert!(queued.is_none()),
            Err(NotSent::NotConnected) => assert!(queued.unwrap().process.is_none()),
            Err(NotSent::TooLarge(_)) => assert!(size > LIMITS.message),
            Err(NotSent::TooLargeThere(most)) => {
                assert_eq!(most, taken_by(to));
                assert!(size > most && size <= LIMITS.message);
            }
            Err(NotSent::QueueFull(_)) => {
                assert!(queued.unwrap().queue_bytes + size > LIMITS.queue);
            }
        }
    }

    fn carry(&mut self, from: usize, to: usize, wire: Wire) {
        let links = &mut self.servers[from].links;
        let Some(connection) = links
            .iter()
            .find(|(_, link)| link.to == to)
            .map(|(one, _)| *one)
        else {
            return;
        };
        let now = self.now;
        let link = links.get_mut(&connection).unwrap();
        let process = link.process;
        let Some(batch) = link.outgoing.next(8 * CHUNK, now) else {
            // A pulse, which only has to be answered.
            let receiver = &self.servers[to];
            let inbound = receiver.inbound.get(&id(from));
            let is_known = inbound.is_some_and(|(_, one, _)| *one == connection);
            if !is_known || Some(receiver.process) != process {
                self.close(from, connection, ClosedWhy::Broken);
            }
            return;
        };
        let arriving = match wire {
            Wire::Lost(frames) => frames.min(batch.frames.len()),
            _ => batch.frames.len(),
        };
        let answers = self.arrive(from, to, process, connection, &batch, arriving);
        let is_whole = answers
            .as_ref()
            .is_some_and(|answers| answers.len() == batch.frames.len());
        if !is_whole || matches!(wire, Wire::Lost(_) | Wire::AnswersLost) {
            return self.close(from, connection, ClosedWhy::Broken);
        }
        let link = self.servers[from].links.get_mut(&connection).unwrap();
        let delivered = link.outgoing.answered(&batch, &answers.unwrap(), now);
        let name = |ticket: &Ticket| (self.servers[from].process, *ticket);
        assert!(
            delivered
                .iter()
                .all(|ticket| self.told.arrived.contains(&name(ticket)))
        );
        let peers = &mut self.servers[from].peers;
        let pulse = Pulse {
            round_trip_us: 1,
            message_max: Some(taken_by(to)),
        };
        peers.on_answered(id(to), connection, &delivered, Some(pulse), now);
    }

    /// Frames arrive; none where nobody is there, or it is another process by now.
    fn arrive(
        &mut self,
        from: usize,
        to: usize,
        process: Option<ProcessId>,
        connection: Connection,
        batch: &Batch,
        count: usize,
    ) -> Option<Vec<Answer>> {
        let sender = self.servers[from].process;
        let there = &mut self.servers[to];
        if Some(there.process) != process || there.is_failed {
            return None;
        }
        let (mine, one, incoming) = there.inbound.get_mut(&id(from))?;
        if (*mine, *one) != (sender, connection) {
            return None;
        }
        let mut answers = Vec::new();
        for frame in &batch.frames[..count] {
            match incoming.take(frame, &mut there.memory, LIMITS.message) {
                Ok(None) => answers.push(Answer::Taken),
                Ok(Some((topic, bytes))) => {
                    assert_eq!(topic, Topic::Calls);
                    there.inbox.push_back(bytes.len());
                    // Which one it is: an open one with that text, none of which arrived yet.
                    let told = &mut self.told;
                    let found = told.sent.iter().find(|(name, (process, text))| {
                        name.0 == sender
                            && *process == there.process
                            && *text == bytes
                            && !told.arrived.contains(name)
                            && !told.not_sent.contains(name)
                    });
                    let name = *found.expect("it was sent, and did not arrive before").0;
                    told.arrived.insert(name);
                    answers.push(Answer::Taken);
                }
                Err(error) => {
                    assert!(error.may_come_again(), "{error}");
                    answers.push(Answer::Later);
                }
            }
        }
        Some(answers)
    }

    fn deliver_bus(&mut self, wire: Wire) {
        let Some((from, to, bytes)) = self.bus.pop_front() else {
            return;
        };
        match wire {
            Wire::Lost(_) => return,
            Wire::AnswersLost => self.bus.push_back((from, to, bytes.clone())),
            Wire::Fine => {}
        }
        let hello = Hello::decode(&bytes).expect("what was sent");
        let mut out = Vec::new();
        self.servers[to]
            .peers
            .on_hello(id(from), hello, self.now, &mut out);
        self.carry_out(to, out);
    }

    fn restart(&mut self, node: usize) {
        for other in 0..NODES {
            let links = &self.servers[other].links;
            let broken: Vec<_> = links
                .iter()
                .filter(|(_, link)| other == node || link.to == node)
                .map(|(connection, _)| *connection)
                .collect();
            for connection in broken {
                self.close(other, connection, ClosedWhy::Broken);
            }
        }
        let process = self.process();
        let server = &mut self.servers[node];
        server.process = process;
        server.peers = Peers::new(id(node), process, LIMITS);
        server.memory = Memory::new(MEMORY);
        server.inbound.clear();
        server.inbox.clear();
    }

    fn handle(&mut self, node: usize) {
        let server = &mut self.servers[node];
        while let Some(bytes) = server.inbox.pop_front() {
            server.memory.give_back(bytes);
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Wait(time) => {
                self.now += u64::from(time);
                (0..NODES).for_each(|node| self.look(node));
            }
            Step::Send(from, to, size) => self.send(from, to, size),
            Step::Carry(from, to, wire) => self.carry(from, to, wire),
            Step::Bus(wire) => self.deliver_bus(wire),
            Step::Restart(node) => self.restart(node),
            Step::Fail(node, is) => self.servers[node].is_failed = is,
            Step::Leave(node, is) => self.servers[node].has_left = is,
            Step::Handle(node) => self.handle(node),
        }
    }

    /// Everything heals; in the end nothing is open.
    fn heal(&mut self) {
        for server in &mut self.servers {
            (server.is_failed, server.has_left) = (false, false);
        }
        for _ in 0..400 {
            self.apply(Step::Wait(100));
            for _ in 0..self.bus.len() {
                self.deliver_bus(Wire::Fine);
            }
            for from in 0..NODES {
                for to in 0..NODES {
                    self.carry(from, to, Wire::Fine);
                }
                self.handle(from);
            }
        }
    }

    fn check(&self) {
        for (node, server) in self.servers.iter().enumerate() {
            let peers: Vec<_> = server.peers.views(self.now).collect();
            assert_eq!(peers.len(), NODES - 1);
            for peer in peers {
                assert!(
                    matches!(peer.state, PeerState::Up | PeerState::Silent),
                    "{node}: {peer:?}"
                );
                assert!(peer.is_inbound, "{node}: {peer:?}");
                assert_eq!(
                    (peer.queue_bytes, peer.queue_messages),
                    (0, 0),
                    "{node}: {peer:?}"
                );
            }
            assert_eq!(server.memory.used(), 0);
        }
        let told = &self.told;
        assert!(
            told.arrived.is_disjoint(&told.not_sent),
            "told as not sent, and arrived"
        );
        for (name, (process, _)) in &told.sent {
            let is_told = told.not_sent.contains(name) || told.uncertain.contains(name);
            let lives = |process| self.servers.iter().any(|server| server.process == process);
            // Whom is to be told about it, and is it there at all?
            let counts = lives(name.0) && lives(*process);
            assert!(
                !counts || is_told || told.arrived.contains(name),
                "neither arrived nor told of"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_message_arrives_once_or_its_sender_knows(steps in prop::collection::vec(step(), 1..300)) {
        let mut world = World::new();
        // Mostly everybody knows each other.
        if steps.len() % 4 != 0 {
            world.heal();
        }
        for step in steps {
            world.apply(step);
        }
        world.heal();
        world.check();
    }
}

#[test]
fn the_largest_messages_need_no_empty_queue() {
    let mut world = World::new();
    world.heal();
    for (size, taken) in [(11 * CHUNK, 1), (20 * CHUNK, 2), (1, 2)] {
        world.send(0, 1, size);
        assert_eq!(world.told.sent.len(), taken);
    }
    world.heal();
    world.check();
}
