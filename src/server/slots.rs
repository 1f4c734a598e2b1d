//! Hash slots of a cluster: whether the keys of a command are all in one.
//!
//! That is only looked at where the server cannot be asked: see [`ServerFacts`](super::facts::ServerFacts).

use redis_module::RedisString;

use super::context::Context;

const SLOTS: u16 = 16384;

/// The slot of a key.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    checksum(tag_of(key)) % SLOTS
}

/// The part of a key's name that decides about its slot: what is between the first `{` and the next
/// `}`, if that is not empty; otherwise all of it.
pub(super) fn tag_of(key: &[u8]) -> &[u8] {
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

/// Whether a command, whose arguments these are, names keys of several slots.
pub(super) fn are_several(context: &Context, arguments: &[RedisString]) -> bool {
    let places = context.key_places(arguments).into_iter();
    let mut slots = places.filter_map(|place| Some(slot_of(arguments.get(place)?.as_slice())));
    let first = slots.next();
    slots.any(|slot| Some(slot) != first)
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
    fn an_empty_or_open_tag_is_none() {
        assert_eq!(tag_of(b"dead:b}{a}"), b"a");
        assert_eq!(tag_of(b"a{}b"), b"a{}b");
        assert_ne!(slot_of(b"{}foo"), slot_of(b"{}bar"));
        assert_ne!(slot_of(b"{foo"), slot_of(b"{bar"));
        assert_eq!(slot_of(b"{{a}}b"), slot_of(b"{a"));
    }
}
