//! One node: what it has of calls, and what it does when it has time, as `src/remote` does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gears_core::cluster::calls::{
    Bounds, CallEnd, Destination, Ended, Incoming, IncomingKey, Message, Outgoing, Refusal,
    Request, Shard, Thrown, ThrownKind, Times, Unsent, Verdict, Wire,
};
use gears_core::cluster::libraries::{
    Body, Content, Effect, Envelope, Limits, Member, Members, SharedLibraries, Stamp,
};
use gears_core::cluster::{NodeId, Payload, Ticket};

pub(crate) type Node = usize;
pub(crate) type Process = u64;
type Key = IncomingKey<Node, Process>;

/// Bytes that arguments of calls on their way may take.
pub(crate) const ARGUMENTS_MAX: usize = 3000;
pub(crate) const BOUNDS: Bounds = Bounds {
    // Half of them of one library.
    calls: 24,
    arguments: 2000,
    results: 2000,
    confirm_above: 100,
};
/// Bytes that wait for a node, and of one message.
pub(crate) const QUEUE_MAX: usize = 1500;
pub(crate) const MESSAGE_MAX: usize = 1300;

/// Milliseconds in which a call has to be sent, however long it may run.
const ATTEMPTS_MS: u64 = 50_000;

/// What messages about libraries begin with; no message about calls does.
const OF_LIBRARIES: u8 = 0xff;
/// The library of all functions.
const LIBRARY: &str = "l";

fn id_of(node: Node) -> NodeId {
    NodeId::parse(format!("{node:040x}").as_bytes()).expect("it is an ID")
}

fn node_of(id: NodeId) -> Node {
    Node::from_str_radix(id.as_str(), 16).expect("it is a number")
}

/// A text of the library.
fn body(number: u64) -> Body {
    Body {
        code: number.to_string(),
        config: None,
        owner: String::new(),
        unregistered: Vec::new(),
        version: number,
        loaded_ms: 0,
        loaded_by: String::new(),
    }
}

/// What comes to a node.
pub(crate) enum Event {
    Message(Node, Process, Payload),
    Up(Node, Process),
    /// It has a connection here from now on.
    Inbound(Node, Process),
    /// Messages that certainly were not delivered; whether the node is taken for failed.
    Gone(Node, Vec<Ticket>, bool),
}

/// A connection from one node to another one's process, and what it has to carry.
pub(crate) struct Link {
    pub(crate) process: Process,
    pub(crate) queue: VecDeque<(Ticket, Payload)>,
    /// Since when the first of it waits.
    pub(crate) since_ms: u64,
}

impl Link {
    fn bytes(&self) -> usize {
        self.queue.iter().map(|(_, message)| message.len()).sum()
    }
}

/// All connections of one node, and where it is taken for that keys are.
pub(crate) struct Way {
    pub(crate) me: Node,
    pub(crate) links: BTreeMap<Node, Link>,
    pub(crate) owners: Vec<Node>,
    pub(crate) last_ticket: u64,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) now_ms: u64,
    peers: BTreeMap<Node, Process>,
    own: VecDeque<Payload>,
}

#[derive(PartialEq)]
enum Room {
    Is,
    Full,
    TooLarge,
    NoLink,
}

impl Way {
    fn room(&self, to: Node, bytes: usize) -> Room {
        if bytes > MESSAGE_MAX {
            return Room::TooLarge;
        }
        // That it is there is known a little later than to the other node.
        let link = self.links.get(&to).filter(|_| self.peers.contains_key(&to));
        let Some(link) = link else {
            return Room::NoLink;
        };
        let queued = link.bytes();
        if queued > QUEUE_MAX / 2 && queued + bytes > QUEUE_MAX {
            Room::Full
        } else {
            Room::Is
        }
    }

    fn put(&mut self, to: Node, message: Payload) {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let now_ms = self.now_ms;
        let link = self.links.get_mut(&to).expect("there is room");
        if link.queue.is_empty() {
            link.since_ms = now_ms;
        }
        link.queue.push_back((ticket, message));
        self.ticket = Some(ticket);
    }
}

impl Wire<Node, Process> for Way {
    fn route(
        &self,
        destination: &Destination<Node>,
        key: Option<&[u8]>,
    ) -> Result<(Node, Process), (Option<Node>, String)> {
        let place = match destination {
            Destination::Key => usize::from(key.expect("it has one")[0]),
            Destination::Shard(shard) => shard.node,
        };
        let node = self.owners[place];
        if node == self.me {
            return Ok((node, 0));
        }
        let process = self.peers.get(&node);
        process
            .map(|process| (node, *process))
            .ok_or_else(|| (Some(node), "no connection".into()))
    }

