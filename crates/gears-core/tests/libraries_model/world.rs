//! Machines, shards, the cluster's own view of these, and the wire between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use gears_core::cluster::NodeId;
use gears_core::cluster::libraries::{
    Body, Content, Effect, Envelope, Ledger, Member, Members, SharedLibraries,
};

use super::machine::{Command, LIMITS, Mirror, Shard, Zombie, restored};
use super::reference::{Reference, holds};

/// A message on its way.
pub(super) struct Sent {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    bytes: Vec<u8>,
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) shards: Vec<Shard>,
    pub(super) wire: Vec<Sent>,
    pub(super) reference: Reference,
    next_id: u32,
    next_code: u64,
    chance: u64,
    is_cut: bool,
    /// Whether a machine has lost its disk: it may take itself for the first of a cluster.
    has_lost: bool,
    pub(super) has_met: bool,
}

fn name(number: usize) -> String {
    format!("lib{number}")
}

/// The body of a library; `refusing` has a bit for each shard that cannot load it.
fn body(code: u64, refusing: u8) -> Content {
    Content::Live(Arc::new(Body {
        code: code.to_string(),
        config: None,
        owner: "default".into(),
        unregistered: Vec::new(),
        version: u64::from(refusing),
        loaded_ms: 0,
        loaded_by: "default".into(),
    }))
}

fn refusing(content: &Content) -> u64 {
    match content {
        Content::Live(body) => body.version,
        Content::Deleted | Content::Kept => 0,
    }
}

impl World {
    /// A cluster that never had a library.
    pub(super) fn empty(shards: usize, chance: u64) -> Self {
        let mut world = Self {
            now: 1,
            shards: Vec::new(),
            wire: Vec::new(),
            reference: Reference::default(),
            next_id: 1,
            next_code: 1,
            chance,
            is_cut: false,
            has_lost: false,
            has_met: false,
        };
        for _ in 0..shards {
            world.add_shard(0, true);
        }
        for at in 0..world.shards.len() {
            world.learn(at);
        }
        world
    }

    pub(super) fn new(shards: usize, chance: u64, two: bool) -> Self {
        let mut world = Self::empty(shards, chance);
        if two {
            for _ in 0..3 {
                world.add_shard(1, true);
            }
        }
        for at in 0..world.shards.len() {
            world.learn(at);
        }
        // Each cluster has a library, and so a name.
        world.load(0, 0, 0);
        if two {
            world.load(shards, 1, 0);
        }
        world.heal();
        world
    }

    pub(super) fn done(&self) -> u64 {
        self.reference.done.values().sum()
    }

    fn id(&mut self) -> NodeId {
        self.next_id += 1;
        NodeId::parse(format!("{:040x}", self.next_id).as_bytes()).expect("it is an ID")
    }

    pub(super) fn seed(&mut self) -> u64 {
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.chance
    }

    fn add_shard(&mut self, cluster: usize, has_slots: bool) {
        let (id, seed) = (self.id(), self.seed());
        let libraries = SharedLibraries::new(id, seed, LIMITS, &Ledger::default(), []);
        let replica = has_slots.then(|| {
            let id = self.id();
            (id, Mirror::of(&libraries, id, seed))
        });
        self.shards.push(Shard {
            id,
            disk: Mirror::of(&libraries, id, seed),
            primary: Some(libraries),
            replica,
            has_slots,
            is_failed: false,
            cluster,
            side: false,
            zombie: None,
        });
    }

    fn pick(&self, at: usize) -> usize {
        at % self.shards.len()
    }

    // What clients do.

    pub(super) fn load(&mut self, at: usize, number: usize, refusing: u8) {
        self.next_code += 1;
        let content = body(self.next_code, refusing);
        self.propose(at, &name(number), &content);
    }

    pub(super) fn delete(&mut self, at: usize, number: usize) {
        // Every fourth keeps the progress of its consumers.
        let content = match at % 4 {
            3 => Content::Kept,
            _ => Content::Deleted,
        };
        self.propose(at, &name(number), &content);
    }

