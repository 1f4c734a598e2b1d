//! What is done about other nodes in every tick: what the I/O thread tells, the server's table, and what
//! is decided of both.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gears_core::cluster::{
    Closed, Decision, Limits, Node, NodeId, Peers, ProcessId, Token, Topology, key_of, slot_of,
};

use super::connection::Link;
use super::io::{Io, Order, Report};
use super::{Cluster, ClusterEvent, ClusterLimits, Started};
use crate::server::{Context, random_bytes, wake_main_thread};

/// How often the server's table is read.
const REFRESH: Duration = Duration::from_secs(1);

impl Cluster {
    /// Does what is due. Part of every tick.
    pub(crate) fn tick(&self, context: &Context, limits: ClusterLimits) {
        let mut decisions = Vec::new();
        let now = self.now();
        self.inbox.borrow_mut().set_limit(limits.receiving);
        if !self.start(context, limits.sending) {
            return;
        }
        self.holds.set(context.state().has_append_only_file);
        if let Some(started) = self.started.borrow_mut().as_mut() {
            for order in self.outbox.borrow_mut().begin_tick(self.holds.get()) {
                started.io.order(order);
            }
            started.peers.set_limits(limits.sending);
            for report in started.io.reports() {
                on_report(&mut started.peers, report, now, &mut decisions);
            }
        }
        if self.refresh_at.get().is_none_or(|at| Instant::now() >= at) {
            let read_at = Instant::now();
            self.read_at.set(Some(read_at));
            self.refresh_at.set(Some(read_at + REFRESH));
            self.read_table(context, now, &mut decisions);
            self.look_after_inbound(context, now);
        }
        if let Some(started) = self.started.borrow_mut().as_mut() {
            started.peers.tick(now, &mut decisions);
        }
        self.carry_out(context, decisions);
        self.wake_in_time(context, now);
    }

    /// The tick is over. What it has told goes with the next one, which is to come at once.
    pub(crate) fn end_tick(&self) {
        if self.outbox.borrow_mut().end_tick() {
            wake_main_thread();
        }
    }

    /// Whether it has begun; begins it.
    fn start(&self, context: &Context, limits: Limits) -> bool {
        if self.started.borrow().is_some() {
            return true;
        }
        let Some(me) = NodeId::parse(context.shard_id().as_bytes()) else {
            return false;
        };
        let io = match Io::start(wake_main_thread) {
            Ok(io) => io,
            Err(error) => {
                log::error!("no thread for connections to other nodes: {error}");
                return false;
            }
        };
        context.listen_to_bus();
        let peers = Peers::new(me, ProcessId(random_bytes()), limits);
        *self.started.borrow_mut() = Some(Started {
            peers,
            io,
            tls: None,
        });
        true
    }

    fn read_table(&self, context: &Context, now: u64, decisions: &mut Vec<Decision>) {
        let read = context.cluster_table().map(|text| Topology::parse(&text));
        let topology = match read {
            Some(Ok(topology)) => topology,
            Some(Err(error)) => {
                log::warn!("the server's table of the cluster cannot be read: {error}");
                return;
            }
            None => return,
        };
        let tls = context.cluster_tls().map(Rc::new);
        if let Some(started) = self.started.borrow_mut().as_mut() {
            if started.peers.me() != topology.me {
                // It was reset, and has another name now.
                started.peers.rename(topology.me, decisions);
                self.inbox.borrow_mut().clear();
            }
            let random = || Token(random_bytes());
            let peers = &mut started.peers;
            let between = between_nodes(context, &topology);
            peers.on_topology(&between, tls.is_some(), now, random, decisions);
            started.tls = tls;
        }
        let changed = {
            let before = self.topology.borrow();
            let before = before.as_ref();
            before.is_none_or(|before| **before != topology)
        };
        if changed {
            self.epoch.set(self.epoch.get() + 1);
            let me = topology.myself().filter(|me| me.has_slots());
            let slot = me.and_then(Node::first_slot);
            let is_there = |key: &[u8; 2]| slot == Some(slot_of(key));
            if !self.own_key.get().is_some_and(|key| is_there(&key)) {
                self.own_key.set(slot.map(key_of));
            }
            *self.topology.borrow_mut() = Some(Rc::new(topology));
            self.events.borrow_mut().push_back(ClusterEvent::Topology);
        }
    }

