//! Connections of other nodes here: who they are, and their messages, put together.

use std::collections::HashMap;

use gears_core::cluster::{Incoming, Memory, NodeId, NotTaken, ProcessId, Topic};

use super::ClusterEvent;

/// What came from a node, by [`Topic::ALL`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received([OfTopic; Topic::ALL.len()]);

/// What came about one topic.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OfTopic {
    /// Messages.
    pub(crate) messages: u64,
    /// Bytes.
    pub(crate) bytes: u64,
}

impl Received {
    fn add(&mut self, topic: Topic, bytes: usize) {
        for (one, of_topic) in Topic::ALL.into_iter().zip(&mut self.0) {
            if one == topic {
                of_topic.messages += 1;
                of_topic.bytes += bytes as u64;
            }
        }
    }

    /// What came about each.
    pub(crate) fn by_topic(&self) -> impl Iterator<Item = (Topic, OfTopic)> {
        Topic::ALL.into_iter().zip(self.0)
    }

    /// Messages about all.
    pub(crate) fn messages(&self) -> u64 {
        self.0.iter().map(|of_topic| of_topic.messages).sum()
    }

    /// Bytes of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|of_topic| of_topic.bytes).sum()
    }
}

/// A client that has shown the token of a node.
struct Inbound {
    node: NodeId,
    process: ProcessId,
    incoming: Incoming,
}

/// All such clients, by their numbers.
pub(super) struct Inbox {
    clients: HashMap<u64, Inbound>,
    received: HashMap<NodeId, Received>,
    memory: Memory,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            clients: HashMap::new(),
            received: HashMap::new(),
            memory: Memory::new(0),
        }
    }
}

impl Inbox {
    pub(super) fn set_limit(&mut self, bytes: usize) {
        self.memory.set_limit(bytes);
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.memory.used()
    }

    pub(super) fn received(&self, node: NodeId) -> Received {
        self.received.get(&node).copied().unwrap_or_default()
    }

    /// A client is a node. An earlier connection of that node is none of its any more.
    pub(super) fn admit(&mut self, client: u64, node: NodeId, process: ProcessId) {
        self.forget(|id, one| id == client || one == node);
        let inbound = Inbound {
            node,
            process,
            incoming: Incoming::default(),
        };
        self.clients.insert(client, inbound);
    }

    /// Forgets these clients, and what they have not sent to the end; gives the nodes they were.
    pub(super) fn forget(&mut self, is_gone: impl Fn(u64, NodeId) -> bool) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        let memory = &mut self.memory;
        self.clients.retain(|id, inbound| {
            let is_gone = is_gone(*id, inbound.node);
            if is_gone {
                inbound.incoming.clear(memory);
                nodes.push(inbound.node);
            }
            !is_gone
        });
        nodes
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.forget(|_, _| true);
        self.received.clear();
    }

    /// Takes a frame; gives the message, if it is whole with that.
    ///
    /// # Errors
    /// Why it is not taken; nothing if the client is no node.
    pub(super) fn take(
        &mut self,
        client: u64,
        frame: &[u8],
        message_max: usize,
    ) -> Result<Option<ClusterEvent>, Option<NotTaken>> {
        let inbound = self.clients.get_mut(&client).ok_or(None)?;
        if frame.is_empty() {
            return Ok(None);
        }
        let taken = inbound.incoming.take(frame, &mut self.memory, message_max);
        let Some((topic, bytes)) = taken.map_err(Some)? else {
            return Ok(None);
        };
        let received = self.received.entry(inbound.node).or_default();
        received.add(topic, bytes.len());
        Ok(Some(ClusterEvent::Message {
            from: inbound.node,
            process: inbound.process,
            topic,
            bytes,
        }))
    }

    /// A message of so many bytes goes to whom it is for.
    pub(super) fn take_out(&mut self, bytes: usize) {
        self.memory.give_back(bytes);
    }
}
