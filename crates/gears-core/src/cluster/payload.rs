//! The bytes of a message: what may be large of it, and the rest behind that.
//!
//! Both are shared. A message that waits, that is kept to be sent once more, and that is on its way is there once; and
//! what is large of it stays where whoever made it has put it.

use bytes::Bytes;

/// The bytes of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    pub(super) large: Bytes,
    pub(super) rest: Bytes,
}

impl Payload {
    /// What may be large, and what follows.
    pub fn new(large: impl Into<Bytes>, rest: impl Into<Bytes>) -> Self {
        Self {
            large: large.into(),
            rest: rest.into(),
        }
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.large.len() + self.rest.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from one place to another, which are of both parts where the border is between them.
    pub(super) fn between(&self, begin: usize, end: usize) -> [&[u8]; 2] {
        let border = self.large.len();
        let large = &self.large[begin.min(border)..end.min(border)];
        let rest = &self.rest[begin.saturating_sub(border)..end.saturating_sub(border)];
        [large, rest]
    }

    /// All of it, in one piece.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        [&self.large[..], &self.rest[..]].concat()
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Bytes::new(), bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_part_is_that_of_all_bytes_in_one_piece(
            large: Vec<u8>,
            rest: Vec<u8>,
            (first, second) in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let payload = Payload::new(large, rest);
            let all = payload.to_vec();
            prop_assert_eq!((payload.len(), payload.is_empty()), (all.len(), all.is_empty()));
            let (first, second) = (first.index(all.len() + 1), second.index(all.len() + 1));
            let (begin, end) = (first.min(second), first.max(second));
            prop_assert_eq!(payload.between(begin, end).concat(), &all[begin..end]);
        }
    }
}