    fn propose(&mut self, at: usize, name: &str, content: &Content) {
        let at = self.pick(at);
        let shard = &self.shards[at];
        let map = shard.primary.as_ref().map(SharedLibraries::map);
        let has_joined = map.is_some_and(|map| !self.is_foreign(shard, map));
        let (now, shard) = (self.now, &mut self.shards[at]);
        let id = shard.id;
        let Some(primary) = &mut shard.primary else {
            return;
        };
        // As long as it does not know the cluster's libraries, it is a cluster of its own.
        if !has_joined {
            return;
        }
        // The module looks at it here first.
        if refusing(content) >> at & 1 == 1 {
            return;
        }
        let is_there = primary.map().get(name).is_some_and(|one| match content {
            Content::Deleted => !one.content.is_deleted(),
            _ => one.content.is_live(),
        });
        if !content.is_live() && !is_there {
            return;
        }
        if let Ok(proposal) = primary.propose(now, name, content.clone()) {
            self.reference.ask(id, proposal, name, content);
        }
        self.carry_out(at);
    }

    pub(super) fn inquire(&mut self, at: usize, number: usize, refusing: u8) {
        let at = self.pick(at);
        self.next_code += 1;
        let content = body(self.next_code, refusing);
        let (now, shard) = (self.now, &mut self.shards[at]);
        let Some(primary) = &mut shard.primary else {
            return;
        };
        if let Ok(proposal) = primary.ask(now, &name(number), content.clone()) {
            self.reference.check(shard.id, proposal, &content);
        }
        self.carry_out(at);
    }

    pub(super) fn say(&mut self, at: usize, number: usize) {
        let at = self.pick(at);
        self.next_code += 1;
        let content = body(self.next_code, 0);
        let shard = &mut self.shards[at];
        let Some(primary) = &mut shard.primary else {
            return;
        };
        let name: Arc<str> = name(number).into();
        primary.say(&name, content);
        let stamp = primary.map().get(&name).expect("it was just said").stamp;
        let shard = &self.shards[at];
        let map = shard.primary.as_ref().map(SharedLibraries::map);
        if map.is_some_and(|map| self.is_foreign(shard, map)) {
            self.reference.bring(&name, stamp);
        } else {
            self.reference.say(&name, stamp);
        }
        self.carry_out(at);
    }

    pub(super) fn call(&mut self, from: usize, to: usize, number: usize) {
        let (from, to) = (self.pick(from), self.pick(to));
        let (caller, callee) = (&self.shards[from], &self.shards[to]);
        let is_near = caller.side == callee.side || !self.is_cut;
        if from == to || caller.cluster != callee.cluster || !is_near {
            return;
        }
        let (id, name) = (caller.id, name(number));
        let map = caller.primary.as_ref().map(SharedLibraries::map);
        let known = map.and_then(|map| map.get(&name));
        let Some(stamp) = known.map(|known| known.stamp) else {
            return;
        };
        let now = self.now;
        let Some(callee) = &mut self.shards[to].primary else {
            return;
        };
        let may_run = callee.hear_of(now, id, &name, stamp);
        let has = callee.map().get(&name).map(|known| known.stamp);
        assert!(!may_run || has >= Some(stamp) || callee.map().floor() >= stamp.counter);
        assert!(may_run || has < Some(stamp));
        self.carry_out(to);
    }

    // The wire.

    fn position(&self, id: NodeId) -> Option<(usize, bool)> {
        let at = self.shards.iter().position(|one| one.id == id)?;
        Some((at, self.shards[at].side))
    }

    fn arrive(&mut self, sent: &Sent) {
        let sides = self.shards.iter().flat_map(|one| {
            let zombie = one.zombie.as_ref().map(|one| (one.id, one.side));
            [Some((one.id, one.side)), zombie].into_iter().flatten()
        });
        let sides: BTreeMap<NodeId, bool> = sides.collect();
        let (Some(from), Some(to)) = (sides.get(&sent.from), sides.get(&sent.to)) else {
            return;
        };
        if self.is_cut && from != to {
            return;
        }
        let envelope = Envelope::decode(&sent.bytes).expect("what was sent is read");
        if let Some((at, _)) = self.position(sent.to) {
            if let Some(primary) = &mut self.shards[at].primary {
                primary.receive(self.now, sent.from, envelope);
                self.carry_out(at);
            }
            return;
        }
        for at in 0..self.shards.len() {
            let zombie = self.shards[at].zombie.as_mut();
            if let Some(zombie) = zombie.filter(|one| one.id == sent.to) {
                zombie.libraries.receive(self.now, sent.from, envelope);
                self.carry_out_zombie(at);
                return;
            }
        }
    }

    pub(super) fn deliver(&mut self, count: usize) {
        for _ in 0..count.min(self.wire.len()) {
            let sent = self.wire.remove(0);
            self.arrive(&sent);
        }
    }

