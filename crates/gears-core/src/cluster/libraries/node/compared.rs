//! Looking at others: who has the same libraries, and which differ where somebody does not. For people: nothing is
//! decided by it.

use std::collections::BTreeMap;

use super::super::map::Root;
use super::super::stamp::Stamp;
use super::{Effect, SharedLibraries};
use crate::cluster::NodeId;

/// Names that are kept of a node.
const NAMES_MAX: usize = 100;

/// What another node has, as it said last.
#[derive(Clone, Debug)]
pub(super) struct Compared {
    root: Root,
    quarantined: u32,
    /// What differed when names were compared last.
    names: Vec<String>,
    /// Since when it has had something else.
    apart_since: Option<u64>,
    is_told: bool,
}

/// The libraries of another node beside those of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLibraries {
    /// What its map is compared by.
    pub root: Root,
    /// Whether it has the same.
    pub is_same: bool,
    /// Those that differ, as far as that is known.
    pub names: Vec<String>,
    /// How many of them cannot be loaded there.
    pub quarantined: u32,
}

impl SharedLibraries {
    /// Takes in how many libraries cannot be loaded here: others are told.
    pub fn set_quarantined(&mut self, count: u32) {
        self.quarantined = count;
    }

    /// The libraries of another node; `None` as long as it has said nothing.
    #[must_use]
    pub fn of_peer(&self, node: NodeId) -> Option<PeerLibraries> {
        let one = self.compared.get(&node)?;
        let is_same = one.root == self.map.root();
        Some(PeerLibraries {
            root: one.root,
            is_same,
            names: if is_same {
                Vec::new()
            } else {
                one.names.clone()
            },
            quarantined: one.quarantined,
        })
    }

    /// Takes in what another has.
    pub(super) fn compare(&mut self, from: NodeId, root: Root, quarantined: u32) {
        let one = self.compared.entry(from).or_insert(Compared {
            root,
            quarantined,
            names: Vec::new(),
            apart_since: None,
            is_told: false,
        });
        one.root = root;
        one.quarantined = quarantined;
        if root == self.map.root() {
            // Also where it has something else again before the next tick.
            one.apart_since = None;
        }
    }

    /// Takes in which of them it has, and of when.
    pub(super) fn compare_names(&mut self, from: NodeId, theirs: &BTreeMap<String, Stamp>) {
        let own = self.map.iter();
        let own = own.filter(|(name, known)| theirs.get(&***name) != Some(&known.stamp));
        let own = own.map(|(name, _)| name.to_string());
        let more = theirs.keys().filter(|name| self.map.get(name).is_none());
        let mut names: Vec<String> = own.chain(more.cloned()).collect();
        names.sort_unstable();
        names.truncate(NAMES_MAX);
        if let Some(one) = self.compared.get_mut(&from) {
            one.names = names;
        }
    }

