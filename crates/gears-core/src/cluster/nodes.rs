//! The server's own table of the cluster (`CLUSTER NODES`): who there is, and who has which slot.
//!
//! ```text
//! id address:port@bus,hostname,more flags primary ping pong epoch link slot slot-slot [slot->-id] ...
//! ```
//!
//! All servers write it like that; newer ones have more behind the port. What is not known here is
//! left out, so that a word more in a later release breaks nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use super::decision::GoneReason;
use super::ids::NodeId;

/// How many slots there are.
pub const SLOTS: u16 = 16384;

/// Whether a node has slots of its own, or follows one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A primary, with slots or without.
    Primary,
    /// A replica.
    Replica,
}

/// What is thought of a node here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// It answers.
    Good,
    /// It has not answered this node for too long; others may hear of it.
    Suspected,
    /// The cluster agrees that it does not answer.
    Failed,
    /// Nobody knows where it is.
    Nowhere,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Where it is: an IPv4 or IPv6 address. Empty where the server does not know its own yet.
    pub address: String,
    /// Its port, for what the cluster talks: that for TLS where the cluster uses TLS.
    pub port: u16,
    /// Its port for TLS, where the table has one of its own.
    pub tls_port: Option<u16>,
    /// Whether it has slots of its own, or follows one.
    pub role: Role,
    /// Whom it follows.
    pub primary: Option<NodeId>,
    /// What is thought of it here.
    pub state: NodeState,
    /// The epoch of its configuration. It does not change with every move of a slot.
    pub epoch: u64,
    /// Its slots: first and last of each range, in order.
    pub slots: Vec<(u16, u16)>,
    /// Slots on their way to another node. Told of this node alone, as the next.
    pub migrating: Vec<(u16, NodeId)>,
    /// Slots on their way here.
    pub importing: Vec<(u16, NodeId)>,
}

impl Node {
    /// Whether it is a primary with slots: one of the shards that the keys are on.
    pub fn has_slots(&self) -> bool {
        self.role == Role::Primary && !self.slots.is_empty()
    }

    /// The first of its slots.
    pub fn first_slot(&self) -> Option<u16> {
        self.slots.first().map(|(first, _)| *first)
    }
}

/// Why a shard has no primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoShard {
    /// Its node is none of the cluster any more.
    #[error("the node has left the cluster")]
    Left,
    /// Nobody has its slots.
    #[error("no node has slot {0}, which was the shard's")]
    Nobody(u16),
    /// Another shard has them.
    #[error("the shard has given its slots to {0}")]
    Gone(NodeId),
}

/// Why a text is no table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NodesError {
    /// No line is about this node.
    #[error("no line is about this node")]
    NoMyself,
    /// A line is not like that.
    #[error("a line is not like those of a table of nodes: {0}")]
    Line(String),
}

/// The cluster as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// This node.
    pub me: NodeId,
    nodes: BTreeMap<NodeId, Node>,
    /// First and last slot of each range, in order, and who has it.
    owners: Vec<(u16, u16, NodeId)>,
    /// The primaries with slots.
    shards: Arc<[NodeId]>,
}

/// What is another than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node is new.
    Joined(NodeId),
    /// One is not there any more.
    Left(NodeId),
    /// It counts as failed now.
    Failed(NodeId),
    /// It does not any more.
    Recovered(NodeId),
    /// It is a primary now, or a replica; or follows another one.
    Role(NodeId),
    /// It is elsewhere.
    Address(NodeId),
    /// Slots have other owners, or are on their way.
    Slots,
}

