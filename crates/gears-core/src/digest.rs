//! What the text of a library or script is known by, on every server the same.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::hex::Hex;

/// The SHA-256 of a text. A user who may load code cannot make a text that passes for another user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextDigest([u8; 32]);

impl TextDigest {
    /// That of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Its first eight bytes: they tell the texts that one server runs from each other.
    #[must_use]
    pub fn short(self) -> u64 {
        let bytes = self.0.first_chunk::<8>();
        bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

/// In hexadecimal.
impl fmt::Display for TextDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_sha256sum() {
        let digest = TextDigest::of("abc");
        assert_eq!(
            digest.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.short(), 0xba78_16bf_8f01_cfea);
    }
}
