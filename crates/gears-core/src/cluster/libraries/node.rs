//! What one node does, so that all have the same libraries: facts in, effects out.

mod changes;
mod checks;
mod compared;
mod gossip;
mod promises;
mod rivals;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use self::changes::Pending;
use self::checks::{Asked, Looked};
use self::compared::Compared;
pub use self::compared::PeerLibraries;
use self::promises::Promise;
use self::rivals::Held;
use super::entry::{Body, Content, Entry};
use super::ledger::Ledger;
use super::map::{Known, LibraryMap, Root};
use super::message::{Envelope, Message, Nak};
use super::random::Random;
use super::stamp::{Domain, Stamp};
use crate::cluster::NodeId;

/// Bounds and times; these in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deletions that are remembered; more only while that is not safe.
    pub deletions: usize,
    /// Deletions that are remembered at most: nothing is deleted any more then.
    pub deletions_max: usize,
    /// How often a node compares itself with others.
    pub gossip_ms: u64,
    /// With how many of them.
    pub gossip_peers: usize,
    /// How long a node that does not answer is waited for.
    pub silence_ms: u64,
    /// After how long that another has other libraries is told.
    pub apart_ms: u64,
    /// After how long it is asked again.
    pub resend_ms: u64,
    /// How long a promise holds when nobody says what came of it.
    pub promise_ms: u64,
    /// Bytes of bodies in one message, more only where one alone has more.
    pub batch_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deletions: 10_000,
            deletions_max: 100_000,
            gossip_ms: 1000,
            gossip_peers: 3,
            silence_ms: 10_000,
            apart_ms: 10_000,
            resend_ms: 2000,
            promise_ms: 30_000,
            batch_bytes: 4 << 20,
        }
    }
}

/// Another primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its ID.
    pub id: NodeId,
    /// Whether it has slots.
    pub has_slots: bool,
    /// Whether the cluster agrees that it does not answer.
    pub is_failed: bool,
}

/// The primaries of the cluster, as this node knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Whether this node is one.
    pub is_primary: bool,
    /// Whether it has slots.
    pub has_slots: bool,
    /// The others.
    pub others: Vec<Member>,
}

/// What [`SharedLibraries::propose`] answers later, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proposal(u64);

/// Why nothing came of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// This node is no primary.
    #[error("READONLY this node is a replica: libraries are changed on primaries")]
    Replica,
    /// It became a replica meanwhile.
    #[error("READONLY this node has become a replica: nothing was changed")]
    BecameReplica,
    /// It was taken out of its cluster meanwhile.
    #[error("ERR this node was reset: nothing was changed")]
    Reset,
    /// It takes another data set meanwhile, and with that other libraries.
    #[error("ERR this node loads another data set: nothing was changed")]
    OtherData,
    /// Too few shards can be reached.
    #[error("CLUSTERDOWN only {alive} of {total} shards can be reached: nothing was changed")]
    NoMajority {
        /// Those that can, this one included.
        alive: usize,
        /// All that have slots.
        total: usize,
    },
    /// This node has no slots, and the libraries of the others are not known yet.
    #[error(
        "ERR this node has no slots, and knows of no library yet: try again in a second, or load the first library of the cluster on a shard that has slots"
    )]
    NotJoined,
    /// Another change of the same library is under way.
    #[error("ERR the library is being changed, by shard {0}: nothing was changed, try again")]
    Busy(NodeId),
    /// A shard knows something later.
    #[error("ERR shard {0} has a later version of the library: nothing was changed, try again")]
    Stale(NodeId),
    /// It cannot be loaded on a shard.
    #[error("ERR shard {shard} refuses the library, nothing was changed: {text}")]
    Invalid {
        /// Which.
        shard: NodeId,
        /// Why.
        text: String,
    },
    /// A shard has libraries of which this node did not know.
    #[error(
        "ERR shard {0} has libraries that are not known here yet: nothing was changed, try again"
    )]
    OtherDomain(NodeId),
    /// Shards did not answer.
    #[error("ERR no answer in time from {0}: nothing was changed")]
    Silent(Shards),
    /// Too many deletions are remembered.
    #[error(
        "ERR too many deleted libraries are remembered, while a shard is down: nothing was changed"
    )]
    TooManyDeleted,
    /// It was adopted here, and too few shards have confirmed that they have it.
    #[error(
        "ERR the change was made here, but too few shards have confirmed it in time, so it may be lost if this one fails: missing {0}"
    )]
    Unconfirmed(Shards),
}

