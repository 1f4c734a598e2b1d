//! What nodes and their processes are called, and what shows that a connection is a member's.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hex::Hex;

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

    /// The name of a server that is in no cluster: forty zeros.
    #[must_use]
    pub fn nobody() -> Self {
        Self([b'0'; NODE])
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

/// One run of a node's server: another one after each start. What was with another process is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId(pub [u8; 16]);

impl ProcessId {
    /// By its text of 32 hexadecimal digits; `None` where it is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text)
            .ok()
            .filter(|text| text.len() == 32)?;
        let number = u128::from_str_radix(text, 16).ok()?;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What a node shows to another one on its connection. That one has given it over the cluster bus,
/// which reaches members alone; it is another one for each node and process.
#[derive(Clone, Copy)]
pub struct Token(pub [u8; 32]);

impl Token {
    /// What is shown: 64 hexadecimal digits. A server without the module says in its error what it was sent.
    pub fn shown(&self) -> String {
        Hex(&self.0).to_string()
    }

    /// Whether this is what is shown of it. Takes the same time wherever they differ.
    pub fn is(&self, shown: &[u8]) -> bool {
        let own = self.shown();
        let pairs = own.bytes().zip(shown);
        let differences = pairs.fold(0, |all, (one, other)| all | (one ^ other));
        std::hint::black_box(differences) == 0 && shown.len() == own.len()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_called_by_forty_hexadecimal_digits() {
        let name = b"00112233445566778899aabbccddeeff00112233";
        assert_eq!(
            NodeId::parse(name)
                .map(|id| id.to_string().into_bytes())
                .as_deref(),
            Some(&name[..])
        );
        let wrong: [&[u8]; 4] = [b"", b"00", &[b'A'; 40], &[0xff; 40]];
        for wrong in wrong {
            assert_eq!(NodeId::parse(wrong), None);
        }
    }

    #[test]
    fn a_process_is_read_as_it_is_written() {
        let process = ProcessId([7; 16]);
        assert_eq!(
            ProcessId::parse(process.to_string().as_bytes()),
            Some(process)
        );
        for wrong in [&b""[..], b"07", &[b'x'; 32], &[b'0'; 33]] {
            assert_eq!(ProcessId::parse(wrong), None);
        }
    }

    #[test]
    fn a_token_is_all_of_its_digits_and_is_in_no_log() {
        let token = Token([5; 32]);
        let digits = "05".repeat(32);
        assert_eq!(token.shown(), digits);
        assert!(token.is(digits.as_bytes()));
        let [short, long, other] = [
            &digits[..63],
            &format!("{digits}0"),
            &format!("{}4", &digits[..63]),
        ];
        for wrong in [short, long, other, ""] {
            assert!(!token.is(wrong.as_bytes()));
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