    /// Forgets connections that are gone, or of nodes that are, with what they have not sent to the end.
    fn look_after_inbound(&self, context: &Context, now: u64) {
        let mut started = self.started.borrow_mut();
        let Some(Started { peers, .. }) = started.as_mut() else {
            return;
        };
        let is_gone = |id, node| !(peers.knows(node) && context.has_client(id));
        let gone = self.inbox.borrow_mut().forget(is_gone);
        for node in gone {
            peers.set_inbound(node, false, now);
        }
    }

    fn carry_out(&self, context: &Context, decisions: Vec<Decision>) {
        for decision in decisions {
            match decision {
                Decision::Greet(node, hello) => {
                    // Where there is no link yet, it is sent again.
                    let _sent = context.send_on_bus(node, &hello.encode());
                }
                Decision::Connect {
                    node,
                    connection,
                    endpoint,
                    token,
                } => {
                    let started = self.started.borrow();
                    let Some(started) = started.as_ref() else {
                        continue;
                    };
                    started.io.order(Order::Connect(Box::new(Link {
                        node,
                        connection,
                        tls: started.tls.as_deref().filter(|_| endpoint.tls).cloned(),
                        endpoint,
                        token,
                        me: started.peers.me(),
                        process: started.peers.process(),
                    })));
                }
                Decision::Close(_, connection) => {
                    if let Some(started) = self.started.borrow().as_ref() {
                        started.io.order(Order::Close(connection));
                    }
                }
                Decision::Up { node, process } => {
                    let event = ClusterEvent::PeerUp { node, process };
                    self.events.borrow_mut().push_back(event);
                }
                Decision::Gone {
                    node,
                    process,
                    reason,
                    not_sent,
                    uncertain,
                } => {
                    self.events.borrow_mut().push_back(ClusterEvent::PeerGone {
                        node,
                        process,
                        reason,
                        not_sent,
                        uncertain,
                    });
                }
            }
        }
    }

    /// A timer, if something is due before the server's own clock brings the next tick.
    fn wake_in_time(&self, context: &Context, now: u64) {
        /// The server's clock ticks so often, in milliseconds, if it is slow.
        const CLOCK: u64 = 100;
        let started = self.started.borrow();
        let next = started
            .as_ref()
            .and_then(|started| started.peers.next_time());
        let armed = self.wakes_at.get().filter(|at| *at > now);
        if let Some(at) = next.filter(|at| *at < now + CLOCK)
            && armed.is_none_or(|armed| at < armed)
        {
            context.wake_in(at.saturating_sub(now));
            self.wakes_at.set(Some(at));
        }
    }
}

fn on_report(peers: &mut Peers, report: Report, now: u64, decisions: &mut Vec<Decision>) {
    match report {
        Report::Hello(from, hello) => peers.on_hello(from, hello, now, decisions),
        Report::Opened {
            node,
            connection,
            opened,
        } => peers.on_opened(node, connection, opened, now, decisions),
        Report::Answered {
            node,
            connection,
            delivered,
            pulse,
        } => peers.on_answered(node, connection, &delivered, pulse, now),
        Report::Closed {
            node,
            connection,
            closed,
        } => {
            let Closed { error, .. } = &closed;
            log::debug!("connection to node {node}: {error}");
            peers.on_closed(node, connection, closed, now, decisions);
        }
    }
}

/// The table with the places at which nodes find each other. Clients may be told others: those of a translation of addresses
/// in front of the cluster, which nodes behind it need not get through.
fn between_nodes<'a>(context: &Context, topology: &'a Topology) -> Cow<'a, Topology> {
    let mut between = Cow::Borrowed(topology);
    for node in topology.nodes() {
        let place = context.place_of(node.id);
        let other = place.filter(|(address, port)| (address, *port) != (&node.address, node.port));
        if let Some(other) = other {
            between = Cow::Owned(between.into_owned().with_place(node.id, other));
        }
    }
    between
}