    fn send(&mut self, to: &Node, message: Payload) -> Result<(), (Refusal, String)> {
        self.room_for(to, message.len())?;
        if *to == self.me {
            self.own.push_back(message);
        } else {
            self.put(*to, message);
        }
        Ok(())
    }

    fn room_for(&self, to: &Node, bytes: usize) -> Result<(), (Refusal, String)> {
        if *to == self.me {
            return Ok(());
        }
        match self.room(*to, bytes) {
            Room::Is => Ok(()),
            Room::TooLarge => Err((Refusal::ForGood, "too large".into())),
            Room::Full => Err((Refusal::ForNow, "full".into())),
            Room::NoLink => Err((Refusal::ForNow, "no connection".into())),
        }
    }
}

/// A call that has come and waits for a worker, or runs.
pub(crate) struct Running {
    pub(crate) key: Key,
    pub(crate) call: u64,
    pub(crate) until_ms: u64,
    pub(crate) has_begun: bool,
    /// Of the library that it runs in.
    pub(crate) stamp: Option<Stamp>,
}

/// A node's process.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) way: Way,
    pub(crate) outgoing: Outgoing<Node, Process>,
    pub(crate) incoming: Incoming<Node, Process>,
    pub(crate) unsent: Unsent<Node>,
    tickets: BTreeMap<u64, Ticket>,
    /// The calls of scripts here, by their numbers.
    pub(crate) calls: BTreeMap<u64, u64>,
    pub(crate) running: Vec<Running>,
    pub(crate) events: VecDeque<Event>,
    /// Whether it refuses what comes, and whether for good.
    pub(crate) refuses: Option<Refusal>,
    /// The places that it has itself.
    pub(crate) owns: Vec<bool>,
    pub(crate) libraries: SharedLibraries,
    /// That of the library which is loaded.
    pub(crate) loaded: Option<Stamp>,
}

impl Server {
    /// A process; `before` is the one whose libraries it finds on its disk.
    pub(crate) fn new(
        me: Node,
        process: Process,
        owners: Vec<Node>,
        before: Option<&Self>,
    ) -> Self {
        let ledger = before.map(|before| before.libraries.ledger());
        let known = before.and_then(|before| before.libraries.map().get(LIBRARY));
        let live = known.and_then(|known| match &known.content {
            Content::Live(body) => Some((LIBRARY.to_owned(), Body::clone(body))),
            Content::Deleted | Content::Kept => None,
        });
        let ledger = ledger.unwrap_or_default();
        let limits = Limits::default();
        let mut libraries = SharedLibraries::new(id_of(me), process, limits, &ledger, live);
        let others = (0..owners.len()).filter(|other| *other != me);
        let members = Members {
            is_primary: true,
            has_slots: true,
            others: others
                .map(|other| Member {
                    id: id_of(other),
                    has_slots: true,
                    is_failed: false,
                })
                .collect(),
        };
        libraries.set_members(0, members);
        let loaded = libraries.map().get(LIBRARY).map(|known| known.stamp);
        Self {
            libraries,
            loaded,
            process,
            // Another one in each process, as random numbers are.
            outgoing: Outgoing::new(process << 32, ARGUMENTS_MAX),
            incoming: Incoming::new(BOUNDS),
            unsent: Unsent::default(),
            tickets: BTreeMap::new(),
            calls: BTreeMap::new(),
            running: Vec::new(),
            events: VecDeque::new(),
            refuses: None,
            owns: owners.iter().map(|owner| *owner == me).collect(),
            way: Way {
                me,
                links: BTreeMap::new(),
                owners,
                last_ticket: 0,
                ticket: None,
                now_ms: 0,
                peers: BTreeMap::new(),
                own: VecDeque::new(),
            },
        }
    }

    /// Begins with a call of a script; false where that is not taken.
    pub(crate) fn begin(
        &mut self,
        call: u64,
        (place, by_key): (usize, bool),
        timeout_ms: u64,
        bytes: usize,
    ) -> bool {
        let mut arguments = vec![0; bytes];
        arguments[..8].copy_from_slice(&call.to_le_bytes());
        let request = Request {
            id: 0,
            attempt: 0,
            remaining_ms: 0,
            library: LIBRARY.into(),
            stamp: self.libraries.map().get(LIBRARY).map(|known| known.stamp),
            function: "f".into(),
            user: "u".into(),
            db: 0,
            flags: 0,
            key: by_key.then(|| vec![u8::try_from(place).unwrap()]),
            script: None,
            arguments: arguments.into(),
        };
        let destination = if by_key {
            Destination::Key
        } else {
            Destination::Shard(Shard::of(place))
        };
        let times = Times {
            timeout_ms,
            attempts_ms: timeout_ms.min(ATTEMPTS_MS),
        };
        let begun = self
            .outgoing
            .begin(self.way.now_ms, destination, request, times);
        if let Ok(id) = begun {
            self.calls.insert(id, call);
        }
        begun.is_ok()
    }

