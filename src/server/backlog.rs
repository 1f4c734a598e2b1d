//! How many entries of a stream lie behind an ID, without a look at all of them.

use gears_core::delivery::{Counted, EntryId};

use super::context::Context;
use super::ffi::key::OpenKey;
use super::ffi::stream::{Direction, StreamEntries};

impl Context {
    /// Counts the entries of a stream of the selected database behind an ID. A stream that ends, or
    /// that nothing was read of, is counted exactly; else `budget` entries are passed at most, which
    /// are taken from it, and the rest is estimated.
    pub(crate) fn count_behind(&self, name: &[u8], after: EntryId, budget: &mut usize) -> Counted {
        let none = Counted {
            is_exact: true,
            ..Counted::default()
        };
        let Some(key) = self.open_stream(name) else {
            return none;
        };
        let Some(first) = next_id(&key, after, Direction::Forward) else {
            return none;
        };
        let oldest = next_id(&key, EntryId::ZERO, Direction::Forward);
        let (count, is_exact) = match oldest {
            Some(oldest) if oldest < first => count_to_end(&key, oldest, after, budget),
            _ => (key.length() as u64, true),
        };
        Counted {
            count,
            is_exact,
            first: Some(first),
        }
    }
}

/// The ID of the next entry.
fn next_id(key: &OpenKey, after: EntryId, direction: Direction) -> Option<EntryId> {
    let entries = StreamEntries::behind(key, after, direction)?;
    entries.next().map(|(id, _)| id)
}

/// How many entries there are behind an ID, and whether that is all.
fn count_to_end(key: &OpenKey, oldest: EntryId, after: EntryId, budget: &mut usize) -> (u64, bool) {
    let mut count = 0;
    if let Some(entries) = StreamEntries::behind(key, after, Direction::Forward) {
        while *budget > 0 {
            let Some((_, fields)) = entries.next() else {
                return (count, true);
            };
            entries.skip_fields(fields);
            count += 1;
            *budget -= 1;
        }
    }
    let newest = next_id(key, EntryId::ZERO, Direction::Backward).unwrap_or(after);
    let length = key.length() as u64;
    (estimate(length, oldest, after, newest).max(count), false)
}

/// How many of so many entries are behind an ID, if as many came in each second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "it is an estimate, and no more than the length"
)]
fn estimate(length: u64, oldest: EntryId, after: EntryId, newest: EntryId) -> u64 {
    let all_ms = newest.ms.saturating_sub(oldest.ms);
    let behind_ms = newest.ms.saturating_sub(after.ms);
    if all_ms == 0 {
        return length;
    }
    let part = (behind_ms as f64 / all_ms as f64).min(1.0);
    (length as f64 * part) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_counted_is_as_much_as_came_in_that_time() {
        let at = |ms| EntryId::new(ms, 1);
        assert_eq!(estimate(1000, at(100), at(400), at(500)), 250);
        assert_eq!(estimate(1000, at(100), at(500), at(500)), 0);
        // What is behind an entry that is trimmed away is all there is.
        assert_eq!(estimate(1000, at(100), at(50), at(500)), 1000);
        assert_eq!(estimate(1000, at(100), at(100), at(100)), 1000);
    }
}
