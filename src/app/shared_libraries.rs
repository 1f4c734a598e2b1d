//! Libraries on all shards: what clients ask for is prepared on all of them, and what others have
//! come to is carried out here.
//!
//! ```text
//! LOAD, DEL ──> checked here ──> propose ── messages ──> other shards: Check, promise
//!                  client waits      └── Adopt: loaded here, replicated ──> Done: the client's reply
//! CHECK ──────> checked here ──> ask ────── messages ──> other shards: Look, answer
//! ```
//!
//! What is decided is decided in [`gears_core::cluster::libraries`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gears_core::cluster::libraries::{
    Content, Effect, Entry, Envelope, Ledger, Member, Members, PeerLibraries, Proposal, Refused,
    SharedLibraries, Stamp,
};
use gears_core::cluster::{NodeId, NodeState, Role, Topic, Topology};
use gears_core::quoted;
use gears_v8::ports::Reply;

use super::App;
use crate::cluster::Cluster;
use crate::executor::Responder;
use crate::library::{LoadRequest, SourceKind};
use crate::replication;
use crate::server::{
    BlockedClient, Context, audit, hold_back_scripts, is_enabled, is_paused, random_bytes,
    write_what_waits,
};

/// How often what is due is looked for.
const TICK: Duration = Duration::from_millis(100);

/// What a client waits for.
struct Waiting {
    /// None as long as the command that asked may still answer by itself.
    client: Option<Box<dyn Responder>>,
    /// Who it is.
    user: String,
    /// What it is told once all is done.
    reply: Reply,
    /// What came of it, if that is known before the client waits.
    outcome: Option<Result<(), String>>,
}

/// Who waits for what.
pub(super) struct Sharing {
    begin: Instant,
    ticked: Cell<Option<Instant>>,
    waiting: RefCell<BTreeMap<Proposal, Waiting>>,
    is_carrying_out: Cell<bool>,
}

impl Default for Sharing {
    fn default() -> Self {
        Self {
            begin: Instant::now(),
            ticked: Cell::default(),
            waiting: RefCell::default(),
            is_carrying_out: Cell::default(),
        }
    }
}

/// Somebody carries out what was decided, until this is dropped: also where that panics.
struct CarryingOut<'a>(&'a Cell<bool>);

