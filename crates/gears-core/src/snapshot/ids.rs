//! Lists of ascending IDs, each as the distance from the one before: most are of the same
//! millisecond, or a few later.

use crate::delivery::EntryId;

/// Milliseconds from the ID before; and the distance of the sequence number, or where the
/// milliseconds differ the number itself.
pub(super) fn distances(ids: &[EntryId]) -> Vec<(u64, u64)> {
    let mut last = EntryId::ZERO;
    let distance = |id: &EntryId| {
        let ms = id.ms.wrapping_sub(last.ms);
        let seq = if ms == 0 {
            id.seq.wrapping_sub(last.seq)
        } else {
            id.seq
        };
        last = *id;
        (ms, seq)
    };
    ids.iter().map(distance).collect()
}

pub(super) fn ids(distances: &[(u64, u64)]) -> Vec<EntryId> {
    let mut last = EntryId::ZERO;
    let id = |(ms, seq): &(u64, u64)| {
        let seq = if *ms == 0 {
            last.seq.wrapping_add(*seq)
        } else {
            *seq
        };
        last = EntryId::new(last.ms.wrapping_add(*ms), seq);
        last
    };
    distances.iter().map(id).collect()
}
