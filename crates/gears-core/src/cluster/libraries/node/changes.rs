//! Asking: a client's change is prepared on all shards, and adopted once all have promised to take it.
//!
//! ```text
//!             ┌─ somebody refuses, or is silent ──> Abort to all, nothing has changed
//!  preparing ─┤
//!             └─ all have promised ──> adopted here: the point of no return
//!                                         └─ committing ── all have it ──> done
//!                                                       └─ time is over: done where most have it
//! ```
//!
//! A shard that the cluster takes for failed is not asked: it catches up. More than half of the shards have
//! to be asked, so two parts of a cluster that is cut never both change a library. Where two change the same, `rivals` says who goes first.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::entry::{Content, Entry};
use super::super::message::{Message, Nak};
use super::super::stamp::Stamp;
use super::rivals::Rank;
use super::{Effect, Proposal, Refused, Shards, SharedLibraries};
use crate::cluster::NodeId;

/// How often a change gets another counter because a shard's clock was ahead.
const COUNTERS_MAX: u8 = 5;

/// An own change under way.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    proposal: Proposal,
    entry: Entry,
    /// What was known of the name when it began.
    base: Option<Stamp>,
    pub(super) rank: Rank,
    pub(super) is_committing: bool,
    /// Who has to answer yet.
    waiting: BTreeSet<NodeId>,
    /// Who has.
    answered: BTreeSet<NodeId>,
    until: u64,
    resend_at: u64,
    counters: u8,
}

impl Pending {
    /// Who has to answer yet.
    fn missing(&self) -> Shards {
        Shards(self.waiting.iter().copied().collect())
    }
}

impl SharedLibraries {
    /// Begins to change a library on all shards. What comes of it is an effect: [`Effect::Done`] or
    /// [`Effect::Refused`], which may be there at once.
    ///
    /// # Errors
    /// Why it cannot even begin.
    pub fn propose(&mut self, now: u64, name: &str, content: Content) -> Result<Proposal, Refused> {
        let waiting = self.may_propose(now, name, &content)?;
        let proposal = self.next_proposal();
        let name: Arc<str> = name.into();
        let base = self.known(&name);
        let entry = self.next_entry(Arc::clone(&name), content);
        let pending = Pending {
            proposal,
            base,
            rank: Rank::of(&entry, base),
            entry,
            is_committing: false,
            waiting,
            answered: BTreeSet::new(),
            until: now + self.limits.silence_ms,
            resend_at: now,
            counters: 0,
        };
        self.pending.insert(Arc::clone(&name), pending);
        self.advance(now, &name);
        Ok(proposal)
    }

    pub(super) fn next_proposal(&mut self) -> Proposal {
        self.proposals += 1;
        Proposal(self.proposals)
    }

    /// Whether [`Self::propose`] could begin now; gives the other shards that it would ask.
    ///
    /// # Errors
    /// Why it could not.
    pub(super) fn may_propose(
        &self,
        now: u64,
        name: &str,
        content: &Content,
    ) -> Result<BTreeSet<NodeId>, Refused> {
        if !self.members.is_primary {
            return Err(Refused::Replica);
        }
        if self.pending.contains_key(name) {
            return Err(Refused::Busy(self.me));
        }
        if let Some(promise) = self.promises.get(name).filter(|one| one.until > now) {
            return Err(Refused::Busy(promise.coordinator));
        }
        if content.is_deleted() && self.map.deleted() >= self.limits.deletions_max {
            return Err(Refused::TooManyDeleted);
        }
        let waiting = self.askable();
        self.require_majority(waiting.len())?;
        let has_joined = self.map.domain.is_some() || self.members.has_slots;
        if !has_joined && self.members.others.iter().any(|one| one.has_slots) {
            return Err(Refused::NotJoined);
        }
        Ok(waiting)
    }

    /// The other shards that can be asked.
    pub(super) fn askable(&self) -> BTreeSet<NodeId> {
        let others = self.members.others.iter();
        others
            .filter(|one| one.has_slots && !one.is_failed)
            .map(|one| one.id)
            .collect()
    }

