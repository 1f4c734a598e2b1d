//! The hash slot of a key: 7.0 has no function for it.

use super::nodes::SLOTS;

/// The slot of a key.
pub fn slot_of(key: &[u8]) -> u16 {
    checksum(tag_of(key)) % SLOTS
}

/// A key of a slot.
pub fn key_of(slot: u16) -> [u8; 2] {
    // The checksum is another one for each two bytes: so each slot has some.
    let mut keys = (0..=u16::MAX).map(u16::to_be_bytes);
    keys.find(|key| slot_of(key) == slot).unwrap_or_default()
}

/// The part of a key's name that decides about its slot: what is between the first `{` and the next
/// `}`, if that is not empty; otherwise all of it.
pub fn tag_of(key: &[u8]) -> &[u8] {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let length = rest.iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &rest[..length])
    });
    tag.unwrap_or(key)
}

/// CRC-16 with the polynomial 0x1021, as XMODEM has it.
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ (u16::from(*byte) << 8), |sum: u16, _| {
            let carry = sum & 0x8000 != 0;
            (sum << 1) ^ if carry { 0x1021 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_servers() {
        assert_eq!(checksum(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b"{foo}bar"), 12182);
        assert_eq!(slot_of(b"x{foo}{bar}"), 12182);
        assert_eq!(slot_of(b""), 0);
    }

    #[test]
    fn each_slot_has_a_key() {
        assert!((0..SLOTS).all(|slot| slot_of(&key_of(slot)) == slot));
    }

    #[test]
    fn an_empty_or_open_tag_is_none() {
        assert_eq!(tag_of(b"dead:b}{a}"), b"a");
        assert_eq!(tag_of(b"a{}b"), b"a{}b");
        assert_ne!(slot_of(b"{}foo"), slot_of(b"{}bar"));
        assert_ne!(slot_of(b"{foo"), slot_of(b"{bar"));
        assert_eq!(slot_of(b"{{a}}b"), slot_of(b"{a"));
    }
}
