//! The ID of a stream entry: a time in milliseconds and a sequence number.
//!
//! IDs of one stream only grow. Arithmetic carries from the sequence number into the
//! milliseconds and ends at [`EntryId::MAX`]; nothing here wraps.

use std::fmt;

use super::rare::Absent;

/// The ID of one entry, as Redis orders it: first by time, then by sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Unix time in milliseconds, or whatever the writer gave in its place.
    pub ms: u64,
    /// Sequence number within the millisecond.
    pub seq: u64,
}

impl Absent for EntryId {
    const ABSENT: &'static Self = &Self::ZERO;

    fn is_absent(&self) -> bool {
        *self == Self::ZERO
    }
}

impl EntryId {
    /// Below every entry: a stream never holds 0-0.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };
    /// The last ID a stream can hold.
    pub const MAX: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// An ID of its two parts.
    #[must_use]
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// Reads an ID as Redis writes it: `<ms>-<seq>`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (ms, seq) = text.split_once('-')?;
        Some(Self::new(ms.parse().ok()?, seq.parse().ok()?))
    }

    /// Reads an ID whose sequence number may be left out: 0 then.
    #[must_use]
    pub fn parse_part(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(ms) => Some(Self::new(ms, 0)),
            Err(_) => Self::parse(text),
        }
    }

    /// The smallest ID above this one, or `None` after [`EntryId::MAX`].
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { ms: self.ms, seq }),
            None => match self.ms.checked_add(1) {
                Some(ms) => Some(Self { ms, seq: 0 }),
                None => None,
            },
        }
    }
}

impl EntryId {
    /// The largest ID below this one; 0-0 has none, and is its own.
    #[must_use]
    pub const fn before(self) -> Self {
        match (self.ms, self.seq) {
            (0, 0) => Self::ZERO,
            (ms, 0) => Self {
                ms: ms - 1,
                seq: u64::MAX,
            },
            (ms, seq) => Self { ms, seq: seq - 1 },
        }
    }
}

impl EntryId {
    /// As Redis writes it.
    #[must_use]
    pub fn text(self) -> EntryIdText {
        let mut text = EntryIdText {
            bytes: [b'-'; TEXT_MAX],
            start: TEXT_MAX,
        };
        text.put_in_front(self.seq);
        text.start -= 1;
        text.put_in_front(self.ms);
        text
    }
}

/// Length of the longest ID as text: twenty digits, a hyphen, twenty digits.
const TEXT_MAX: usize = 41;

/// An ID as text. Made without the formatting of the standard library, which takes several times as
/// long: one is written for each checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct EntryIdText {
    /// Filled from the end; what is not filled yet are hyphens.
    bytes: [u8; TEXT_MAX],
    start: usize,
}

impl EntryIdText {
    /// Its characters.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Puts a number in front of what is there.
    fn put_in_front(&mut self, mut number: u64) {
        loop {
            self.start -= 1;
            self.bytes[self.start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_id_carries_into_the_milliseconds_and_ends_at_the_maximum() {
        assert_eq!(EntryId::new(5, 7).next(), Some(EntryId::new(5, 8)));
        assert_eq!(EntryId::new(5, u64::MAX).next(), Some(EntryId::new(6, 0)));
        assert_eq!(EntryId::MAX.next(), None);
    }

    #[test]
    fn the_text_of_an_id_is_what_it_is_shown_as() {
        let numbers = [
            0,
            1,
            9,
            10,
            99,
            100,
            1_795_325_465_255,
            u64::MAX - 1,
            u64::MAX,
        ];
        for ms in numbers {
            for seq in numbers {
                let id = EntryId::new(ms, seq);
                assert_eq!(id.text().as_bytes(), id.to_string().as_bytes());
            }
        }
    }

    #[test]
    fn ids_order_by_time_first() {
        assert!(EntryId::new(1, 9) < EntryId::new(2, 0));
        assert!(EntryId::new(2, 0) < EntryId::new(2, 1));
        assert_eq!(EntryId::new(2, 1).to_string(), "2-1");
    }
}