impl Drop for CarryingOut<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Sharing {
    /// Milliseconds since it began.
    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl App {
    /// Whether libraries are changed on all shards together.
    pub(crate) fn shares_libraries(&self) -> bool {
        self.cluster().is_some()
    }

    /// Part of every tick.
    pub(super) fn share_libraries(&self, context: &Context, topology: Option<&Topology>) {
        let ticked = self.sharing.ticked.get();
        if ticked.is_some_and(|at| at.elapsed() < TICK) || context.is_loading() {
            return;
        }
        let Some(topology) = topology else {
            return;
        };
        self.sharing.ticked.set(Some(Instant::now()));
        if is_paused() {
            // Nothing may be written; but who waits for other shards is told when their time is over.
            let now = self.sharing.now();
            self.libraries.with_shared(|shared| shared.end_late(now));
            return self.carry_out_shared(context);
        }
        self.libraries
            .share(topology.me, u64::from_le_bytes(random_bytes()));
        self.tell_members(context, topology);
        let now = self.sharing.now();
        let registry = self.libraries.all();
        let quarantined = registry.values().filter(|one| one.executor().is_none());
        let quarantined = u32::try_from(quarantined.count()).unwrap_or(u32::MAX);
        drop(registry);
        self.libraries.with_shared(|shared| {
            shared.set_quarantined(quarantined);
            shared.tick(now);
        });
        self.carry_out_shared(context);
    }

    fn tell_members(&self, context: &Context, topology: &Topology) {
        let now = self.sharing.now();
        let members = members(topology, context.state().is_primary);
        self.libraries
            .with_shared(|shared| shared.set_members(now, members));
    }

    /// Another node says something of libraries.
    pub(super) fn on_library_message(&self, context: &Context, from: NodeId, bytes: &[u8]) {
        if is_paused() || context.is_loading() {
            // Nothing may be written now. What is lost is said again.
            return;
        }
        let now = self.sharing.now();
        match Envelope::decode(bytes) {
            Ok(envelope) => {
                self.libraries
                    .with_shared(|shared| shared.receive(now, from, envelope));
                self.carry_out_shared(context);
            }
            Err(error) => log::warn!("a message of node {from} about libraries {error}"),
        }
    }

    /// Another node has called with a library of that stamp: whether this one has it as late. If not, it is fetched
    /// there, or at the primary of a replica.
    pub(super) fn has_heard_of_library(
        &self,
        context: &Context,
        cluster: &Cluster,
        from: NodeId,
        (name, stamp): (&str, Stamp),
    ) -> bool {
        let has = |shared: &mut SharedLibraries| shared.is_up_to(name, stamp);
        let has = self.libraries.with_shared(has).unwrap_or_default();
        // What would come while nothing may be written is left out.
        if has || is_paused() || context.is_loading() {
            return has;
        }
        let topology = cluster.topology();
        let node = topology.as_ref().and_then(|topology| topology.node(from));
        let at = node.and_then(|node| node.primary).unwrap_or(from);
        let now = self.sharing.now();
        let hear = |shared: &mut SharedLibraries| shared.hear_of(now, at, name, stamp);
        let has = self.libraries.with_shared(hear);
        // What was only promised so far is loaded now.
        self.carry_out_shared(context);
        has.unwrap_or_default()
    }

    /// Has a library be what `content` says, on all shards. The client waits where others have to be
    /// asked; `done` is what it is told. `word` and `details` are for the log.
    pub(crate) fn change_on_all(
        &self,
        context: &Context,
        (name, content): (&str, Content),
        done: Reply,
        (word, details): (&str, std::fmt::Arguments<'_>),
    ) -> Option<Reply> {
        self.ask_all(context, done, |shared, now| {
            let proposal = shared.propose(now, name, content)?;
            audit(context, word, details);
            Ok(proposal)
        })
    }

    /// Asks all shards whether a library could be what `content` says, and changes nothing. The client waits as for
    /// [`Self::change_on_all`], and gets the same errors.
    pub(crate) fn check_on_all(
        &self,
        context: &Context,
        (name, content): (&str, Content),
        done: Reply,
    ) -> Option<Reply> {
        self.ask_all(context, done, |shared, now| shared.ask(now, name, content))
    }

    /// Asks the other shards something, by `begin`; the client waits for what comes of it.
    fn ask_all(
        &self,
        context: &Context,
        done: Reply,
        begin: impl FnOnce(&mut SharedLibraries, u64) -> Result<Proposal, Refused>,
    ) -> Option<Reply> {
        if let Err(error) = context.may_wait() {
            let error = error.text("ERR libraries of a cluster are not changed in a transaction or script: the answers of all shards have to be waited for");
            return Some(Reply::error(error));
        }
        // Who has just become a primary is told so in the next tick, and who has just come back to the others later yet:
        // it would not be asked.
        let topology = self.cluster().and_then(|one| one.topology_now(context));
        if let Some(topology) = topology {
            self.tell_members(context, &topology);
        }
        let now = self.sharing.now();
        let proposed = self.libraries.with_shared(|shared| begin(shared, now));
        let proposal = match proposed {
            None => {
                return Some(Reply::error(
                    "LOADING this node does not know its cluster yet",
                ));
            }
            Some(Err(error)) => return Some(Reply::error(error.to_string())),
            Some(Ok(proposal)) => proposal,
        };
        let waiting = Waiting {
            client: None,
            user: context.user().unwrap_or_else(|| "default".into()),
            reply: done,
            outcome: None,
        };
        self.sharing.waiting.borrow_mut().insert(proposal, waiting);
        self.carry_out_shared(context);
        let is_over = |one: &Waiting| one.outcome.is_some();
        let mut all = self.sharing.waiting.borrow_mut();
        if all.get(&proposal).is_some_and(is_over) {
            let Waiting { reply, outcome, .. } = all.remove(&proposal)?;
            return Some(outcome?.map_or_else(Reply::Error, |()| reply));
        }
        match BlockedClient::new(context, Box::new(|| {})) {
            Ok(client) => {
                if let Some(waiting) = all.get_mut(&proposal) {
                    waiting.client = Some(Box::new(client));
                }
                None
            }
            Err(error) => {
                all.remove(&proposal);
                Some(Reply::error(error.text("ERR the client cannot wait")))
            }
        }
    }

    /// Tells the cluster what a library is now that was changed here alone.
    pub(super) fn say_library(&self, context: &Context, name: &str) {
        let content = self.libraries.content(name);
        let said = self.libraries.with_shared(|shared| {
            let known = shared.map().get(name);
            let is_new = match known {
                Some(known) => known.stamp.digest != content.digest(),
                None => !content.is_deleted(),
            };
            if is_new {
                shared.say(name, content);
            }
            is_new
        });
        if said == Some(true) {
            self.carry_out_shared(context);
        }
    }

    /// Another data set comes, and with that other libraries: who waits for a change of these is told, and nothing is known
    /// of what other shards have.
    pub(super) fn forget_shared(&self) {
        let end = |shared: &mut SharedLibraries| {
            shared.end_all(&Refused::OtherData);
            shared.take_effects()
        };
        for effect in self.libraries.with_shared(end).unwrap_or_default() {
            if let Effect::Refused { proposal, why } = effect {
                self.conclude(proposal, Err(why.to_string()));
            }
        }
        self.libraries.forget_shared();
    }

    /// Carries out what was decided.
    fn carry_out_shared(&self, context: &Context) {
        // What is carried out may itself lead here: it is taken by whoever is at it.
        if self.sharing.is_carrying_out.replace(true) {
            return;
        }
        let _over = CarryingOut(&self.sharing.is_carrying_out);
        loop {
            let effects = self.libraries.with_shared(SharedLibraries::take_effects);
            let effects = effects.unwrap_or_default();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.carry_out_effect(context, effect);
            }
        }
    }

    fn carry_out_effect(&self, context: &Context, effect: Effect) {
        match effect {
            Effect::Send { to, envelope } => {
                let Some(cluster) = self.cluster() else {
                    return;
                };
                if let Err(error) = cluster.send(to, Topic::Libraries, envelope.encode()) {
                    log::debug!("a message about libraries to node {to} is not sent: {error}");
                }
            }
            Effect::Check { from, entry } => {
                let result = self.check_entry(context, &entry);
                self.libraries
                    .with_shared(|shared| shared.checked(from, &entry, result));
            }
            Effect::Look {
                from,
                number,
                entry,
            } => {
                let result = self.check_entry(context, &entry);
                self.libraries
                    .with_shared(|shared| shared.looked(from, number, &entry, result));
            }
            Effect::Adopt { entry, proposal } => self.adopt(context, &entry, proposal),
            Effect::Forget { name } => {
                if self.libraries.delete(&name) {
                    write_what_waits();
                    replication::send_deletion(context, &name);
                    let name = quoted(name.as_bytes());
                    log::warn!("library {name} is none of this cluster's: it is deleted here");
                }
            }
            Effect::Ledger(ledger) => replication::send_ledger(context, &ledger),
            Effect::Done { proposal } => self.conclude(proposal, Ok(())),
            Effect::Refused { proposal, why } => self.conclude(proposal, Err(why.to_string())),
            Effect::Apart { node, names } => {
                let names: Vec<_> = names
                    .iter()
                    .map(|name| quoted(name.as_bytes()).to_string())
                    .collect();
                let names = names.join(", ");
                log::warn!(
                    "node {node} has had other libraries than this one for some time; as far as it has said: {names}"
                );
            }
            Effect::Together { node } => log::info!("node {node} has the same libraries again"),
            Effect::DomainsMet { other, from, .. } => log::warn!(
                "two clusters have met, each with libraries: those of both are kept, of two of one name the one with the later stamp; the cluster's libraries are {other} from now on, by node {from}"
            ),
        }
    }

    fn conclude(&self, proposal: Proposal, outcome: Result<(), String>) {
        let mut all = self.sharing.waiting.borrow_mut();
        let Some(mut waiting) = all.remove(&proposal) else {
            return;
        };
        if let Some(client) = waiting.client.take() {
            client.answer(outcome.map_or_else(Reply::Error, |()| waiting.reply));
        } else {
            waiting.outcome = Some(outcome);
            all.insert(proposal, waiting);
        }
    }

    /// Whether another shard's library could be loaded here.
    fn check_entry(&self, context: &Context, entry: &Entry) -> Result<(), String> {
        let body = match &entry.content {
            Content::Live(body) => body,
            Content::Kept => return self.libraries.room_to_keep(&entry.name),
            Content::Deleted => return Ok(()),
        };
        if !is_enabled(&body.owner) {
            return Err(format!(
                "its owner, user '{}', does not exist there, or is disabled",
                body.owner
            ));
        }
        let request = LoadRequest {
            code: &body.code,
            config: body.config.as_deref(),
            upgrade: true,
            user: &body.owner,
            caller: &body.loaded_by,
            versions: usize::MAX,
            kind: SourceKind::Library,
            is_check: true,
            tells_place: false,
        };
        let checked = hold_back_scripts(|| self.libraries.load(context, &request));
        checked.map(|_| ()).map_err(|error| error.to_string())
    }

    fn adopt(&self, context: &Context, entry: &Entry, proposal: Option<Proposal>) {
        let name = &*entry.name;
        if !self.libraries.is_here(entry) {
            let versions = self.settings.library_versions();
            let word = match &entry.content {
                Content::Live(body) => {
                    self.libraries.take_body(context, name, body, versions);
                    replication::send_library(context, &self.libraries, name);
                    self.rescan();
                    self.dispatcher.wake();
                    "loaded"
                }
                Content::Kept => {
                    let user = self.who_deletes(entry, proposal);
                    self.delete_but_keep(context, name, &user);
                    "deleted, but for the progress of its consumers,"
                }
                Content::Deleted => {
                    if self.libraries.delete(name) {
                        write_what_waits();
                        replication::send_deletion(context, name);
                    }
                    "deleted"
                }
            };
            let (name, stamp) = (quoted(name.as_bytes()), entry.stamp);
            log::info!("library {name} is {word}, as the shards agreed (stamp {stamp})");
        }
        let mut stamps = Ledger::default();
        let list = if entry.content.is_live() {
            &mut stamps.live
        } else {
            &mut stamps.deleted
        };
        list.push((name.to_owned(), entry.stamp));
        replication::send_stamps(context, &stamps);
    }
}

impl App {
    /// How the deletion of a library is shown: by the user who asked here, or by the node that was asked.
    fn who_deletes(&self, entry: &Entry, proposal: Option<Proposal>) -> String {
        let waiting = self.sharing.waiting.borrow();
        let asked = proposal.and_then(|proposal| waiting.get(&proposal));
        match (asked, entry.stamp.author) {
            (Some(asked), _) => asked.user.clone(),
            (None, Some(author)) => format!("node {author}"),
            (None, None) => "a node".to_owned(),
        }
    }

    /// The libraries of another node beside those of this one; `None` as long as it has said nothing.
    pub(crate) fn libraries_of_peer(&self, node: NodeId) -> Option<PeerLibraries> {
        self.libraries.with_shared(|shared| shared.of_peer(node))?
    }
}

/// The primaries, as the server knows them.
fn members(topology: &Topology, is_primary: bool) -> Members {
    let others = topology.nodes().filter(|node| {
        // One that is nowhere and has slots counts as one that has failed.
        let is_there = node.state != NodeState::Nowhere || node.has_slots();
        node.id != topology.me && node.role == Role::Primary && is_there
    });
    Members {
        is_primary,
        has_slots: topology.myself().is_some_and(|me| !me.slots.is_empty()) && is_primary,
        others: others
            .map(|node| Member {
                id: node.id,
                has_slots: node.has_slots(),
                is_failed: matches!(node.state, NodeState::Failed | NodeState::Nowhere),
            })
            .collect(),
    }
}