    /// Does all that there is to do; gives the calls of scripts that have ended.
    pub(crate) fn tick(&mut self) -> Vec<(u64, CallEnd<Node>)> {
        let now_ms = self.way.now_ms;
        while let Some(event) = self.events.pop_front() {
            self.on_event(event);
        }
        self.libraries.tick(now_ms);
        self.carry_out();
        let way = &mut self.way;
        self.unsent.flush(|to, message| {
            let room = way.room(*to, message.len());
            if room == Room::Is {
                way.put(*to, message.clone());
            }
            room != Room::Full
        });
        loop {
            let due = self.outgoing.next_id(now_ms);
            self.way.ticket = None;
            let mut did = self.outgoing.step(now_ms, &mut self.way);
            if let (Some(id), Some(ticket)) = (due, self.way.ticket) {
                self.tickets.insert(id, ticket);
            }
            if let Some(message) = self.way.own.pop_front() {
                self.receive((self.way.me, 0), message);
                did = true;
            }
            if !did {
                break;
            }
        }
        let way = &self.way;
        let can_reach = |node: &Node| *node == way.me || way.peers.contains_key(node);
        for (node, taken) in self.outgoing.take_taken(can_reach) {
            self.tell(node, taken);
        }
        self.incoming.sweep(now_ms);
        // Promises that are not settled in time.
        let is_over = |one: &Running| one.has_begun && one.until_ms + 1000 <= now_ms;
        while let Some(at) = self.running.iter().position(is_over) {
            let one = self.running.remove(at);
            let thrown = Thrown::default();
            self.end(one.key, Ended::Thrown(thrown));
        }
        let ended = self.outgoing.take_ended();
        let mut of_scripts = Vec::new();
        for (id, end) in ended {
            self.tickets.remove(&id);
            let call = self.calls.remove(&id).expect("it ends once");
            of_scripts.push((call, end));
        }
        of_scripts
    }

    /// Whether nothing is kept but what is known for some time.
    pub(crate) fn has_tickets(&self) -> bool {
        !self.tickets.is_empty()
    }

    fn on_event(&mut self, event: Event) {
        let now_ms = self.way.now_ms;
        match event {
            Event::Message(from, process, message) => {
                // Of frames it comes in one piece.
                self.receive((from, process), message.to_vec().into());
            }
            Event::Up(node, process) => {
                self.way.peers.insert(node, process);
                for message in self.incoming.on_peer_up(&node, &process) {
                    self.post(node, message);
                }
                self.outgoing.on_peer_up(now_ms, &node, &process);
            }
            Event::Inbound(node, process) => {
                for message in self.incoming.on_peer_inbound(&node, &process) {
                    self.post(node, message);
                }
                self.outgoing.on_peer_inbound(now_ms, &node, &process);
            }
            Event::Gone(node, not_sent, has_failed) => {
                self.way.peers.remove(&node);
                self.unsent.forget(&node);
                let tickets = self.tickets.iter();
                let lost: Vec<_> = tickets
                    .filter(|(_, ticket)| not_sent.contains(ticket))
                    .map(|(id, _)| *id)
                    .collect();
                for id in lost {
                    self.outgoing
                        .on_undelivered(now_ms, &node, id, "lost".into());
                }
                if has_failed {
                    self.incoming.on_peer_failed(&node, |id| {
                        let ended = Ended::Thrown(Thrown {
                            kind: ThrownKind::NoResult,
                            ..Thrown::default()
                        });
                        Message::Ended { id, ended }.encode()
                    });
                    self.outgoing.on_peer_gone(&node, "it failed");
                }
            }
        }
    }

    /// The library is another one from now on, as this node says.
    pub(crate) fn upgrade(&mut self, number: u64) {
        let content = Content::Live(Arc::new(body(number)));
        self.libraries.say(LIBRARY, content);
        self.carry_out();
    }

    /// Carries out what was decided about libraries.
    fn carry_out(&mut self) {
        for effect in self.libraries.take_effects() {
            match effect {
                Effect::Send { to, envelope } => {
                    let message = [&[OF_LIBRARIES], &envelope.encode()[..]].concat();
                    let to = node_of(to);
                    if self.way.room(to, message.len()) == Room::Is {
                        self.way.put(to, message.into());
                    }
                }
                Effect::Adopt { entry, .. } => self.loaded = Some(entry.stamp),
                Effect::Forget { .. } => self.loaded = None,
                _ => {}
            }
        }
        assert_eq!(self.libraries.take_effects(), []);
    }