/// Shards that are named in an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards(pub Vec<NodeId>);

impl fmt::Display for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "shard" } else { "shards" })?;
        self.0.iter().try_for_each(|id| write!(f, " {id}"))
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send that to that node. It may get lost.
    Send {
        /// The node.
        to: NodeId,
        /// What.
        envelope: Envelope,
    },
    /// Look whether that could be carried out here, change nothing, and tell [`SharedLibraries::checked`].
    Check {
        /// Who asks.
        from: NodeId,
        /// What would be.
        entry: Entry,
    },
    /// Look whether that could be carried out here, change nothing, and tell [`SharedLibraries::looked`]. Nobody prepares
    /// it.
    Look {
        /// Who asks.
        from: NodeId,
        /// Its number there.
        number: u64,
        /// What would be.
        entry: Entry,
    },
    /// The map has this entry now: load or delete the library, and tell the replicas.
    Adopt {
        /// It.
        entry: Entry,
        /// The proposal that it comes of, if it is one of this node.
        proposal: Option<Proposal>,
    },
    /// The map knows nothing of that name any more: delete the library, if there is one. A ledger follows.
    Forget {
        /// The name.
        name: Arc<str>,
    },
    /// The ledger is another as a whole: tell the replicas.
    Ledger(Box<Ledger>),
    /// The proposal was carried out, and enough shards have it.
    Done {
        /// Which.
        proposal: Proposal,
    },
    /// Nothing came of the proposal.
    Refused {
        /// Which.
        proposal: Proposal,
        /// Why.
        why: Refused,
    },
    /// Another node has had other libraries for some time.
    Apart {
        /// Which.
        node: NodeId,
        /// Those that differ, as far as that is known.
        names: Vec<String>,
    },
    /// It has the same again.
    Together {
        /// Which.
        node: NodeId,
    },
    /// This node takes the libraries of another domain to its own: two clusters have met.
    DomainsMet {
        /// What it had.
        own: Option<Domain>,
        /// The one that it belongs to now.
        other: Domain,
        /// Who told.
        from: NodeId,
    },
}

/// The libraries of a node in a cluster, and what it does so that all have the same.
#[derive(Clone, Debug)]
pub struct SharedLibraries {
    me: NodeId,
    limits: Limits,
    map: LibraryMap,
    members: Members,
    /// Own changes under way, by name.
    pending: BTreeMap<Arc<str>, Pending>,
    /// What was asked without a change, by the number that its answers have.
    asked: BTreeMap<Proposal, Asked>,
    /// What others were answered last, who had asked likewise; the last one first.
    looked: BTreeMap<NodeId, VecDeque<Looked>>,
    /// What was promised to others, by name.
    promises: BTreeMap<Arc<str>, Promise>,
    /// What waits for the promise that another has, by name.
    held: BTreeMap<Arc<str>, Held>,
    /// The roots that others had when they were about to change nothing.
    seen: BTreeMap<NodeId, Root>,
    /// What others have, as they said last.
    compared: BTreeMap<NodeId, Compared>,
    /// How many libraries cannot be loaded here.
    quarantined: u32,
    /// What was asked for, and when that is forgotten.
    pulls: BTreeMap<Arc<str>, (Stamp, u64)>,
    random: Random,
    gossip_at: u64,
    proposals: u64,
    /// The greatest counter that was given to an own change, whatever came of it.
    issued: u64,
    effects: Vec<Effect>,
}

impl SharedLibraries {
    /// Those of a node, as they were kept. A library that the ledger does not know, or knows with another body, was
    /// there before all that was said of it. `seed` is chance.
    #[must_use]
    pub fn new(
        me: NodeId,
        seed: u64,
        limits: Limits,
        ledger: &Ledger,
        bodies: impl IntoIterator<Item = (String, Body)>,
    ) -> Self {
        let mut shared = Self {
            me,
            limits,
            map: LibraryMap::default(),
            members: Members::default(),
            pending: BTreeMap::new(),
            asked: BTreeMap::new(),
            looked: BTreeMap::new(),
            promises: BTreeMap::new(),
            held: BTreeMap::new(),
            seen: BTreeMap::new(),
            compared: BTreeMap::new(),
            quarantined: 0,
            pulls: BTreeMap::new(),
            random: Random::new(seed),
            gossip_at: 0,
            proposals: 0,
            issued: 0,
            effects: Vec::new(),
        };
        let bodies = bodies
            .into_iter()
            .map(|(name, body)| (name, Arc::new(body)));
        shared.replace(ledger, &bodies.collect());
        shared
    }

