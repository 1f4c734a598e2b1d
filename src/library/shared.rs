//! The libraries of this node among those of the cluster: what is said of each, and when it was.
//!
//! The decisions are [`gears_core::cluster::libraries`]'s. Here is what these need of the registry, and what the
//! registry takes from them. Without a cluster nothing of it exists.

use std::sync::Arc;

use gears_core::cluster::NodeId;
use gears_core::cluster::libraries::{
    Body, Content, Entry, Ledger, Limits, SharedLibraries, Stamp,
};
use gears_core::snapshot::{History, LibrarySnapshot};

use super::libraries::{KeyEvents, Libraries};
use super::registry::Library;

/// What is known of the libraries of the cluster.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// What a data set brought along, until the node knows its own name.
    ledger: Ledger,
    /// Under which name, and what then.
    node: Option<(NodeId, SharedLibraries)>,
}

impl Shared {
    fn ledger(&self) -> Ledger {
        match &self.node {
            Some((_, libraries)) => libraries.ledger(),
            None => self.ledger.clone(),
        }
    }
}

/// What of a library is the same on all shards.
fn body(library: &Library) -> Body {
    let history = &library.history;
    Body {
        code: library.code.clone(),
        config: library.config.clone(),
        owner: library.user.to_string(),
        unregistered: library.unregistered.clone(),
        version: history.version,
        loaded_ms: history.loaded_ms,
        loaded_by: history.loaded_by.clone(),
    }
}

impl Libraries {
    /// The node knows its name: from now on it has a part in what the cluster says. `seed` is chance.
    pub(crate) fn share(&self, me: NodeId, seed: u64) {
        let mut shared = self.of_cluster.borrow_mut();
        if let Some((known, libraries)) = &mut shared.node {
            if *known != me {
                *known = me;
                libraries.rename(me);
            }
            return;
        }
        let ledger = shared.ledger();
        let bodies = self.all();
        let bodies = bodies
            .iter()
            .map(|(name, library)| (name.clone(), body(library)));
        let libraries = SharedLibraries::new(me, seed, Limits::default(), &ledger, bodies);
        shared.node = Some((me, libraries));
    }

    /// Does something with what the cluster says; `None` as long as the node does not know its name, and where
    /// there is no cluster. Nothing of the libraries may be changed meanwhile.
    pub(crate) fn with_shared<R>(&self, work: impl FnOnce(&mut SharedLibraries) -> R) -> Option<R> {
        let mut shared = self.of_cluster.borrow_mut();
        shared.node.as_mut().map(|(_, libraries)| work(libraries))
    }

    /// When a library was last changed, on whatever shard.
    #[must_use]
    pub(crate) fn stamp(&self, name: &str) -> Option<Stamp> {
        self.with_shared(|shared| shared.map().get(name).map(|known| known.stamp))?
    }

    /// What is kept of all that; `None` where there is nothing.
    #[must_use]
    pub(crate) fn ledger(&self) -> Option<Ledger> {
        let ledger = self.of_cluster.borrow().ledger();
        (ledger != Ledger::default()).then_some(ledger)
    }

    /// Takes the ledger of the primary, of a log, or of a data set.
    pub(crate) fn take_ledger(&self, ledger: Ledger) {
        let mut shared = self.of_cluster.borrow_mut();
        match &mut shared.node {
            Some((_, libraries)) => libraries.replay_ledger(&ledger),
            None => shared.ledger = ledger,
        }
    }

    /// Takes what a ledger says of some libraries, which are as it says already.
    pub(crate) fn take_stamps(&self, stamps: Ledger) {
        let Ledger { live, deleted, .. } = stamps;
        let mut shared = self.of_cluster.borrow_mut();
        let Some((_, libraries)) = &mut shared.node else {
            let ledger = &mut shared.ledger;
            let names = live.iter().chain(&deleted);
            let names: Vec<_> = names.map(|(name, _)| name.clone()).collect();
            ledger.live.retain(|(name, _)| !names.contains(name));
            ledger.deleted.retain(|(name, _)| !names.contains(name));
            ledger.live.extend(live);
            ledger.deleted.extend(deleted);
            return;
        };
        for (name, stamp) in live {
            let Some(body) = self.body(&name) else {
                continue;
            };
            if body.digest() == stamp.digest {
                libraries.replay(&Entry {
                    name: name.into(),
                    stamp,
                    content: Content::Live(Arc::new(body)),
                });
            } else {
                log::error!("library '{name}' is another than the one of its stamp {stamp}");
            }
        }
        for (name, stamp) in deleted {
            libraries.replay(&Entry {
                name: name.into(),
                stamp,
                content: Content::without_body(stamp.digest),
            });
        }
    }

    /// Another data set comes: nothing is known.
    pub(crate) fn forget_shared(&self) {
        *self.of_cluster.borrow_mut() = Shared::default();
    }

    /// What of a library is the same on all shards; `None` if there is none.
    #[must_use]
    pub(crate) fn body(&self, name: &str) -> Option<Body> {
        self.all().get(name).map(body)
    }

    /// Whether there is just this here.
    #[must_use]
    pub(crate) fn is_here(&self, entry: &Entry) -> bool {
        let digest = self.body(&entry.name).map(|body| body.digest());
        match entry.content {
            Content::Live(_) => digest == Some(entry.stamp.digest),
            Content::Kept => digest.is_none(),
            Content::Deleted => digest.is_none() && !self.kept().contains_key(&*entry.name),
        }
    }

    /// What the cluster should know of a library: what is here.
    #[must_use]
    pub(crate) fn content(&self, name: &str) -> Content {
        match self.body(name) {
            Some(body) => Content::Live(Arc::new(body)),
            None if self.kept().contains_key(name) => Content::Kept,
            None => Content::Deleted,
        }
    }

    /// Whether the cluster keeps the progress of a library that was deleted.
    #[must_use]
    pub(crate) fn is_kept_by_cluster(&self, name: &str) -> bool {
        let is_kept = |shared: &mut SharedLibraries| {
            let known = shared.map().get(name);
            known.is_some_and(|known| known.content == Content::Kept)
        };
        self.with_shared(is_kept).unwrap_or_default()
    }

    /// Loads what another shard has, in the place of the library of its name. Its consumers keep their progress. It is
    /// there in any case: in quarantine where it cannot be loaded. `versions` texts are kept.
    pub(crate) fn take_body(
        &self,
        key_events: &dyn KeyEvents,
        name: &str,
        body: &Body,
        versions: usize,
    ) {
        let old = self.all().get(name).map(|old| {
            let (loaded_ms, loaded_by) = (body.loaded_ms, &*body.loaded_by);
            if old.code == body.code {
                old.history.again(loaded_ms, loaded_by)
            } else {
                let was = (&*old.code, &*old.user);
                old.history.then(was, loaded_ms, loaded_by, versions)
            }
        });
        let history = old.unwrap_or_else(|| History::first(body.loaded_ms, &body.loaded_by));
        let before = self.snapshot(name);
        let (consumers, paused) = before
            .map(|before| (before.consumers, before.paused))
            .unwrap_or_default();
        let snapshot = LibrarySnapshot {
            name: name.to_owned(),
            code: body.code.clone(),
            config: body.config.clone(),
            user: body.owner.clone(),
            consumers,
            unregistered: body.unregistered.clone(),
            paused,
            history: History {
                version: body.version,
                ..history
            },
        };
        self.restore(key_events, &snapshot);
    }
}