    pub(super) fn deliver_any(&mut self, which: usize) {
        if !self.wire.is_empty() {
            let sent = self.wire.remove(which % self.wire.len());
            self.arrive(&sent);
        }
    }

    pub(super) fn drop_message(&mut self, which: usize) {
        if !self.wire.is_empty() {
            self.wire.remove(which % self.wire.len());
        }
    }

    pub(super) fn double(&mut self, which: usize) {
        if !self.wire.is_empty() {
            let Sent {
                from,
                to,
                ref bytes,
            } = self.wire[which % self.wire.len()];
            let bytes = bytes.clone();
            self.wire.push(Sent { from, to, bytes });
        }
    }

    // What a process does.

    pub(super) fn tick(&mut self, at: usize, ms: u64) {
        let at = self.pick(at);
        self.now += ms;
        if let Some(primary) = &mut self.shards[at].primary {
            primary.tick(self.now);
            self.carry_out(at);
        }
        if let Some(zombie) = &mut self.shards[at].zombie {
            zombie.libraries.tick(self.now);
            self.carry_out_zombie(at);
        }
    }

    fn carry_out(&mut self, at: usize) {
        loop {
            let shard = &mut self.shards[at];
            let Some(primary) = &mut shard.primary else {
                return;
            };
            let id = shard.id;
            let effects = primary.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.carry_out_one(at, id, effect);
            }
        }
    }

    fn carry_out_one(&mut self, at: usize, id: NodeId, effect: Effect) {
        let shard = &mut self.shards[at];
        let mut replicate = |command: Command| {
            shard.disk.push(command.clone());
            if let Some((_, replica)) = &mut shard.replica {
                replica.push(command);
            }
        };
        let verdict = |content: &Content| match refusing(content) >> at & 1 {
            1 => Err("no".to_owned()),
            _ => Ok(()),
        };
        match effect {
            Effect::Send { to, envelope } => {
                let bytes = envelope.encode();
                self.wire.push(Sent {
                    from: id,
                    to,
                    bytes,
                });
            }
            Effect::Check { from, entry } => {
                let result = verdict(&entry.content);
                if let Some(primary) = &mut shard.primary {
                    primary.checked(from, &entry, result);
                }
            }
            Effect::Look {
                from,
                number,
                entry,
            } => {
                let result = verdict(&entry.content);
                if let Some(primary) = &mut shard.primary {
                    primary.looked(from, number, &entry, result);
                }
            }
            Effect::Done { proposal } | Effect::Refused { proposal, .. }
                if self.reference.tell_checked(id, proposal) => {}
            Effect::Adopt { entry, proposal } => {
                if let Some(proposal) = proposal {
                    self.reference.adopt(id, proposal, entry.stamp);
                }
                replicate(Command::Entry(entry));
            }
            Effect::Forget { name } => replicate(Command::Forget(name)),
            Effect::Ledger(ledger) => replicate(Command::Ledger(*ledger)),
            Effect::Done { proposal } => {
                let told = self.reference.tell_done(id, proposal);
                // The others, at most.
                let have = self.shards.iter().filter(|one| {
                    let map = one.primary.as_ref().unwrap_or(&one.disk.libraries).map();
                    one.has_slots && holds(&told, map)
                });
                assert!(have.count() > 0);
            }
            Effect::Refused { proposal, why } => self.reference.tell_refused(id, proposal, &why),
            Effect::Apart { .. } | Effect::Together { .. } => {}
            Effect::DomainsMet { .. } => {
                let may =
                    self.has_met || self.has_lost || self.shards.iter().any(|one| !one.has_slots);
                assert!(may, "two clusters have met, and there is only one");
            }
        }
    }

    /// It has no replica any more, and its disk will be another's: only what it sends matters.
    fn carry_out_zombie(&mut self, at: usize) {
        loop {
            let Some(zombie) = &mut self.shards[at].zombie else {
                return;
            };
            let id = zombie.id;
            let effects = zombie.libraries.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Check { from, entry } => {
                        if let Some(zombie) = &mut self.shards[at].zombie {
                            zombie.libraries.checked(from, &entry, Ok(()));
                        }
                    }
                    Effect::Look {
                        from,
                        number,
                        entry,
                    } => {
                        if let Some(zombie) = &mut self.shards[at].zombie {
                            zombie.libraries.looked(from, number, &entry, Ok(()));
                        }
                    }
                    Effect::Adopt { .. } | Effect::Forget { .. } | Effect::Ledger(_) => {
                        if let Effect::Adopt {
                            entry,
                            proposal: Some(proposal),
                        } = effect
                        {
                            self.reference.adopt(id, proposal, entry.stamp);
                        }
                    }
                    other => self.carry_out_one(at, id, other),
                }
            }
        }
    }

    pub(super) fn replicate(&mut self, at: usize, count: usize) {
        let at = self.pick(at);
        if let Some((_, replica)) = &mut self.shards[at].replica {
            replica.take(count);
        }
    }

    pub(super) fn fsync(&mut self, at: usize, count: usize) {
        let at = self.pick(at);
        self.shards[at].disk.take(count);
    }

    // What goes wrong.

    pub(super) fn kill(&mut self, at: usize, with_disk: bool) {
        let (at, seed) = (self.pick(at), self.seed());
        let shard = &mut self.shards[at];
        if shard.primary.take().is_none() {
            return;
        }
        shard.disk.cut_off();
        if !with_disk {
            self.has_lost = true;
            let empty = SharedLibraries::new(shard.id, seed, LIMITS, &Ledger::default(), []);
            shard.disk = Mirror::of(&empty, shard.id, seed);
        }
        if let Some((_, replica)) = &mut shard.replica {
            replica.cut_off();
        }
        self.excuse();
    }

    pub(super) fn restart(&mut self, at: usize) {
        let (at, seed) = (self.pick(at), self.seed());
        let shard = &mut self.shards[at];
        if shard.primary.is_some() {
            return;
        }
        let libraries = restored(shard.id, seed, &shard.disk.libraries);
        // Its replica starts with all it has.
        if let Some((id, replica)) = &mut shard.replica {
            *replica = Mirror::of(&libraries, *id, seed);
        }
        shard.primary = Some(libraries);
        self.learn(at);
        self.excuse();
    }

    /// Whether the shard is among the most: only there the cluster decides anything.
    fn is_with_most(&self, at: usize) -> bool {
        let shard = &self.shards[at];
        if !self.is_cut {
            return true;
        }
        let voters = self.shards.iter();
        let voters = voters.filter(|one| one.has_slots && one.cluster == shard.cluster);
        let (mut near, mut all) = (0, 0);
        for one in voters {
            all += 1;
            near += usize::from(one.side == shard.side && one.primary.is_some());
        }
        2 * near > all
    }

    pub(super) fn notice(&mut self) {
        for at in 0..self.shards.len() {
            let is_lost = self.shards[at].primary.is_none() || !self.is_with_most(at);
            let cluster = self.shards[at].cluster;
            let mut others =
                (0..self.shards.len()).filter(|other| self.shards[*other].cluster == cluster);
            let decides = others.any(|other| {
                other != at && self.shards[other].primary.is_some() && self.is_with_most(other)
            });
            if decides {
                self.shards[at].is_failed = is_lost;
            }
        }
    }

    pub(super) fn learn(&mut self, at: usize) {
        let at = self.pick(at);
        if !self.is_with_most(at) {
            return;
        }
        let shard = &self.shards[at];
        let others = self
            .shards
            .iter()
            .filter(|one| one.id != shard.id && one.cluster == shard.cluster);
        let members = Members {
            is_primary: true,
            has_slots: shard.has_slots,
            others: others
                .map(|one| Member {
                    id: one.id,
                    has_slots: one.has_slots,
                    is_failed: one.is_failed,
                })
                .collect(),
        };
        let now = self.now;
        if let Some(primary) = &mut self.shards[at].primary {
            primary.set_members(now, members);
            self.carry_out(at);
        }
    }

    pub(super) fn promote(&mut self, at: usize) {
        let at = self.pick(at);
        let shard = &self.shards[at];
        if !shard.is_failed || shard.zombie.is_some() || shard.replica.is_none() {
            return;
        }
        // The replica is with the most.
        let sides = [false, true].into_iter().find(|side| {
            let mut with = (0..self.shards.len()).filter(|one| self.shards[*one].side == *side);
            with.any(|one| self.shards[one].cluster == shard.cluster && self.is_with_most(one))
        });
        let Some(side) = sides else {
            return;
        };
        let shard = &mut self.shards[at];
        let Some((id, mut replica)) = shard.replica.take() else {
            return;
        };
        replica.cut_off();
        let old = shard.primary.take();
        shard.zombie = old.map(|libraries| Zombie {
            id: shard.id,
            libraries,
            side: shard.side,
        });
        shard.id = id;
        shard.side = side;
        shard.is_failed = false;
        shard.disk = Mirror::of(&replica.libraries, id, self.chance);
        shard.primary = Some(replica.libraries);
        self.learn(at);
        self.excuse();
    }

    pub(super) fn fail_over(&mut self, at: usize) {
        let (at, seed, spare) = (self.pick(at), self.seed(), self.id());
        let shard = &mut self.shards[at];
        if shard.is_failed || self.is_cut {
            return;
        }
        let Some(mut old) = shard.primary.take() else {
            return;
        };
        let Some((id, mut replica)) = shard.replica.take() else {
            // It gets a replica instead.
            let copy = Mirror::of(&old, spare, seed);
            shard.replica = shard.has_slots.then_some((spare, copy));
            shard.primary = Some(old);
            return;
        };
        replica.take_all();
        // The old one hears that it is a replica, and tells its clients.
        let old_id = shard.id;
        old.set_members(self.now, Members::default());
        shard.primary = Some(old);
        self.carry_out(at);
        let shard = &mut self.shards[at];
        shard.id = id;
        shard.disk = Mirror::of(&replica.libraries, id, seed);
        shard.replica = Some((old_id, Mirror::of(&replica.libraries, old_id, seed)));
        shard.primary = Some(replica.libraries);
        self.learn(at);
    }

    pub(super) fn cut(&mut self, side: u8) {
        self.is_cut = true;
        for (at, shard) in self.shards.iter_mut().enumerate() {
            shard.side = side >> (at % 8) & 1 == 1;
        }
    }

    pub(super) fn join(&mut self) {
        if self.shards.len() >= 8 || self.is_cut {
            return;
        }
        self.add_shard(0, false);
        let at = self.shards.len() - 1;
        // It was alone, had slots and some libraries.
        let alone = Members {
            is_primary: true,
            has_slots: true,
            others: Vec::new(),
        };
        let now = self.now;
        if let Some(primary) = &mut self.shards[at].primary {
            primary.set_members(now, alone);
        }
        let times = self.seed() % 4;
        for _ in 0..times {
            self.say(at, 1);
        }
        self.learn(at);
        for at in 0..self.shards.len() {
            self.learn(at);
        }
    }

    pub(super) fn give_slots(&mut self, at: usize) {
        let (at, seed) = (self.pick(at), self.seed());
        if self.shards[at].has_slots || self.shards[at].primary.is_none() {
            return;
        }
        self.reference.accept_foreign();
        let id = self.id();
        let shard = &mut self.shards[at];
        shard.has_slots = true;
        if let Some(primary) = &shard.primary {
            shard.replica = Some((id, Mirror::of(primary, id, seed)));
        }
        self.has_met = true;
        self.learn(at);
    }

    pub(super) fn meet(&mut self) {
        if !self.is_cut {
            self.has_met = true;
            self.shards.iter_mut().for_each(|one| one.cluster = 0);
        }
    }

    /// Everybody is back and the network is whole, for so long that all that was under way is over.
    pub(super) fn heal(&mut self) {
        self.is_cut = false;
        for at in 0..self.shards.len() {
            self.shards[at].side = false;
            self.shards[at].is_failed = false;
            self.restart(at);
            let seed = self.seed();
            // A primary whose replica took over becomes its replica, and has what that has.
            if let Some(mut zombie) = self.shards[at].zombie.take() {
                zombie.libraries.set_members(self.now, Members::default());
                let effects = zombie.libraries.take_effects();
                for effect in effects {
                    self.carry_out_one(at, zombie.id, effect);
                }
                let shard = &mut self.shards[at];
                if let Some(primary) = &shard.primary {
                    let copy = Mirror::of(primary, zombie.id, seed);
                    shard.replica = Some((zombie.id, copy));
                }
            }
        }
        self.excuse();
        for at in 0..self.shards.len() {
            self.learn(at);
        }
        let expected = self.expected();
        for _ in 0..45 {
            self.now += 1000;
            for at in 0..self.shards.len() {
                self.tick(at, 0);
            }
            let mut rounds = 0;
            while !self.wire.is_empty() {
                self.deliver(usize::MAX);
                rounds += 1;
                assert!(rounds < 50, "they go on talking, and say nothing new");
            }
            self.check();
        }
        for shard in &mut self.shards {
            shard.disk.take_all();
            if let Some((_, replica)) = &mut shard.replica {
                replica.take_all();
            }
        }
        self.check();
        self.check_equal(&expected);
    }
}