    /// What it knows.
    #[must_use]
    pub fn map(&self) -> &LibraryMap {
        &self.map
    }

    /// The same as it is kept.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger::of(&self.map)
    }

    /// What is to be done now, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether nothing is under way: no change or question of this node, and no promise to another.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.promises.is_empty() && self.asked.is_empty()
    }

    /// Takes what the primary said of a library; on a replica, and while a log is replayed.
    pub fn replay(&mut self, entry: &Entry) {
        self.map.put(entry);
    }

    /// Forgets a name, as the primary did.
    pub fn replay_forget(&mut self, name: &str) {
        self.map.remove(name);
    }

    /// Takes the ledger of the primary; on a replica, and while a log is replayed. Bodies stay those that are here.
    pub fn replay_ledger(&mut self, ledger: &Ledger) {
        let bodies = self
            .map
            .iter()
            .filter_map(|(name, known)| match &known.content {
                Content::Live(body) => Some((name.to_string(), Arc::clone(body))),
                Content::Deleted | Content::Kept => None,
            });
        let bodies = bodies.collect();
        self.replace(ledger, &bodies);
    }

    fn replace(&mut self, ledger: &Ledger, bodies: &BTreeMap<String, Arc<Body>>) {
        self.map = LibraryMap::default();
        self.map.domain = ledger.domain;
        self.map.clock = ledger.clock;
        self.map.raise_floor(ledger.floor);
        let live: BTreeMap<&str, Stamp> = ledger
            .live
            .iter()
            .map(|(name, stamp)| (&**name, *stamp))
            .collect();
        for (name, body) in bodies {
            let digest = body.digest();
            let known = live.get(&**name).filter(|stamp| stamp.digest == digest);
            self.map.put(&Entry {
                name: name.as_str().into(),
                stamp: known.copied().unwrap_or_else(|| Stamp::unknown(digest)),
                content: Content::Live(Arc::clone(body)),
            });
        }
        for (name, stamp) in &ledger.deleted {
            if self.map.get(name).is_none() {
                self.map.put(&Entry {
                    name: name.as_str().into(),
                    stamp: *stamp,
                    content: Content::without_body(stamp.digest),
                });
            }
        }
    }

    /// The node has another name: it was reset.
    pub fn rename(&mut self, me: NodeId) {
        self.me = me;
        self.end_all(&Refused::Reset);
        self.forget_others();
        self.leave_domain();
    }

    /// Ends what was asked here, for that reason.
    pub fn end_all(&mut self, why: &Refused) {
        self.end_pending(|| why.clone());
        self.end_asked(|| why.clone());
    }

    /// Forgets what others were told and have said.
    fn forget_others(&mut self) {
        self.promises.clear();
        self.held.clear();
        self.pulls.clear();
        self.seen.clear();
        self.compared.clear();
        self.looked.clear();
    }

    /// Takes in who the primaries are.
    pub fn set_members(&mut self, now: u64, members: Members) {
        if members == self.members {
            return;
        }
        let was_primary = self.members.is_primary;
        let had_others = !self.members.others.is_empty();
        let askable = self.askable();
        self.members = members;
        if !self.members.is_primary {
            self.forget_others();
            self.end_all(&Refused::BecameReplica);
            return;
        }
        if self.members.others.is_empty() && had_others && !self.members.has_slots {
            self.leave_domain();
        }
        let others = &self.members.others;
        let is_other = |id: &NodeId| others.iter().any(|one| one.id == *id);
        self.compared.retain(|id, _| is_other(id));
        self.looked.retain(|id, _| is_other(id));
        self.review_pending(now);
        self.review_asked(now, &askable);
        if !was_primary {
            self.tell_all();
        }
    }

    /// Takes a message in.
    pub fn receive(&mut self, now: u64, from: NodeId, envelope: Envelope) {
        let Envelope {
            domain,
            has_slots,
            message,
        } = envelope;
        if !self.members.is_primary {
            match message {
                Message::Prepare { entry, .. } => {
                    self.refuse(from, &entry.name, entry.stamp, Nak::Replica);
                }
                Message::Ask { number, entry } => {
                    self.answer_ask(from, number, &entry, Some(Nak::Replica));
                }
                _ => {}
            }
            return;
        }
        let is_same = self.meet(from, domain, has_slots, &message);
        match message {
            Message::Refuse { name, stamp, nak } => self.on_refuse(now, from, &name, stamp, nak),
            Message::Abort { name, stamp } => self.on_abort(from, &name, stamp),
            Message::Ask { number, entry } => self.on_ask(from, number, entry, is_same),
            Message::Answer { number, stamp, nak } => self.on_answer(from, number, stamp, nak),
            Message::Prepare { entry, .. } if !is_same => {
                self.refuse(from, &entry.name, entry.stamp, Nak::OtherDomain);
            }
            _ if !is_same => {}
            Message::Digest {
                root,
                floor,
                is_busy,
                quarantined,
                ..
            } => {
                self.compare(from, root, quarantined);
                self.on_digest(from, root, floor, is_busy);
            }
            Message::Offer {
                floor,
                stamps,
                asks,
            } => self.on_offer(now, from, floor, stamps, asks),
            Message::Pull { names } => self.on_pull(from, &names),
            Message::Entries { entries } => {
                for entry in entries {
                    self.merge(entry);
                }
            }
            Message::Prepare { entry, base } => self.on_prepare(now, from, entry, base),
            Message::Promise { name, stamp } => self.on_promise(now, from, &name, stamp),
            Message::Commit { name, stamp } => self.on_commit(now, from, &name, stamp),
            Message::Adopted { name, stamp } => self.on_adopted(from, &name, stamp),
        }
        self.take_up_held(now);
    }

    /// Ends what others have not answered in time, and nothing else: nothing is written.
    pub fn end_late(&mut self, now: u64) {
        self.pending_are_late(now);
        self.asked_are_late(now);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: u64) {
        self.promises.retain(|_, promise| promise.until > now);
        self.pulls.retain(|_, (_, until)| *until > now);
        if !self.members.is_primary {
            return;
        }
        self.take_up_held(now);
        self.pending_are_due(now);
        self.asked_are_due(now);
        self.tell_apart(now);
        if now >= self.gossip_at {
            self.gossip_at = now + self.limits.gossip_ms;
            self.gossip();
        }
        self.prune();
    }

    /// Says something of a library without asking anybody: the others hear of it. It may lose against what is said
    /// at the same time.
    pub fn say(&mut self, name: &str, content: Content) {
        if self.members.has_slots {
            self.found_domain();
        }
        let entry = self.next_entry(name.into(), content);
        self.adopt(entry, None);
        self.tell_all();
    }

    /// Names the domain of the first library; gives whether there was none.
    fn found_domain(&mut self) -> bool {
        let is_first = self.map.domain.is_none();
        if is_first {
            self.map.domain = Some(Domain(self.random.next(), self.random.next()));
            self.tell_ledger();
        }
        is_first
    }

    /// The node has left its cluster: what it meets next is one whose libraries it takes, also where that is the same.
    fn leave_domain(&mut self) {
        if self.map.domain.take().is_some() {
            self.tell_ledger();
        }
    }

    fn tell_ledger(&mut self) {
        let ledger = Box::new(self.ledger());
        self.effects.push(Effect::Ledger(ledger));
    }

    fn next_counter(&mut self) -> u64 {
        self.issued = self.issued.max(self.map.clock) + 1;
        self.issued
    }

    fn next_entry(&mut self, name: Arc<str>, content: Content) -> Entry {
        let stamp = Stamp {
            counter: self.next_counter(),
            author: Some(self.me),
            digest: content.digest(),
        };
        Entry {
            name,
            stamp,
            content,
        }
    }

    /// Takes an entry in if it is news.
    fn merge(&mut self, entry: Entry) {
        if self.map.is_news(&entry.name, &entry.stamp) {
            self.adopt(entry, None);
        }
    }

    fn adopt(&mut self, entry: Entry, proposal: Option<Proposal>) {
        self.map.put(&entry);
        let settles = |promise: &Promise| promise.entry.stamp <= entry.stamp;
        if self.promises.get(&entry.name).is_some_and(settles) {
            self.promises.remove(&entry.name);
        }
        let settles = |pull: &(Stamp, u64)| pull.0 <= entry.stamp;
        if self.pulls.get(&entry.name).is_some_and(settles) {
            self.pulls.remove(&entry.name);
        }
        self.effects.push(Effect::Adopt { entry, proposal });
    }

    fn known(&self, name: &str) -> Option<Stamp> {
        self.map.get(name).map(|Known { stamp, .. }| *stamp)
    }

    fn send(&mut self, to: NodeId, message: Message) {
        let envelope = Envelope {
            domain: self.map.domain,
            has_slots: self.members.has_slots,
            message,
        };
        self.effects.push(Effect::Send { to, envelope });
    }
}
