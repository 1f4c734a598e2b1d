//! The cluster's table for executions of `GearsBuilder`: which shard has which slots, as scripts read it.

use gears_core::cluster::{SLOTS, Topology};
use serde_json::json;

/// The version of V8's clones whose form [`clone_of`] has. Later ones read it.
const CLONE_VERSION: u8 = 15;

/// The table as JSON: `{me, shards: [[id, [[first, last], ...]], ...], moving: [slot, ...], is_complete}`. `moving` are
/// slots that come here or go from here at the moment.
pub(super) fn json_of(topology: &Topology) -> String {
    let shards = topology.shards();
    let shards = shards.map(|shard| json!([shard.id.to_string(), shard.slots]));
    let myself = topology.myself();
    let moving = myself.into_iter().flat_map(|myself| {
        let both = myself.migrating.iter().chain(&myself.importing);
        both.map(|(slot, _)| *slot)
    });
    let table = json!({
        "me": topology.me.to_string(),
        "shards": shards.collect::<Vec<_>>(),
        "moving": moving.collect::<Vec<_>>(),
        "is_complete": is_complete(topology),
    });
    table.to_string()
}

/// Whether each slot has a shard.
pub(super) fn is_complete(topology: &Topology) -> bool {
    let slots = topology.shards().flat_map(|shard| &shard.slots);
    let count: u32 = slots
        .map(|(first, last)| u32::from(*last) - u32::from(*first) + 1)
        .sum();
    count == u32::from(SLOTS)
}

/// A text of ASCII as V8 clones it.
pub(super) fn clone_of(text: &str) -> Vec<u8> {
    let mut bytes = vec![0xff, CLONE_VERSION, b'"'];
    let mut length = text.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap_or_default());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_each_shard_with_its_slots_and_what_is_on_its_way() {
        let (me, other) = ("a".repeat(40), "b".repeat(40));
        let text = format!(
            "{me} 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-99 [7->-{other}]\n\
             {other} 127.0.0.1:3@4 master - 0 0 2 connected 100-16383\n"
        );
        let topology = Topology::parse(&text).unwrap();
        let table: serde_json::Value = serde_json::from_str(&json_of(&topology)).unwrap();
        assert_eq!(table["me"], me);
        assert_eq!(
            table["shards"],
            json!([[me, [[0, 99]]], [other, [[100, 16383]]]])
        );
        assert_eq!(table["moving"], json!([7]));
        assert_eq!(table["is_complete"], true);
    }

    #[test]
    fn lengths_are_written_in_parts_of_seven_bits() {
        assert_eq!(clone_of("ab"), [0xff, 15, b'"', 2, b'a', b'b']);
        assert_eq!(clone_of(&"x".repeat(300))[..5], [0xff, 15, b'"', 0xac, 2]);
    }
}
