//! Comparing: whatever was lost, each node has what all have after a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::entry::{Content, Entry};
use super::super::map::{Known, Root};
use super::super::message::Message;
use super::super::stamp::{Domain, Stamp};
use super::{Effect, Refused, SharedLibraries};
use crate::cluster::NodeId;

/// Whether a node takes another domain for its own when it hears of a node that has it.
fn gives_up(own: Option<Domain>, own_slots: bool, other: Domain, other_slots: bool) -> bool {
    other_slots && (!own_slots || own.is_none_or(|own| other < own))
}

impl SharedLibraries {
    fn digest(&self) -> Message {
        Message::Digest {
            root: self.map.root(),
            floor: self.map.floor,
            clock: self.map.clock,
            is_busy: !self.is_idle(),
            quarantined: self.quarantined,
        }
    }

    /// Tells some, picked by chance, what this node is compared by.
    pub(super) fn gossip(&mut self) {
        let mut others: Vec<NodeId> = self.members.others.iter().map(|one| one.id).collect();
        self.random.pick(&mut others, self.limits.gossip_peers);
        for to in others {
            self.send(to, self.digest());
        }
    }

    /// Tells all.
    pub(super) fn tell_all(&mut self) {
        self.tell_all_but(&BTreeSet::new());
    }

    pub(super) fn tell_all_but(&mut self, known: &BTreeSet<NodeId>) {
        let others = self.members.others.iter().map(|one| one.id);
        for to in others
            .filter(|one| !known.contains(one))
            .collect::<Vec<_>>()
        {
            self.send(to, self.digest());
        }
    }

    /// Whether the sender has the same domain, now that both know each other's.
    pub(super) fn meet(
        &mut self,
        from: NodeId,
        domain: Option<Domain>,
        has_slots: bool,
        message: &Message,
    ) -> bool {
        let own = self.map.domain;
        if own == domain {
            return true;
        }
        let own_slots = self.members.has_slots;
        if own.is_some_and(|own| gives_up(domain, has_slots, own, own_slots)) {
            self.answer(from, message);
            return false;
        }
        let Some(other) = domain else {
            return false;
        };
        // Between nodes without slots nobody gives anything up.
        let has_nothing = self.map.is_empty() && own.is_none_or(|own| other < own);
        let takes =
            gives_up(own, own_slots, other, has_slots) || has_nothing && !own_slots && !has_slots;
        if !takes {
            return false;
        }
        let (floor, clock) = match message {
            Message::Digest { floor, clock, .. } => (*floor, *clock),
            // Only who has nothing takes a domain by anything else.
            _ if own.is_none() && self.map.is_empty() => (0, 0),
            _ => return false,
        };
        self.take_domain(from, other, floor, clock);
        true
    }

    /// Has the sender know this node's domain.
    fn answer(&mut self, to: NodeId, message: &Message) {
        if matches!(
            message,
            Message::Digest { .. } | Message::Prepare { .. } | Message::Ask { .. }
        ) {
            self.send(to, self.digest());
        }
    }

    fn take_domain(&mut self, from: NodeId, other: Domain, floor: u64, clock: u64) {
        let own = self.map.domain;
        // Who names the domain commits the first library next: what was promised holds.
        if own.is_some() {
            self.promises.clear();
            self.refuse_held();
        }
        self.pulls.clear();
        self.seen.clear();
        self.map.domain = Some(other);
        self.end_pending(|| Refused::OtherDomain(from));
        let known = self.map.iter();
        let known: Vec<_> = known
            .map(|(name, one)| (Arc::clone(name), one.clone()))
            .collect();
        if !self.members.has_slots {
            for (name, one) in known {
                self.map.remove(&name);
                if !one.content.is_deleted() {
                    self.effects.push(Effect::Forget { name });
                }
            }
            self.map.floor = 0;
        } else if !self.map.is_empty() {
            // What it has forgotten says nothing of what is here: the counters go above that.
            let more = if floor > 0 { clock } else { 0 };
            self.map.floor = 0;
            for (name, one) in known {
                let counter = one.stamp.counter.saturating_add(more);
                let stamp = Stamp {
                    counter,
                    ..one.stamp
                };
                self.map.put(&Entry {
                    name,
                    stamp,
                    content: one.content,
                });
            }
            self.effects.push(Effect::DomainsMet { own, other, from });
        }
        self.tell_ledger();
    }

    pub(super) fn on_digest(&mut self, from: NodeId, root: Root, floor: u64, is_busy: bool) {
        if is_busy {
            self.seen.remove(&from);
        } else {
            self.seen.insert(from, root);
        }
        if root == self.map.root() {
            self.take_floor(floor);
        } else {
            self.offer(from, true);
        }
    }

