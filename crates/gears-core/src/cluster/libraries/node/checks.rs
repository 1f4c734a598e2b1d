//! Asking without preparing: whether all shards could load a library. Nobody promises anything, so no change waits for
//! it or makes way.

use std::collections::BTreeSet;

use super::super::entry::{Content, Entry};
use super::super::message::{Message, Nak};
use super::super::stamp::Stamp;
use super::{Effect, Proposal, Refused, Shards, SharedLibraries};
use crate::cluster::NodeId;

/// So many answers to questions of another node are kept: it may ask several at a time.
const LOOKED_MAX: usize = 8;

/// What this node has asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    entry: Entry,
    /// Who has to answer yet.
    waiting: BTreeSet<NodeId>,
    until: u64,
    resend_at: u64,
}

/// What came of a question of another node.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    number: u64,
    stamp: Stamp,
    nak: Option<Nak>,
}

impl SharedLibraries {
    /// Asks all shards whether they would take a library, as [`Self::propose`] does, and changes nothing. What comes of
    /// it is an effect: [`Effect::Done`] or [`Effect::Refused`], which may be there at once.
    ///
    /// # Errors
    /// Why a change could not even begin.
    pub fn ask(&mut self, now: u64, name: &str, content: Content) -> Result<Proposal, Refused> {
        let waiting = self.may_propose(now, name, &content)?;
        let proposal = self.next_proposal();
        if waiting.is_empty() {
            self.effects.push(Effect::Done { proposal });
            return Ok(proposal);
        }
        let entry = Entry {
            name: name.into(),
            stamp: Stamp::unknown(content.digest()),
            content,
        };
        let asked = Asked {
            entry,
            waiting,
            until: now + self.limits.silence_ms,
            resend_at: now,
        };
        self.asked.insert(proposal, asked);
        self.asked_are_due(now);
        Ok(proposal)
    }

    /// Another node asks whether this one would take an entry. Looking may take long, so that it asks again meanwhile.
    pub(super) fn on_ask(&mut self, from: NodeId, number: u64, entry: Entry, is_same: bool) {
        let mut looked = self.looked.get(&from).into_iter().flatten();
        let looked = looked.find(|one| (one.number, one.stamp) == (number, entry.stamp));
        if let Some(nak) = looked.map(|one| one.nak.clone()) {
            self.answer_ask(from, number, &entry, nak);
        } else if is_same {
            self.effects.push(Effect::Look {
                from,
                number,
                entry,
            });
        } else {
            self.answer_ask(from, number, &entry, Some(Nak::OtherDomain));
        }
    }

    /// Takes in what came of [`Effect::Look`].
    pub fn looked(&mut self, from: NodeId, number: u64, entry: &Entry, result: Result<(), String>) {
        let nak = result.err().map(Nak::Invalid);
        let looked = Looked {
            number,
            stamp: entry.stamp,
            nak: nak.clone(),
        };
        let all = self.looked.entry(from).or_default();
        all.truncate(LOOKED_MAX - 1);
        all.push_front(looked);
        self.answer_ask(from, number, entry, nak);
    }

    pub(super) fn answer_ask(&mut self, to: NodeId, number: u64, entry: &Entry, nak: Option<Nak>) {
        let stamp = entry.stamp;
        self.send(to, Message::Answer { number, stamp, nak });
    }

    pub(super) fn on_answer(&mut self, from: NodeId, number: u64, stamp: Stamp, nak: Option<Nak>) {
        let proposal = Proposal(number);
        let asked = self.asked.get_mut(&proposal);
        // What an earlier process of this node has asked may have had the same number.
        let asked = asked.filter(|one| one.entry.stamp == stamp && one.waiting.contains(&from));
        let Some(asked) = asked else {
            return;
        };
        let why = match nak {
            None => {
                asked.waiting.remove(&from);
                if asked.waiting.is_empty() {
                    self.asked.remove(&proposal);
                    self.effects.push(Effect::Done { proposal });
                }
                return;
            }
            Some(Nak::Invalid(text)) => Refused::Invalid { shard: from, text },
            Some(Nak::OtherDomain) => Refused::OtherDomain(from),
            // Who has taken over from it is known in a moment, and asked in its place.
            Some(Nak::Replica) => return,
            Some(Nak::Busy) => Refused::Busy(from),
            Some(Nak::Stale | Nak::Behind(_)) => Refused::Stale(from),
        };
        self.give_up_asked(proposal, why);
    }