    pub(super) fn require_majority(&self, others: usize) -> Result<(), Refused> {
        let own = usize::from(self.members.has_slots);
        let total = own
            + self
                .members
                .others
                .iter()
                .filter(|one| one.has_slots)
                .count();
        let alive = own + others;
        if 2 * alive > total || total == 0 {
            Ok(())
        } else {
            Err(Refused::NoMajority { alive, total })
        }
    }

    /// Takes the step that a change is ready for, and asks those who have to answer if that is due.
    fn advance(&mut self, now: u64, name: &str) {
        let Some(pending) = self.pending.get(name) else {
            return;
        };
        if pending.waiting.is_empty() && !pending.is_committing {
            self.point_of_no_return(now, name);
        }
        let Some(pending) = self.pending.get_mut(name) else {
            return;
        };
        if pending.waiting.is_empty() {
            let proposal = pending.proposal;
            self.pending.remove(name);
            self.effects.push(Effect::Done { proposal });
            return;
        }
        if pending.resend_at > now {
            return;
        }
        pending.resend_at = now + self.limits.resend_ms;
        let stamp = pending.entry.stamp;
        let message = if pending.is_committing {
            let name = name.to_owned();
            Message::Commit { name, stamp }
        } else {
            Message::Prepare {
                entry: pending.entry.clone(),
                base: pending.base,
            }
        };
        for to in pending.waiting.clone() {
            self.send(to, message.clone());
        }
    }

    fn point_of_no_return(&mut self, now: u64, name: &str) {
        let known = self.known(name);
        let Some(pending) = self.pending.get_mut(name) else {
            return;
        };
        if known != pending.base {
            self.give_up(name, Refused::Stale(self.me));
            return;
        }
        pending.is_committing = true;
        pending.waiting = std::mem::take(&mut pending.answered);
        pending.until = now + self.limits.silence_ms;
        pending.resend_at = now;
        let (entry, proposal) = (pending.entry.clone(), pending.proposal);
        let mut asked = pending.waiting.clone();
        if self.found_domain() {
            // Nobody knows it: they hear of it before they hear what is committed in it.
            asked.clear();
        }
        self.adopt(entry, Some(proposal));
        self.tell_all_but(&asked);
    }

    /// Nothing comes of a change that nothing has come of yet.
    pub(super) fn give_up(&mut self, name: &str, why: Refused) {
        let Some(pending) = self.pending.remove(name) else {
            return;
        };
        let stamp = pending.entry.stamp;
        for to in pending.waiting.iter().chain(&pending.answered) {
            let name = name.to_owned();
            self.send(*to, Message::Abort { name, stamp });
        }
        let proposal = pending.proposal;
        self.effects.push(Effect::Refused { proposal, why });
    }

    pub(super) fn on_promise(&mut self, now: u64, from: NodeId, name: &str, stamp: Stamp) {
        let Some(pending) = self.pending.get_mut(name) else {
            self.on_late_promise(from, name, stamp);
            return;
        };
        if pending.is_committing || pending.entry.stamp != stamp {
            return;
        }
        if pending.waiting.remove(&from) {
            pending.answered.insert(from);
        }
        self.advance(now, name);
    }

    pub(super) fn on_refuse(&mut self, now: u64, from: NodeId, name: &str, stamp: Stamp, nak: Nak) {
        let pending = self.pending.get(name);
        let asked = |one: &&Pending| !one.is_committing && one.entry.stamp == stamp;
        let Some(pending) = pending.filter(asked) else {
            return;
        };
        let why = match nak {
            Nak::Behind(clock) if pending.counters < COUNTERS_MAX => {
                self.map.clock = self.map.clock.max(clock);
                self.ask_anew(now, name);
                return;
            }
            Nak::Behind(_) | Nak::Stale => Refused::Stale(from),
            Nak::Busy => Refused::Busy(from),
            Nak::Invalid(text) => Refused::Invalid { shard: from, text },
            Nak::OtherDomain => Refused::OtherDomain(from),
            // Who has taken over from it is known in a moment, and asked in its place.
            Nak::Replica => return,
        };
        self.give_up(name, why);
    }