    /// Tells, once, of those that have had other libraries for too long; and when they have the same again. Who says
    /// nothing has what it had.
    pub(super) fn tell_apart(&mut self, now: u64) {
        let root = self.map.root();
        for (node, one) in &mut self.compared {
            let node = *node;
            if one.root == root {
                one.names.clear();
                one.apart_since = None;
                if std::mem::take(&mut one.is_told) {
                    self.effects.push(Effect::Together { node });
                }
                continue;
            }
            let since = *one.apart_since.get_or_insert(now);
            if now >= since + self.limits.apart_ms && !one.is_told {
                one.is_told = true;
                let names = one.names.clone();
                self.effects.push(Effect::Apart { node, names });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, Member, Members};
    use super::*;
    use crate::cluster::libraries::stamp::numbered;
    use crate::cluster::libraries::{Body, Content, Envelope, Ledger};
    use std::sync::Arc;

    fn body() -> Body {
        Body {
            code: "code".into(),
            config: None,
            owner: "default".into(),
            unregistered: Vec::new(),
            version: 1,
            loaded_ms: 0,
            loaded_by: "default".into(),
        }
    }

    /// One of two shards.
    fn shard(me: u32, other: u32) -> SharedLibraries {
        let none = Ledger::default();
        let mut shared = SharedLibraries::new(numbered(me), 1, Limits::default(), &none, []);
        let other = Member {
            id: numbered(other),
            has_slots: true,
            is_failed: false,
        };
        let members = Members {
            is_primary: true,
            has_slots: true,
            others: vec![other],
        };
        shared.set_members(0, members);
        shared
    }

    fn sent(effects: &[Effect]) -> Vec<Envelope> {
        let sent = effects.iter().filter_map(|effect| match effect {
            Effect::Send { envelope, .. } => Some(envelope.clone()),
            _ => None,
        });
        sent.collect()
    }

    /// Gives the messages that were sent to the other, and takes in what it answers.
    fn talk(one: &mut SharedLibraries, two: &mut SharedLibraries, now: u64) -> Vec<Effect> {
        let (first, second) = (one.me, two.me);
        let mut all = Vec::new();
        loop {
            let (mine, theirs) = (one.take_effects(), two.take_effects());
            if mine.is_empty() && theirs.is_empty() {
                return all;
            }
            for envelope in sent(&mine) {
                two.receive(now, first, envelope);
            }
            for envelope in sent(&theirs) {
                one.receive(now, second, envelope);
            }
            all.extend(mine);
        }
    }

    #[test]
    fn who_had_the_same_for_a_moment_has_had_something_else_only_since_then() {
        let (mut one, mut two) = (shard(1, 2), shard(2, 1));
        one.say("a", Content::Live(Arc::new(body())));
        two.set_quarantined(1);
        talk(&mut one, &mut two, 0);
        two.tick(0);
        talk(&mut one, &mut two, 0);
        let say_unheard = |one: &mut SharedLibraries, name| {
            one.say(name, Content::Kept);
            one.take_effects();
        };
        say_unheard(&mut one, "b");
        one.tick(1000);
        talk(&mut one, &mut two, 1000);
        one.tick(9000);
        two.tick(9000);
        talk(&mut one, &mut two, 9000);
        two.tick(10_500);
        talk(&mut one, &mut two, 10_500);
        assert!(one.of_peer(numbered(2)).is_some_and(|of| of.is_same));
        say_unheard(&mut one, "c");
        let tells = |one: &mut SharedLibraries, now| {
            one.tick(now);
            let mut effects = one.take_effects().into_iter();
            effects.any(|effect| matches!(effect, Effect::Apart { .. }))
        };
        assert!(!tells(&mut one, 11_100));
        assert!(!tells(&mut one, 21_000));
        assert!(tells(&mut one, 21_200));
    }

    #[test]
    fn who_has_something_else_is_told_once_with_its_names_and_once_when_that_is_over() {
        let (mut one, mut two) = (shard(1, 2), shard(2, 1));
        two.set_quarantined(3);
        one.say("a", Content::Live(Arc::new(body())));
        talk(&mut one, &mut two, 0);
        one.tick(1000);
        two.tick(1000);
        talk(&mut one, &mut two, 1000);
        let same = one.of_peer(numbered(2)).expect("it has said something");
        assert!(same.is_same && same.names.is_empty());
        assert_eq!(same.quarantined, 3);

        one.say("b", Content::Kept);
        // Its offer comes, and what it pulls then is lost.
        two.take_effects();
        for envelope in sent(&one.take_effects()) {
            two.receive(2000, numbered(1), envelope);
        }
        for envelope in sent(&two.take_effects()) {
            one.receive(2000, numbered(2), envelope);
        }
        one.take_effects();
        let other = one.of_peer(numbered(2)).expect("it has said something");
        assert_eq!((other.is_same, other.names), (false, vec!["b".to_owned()]));
        let told = |effects: Vec<Effect>| {
            let is_told =
                |effect: &&Effect| matches!(effect, Effect::Apart { .. } | Effect::Together { .. });
            effects.iter().filter(is_told).cloned().collect::<Vec<_>>()
        };
        let node = numbered(2);
        one.tick(3000);
        assert_eq!(told(one.take_effects()), []);
        let names = vec!["b".to_owned()];
        one.tick(13_000);
        assert_eq!(told(one.take_effects()), [Effect::Apart { node, names }]);
        one.tick(14_000);
        two.tick(14_000);
        let again = talk(&mut one, &mut two, 14_000);
        assert_eq!(told(again), []);
        one.tick(15_000);
        two.tick(15_000);
        talk(&mut one, &mut two, 15_000);
        one.tick(15_500);
        assert_eq!(told(one.take_effects()), [Effect::Together { node }]);
        assert!(one.of_peer(node).is_some_and(|of| of.is_same));
    }
}
