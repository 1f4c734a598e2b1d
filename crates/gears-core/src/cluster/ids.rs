//! What nodes are called.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Characters of a node's name.
const NODE: usize = 40;

/// The name of a node: forty hexadecimal digits, the same for as long as it is of the cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; NODE]);

impl NodeId {
    /// By its text; `None` where that is no node's name.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: [u8; NODE] = text.try_into().ok()?;
        let is_one = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        text.iter().all(is_one).then_some(Self(text))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Its text, as bytes.
    pub fn as_bytes(&self) -> &[u8; NODE] {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for NodeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        Self::parse(text.as_bytes()).ok_or_else(|| serde::de::Error::custom("no name of a node"))
    }
}