    fn give_up_asked(&mut self, proposal: Proposal, why: Refused) {
        if self.asked.remove(&proposal).is_some() {
            self.effects.push(Effect::Refused { proposal, why });
        }
    }

    /// The primaries are others than before: who has come is asked, and who is gone is not waited for.
    pub(super) fn review_asked(&mut self, now: u64, before: &BTreeSet<NodeId>) {
        let askable = self.askable();
        let enough = self.require_majority(askable.len());
        for proposal in self.asked.keys().copied().collect::<Vec<_>>() {
            if let Err(why) = &enough {
                self.give_up_asked(proposal, why.clone());
                continue;
            }
            let Some(asked) = self.asked.get_mut(&proposal) else {
                continue;
            };
            asked.waiting.retain(|one| askable.contains(one));
            let come: Vec<_> = askable.difference(before).copied().collect();
            if !come.is_empty() {
                asked.waiting.extend(come);
                asked.resend_at = now;
            }
            if asked.waiting.is_empty() {
                self.asked.remove(&proposal);
                self.effects.push(Effect::Done { proposal });
            }
        }
        self.asked_are_due(now);
    }

    /// Ends what waited long enough.
    pub(super) fn asked_are_late(&mut self, now: u64) {
        let late = self.asked.iter().filter(|(_, asked)| now >= asked.until);
        let missing = |asked: &Asked| Shards(asked.waiting.iter().copied().collect());
        let late: Vec<_> = late.map(|(one, asked)| (*one, missing(asked))).collect();
        for (proposal, shards) in late {
            self.give_up_asked(proposal, Refused::Silent(shards));
        }
    }

    /// The same, and asks again where that is due.
    pub(super) fn asked_are_due(&mut self, now: u64) {
        self.asked_are_late(now);
        let mut asks = Vec::new();
        for (proposal, asked) in &mut self.asked {
            if asked.resend_at <= now {
                asked.resend_at = now + self.limits.resend_ms;
                let Proposal(number) = *proposal;
                let entry = &asked.entry;
                asks.extend(asked.waiting.iter().map(|to| (*to, number, entry.clone())));
            }
        }
        for (to, number, entry) in asks {
            self.send(to, Message::Ask { number, entry });
        }
    }

