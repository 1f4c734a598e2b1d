//! The map as it is kept, and as replicas get it: with stamps, but without bodies, which the libraries have.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::map::LibraryMap;
use super::stamp::{Domain, Stamp};

/// What its bytes begin with: no form of a library has that number.
const MARK: u8 = 0xc1;
/// The form that this release writes.
const VERSION: u8 = 1;

/// The stamps of all libraries, and the deletions that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Whose libraries these are.
    pub domain: Option<Domain>,
    /// The greatest counter that was seen.
    pub clock: u64,
    /// Up to which counter deletions may be forgotten.
    pub floor: u64,
    /// Libraries that are there.
    pub live: Vec<(String, Stamp)>,
    /// Those that were deleted; the stamp says whether their progress is kept.
    pub deleted: Vec<(String, Stamp)>,
}

/// Why bytes are no ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// A later release wrote them.
    #[error(
        "was written by a newer release of the module, in form {0}: this one reads form {VERSION}"
    )]
    Newer(u8),
    /// They are damaged.
    #[error("is damaged")]
    Damaged,
}

impl Ledger {
    /// Of a map.
    #[must_use]
    pub fn of(map: &LibraryMap) -> Self {
        let mut ledger = Self {
            domain: map.domain(),
            clock: map.clock(),
            floor: map.floor(),
            ..Self::default()
        };
        for (name, known) in map.iter() {
            let list = if known.content.is_live() {
                &mut ledger.live
            } else {
                &mut ledger.deleted
            };
            list.push((name.to_string(), known.stamp));
        }
        ledger
    }

    /// Whether bytes are meant to be a ledger, and not a library.
    #[must_use]
    pub fn is(bytes: &[u8]) -> bool {
        bytes.first() == Some(&MARK)
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![MARK, VERSION]).unwrap_or_default()
    }

    /// Of bytes.
    ///
    /// # Errors
    /// Where they are of a later form, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, LedgerError> {
        match bytes {
            [MARK, VERSION, rest @ ..] => match postcard::take_from_bytes(rest) {
                Ok((ledger, [])) => Ok(ledger),
                _ => Err(LedgerError::Damaged),
            },
            [MARK, version, ..] if *version > VERSION => Err(LedgerError::Newer(*version)),
            _ => Err(LedgerError::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::libraries::BodyDigest;
    use crate::cluster::libraries::stamp::numbered;

    fn example() -> Ledger {
        let stamp = |counter, digest| Stamp {
            counter,
            author: Some(numbered(7)),
            digest: BodyDigest([digest; 32]),
        };
        Ledger {
            domain: Some(Domain(1, 2)),
            clock: 300,
            floor: 5,
            live: vec![("a".into(), stamp(300, 9))],
            deleted: vec![("ä".into(), stamp(6, 0))],
        }
    }

    /// The bytes that every release reads.
    fn golden() -> Vec<u8> {
        let mut bytes = vec![0xc1, 1, 1, 1, 2, 0xac, 2, 5];
        let author = [&[1, 40][..], &[b'0'; 39], b"7"].concat();
        bytes.extend([&[1, 1, b'a', 0xac, 2][..], &author, &[9; 32]].concat());
        bytes.extend([&[1, 2, 0xc3, 0xa4, 6][..], &author, &[0; 32]].concat());
        bytes
    }

    #[test]
    fn form_1_is_what_it_was() {
        assert_eq!(example().encode(), golden());
        assert_eq!(Ledger::decode(&golden()), Ok(example()));
        assert!(Ledger::is(&golden()) && !Ledger::is(&[5]));
    }

    #[test]
    fn a_ledger_that_is_cut_or_of_a_later_form_is_refused() {
        let bytes = golden();
        for end in 0..bytes.len() {
            assert_eq!(Ledger::decode(&bytes[..end]), Err(LedgerError::Damaged));
        }
        assert_eq!(Ledger::decode(&[0xc1, 2]), Err(LedgerError::Newer(2)));
        assert_eq!(
            Ledger::decode(&[bytes, vec![0]].concat()),
            Err(LedgerError::Damaged)
        );
    }
}