impl Topology {
    /// Reads a table. Nodes that are only being introduced have no lasting name, and are left out.
    ///
    /// # Errors
    /// Where the text is no table.
    pub fn parse(text: &str) -> Result<Self, NodesError> {
        let mut me = None;
        let mut nodes = BTreeMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let wrong = || NodesError::Line(line.chars().take(200).collect());
            if let Some((node, is_me)) = node_of(line).ok_or_else(wrong)? {
                if is_me {
                    me = Some(node.id);
                }
                nodes.insert(node.id, node);
            }
        }
        let mut owners: Vec<_> = nodes
            .values()
            .filter(|node| node.role == Role::Primary)
            .flat_map(|node| {
                node.slots
                    .iter()
                    .map(|(first, last)| (*first, *last, node.id))
            })
            .collect();
        owners.sort_unstable();
        let shards = nodes.values().filter(|node| node.has_slots());
        Ok(Self {
            me: me.ok_or(NodesError::NoMyself)?,
            shards: shards.map(|node| node.id).collect(),
            nodes,
            owners,
        })
    }

    /// All nodes, this one among them, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// This node.
    pub fn myself(&self) -> Option<&Node> {
        self.nodes.get(&self.me)
    }

    /// Why this node and another one do not talk to each other, if they do not.
    #[must_use]
    pub fn why_apart(&self, id: NodeId) -> Option<GoneReason> {
        let Some(node) = self.node(id) else {
            return Some(GoneReason::Left);
        };
        let is_primary = |node: &Node| node.role == Role::Primary;
        if !is_primary(node) && !self.myself().is_some_and(is_primary) {
            return Some(GoneReason::NotNeeded);
        }
        let is_bad = matches!(node.state, NodeState::Failed | NodeState::Nowhere);
        is_bad.then_some(GoneReason::Failed)
    }

    /// The primaries with slots.
    pub fn shards(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.has_slots())
    }

    /// The names of the same. Each call to a shard holds them.
    pub fn shard_ids(&self) -> Arc<[NodeId]> {
        Arc::clone(&self.shards)
    }

    /// The primary that a shard has now, which had this one and that slot. None of the `others` takes its place, which are
    /// shards of their own.
    ///
    /// # Errors
    /// Why it has none.
    pub fn primary_of(
        &self,
        node: NodeId,
        slot: Option<u16>,
        others: &[NodeId],
    ) -> Result<NodeId, NoShard> {
        let known = self.node(node);
        if known.is_some_and(Node::has_slots) {
            return Ok(node);
        }
        let Some(slot) = slot else {
            let known = known.ok_or(NoShard::Left)?;
            return Ok(known.primary.unwrap_or(node));
        };
        let owner = self.owner_of(slot).ok_or(NoShard::Nobody(slot))?;
        if others.contains(&owner) {
            return Err(NoShard::Gone(owner));
        }
        Ok(owner)
    }

    /// The same table with another address and port of a node.
    #[must_use]
    pub fn with_place(mut self, id: NodeId, (address, port): (String, u16)) -> Self {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.address = address;
            node.port = port;
        }
        self
    }

    /// The primary that has a slot; `None` where nobody has it.
    pub fn owner_of(&self, slot: u16) -> Option<NodeId> {
        let behind = self.owners.partition_point(|(first, ..)| *first <= slot);
        let (_, last, owner) = self.owners.get(behind.checked_sub(1)?)?;
        (slot <= *last).then_some(*owner)
    }

    /// What is another than in an earlier table.
    pub fn changes_since(&self, earlier: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (id, node) in &self.nodes {
            let Some(before) = earlier.nodes.get(id) else {
                changes.push(Change::Joined(*id));
                continue;
            };
            match (
                before.state == NodeState::Failed,
                node.state == NodeState::Failed,
            ) {
                (false, true) => changes.push(Change::Failed(*id)),
                (true, false) => changes.push(Change::Recovered(*id)),
                _ => {}
            }
            if (node.role, node.primary) != (before.role, before.primary) {
                changes.push(Change::Role(*id));
            }
            let place = |node: &Node| (node.address.clone(), node.port, node.tls_port);
            if place(node) != place(before) {
                changes.push(Change::Address(*id));
            }
        }
        let left = earlier
            .nodes
            .keys()
            .filter(|id| !self.nodes.contains_key(id));
        changes.extend(left.map(|id| Change::Left(*id)));
        let moving = |topology: &Self| {
            let me = topology.myself();
            me.map(|me| (me.migrating.clone(), me.importing.clone()))
        };
        if self.owners != earlier.owners || moving(self) != moving(earlier) {
            changes.push(Change::Slots);
        }
        changes
    }
}

