//! Being asked: what another node prepares is checked here and promised, and adopted once that node has
//! everybody's promise.
//!
//! A promise keeps two clients from changing the same library at once; who goes first then is in `rivals`. What
//! makes nodes equal is not the promise but the stamp, so one that is lost or runs out breaks nothing.

use std::sync::Arc;

use super::super::entry::Entry;
use super::super::message::{Message, Nak};
use super::super::stamp::Stamp;
use super::rivals::{Rank, Standing};
use super::{Effect, SharedLibraries};
use crate::cluster::NodeId;

/// What was promised to another node.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    pub(super) coordinator: NodeId,
    pub(super) entry: Entry,
    pub(super) rank: Rank,
    /// Whether it is known that it can be carried out here.
    is_checked: bool,
    pub(super) until: u64,
}

impl SharedLibraries {
    pub(super) fn on_prepare(&mut self, now: u64, from: NodeId, entry: Entry, base: Option<Stamp>) {
        let name = Arc::clone(&entry.name);
        // Who asks builds on that, so it has come to be.
        if let Some(base) = base {
            self.proof(&name, base);
        }
        // This is what its coordinator asks now.
        let earlier = self.take_held(from, &name);
        let promised = self
            .promises
            .get(&name)
            .filter(|promise| promise.until > now);
        let known = self.known(&name);
        let is_again = promised.is_some_and(|promise| {
            promise.coordinator == from && promise.entry.stamp == entry.stamp
        });
        if is_again || known == Some(entry.stamp) {
            let is_checked = promised.is_none_or(|promise| promise.is_checked);
            if is_checked {
                self.promise(from, &name, entry.stamp);
            }
            return;
        }
        let rank = Rank::of(&entry, base);
        let standing = self.standing(now, from, &name, rank);
        // Nobody makes way for what cannot be made.
        let nak = if known > base {
            Some(Nak::Stale)
        } else if entry.stamp.counter <= self.map.clock {
            Some(Nak::Behind(self.map.clock))
        } else if standing == Standing::Behind {
            Some(Nak::Busy)
        } else {
            None
        };
        if let Some(nak) = nak {
            self.refuse(from, &name, entry.stamp, nak);
            return;
        }
        if standing == Standing::Waits {
            self.hold(now, from, (entry, base), earlier);
            return;
        }
        let is_checked = promised.is_some_and(|promise| {
            promise.is_checked && promise.entry.stamp.digest == entry.stamp.digest
        });
        let promise = Promise {
            coordinator: from,
            entry: entry.clone(),
            rank,
            is_checked,
            until: now + self.limits.promise_ms,
        };
        self.make_way(from, &name);
        self.promises.insert(Arc::clone(&name), promise);
        if is_checked {
            self.promise(from, &name, entry.stamp);
        } else {
            self.effects.push(Effect::Check { from, entry });
        }
    }

    /// Takes in what came of [`Effect::Check`].
    pub fn checked(&mut self, from: NodeId, entry: &Entry, result: Result<(), String>) {
        let promise = self.promises.get_mut(&entry.name);
        let asked = |promise: &&mut Promise| {
            promise.coordinator == from && promise.entry.stamp == entry.stamp
        };
        let Some(promise) = promise.filter(asked) else {
            return;
        };
        match result {
            Ok(()) => {
                promise.is_checked = true;
                self.promise(from, &entry.name, entry.stamp);
            }
            Err(text) => {
                self.promises.remove(&entry.name);
                self.refuse(from, &entry.name, entry.stamp, Nak::Invalid(text));
            }
        }
    }

    fn promise(&mut self, to: NodeId, name: &str, stamp: Stamp) {
        let name = name.to_owned();
        self.send(to, Message::Promise { name, stamp });
    }

    pub(super) fn refuse(&mut self, to: NodeId, name: &str, stamp: Stamp, nak: Nak) {
        let name = name.to_owned();
        self.send(to, Message::Refuse { name, stamp, nak });
    }

    pub(super) fn on_abort(&mut self, from: NodeId, name: &str, stamp: Stamp) {
        let promise = self.promises.get(name);
        if promise.is_some_and(|one| one.coordinator == from && one.entry.stamp <= stamp) {
            self.promises.remove(name);
        }
        self.let_go(from, name, stamp);
    }

    pub(super) fn on_commit(&mut self, now: u64, from: NodeId, name: &str, stamp: Stamp) {
        if self.hear_of(now, from, name, stamp) {
            let name = name.to_owned();
            self.send(from, Message::Adopted { name, stamp });
        }
    }

    /// Whether this node has a library as late as one of that stamp, or one that is later, or has deleted it since.
    #[must_use]
    pub fn is_up_to(&self, name: &str, stamp: Stamp) -> bool {
        !self.map.is_news(name, &stamp)
    }

    /// Another node has a library of that stamp: its coordinator says so, or a call of it. Gives whether this node has
    /// one as late, now that it knows. If not, it is asked for, where this is a primary: a replica has it of its own one.
    pub fn hear_of(&mut self, now: u64, from: NodeId, name: &str, stamp: Stamp) -> bool {
        if !self.members.is_primary {
            return self.is_up_to(name, stamp);
        }
        self.proof(name, stamp);
        let has = self.is_up_to(name, stamp);
        if !has {
            self.pull(now, from, vec![(name.into(), stamp)]);
        }
        has
    }

    /// Somebody has a library of that stamp: what was promised has come to be. What calls carry is proof as well as
    /// the coordinator's word.
    fn proof(&mut self, name: &str, stamp: Stamp) {
        let promise = self.promises.get(name);
        let promise = promise.filter(|promise| promise.entry.stamp == stamp && promise.is_checked);
        if let Some(promise) = promise {
            let entry = promise.entry.clone();
            self.promises.remove(name);
            self.merge(entry);
        }
    }
}