    /// Asks all again, with a counter above what is known now.
    fn ask_anew(&mut self, now: u64, name: &str) {
        let counter = self.next_counter();
        if let Some(pending) = self.pending.get_mut(name) {
            pending.entry.stamp.counter = counter;
            pending.counters += 1;
            let answered = std::mem::take(&mut pending.answered);
            pending.waiting.extend(answered);
            pending.resend_at = now;
        }
        self.advance(now, name);
    }

    pub(super) fn on_adopted(&mut self, from: NodeId, name: &str, stamp: Stamp) {
        let pending = self.pending.get_mut(name);
        let asked = |one: &&mut Pending| one.is_committing && one.entry.stamp == stamp;
        let Some(pending) = pending.filter(asked) else {
            return;
        };
        if pending.waiting.remove(&from) {
            pending.answered.insert(from);
        }
        if pending.waiting.is_empty() {
            let proposal = pending.proposal;
            self.pending.remove(name);
            self.effects.push(Effect::Done { proposal });
        }
    }

    /// The primaries are others than before: who is gone or failed is not waited for any more, and who has come is
    /// asked.
    pub(super) fn review_pending(&mut self, now: u64) {
        let askable = self.askable();
        for name in self.pending.keys().cloned().collect::<Vec<_>>() {
            let Some(pending) = self.pending.get_mut(&name) else {
                continue;
            };
            if pending.is_committing {
                // Whoever is gone may or may not have it: what is said in the end counts those who do.
                continue;
            }
            pending.answered.retain(|one| askable.contains(one));
            let missing = askable.difference(&pending.answered);
            let missing: BTreeSet<NodeId> = missing.copied().collect();
            if !missing.is_subset(&pending.waiting) {
                // Who has become one of the shards is asked too, at once.
                pending.resend_at = now;
            }
            pending.waiting = missing;
            let asked = pending.waiting.len() + pending.answered.len();
            match self.require_majority(asked) {
                Ok(()) => self.advance(now, &name),
                Err(why) => self.give_up(&name, why),
            }
        }
        self.pending_are_due(now);
    }

    /// Ends what waited long enough, and asks again where that is due.
    /// Ends changes that not all have promised in time.
    pub(super) fn pending_are_late(&mut self, now: u64) {
        let is_late = |(_, one): &(&Arc<str>, &Pending)| !one.is_committing && now >= one.until;
        let late = self.pending.iter().filter(is_late);
        let late: Vec<_> = late
            .map(|(name, one)| (Arc::clone(name), one.missing()))
            .collect();
        for (name, missing) in late {
            self.give_up(&name, Refused::Silent(missing));
        }
    }

    pub(super) fn pending_are_due(&mut self, now: u64) {
        self.pending_are_late(now);
        let askable = self.askable();
        for name in self.pending.keys().cloned().collect::<Vec<_>>() {
            let Some(pending) = self.pending.get_mut(&name) else {
                continue;
            };
            let is_left = pending.is_committing && pending.waiting.is_disjoint(&askable);
            if now < pending.until && !is_left {
                self.advance(now, &name);
                continue;
            }
            let (proposal, missing, answered) =
                (pending.proposal, pending.missing(), pending.answered.len());
            self.pending.remove(&name);
            self.effects.push(match self.require_majority(answered) {
                Ok(()) => Effect::Done { proposal },
                Err(_) => Effect::Refused {
                    proposal,
                    why: Refused::Unconfirmed(missing),
                },
            });
        }
    }

    /// Ends all changes; those that others may have stay.
    pub(super) fn end_pending(&mut self, why: impl Fn() -> Refused) {
        for name in self.pending.keys().cloned().collect::<Vec<_>>() {
            let pending = self.pending.get(&name).filter(|one| one.is_committing);
            let Some(pending) = pending else {
                self.give_up(&name, why());
                continue;
            };
            let (proposal, missing) = (pending.proposal, pending.missing());
            self.pending.remove(&name);
            let why = Refused::Unconfirmed(missing);
            self.effects.push(Effect::Refused { proposal, why });
        }
    }
}

impl Content {
    /// Bytes that it takes in a message, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Live(body) => {
                let config = body.config.as_ref().map_or(0, String::len);
                body.code.len() + config + 200
            }
            Self::Deleted | Self::Kept => 100,
        }
    }
}