/// A line: the node, and whether it is this one. Nothing where that has no lasting name yet.
#[expect(clippy::option_option, reason = "no line, a line to leave out, a node")]
fn node_of(line: &str) -> Option<Option<(Node, bool)>> {
    let mut words = line.split_ascii_whitespace();
    let (id, place, flags, primary) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let (_ping, _pong, epoch, _link) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let flags: Vec<_> = flags.split(',').collect();
    let has = |flag| flags.contains(&flag);
    if has("handshake") {
        return Some(None);
    }
    let (address, port, tls_port) = place_of(place)?;
    let is_replica = has("slave") || has("replica");
    let mut node = Node {
        id: NodeId::parse(id.as_bytes())?,
        address: address.to_owned(),
        port,
        tls_port,
        role: if is_replica {
            Role::Replica
        } else {
            Role::Primary
        },
        primary: NodeId::parse(primary.as_bytes()),
        state: if has("noaddr") {
            NodeState::Nowhere
        } else if has("fail") {
            NodeState::Failed
        } else if has("fail?") {
            NodeState::Suspected
        } else {
            NodeState::Good
        },
        epoch: epoch.parse().ok()?,
        slots: Vec::new(),
        migrating: Vec::new(),
        importing: Vec::new(),
    };
    for word in words {
        if let Some(moving) = word.strip_prefix('[') {
            let moving = moving.strip_suffix(']')?;
            if let Some((slot, to)) = moving.split_once("->-") {
                node.migrating
                    .push((slot_of(slot)?, NodeId::parse(to.as_bytes())?));
            } else if let Some((slot, from)) = moving.split_once("-<-") {
                node.importing
                    .push((slot_of(slot)?, NodeId::parse(from.as_bytes())?));
            } else {
                return None;
            }
            continue;
        }
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last) = (slot_of(first)?, slot_of(last)?);
        if first > last {
            return None;
        }
        node.slots.push((first, last));
    }
    node.slots.sort_unstable();
    Some(Some((node, has("myself"))))
}

fn slot_of(text: &str) -> Option<u16> {
    text.parse().ok().filter(|slot| *slot < SLOTS)
}

