//! What orders all that was ever said of a library.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cluster::NodeId;
use crate::hex::Hex;

/// The SHA-256 of a library's body.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BodyDigest(pub [u8; 32]);

impl fmt::Display for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0[..4]))
    }
}

/// When something was said of a library, by whom, and what. Greater is later; two of the same stamp
/// say the same, since the digest is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// More than any counter that its author knew of. 0: it was there before the node knew of a cluster.
    pub counter: u64,
    /// The node that said it; `None` if nobody of a cluster did.
    pub author: Option<NodeId>,
    /// The body's digest; that of a deletion is fixed, see [`Content::digest`](super::Content::digest).
    pub digest: BodyDigest,
}

/// The greatest counter that is taken from a peer, so that there is always one behind it.
pub(super) const COUNTER_MAX: u64 = 1 << 62;

impl Stamp {
    /// That of a library which is there without anybody having said when: the same on every node that has it.
    #[must_use]
    pub fn unknown(digest: BodyDigest) -> Self {
        Self {
            counter: 0,
            author: None,
            digest,
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.author {
            Some(author) => write!(f, "{}-{author}", self.counter),
            None => write!(f, "{}", self.counter),
        }
    }
}

/// Whose libraries a node has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Domain(pub u64, pub u64);

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0, self.1)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The ID of a node of a test.
#[cfg(test)]
pub(super) fn numbered(number: u32) -> NodeId {
    NodeId::parse(format!("{number:040x}").as_bytes()).expect("it is one")
}
