//! What a key held when something happened to it.

use crate::delivery::Parts;

use super::KeyType;

/// Its type, and its value in parts: a string is one; of a hash fields and values alternate, of a
/// sorted set members and scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The type.
    pub kind: KeyType,
    packed: Vec<u8>,
}

impl KeyValue {
    /// A value without parts: those of streams and of modules' own types are not given.
    #[must_use]
    pub fn new(kind: KeyType) -> Self {
        Self {
            kind,
            packed: Vec::new(),
        }
    }

    /// Adds a part.
    pub fn push(&mut self, part: &[u8]) {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        self.packed.extend_from_slice(&length.to_le_bytes());
        self.packed.extend_from_slice(part);
    }

    /// The parts in order.
    pub fn parts(&self) -> Parts<'_> {
        Parts::of(&self.packed)
    }

    /// All parts, each behind its length.
    #[must_use]
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_as_they_were() {
        let mut value = KeyValue::new(KeyType::Hash);
        for part in [&b"a\0b"[..], b"", b"c"] {
            value.push(part);
        }
        assert_eq!(value.parts().collect::<Vec<_>>(), [&b"a\0b"[..], b"", b"c"]);
    }
}
