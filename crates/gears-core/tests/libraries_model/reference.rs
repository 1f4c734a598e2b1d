//! What was ever said, what clients were told, and whether that holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gears_core::cluster::NodeId;
use gears_core::cluster::libraries::{BodyDigest, Content, LibraryMap, Proposal, Refused, Stamp};

/// A change that a client asked for.
#[derive(Clone, Debug)]
struct Asked {
    digest: BodyDigest,
    is_live: bool,
    adopted: Option<Stamp>,
    is_over: bool,
}

/// What a client was told to be done.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) name: Arc<str>,
    pub(super) stamp: Stamp,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    asked: BTreeMap<(NodeId, Proposal), (Arc<str>, Asked)>,
    /// What clients asked that is no change, and whether they were told what comes of it.
    checks: BTreeMap<(NodeId, Proposal), bool>,
    /// Who said what: a counter may grow where clusters meet.
    said: BTreeSet<(Arc<str>, Option<NodeId>, BodyDigest)>,
    /// What nodes brought along that must not get into the cluster.
    foreign: BTreeSet<(Arc<str>, Option<NodeId>, BodyDigest)>,
    pub(super) told: Vec<Told>,
    /// How many changes each node was told to be done.
    pub(super) done: BTreeMap<NodeId, u64>,
    /// Bodies whose load was refused.
    refused: BTreeSet<BodyDigest>,
}

impl Reference {
    pub(super) fn ask(&mut self, at: NodeId, proposal: Proposal, name: &str, content: &Content) {
        let asked = Asked {
            digest: content.digest(),
            is_live: content.is_live(),
            adopted: None,
            is_over: false,
        };
        self.checks.remove(&(at, proposal));
        self.asked.insert((at, proposal), (name.into(), asked));
    }

    /// A client asks whether all would take a library: nobody is ever to have it.
    pub(super) fn check(&mut self, at: NodeId, proposal: Proposal, content: &Content) {
        self.refused.insert(content.digest());
        self.checks.insert((at, proposal), false);
    }

    /// A client is told something: whether that is what comes of a question.
    pub(super) fn tell_checked(&mut self, at: NodeId, proposal: Proposal) -> bool {
        let check = self.checks.get_mut(&(at, proposal));
        let Some(is_over) = check else {
            return false;
        };
        assert!(!std::mem::replace(is_over, true), "told twice");
        true
    }

    /// Somebody said it, and may.
    pub(super) fn say(&mut self, name: &Arc<str>, stamp: Stamp) {
        self.said
            .insert((Arc::clone(name), stamp.author, stamp.digest));
    }

    /// A node has brought it along.
    pub(super) fn bring(&mut self, name: &Arc<str>, stamp: Stamp) {
        self.foreign
            .insert((Arc::clone(name), stamp.author, stamp.digest));
    }

    /// What nodes have brought along is everybody's now: one of them got slots before it knew of the cluster.
    pub(super) fn accept_foreign(&mut self) {
        self.said.append(&mut self.foreign);
    }

    pub(super) fn adopt(&mut self, at: NodeId, proposal: Proposal, stamp: Stamp) {
        let (name, asked) = self
            .asked
            .get_mut(&(at, proposal))
            .expect("somebody asked for it");
        assert!(
            asked.adopted.is_none() && !asked.is_over,
            "adopted twice, or late"
        );
        assert_eq!(stamp.digest, asked.digest, "something else was asked for");
        asked.adopted = Some(stamp);
        self.said
            .insert((Arc::clone(name), stamp.author, stamp.digest));
    }

    /// A client is told that its change is done.
    pub(super) fn tell_done(&mut self, at: NodeId, proposal: Proposal) -> Told {
        let (name, asked) = self
            .asked
            .get_mut(&(at, proposal))
            .expect("somebody asked for it");
        assert!(!asked.is_over, "told twice");
        asked.is_over = true;
        let told = Told {
            name: Arc::clone(name),
            stamp: asked.adopted.expect("what is done was adopted"),
        };
        self.told.push(told.clone());
        *self.done.entry(at).or_default() += 1;
        told
    }

    /// A client is told why nothing came of its change.
    pub(super) fn tell_refused(&mut self, at: NodeId, proposal: Proposal, why: &Refused) {
        let (_, asked) = self
            .asked
            .get_mut(&(at, proposal))
            .expect("somebody asked for it");
        assert!(!asked.is_over, "told twice");
        asked.is_over = true;
        let is_unconfirmed = matches!(why, Refused::Unconfirmed(_));
        assert_eq!(asked.adopted.is_some(), is_unconfirmed, "{why}");
        if !is_unconfirmed && asked.is_live {
            self.refused.insert(asked.digest);
        }
    }

    /// Whether a client waits for what comes of its change.
    pub(super) fn is_open(&self, at: NodeId) -> bool {
        let of = |((node, _), (_, asked)): (&(NodeId, Proposal), &(Arc<str>, Asked))| {
            *node == at && !asked.is_over
        };
        self.asked.iter().any(of)
    }

    /// Whether what is in a map may be there.
    pub(super) fn check_map(&self, map: &LibraryMap, is_foreign: bool) {
        let mut deleted = 0;
        for (name, known) in map.iter() {
            let (stamp, content) = (known.stamp, &known.content);
            assert_eq!(stamp.digest, content.digest());
            assert!(stamp.counter <= map.clock(), "the clock is behind {name}");
            assert!(!self.refused.contains(&stamp.digest), "{name} was refused");
            let said = (Arc::clone(name), stamp.author, stamp.digest);
            let may = self.said.contains(&said) || is_foreign && self.foreign.contains(&said);
            assert!(may, "nobody said {name} {stamp:?}");
            deleted += usize::from(content.is_deleted());
        }
        assert_eq!(map.deleted(), deleted);
    }
}

/// Whether what a client was told holds in a map, by itself or by something later.
pub(super) fn holds(told: &Told, map: &LibraryMap) -> bool {
    match map.get(&told.name) {
        Some(known) => known.stamp >= told.stamp,
        None => map.floor() >= told.stamp.counter,
    }
}
