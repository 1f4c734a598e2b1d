//! Messages that a node's queue has no room for now.
//!
//! They are sent in their order when there is room. Their number is bounded; what comes beyond that is
//! dropped, as if the connection had been lost with it: who waits for it asks again when the node is
//! back, or its time is over. Their bytes are those of results, which are bounded where they are kept
//! (see [`super::Incoming`]), and of messages of a line.

use std::collections::{BTreeMap, VecDeque};

use crate::cluster::Payload;

/// Messages of one node, at most.
const MESSAGES_MAX: usize = 100_000;

/// What waits, by node.
#[derive(Debug)]
pub struct Unsent<N> {
    waiting: BTreeMap<N, VecDeque<Payload>>,
}

impl<N> Default for Unsent<N> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
        }
    }
}

impl<N: Clone + Ord> Unsent<N> {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// Takes one.
    pub fn push(&mut self, node: N, message: Payload) {
        let waiting = self.waiting.entry(node).or_default();
        if waiting.len() < MESSAGES_MAX {
            waiting.push_back(message);
        }
    }

    /// Sends what there is room for: `send` says of each message whether it was.
    pub fn flush(&mut self, mut send: impl FnMut(&N, &Payload) -> bool) {
        self.waiting.retain(|node, waiting| {
            while let Some(message) = waiting.front()
                && send(node, message)
            {
                waiting.pop_front();
            }
            !waiting.is_empty()
        });
    }

    /// Forgets what waits for a node: its connection is gone.
    pub fn forget(&mut self, node: &N) {
        self.waiting.remove(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_room_holds_up_no_other_and_order_is_kept() {
        let mut unsent = Unsent::default();
        for (node, byte) in [(1, 1), (2, 2), (1, 3), (2, 4)] {
            unsent.push(node, Payload::from(vec![byte]));
        }
        let mut sent = Vec::new();
        unsent.flush(|node, message| {
            let has_room = *node == 2;
            sent.extend(has_room.then(|| message.to_vec()[0]));
            has_room
        });
        assert_eq!((&sent[..], unsent.len()), (&[2, 4][..], 2));
        unsent.flush(|_, message| {
            sent.push(message.to_vec()[0]);
            sent.len() < 4
        });
        assert_eq!(sent, [2, 4, 1, 3]);
        unsent.forget(&1);
        assert!(unsent.is_empty());
    }

    #[test]
    fn how_many_wait_is_bounded() {
        let mut unsent = Unsent::default();
        let message = Payload::default();
        for _ in 0..=MESSAGES_MAX {
            unsent.push(1, message.clone());
        }
        assert_eq!(unsent.len(), MESSAGES_MAX);
    }
}
