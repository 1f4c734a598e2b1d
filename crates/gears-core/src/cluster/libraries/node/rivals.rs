//! Who goes first where several nodes are about to change the same library.
//!
//! Each change has a *rank*, by which all nodes order any two of them alike. Who is asked for a promise and knows of
//! a rival
//! * refuses what ranks behind the rival;
//! * gives up its own change if that is the rival, ranks behind, and nothing has come of it yet;
//! * keeps what was asked until the rival is done with, if that one has its promise: it cannot know whether the rival
//!   has all promises by now.
//!
//! So a change waits for none but those that rank behind it, and no circle of them waits for each other; and the first of
//! all is refused by no rival. Of those that meet one is made: the first, or one that it waited for.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::super::entry::Entry;
use super::super::message::{Message, Nak};
use super::super::stamp::Stamp;
use super::{Refused, SharedLibraries};
use crate::cluster::NodeId;

/// What orders changes that meet; the smaller goes first. It is as good as chance, so that nobody is last each
/// time, and stays the same when a change gets another counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank([u8; 32]);

impl Rank {
    pub(super) fn of(entry: &Entry, base: Option<Stamp>) -> Self {
        let Stamp { author, digest, .. } = entry.stamp;
        let what = postcard::to_allocvec(&(&*entry.name, base, author, digest));
        Self(Sha256::digest(what.unwrap_or_default()).into())
    }
}

/// What was asked for while somebody else had the promise.
#[derive(Clone, Debug)]
pub(super) struct Held {
    from: NodeId,
    entry: Entry,
    base: Option<Stamp>,
    rank: Rank,
    /// When it is refused after all.
    until: u64,
}

/// How a change stands among those that it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the first, and nothing was promised to others.
    Free,
    /// It is the first, but another has the promise.
    Waits,
    /// Another goes before it.
    Behind,
}

impl SharedLibraries {
    /// Whether changes of these two names are rivals.
    fn are_rivals(&self, one: &str, other: &str) -> bool {
        // The first library names the domain: one at a time.
        one == other || self.map.domain.is_none()
    }

    pub(super) fn standing(&self, now: u64, from: NodeId, name: &str, rank: Rank) -> Standing {
        let own = self.pending.iter().filter(|(other, one)| {
            // What is committed is done with here: another may follow it.
            !one.is_committing && self.are_rivals(other, name)
        });
        let promised = self.promises.iter().filter(|(other, one)| {
            let is_itself = one.coordinator == from && ***other == *name;
            one.until > now && !is_itself && self.are_rivals(other, name)
        });
        let mut promised = promised.map(|(_, one)| one.rank).peekable();
        let is_any_promised = promised.peek().is_some();
        let mut ranks = own.map(|(_, one)| one.rank).chain(promised);
        if ranks.any(|other| other < rank) {
            Standing::Behind
        } else if is_any_promised {
            Standing::Waits
        } else {
            Standing::Free
        }
    }

    /// Gives up own changes for one that goes first.
    pub(super) fn make_way(&mut self, first: NodeId, name: &str) {
        let own = self
            .pending
            .iter()
            .filter(|(other, one)| !one.is_committing && self.are_rivals(other, name));
        let own: Vec<_> = own.map(|(other, _)| Arc::clone(other)).collect();
        for other in own {
            self.give_up(&other, Refused::Busy(first));
        }
    }

    /// Keeps what is first, until whoever has the promise is done with. Of two that wait one would be refused then.
    pub(super) fn hold(
        &mut self,
        now: u64,
        from: NodeId,
        (entry, base): (Entry, Option<Stamp>),
        earlier: Option<Held>,
    ) {
        let rank = Rank::of(&entry, base);
        // Before its coordinator hears nothing for too long, and takes this node for silent.
        let until = earlier
            .filter(|one| one.rank == rank)
            .map_or_else(|| now + self.limits.silence_ms / 2, |one| one.until);
        if let Some(other) = self.held.get(&entry.name) {
            if other.rank < rank {
                self.refuse(from, &entry.name, entry.stamp, Nak::Busy);
                return;
            }
            let (other, stamp) = (other.from, other.entry.stamp);
            self.refuse(other, &entry.name, stamp, Nak::Busy);
        }
        let name = Arc::clone(&entry.name);
        let held = Held {
            from,
            entry,
            base,
            rank,
            until,
        };
        self.held.insert(name, held);
    }

    /// Takes what is kept of a node's out.
    pub(super) fn take_held(&mut self, from: NodeId, name: &str) -> Option<Held> {
        let is_its_own = self.held.get(name).is_some_and(|held| held.from == from);
        is_its_own.then(|| self.held.remove(name))?
    }

    /// Nothing comes of what a node asked for, up to that stamp.
    pub(super) fn let_go(&mut self, from: NodeId, name: &str, stamp: Stamp) {
        let held = self.held.get(name);
        if held.is_some_and(|one| one.from == from && one.entry.stamp <= stamp) {
            self.held.remove(name);
        }
    }

    /// What was kept is of another domain than this node now.
    pub(super) fn refuse_held(&mut self) {
        for (name, held) in std::mem::take(&mut self.held) {
            self.refuse(held.from, &name, held.entry.stamp, Nak::OtherDomain);
        }
    }

    /// Answers what was kept and has to wait no longer.
    pub(super) fn take_up_held(&mut self, now: u64) {
        for name in self.held.keys().cloned().collect::<Vec<_>>() {
            let Some(held) = self.held.get(&name) else {
                continue;
            };
            let is_over = held.until <= now;
            if !is_over && self.standing(now, held.from, &name, held.rank) == Standing::Waits {
                continue;
            }
            let Some(Held {
                from, entry, base, ..
            }) = self.held.remove(&name)
            else {
                continue;
            };
            if is_over {
                self.refuse(from, &name, entry.stamp, Nak::Busy);
            } else {
                self.on_prepare(now, from, entry, base);
            }
        }
    }

    /// Somebody has promised what this node does not ask for any more: what said so came before the question, or
    /// not at all.
    pub(super) fn on_late_promise(&mut self, from: NodeId, name: &str, stamp: Stamp) {
        if self.known(name) != Some(stamp) {
            let name = name.to_owned();
            self.send(from, Message::Abort { name, stamp });
        }
    }
}