    fn offer(&mut self, to: NodeId, asks: bool) {
        let stamps = self
            .map
            .iter()
            .map(|(name, one)| (name.to_string(), one.stamp));
        let message = Message::Offer {
            floor: self.map.floor,
            stamps: stamps.collect(),
            asks,
        };
        self.send(to, message);
    }

    /// Takes the floor of a node that has nothing which this one lacks.
    fn take_floor(&mut self, floor: u64) {
        if floor > self.map.floor && self.is_idle() {
            self.map.raise_floor(floor);
            self.tell_ledger();
        }
    }

    pub(super) fn on_offer(
        &mut self,
        now: u64,
        from: NodeId,
        floor: u64,
        stamps: Vec<(String, Stamp)>,
        asks: bool,
    ) {
        let theirs: BTreeMap<String, Stamp> = stamps.into_iter().collect();
        self.compare_names(from, &theirs);
        self.forget_dead(floor, &theirs);
        let news = theirs
            .iter()
            .filter(|(name, stamp)| self.map.is_news(name, stamp));
        let news: Vec<_> = news
            .map(|(name, stamp)| (Arc::from(&**name), *stamp))
            .collect();
        if news.is_empty() {
            self.take_floor(floor);
        } else {
            self.pull(now, from, news);
        }
        let is_later = |(name, one): (&Arc<str>, &Known)| {
            let stamp = theirs.get(&**name);
            stamp.is_none_or(|stamp| *stamp < one.stamp)
        };
        let lacks = self.map.iter().any(is_later);
        let dead = |(name, stamp): (&String, &Stamp)| {
            stamp.counter <= self.map.floor && self.map.get(name).is_none()
        };
        if asks && (lacks || theirs.iter().any(dead)) {
            self.offer(from, false);
        }
    }

    /// Forgets what a node of that floor does not have any more.
    fn forget_dead(&mut self, floor: u64, theirs: &BTreeMap<String, Stamp>) {
        if floor == 0 {
            return;
        }
        let own = self.map.iter();
        let dead =
            own.filter(|(name, one)| one.stamp.counter <= floor && !theirs.contains_key(&***name));
        let dead: Vec<Arc<str>> = dead.map(|(name, _)| Arc::clone(name)).collect();
        if dead.is_empty() {
            return;
        }
        for name in dead {
            let gone = self.map.remove(&name);
            if gone.is_some_and(|gone| !gone.content.is_deleted()) {
                self.effects.push(Effect::Forget { name });
            }
        }
        self.tell_ledger();
    }

    /// Asks for entries, unless that was done a moment ago.
    pub(super) fn pull(&mut self, now: u64, from: NodeId, wanted: Vec<(Arc<str>, Stamp)>) {
        let mut names = Vec::new();
        for (name, stamp) in wanted {
            if self
                .pulls
                .get(&name)
                .is_none_or(|(asked, _)| *asked < stamp)
            {
                names.push(name.to_string());
                let until = now + self.limits.resend_ms;
                self.pulls.insert(name, (stamp, until));
            }
        }
        if !names.is_empty() {
            self.send(from, Message::Pull { names });
        }
    }

    pub(super) fn on_pull(&mut self, from: NodeId, names: &[String]) {
        let names: BTreeSet<&String> = names.iter().collect();
        let mut entries = Vec::new();
        let mut bytes = 0;
        for name in names {
            let Some(one) = self.map.get(name) else {
                continue;
            };
            let entry = Entry {
                name: name.as_str().into(),
                stamp: one.stamp,
                content: one.content.clone(),
            };
            let more = Content::bytes(&entry.content);
            if bytes + more > self.limits.batch_bytes && !entries.is_empty() {
                let entries = std::mem::take(&mut entries);
                self.send(from, Message::Entries { entries });
                bytes = 0;
            }
            bytes += more;
            entries.push(entry);
        }
        if !entries.is_empty() {
            self.send(from, Message::Entries { entries });
        }
    }

    /// Forgets old deletions once that is safe: all primaries have what this node has, and nobody is about to change anything.
    pub(super) fn prune(&mut self) {
        let root = self.map.root();
        let have_all = || {
            let mut others = self.members.others.iter();
            others.all(|one| self.seen.get(&one.id) == Some(&root))
        };
        if self.map.deleted() <= self.limits.deletions || !self.is_idle() || !have_all() {
            return;
        }
        // A tenth at once, so that it is not done at each deletion.
        let keep = self.limits.deletions - self.limits.deletions / 10;
        self.map.prune(keep);
        self.tell_ledger();
    }
}