    /// Nobody is asked any more.
    pub(super) fn end_asked(&mut self, why: impl Fn() -> Refused) {
        for proposal in self.asked.keys().copied().collect::<Vec<_>>() {
            self.give_up_asked(proposal, why());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::entry::Body;
    use super::super::super::ledger::Ledger;
    use super::super::super::stamp::numbered;
    use super::super::{Limits, Member, Members};
    use super::*;

    fn content() -> Content {
        Content::Live(Arc::new(Body {
            code: "code".into(),
            config: None,
            owner: "anna".into(),
            unregistered: Vec::new(),
            version: 1,
            loaded_ms: 5,
            loaded_by: "anna".into(),
        }))
    }

    fn members(others: &[u32], failed: &[u32]) -> Members {
        let others = others.iter().map(|number| Member {
            id: numbered(*number),
            has_slots: true,
            is_failed: failed.contains(number),
        });
        Members {
            is_primary: true,
            has_slots: true,
            others: others.collect(),
        }
    }

    fn node(number: u32, others: &[u32]) -> SharedLibraries {
        let me = numbered(number);
        let mut node = SharedLibraries::new(me, 7, Limits::default(), &Ledger::default(), []);
        node.set_members(0, members(others, &[]));
        node.take_effects();
        node
    }

    /// Has the nodes tell each other what they have to say; `look` is what comes of looking at a library on a node.
    fn talk(
        nodes: &mut [SharedLibraries],
        look: impl Fn(NodeId) -> Result<(), String>,
    ) -> Vec<Effect> {
        let mut rest = Vec::new();
        for _ in 0..10 {
            for at in 0..nodes.len() {
                let me = nodes[at].me;
                for effect in nodes[at].take_effects() {
                    match effect {
                        Effect::Send { to, envelope } => {
                            let to = nodes.iter_mut().find(|one| one.me == to);
                            to.unwrap().receive(0, me, envelope);
                        }
                        Effect::Look {
                            from,
                            number,
                            entry,
                        } => nodes[at].looked(from, number, &entry, look(me)),
                        other => rest.push(other),
                    }
                }
            }
        }
        rest
    }

    /// A node without slots that knows these.
    fn without_slots(others: &[u32]) -> Members {
        Members {
            has_slots: false,
            ..members(others, &[])
        }
    }

    #[test]
    fn a_node_that_has_left_brings_nothing_along_when_it_comes_back() {
        let mut nodes = [node(1, &[3]), node(3, &[1])];
        nodes[1].set_members(0, without_slots(&[1]));
        nodes[0].say("lib", content());
        talk(&mut nodes, |_| Ok(()));
        assert_eq!(nodes[1].map().domain, nodes[0].map().domain);

        nodes[1].rename(numbered(4));
        nodes[1].set_members(0, without_slots(&[]));
        assert_eq!(nodes[1].map().domain, None);
        nodes[1].say("own", content());
        nodes[1].take_effects();

        nodes[0].set_members(0, members(&[4], &[]));
        nodes[1].set_members(0, without_slots(&[1]));
        nodes[0].tick(1000);
        nodes[1].tick(1000);
        let rest = talk(&mut nodes, |_| Ok(()));
        let name: Arc<str> = "own".into();
        assert!(rest.contains(&Effect::Forget { name }));
        assert_eq!(nodes[1].map().root(), nodes[0].map().root());
        assert!(nodes[0].map().get("own").is_none());
    }

    /// A question and a change, both on their way to all.
    fn begin_both(one: &mut SharedLibraries) -> [Proposal; 2] {
        let proposals = [
            one.ask(0, "lib", content()).unwrap(),
            one.propose(0, "lib", content()).unwrap(),
        ];
        one.take_effects();
        proposals
    }

    /// Whether all of them were refused for that reason, and nothing is under way.
    fn are_refused(one: &mut SharedLibraries, proposals: [Proposal; 2], why: &Refused) -> bool {
        let effects = one.take_effects();
        let is_refused = |proposal| {
            let why = why.clone();
            effects.contains(&Effect::Refused { proposal, why })
        };
        proposals.into_iter().all(is_refused) && one.is_idle()
    }

    #[test]
    fn what_others_do_not_answer_ends_in_time_also_while_nothing_else_is_done() {
        let mut one = node(1, &[2, 3]);
        let proposals = begin_both(&mut one);
        one.end_late(9999);
        assert_eq!(one.take_effects(), []);
        one.end_late(10_000);
        let why = Refused::Silent(Shards(vec![numbered(2), numbered(3)]));
        assert!(are_refused(&mut one, proposals, &why));
    }

    #[test]
    fn what_was_asked_of_a_node_that_is_reset_ends() {
        let mut one = node(1, &[2, 3]);
        let proposals = begin_both(&mut one);
        one.rename(numbered(4));
        assert!(are_refused(&mut one, proposals, &Refused::Reset));
    }

    #[test]
    fn all_shards_are_asked_and_nothing_has_changed_when_all_would_take_it() {
        let mut nodes = [node(1, &[2, 3]), node(2, &[1, 3]), node(3, &[1, 2])];
        let proposal = nodes[0].ask(0, "lib", content()).unwrap();
        let rest = talk(&mut nodes, |_| Ok(()));
        assert_eq!(rest, [Effect::Done { proposal }]);
        assert!(
            nodes
                .iter()
                .all(|one| one.is_idle() && one.map().is_empty())
        );
    }

    #[test]
    fn a_shard_that_would_refuse_is_named_as_for_a_change() {
        let mut nodes = [node(1, &[2, 3]), node(2, &[1, 3]), node(3, &[1, 2])];
        let look = |me| {
            if me == numbered(3) {
                Err("no such owner".to_owned())
            } else {
                Ok(())
            }
        };
        let proposal = nodes[0].ask(0, "lib", content()).unwrap();
        let why = Refused::Invalid {
            shard: numbered(3),
            text: "no such owner".into(),
        };
        let rest = talk(&mut nodes, look);
        assert_eq!(rest, [Effect::Refused { proposal, why }]);
    }

    #[test]
    fn who_is_asked_makes_way_for_no_change_and_refuses_none() {
        let mut nodes = [node(1, &[2, 3]), node(2, &[1, 3]), node(3, &[1, 2])];
        nodes[0].ask(0, "lib", content()).unwrap();
        let changed = nodes[1].propose(0, "lib", content()).unwrap();
        let mut rest = Vec::new();
        for effect in nodes[0].take_effects() {
            let Effect::Send { to, envelope } = effect else {
                panic!("{effect:?}");
            };
            let to = nodes.iter_mut().find(|one| one.me == to).unwrap();
            to.receive(0, numbered(1), envelope);
            rest.extend(to.take_effects());
        }
        let looks = rest.iter().filter(|one| matches!(one, Effect::Look { .. }));
        assert_eq!(looks.count(), 2);
        let refused = rest.iter().any(|one| matches!(one, Effect::Refused { .. }));
        assert!(!refused, "{changed:?}");
    }

    #[test]
    fn who_does_not_answer_is_asked_again_and_then_named() {
        let mut one = node(1, &[2, 3]);
        let proposal = one.ask(0, "lib", content()).unwrap();
        assert_eq!(one.take_effects().len(), 2);
        let (resend, silence) = (one.limits.resend_ms, one.limits.silence_ms);
        one.asked_are_due(resend);
        assert_eq!(one.take_effects().len(), 2);
        one.asked_are_due(silence);
        let why = Refused::Silent(Shards(vec![numbered(2), numbered(3)]));
        assert_eq!(one.take_effects(), [Effect::Refused { proposal, why }]);
    }

    #[test]
    fn who_is_asked_again_gives_the_same_answer_and_does_not_look_again() {
        let mut one = node(2, &[1, 3]);
        let stamp = Stamp::unknown(content().digest());
        let entry = Entry {
            name: "lib".into(),
            stamp,
            content: content(),
        };
        let from = numbered(1);
        one.on_ask(from, 5, entry.clone(), true);
        let [Effect::Look { .. }] = &one.take_effects()[..] else {
            panic!("it does not look");
        };
        one.looked(from, 5, &entry, Err("no".into()));
        let answer = one.take_effects();
        one.on_ask(from, 5, entry.clone(), true);
        assert_eq!(one.take_effects(), answer);
        one.on_ask(from, 6, entry, true);
        let [Effect::Look { number: 6, .. }] = &one.take_effects()[..] else {
            panic!("it does not look for another question");
        };
    }

    #[test]
    fn who_has_failed_is_not_waited_for_and_who_takes_over_is_asked() {
        let mut one = node(1, &[2, 3]);
        let proposal = one.ask(0, "lib", content()).unwrap();
        let stamp = Stamp::unknown(content().digest());
        let Proposal(number) = proposal;
        one.take_effects();
        one.on_answer(numbered(2), number, stamp, None);
        one.set_members(1, members(&[2, 3], &[3]));
        let done = Effect::Done { proposal };
        assert!(one.take_effects().contains(&done));

        let mut one = node(1, &[2, 3]);
        let proposal = one.ask(0, "lib", content()).unwrap();
        one.take_effects();
        one.on_answer(numbered(2), number, stamp, None);
        one.set_members(1, members(&[2, 4], &[]));
        let asked: Vec<_> = one
            .take_effects()
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Send { to, envelope } => match envelope.message {
                    Message::Ask { .. } => Some(to),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        assert_eq!(asked, [numbered(4)]);
        one.set_members(2, Members::default());
        let why = Refused::BecameReplica;
        assert_eq!(one.take_effects(), [Effect::Refused { proposal, why }]);
    }

    #[test]
    fn where_a_change_could_not_begin_nobody_is_asked() {
        let mut one = node(1, &[2, 3]);
        one.set_members(1, members(&[2, 3], &[2, 3]));
        one.take_effects();
        let why = Refused::NoMajority { alive: 1, total: 3 };
        assert_eq!(one.ask(1, "lib", content()), Err(why));
        assert!(one.take_effects().is_empty());
    }
}