    fn receive(&mut self, (node, process): (Node, Process), message: Payload) {
        let now_ms = self.way.now_ms;
        if let [OF_LIBRARIES, envelope @ ..] = &message.to_vec()[..] {
            let envelope = Envelope::decode(envelope).expect("nothing damages it");
            self.libraries.receive(now_ms, id_of(node), envelope);
            return self.carry_out();
        }
        match Message::decode(message).expect("nothing damages it") {
            Message::Request(request) => self.serve((node, process), &request),
            Message::Accepted { id, attempt } => {
                self.outgoing.on_accepted(&node, &process, (id, attempt));
            }
            Message::Refused {
                id,
                attempt,
                refusal,
                text,
            } => {
                self.outgoing
                    .on_refused(now_ms, (&node, &process), (id, attempt), refusal, text);
            }
            Message::Ended { id, ended } => self.outgoing.on_ended(&node, &process, id, ended),
            Message::Taken(taken) => self.incoming.on_taken(&node, &process, &taken),
        }
    }

    fn serve(&mut self, (node, process): (Node, Process), request: &Request) {
        let stamp = request.stamp.filter(|_| node != self.way.me);
        let is_up_to_date = stamp.is_none_or(|stamp| {
            let now_ms = self.way.now_ms;
            let has = self
                .libraries
                .hear_of(now_ms, id_of(node), &request.library, stamp);
            self.carry_out();
            has
        });
        let (id, attempt) = (request.id, request.attempt);
        let key = (node, process, id);
        let refused = |refusal| Message::Refused {
            id,
            attempt,
            refusal,
            text: "no".into(),
        };
        let remaining_ms = request.remaining_ms;
        let verdict = self.incoming.on_request(self.way.now_ms, &key, request);
        match verdict {
            Verdict::Runs => self.tell(node, Message::Accepted { id, attempt }),
            Verdict::Ended(message) => self.post(node, message),
            Verdict::Full(_) => self.tell_refused(key, refused(Refusal::ForNow)),
            Verdict::Run { is_told } => {
                let place = request.key.as_ref().map(|key| usize::from(key[0]));
                let is_elsewhere = place.is_some_and(|place| !self.owns[place]);
                let is_for_now = is_elsewhere || !is_up_to_date;
                let refusal = is_for_now.then_some(Refusal::ForNow).or(self.refuses);
                if let Some(refusal) = refusal {
                    self.incoming.refuse(&key);
                    return self.tell_refused(key, refused(refusal));
                }
                let call = u64::from_le_bytes(request.arguments[..8].try_into().unwrap());
                self.running.push(Running {
                    key,
                    call,
                    until_ms: self.way.now_ms + remaining_ms,
                    has_begun: false,
                    stamp: self.loaded,
                });
                if is_told {
                    self.tell(node, Message::Accepted { id, attempt });
                }
            }
        }
    }

    /// A call was not begun in time.
    pub(crate) fn late(&mut self, key: Key) {
        if let Some(attempt) = self.incoming.refuse(&key) {
            let refused = Message::Refused {
                id: key.2,
                attempt,
                refusal: Refusal::ForNow,
                text: "late".into(),
            };
            self.tell_refused(key, refused);
        }
    }

    /// A call has ended.
    pub(crate) fn end(&mut self, key: Key, ended: Ended) {
        let (node, _, id) = key;
        let mut message = Message::Ended { id, ended }.encode();
        let is_too_large =
            node != self.way.me && self.way.room(node, message.len()) == Room::TooLarge;
        if is_too_large || !self.incoming.has_room_for(message.len()) {
            let ended = Ended::Thrown(Thrown {
                kind: ThrownKind::NoResult,
                ..Thrown::default()
            });
            message = Message::Ended { id, ended }.encode();
        }
        if let Some(message) = self.incoming.end(&key, message) {
            self.post(node, message);
        }
    }

    fn tell(&mut self, to: Node, message: Message) {
        self.post(to, message.encode());
    }

    fn tell_refused(&mut self, key: Key, message: Message) {
        let message = message.encode();
        if !self.try_post(key.0, message.clone()) {
            self.incoming.keep_refusal(key, message);
        }
    }

    fn post(&mut self, to: Node, message: Payload) {
        let _is_on_its_way = self.try_post(to, message);
    }

    /// False where there is no connection.
    fn try_post(&mut self, to: Node, message: Payload) -> bool {
        if to == self.way.me {
            self.way.own.push_back(message);
            return true;
        }
        match self.way.room(to, message.len()) {
            Room::Is => self.way.put(to, message),
            Room::Full => self.unsent.push(to, message),
            Room::TooLarge => {}
            Room::NoLink => return false,
        }
        true
    }
}
