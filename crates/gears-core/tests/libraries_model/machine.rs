//! A process, and who copies what it has.

use std::collections::VecDeque;
use std::sync::Arc;

use gears_core::cluster::NodeId;
use gears_core::cluster::libraries::{
    Body, Content, Entry, Ledger, LibraryMap, Limits, SharedLibraries,
};

/// What a primary tells its replica and writes to its disk.
#[derive(Clone, Debug)]
pub(super) enum Command {
    Entry(Entry),
    Forget(Arc<str>),
    Ledger(Ledger),
}

/// Bounds that are soon reached.
pub(super) const LIMITS: Limits = Limits {
    deletions: 3,
    deletions_max: 1000,
    gossip_ms: 1000,
    gossip_peers: 3,
    silence_ms: 10_000,
    apart_ms: 10_000,
    resend_ms: 2000,
    promise_ms: 30_000,
    batch_bytes: 500,
};

/// Libraries that lag behind those of a primary.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    pub(super) libraries: SharedLibraries,
    queue: VecDeque<Command>,
}

impl Mirror {
    /// A copy as of now.
    pub(super) fn of(libraries: &SharedLibraries, id: NodeId, seed: u64) -> Self {
        Self {
            libraries: restored(id, seed, libraries),
            queue: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, command: Command) {
        self.queue.push_back(command);
    }

    /// Takes in so many commands.
    pub(super) fn take(&mut self, count: usize) {
        for _ in 0..count {
            match self.queue.pop_front() {
                Some(Command::Entry(entry)) => self.libraries.replay(&entry),
                Some(Command::Forget(name)) => self.libraries.replay_forget(&name),
                Some(Command::Ledger(ledger)) => self.libraries.replay_ledger(&ledger),
                None => break,
            }
        }
    }

    pub(super) fn take_all(&mut self) {
        self.take(usize::MAX);
    }

    /// What did not come before the primary died never comes.
    pub(super) fn cut_off(&mut self) {
        self.queue.clear();
    }
}

/// The libraries of a process that starts with what another had, kept as bytes.
pub(super) fn restored(id: NodeId, seed: u64, of: &SharedLibraries) -> SharedLibraries {
    let ledger = Ledger::decode(&of.ledger().encode()).expect("what was written is read");
    SharedLibraries::new(id, seed, LIMITS, &ledger, bodies(of.map()))
}

fn bodies(map: &LibraryMap) -> Vec<(String, Body)> {
    let live = map.iter().filter_map(|(name, known)| match &known.content {
        Content::Live(body) => Some((name.to_string(), Body::clone(body))),
        Content::Deleted | Content::Kept => None,
    });
    live.collect()
}

/// A shard: its primary, the disk of that, and its replica.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) id: NodeId,
    /// None while its process is dead.
    pub(super) primary: Option<SharedLibraries>,
    pub(super) disk: Mirror,
    pub(super) replica: Option<(NodeId, Mirror)>,
    /// Whether it has slots.
    pub(super) has_slots: bool,
    /// Whether the cluster agrees that its primary does not answer.
    pub(super) is_failed: bool,
    /// Which cluster it belongs to.
    pub(super) cluster: usize,
    /// Which side of a cut it is on.
    pub(super) side: bool,
    /// What its primary was before another took over, where it lives on and does not know yet.
    pub(super) zombie: Option<Zombie>,
}

/// A primary whose replica has taken over on the other side of a cut.
#[derive(Clone, Debug)]
pub(super) struct Zombie {
    pub(super) id: NodeId,
    pub(super) libraries: SharedLibraries,
    pub(super) side: bool,
}
