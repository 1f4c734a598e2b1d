//! Hash slots of a cluster: whether the keys of a command are all in one.
//!
//! Only looked at where the server cannot be asked: see [`Facts`](super::facts::Facts).

use std::ffi::c_int;

use redis_module::raw::{RedisModuleCtx, RedisModuleString};

use super::api;
use super::context::{OwnedString, bytes};

const SLOTS: u16 = 16384;

/// The slot of a key: what is between the first `{` and the next `}` counts, if it is not empty.
fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let length = rest.iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &rest[..length])
    });
    checksum(tag.unwrap_or(key)) % SLOTS
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

/// Whether a command, whose words these are, names keys of several slots.
pub(super) fn are_several(context: *mut RedisModuleCtx, words: &[OwnedString]) -> bool {
    let mut pointers: Vec<*mut RedisModuleString> = words.iter().map(OwnedString::as_ptr).collect();
    let Ok(length) = c_int::try_from(pointers.len()) else {
        return false;
    };
    let mut count = 0;
    // SAFETY: the context and the words are live; the list is ours, and freed below.
    let places = unsafe {
        api!(RedisModule_GetCommandKeys)(context, pointers.as_mut_ptr(), length, &raw mut count)
    };
    if places.is_null() {
        // No such command, not like that, or without keys.
        return false;
    }
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the server gave that many places.
    let found = unsafe { std::slice::from_raw_parts(places, count) };
    let mut slots = found.iter().filter_map(|place| {
        let word = words.get(usize::try_from(*place).ok()?)?;
        // SAFETY: the word lives until the end of this function.
        Some(slot_of(unsafe { bytes(word.as_ptr()) }))
    });
    let first = slots.next();
    let several = slots.any(|slot| Some(slot) != first);
    // SAFETY: made by the server for us, freed once.
    unsafe { api!(RedisModule_Free)(places.cast()) };
    several
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
        assert_ne!(slot_of(b"{}foo"), slot_of(b"{}bar"));
        assert_ne!(slot_of(b"{foo"), slot_of(b"{bar"));
        assert_eq!(slot_of(b"{{a}}b"), slot_of(b"{a"));
    }
}