/// Address, port, and port for TLS if it is told.
fn place_of(place: &str) -> Option<(&str, u16, Option<u16>)> {
    let mut parts = place.split(',');
    let first = parts.next()?;
    let clients = first
        .split_once('@')
        .map_or(first, |(clients, _bus)| clients);
    // An IPv6 address has colons too.
    let (address, port) = clients.rsplit_once(':')?;
    let tls_port = parts.find_map(|part| part.strip_prefix("tls-port=")?.parse().ok());
    Some((address, port.parse().ok()?, tls_port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn named(digit: char) -> NodeId {
        NodeId::parse(id(digit).as_bytes()).unwrap()
    }

    fn line(digit: char, place: &str, rest: &str) -> String {
        format!("{} {place} {rest}\n", id(digit))
    }

    /// As the servers write it: 7.0, newer ones with host names and shards, IPv6, and all flags.
    fn table() -> String {
        let moving = format!("[5460->-{}] [9000-<-{}]", id('b'), id('b'));
        [
            line(
                'a',
                "10.0.0.1:7000@17000",
                &format!("myself,master - 0 0 1 connected 0-5460 5462 {moving}"),
            ),
            line(
                'b',
                "10.0.0.2:7001@17001,host.example,tls-port=7101,shard-id=1",
                "master - 0 17 2 connected 5461 5463-16000",
            ),
            line(
                'c',
                "::1:7002@17002,",
                &format!("slave,fail? {} 1 17 2 connected", id('b')),
            ),
            line(
                'd',
                "10.0.0.4:7003@17003",
                &format!("slave,fail {} 1 17 2 disconnected", id('a')),
            ),
            line('e', ":0@0", "master,noaddr - 1 17 3 disconnected"),
            line('f', "10.0.0.6:7005@17005", "handshake - 1 0 0 disconnected"),
        ]
        .concat()
    }

    #[test]
    fn a_node_of_the_table_may_be_found_elsewhere() {
        let before = Topology::parse(&table()).unwrap();
        let there = |id| (id, ("10.0.1.2".to_owned(), 7100));
        let (id, place) = there(named('b'));
        let after = before.clone().with_place(id, place);
        assert_eq!(after.changes_since(&before), [Change::Address(named('b'))]);
        let (id, place) = there(named('0'));
        assert_eq!(before.clone().with_place(id, place), before);
    }

    #[test]
    fn a_node_talks_to_primaries_and_a_primary_to_all_that_are_there() {
        let of_primary = Topology::parse(&table()).unwrap();
        let of_replica = table()
            .replace("myself,", "")
            .replace("slave,fail?", "myself,slave");
        let of_replica = Topology::parse(&of_replica).unwrap();
        let told = |topology: &Topology| {
            "bde9"
                .chars()
                .map(|id| topology.why_apart(named(id)))
                .collect::<Vec<_>>()
        };
        let (failed, left) = (Some(GoneReason::Failed), Some(GoneReason::Left));
        assert_eq!(told(&of_primary), [None, failed, failed, left]);
        let not_needed = Some(GoneReason::NotNeeded);
        assert_eq!(told(&of_replica), [None, not_needed, failed, left]);
    }

    #[test]
    fn a_table_is_read_as_all_servers_write_it() {
        let topology = Topology::parse(&table()).unwrap();
        assert_eq!(topology.me, named('a'));
        assert_eq!(topology.nodes().count(), 5);
        let me = topology.myself().unwrap();
        assert_eq!(
            (me.address.as_str(), me.port, me.tls_port),
            ("10.0.0.1", 7000, None)
        );
        assert_eq!(me.slots, [(0, 5460), (5462, 5462)]);
        assert_eq!(
            (&me.migrating[..], &me.importing[..]),
            (&[(5460, named('b'))][..], &[(9000, named('b'))][..])
        );
        let other = topology.node(named('b')).unwrap();
        assert_eq!(
            (other.address.as_str(), other.port, other.tls_port),
            ("10.0.0.2", 7001, Some(7101))
        );
        let replica = topology.node(named('c')).unwrap();
        assert_eq!((replica.address.as_str(), replica.port), ("::1", 7002));
        assert_eq!(
            (replica.role, replica.primary),
            (Role::Replica, Some(named('b')))
        );
        let state = |digit| topology.node(named(digit)).unwrap().state;
        assert_eq!(
            ['a', 'c', 'd', 'e'].map(state),
            [
                NodeState::Good,
                NodeState::Suspected,
                NodeState::Failed,
                NodeState::Nowhere
            ]
        );
        assert_eq!(
            topology.shards().map(|node| node.id).collect::<Vec<_>>(),
            [named('a'), named('b')]
        );
    }

    #[test]
    fn a_shard_is_whoever_took_over_from_its_primary_and_no_other_shard() {
        let topology = Topology::parse(&table()).unwrap();
        let primary =
            |digit, slot, others: &[NodeId]| topology.primary_of(named(digit), slot, others);
        let (a, b) = (named('a'), named('b'));
        assert_eq!(primary('a', Some(9000), &[a, b]), Ok(a), "it has slots");
        // It has failed, or follows another one.
        for digit in ['e', 'c', 'f'] {
            assert_eq!(primary(digit, Some(9000), &[a]), Ok(b));
            let gone = Err(NoShard::Gone(b));
            assert_eq!(primary(digit, Some(9000), &[a, b]), gone);
            let nobody = Err(NoShard::Nobody(16_383));
            assert_eq!(primary(digit, Some(16_383), &[a, b]), nobody);
        }
        assert_eq!(primary('c', None, &[]), Ok(b));
        assert_eq!(primary('e', None, &[]), Ok(named('e')));
        assert_eq!(primary('9', None, &[]), Err(NoShard::Left));
    }

    #[test]
    fn a_slot_has_the_owner_whose_range_it_is_in() {
        let topology = Topology::parse(&table()).unwrap();
        for (slot, owner) in [
            (0, Some('a')),
            (5460, Some('a')),
            (5461, Some('b')),
            (5462, Some('a')),
            (16000, Some('b')),
            (16001, None),
        ] {
            assert_eq!(topology.owner_of(slot), owner.map(named), "{slot}");
        }
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let wrong = [
            "nonsense".to_owned(),
            line('a', "10.0.0.1:7000@17000", "myself,master - 0 0 1"),
            line('a', "10.0.0.1:x@17000", "myself,master - 0 0 1 connected"),
            line(
                'a',
                "10.0.0.1:7000@17000",
                "myself,master - 0 0 1 connected 16384",
            ),
            line(
                'a',
                "10.0.0.1:7000@17000",
                "myself,master - 0 0 1 connected 7-6",
            ),
            line(
                'a',
                "10.0.0.1:7000@17000",
                "myself,master - 0 0 1 connected [7-x-8]",
            ),
            line(
                'x',
                "10.0.0.1:7000@17000",
                "myself,master - 0 0 1 connected",
            ),
        ];
        for text in wrong {
            assert!(
                matches!(Topology::parse(&text), Err(NodesError::Line(_))),
                "{text}"
            );
        }
        let others = line('b', "10.0.0.1:7000@17000", "master - 0 0 1 connected");
        assert_eq!(Topology::parse(&others), Err(NodesError::NoMyself));
    }

    #[test]
    fn what_changed_is_told_and_times_are_no_change() {
        let before = Topology::parse(&table()).unwrap();
        let same = Topology::parse(&table().replace(" 17 ", " 99 ")).unwrap();
        assert_eq!(same.changes_since(&before), []);
        let changed = |from: &str, to: &str| {
            let after = table().replacen(from, to, 1);
            assert_ne!(after, table());
            Topology::parse(&after).unwrap().changes_since(&before)
        };
        assert_eq!(
            changed("slave,fail?", "slave,fail"),
            [Change::Failed(named('c'))]
        );
        assert_eq!(
            changed("slave,fail ", "slave "),
            [Change::Recovered(named('d'))]
        );
        assert_eq!(
            changed("10.0.0.2:7001", "10.0.0.9:7001"),
            [Change::Address(named('b'))]
        );
        assert_eq!(changed("0-5460 5462", "0-5460"), [Change::Slots]);
        assert_eq!(
            changed(&format!(" [5460->-{}]", id('b')), ""),
            [Change::Slots]
        );
        assert_eq!(
            changed(
                &format!("slave,fail? {}", id('b')),
                &format!("slave,fail? {}", id('a'))
            ),
            [Change::Role(named('c'))]
        );
        let more =
            Topology::parse(&(table() + &line('9', "10.0.0.9:1@2", "master - 0 0 9 connected")))
                .unwrap();
        assert_eq!(more.changes_since(&before), [Change::Joined(named('9'))]);
        assert_eq!(before.changes_since(&more), [Change::Left(named('9'))]);
    }

    proptest! {
        #[test]
        fn garbage_harms_nobody(text in ".*", at in 0_usize..500, byte in "[ -~]") {
            let _ = Topology::parse(&text);
            let mut table = table();
            table.replace_range(at..=at, &byte);
            if let Ok(topology) = Topology::parse(&table) {
                for slot in 0..SLOTS {
                    let owner = topology.owner_of(slot);
                    prop_assert!(owner.is_none_or(|owner| topology.node(owner).is_some()));
                }
            }
        }
    }
}
