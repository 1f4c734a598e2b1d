//! How deep the sync callbacks at hand are nested: a callback adds an entry, whose callback adds
//! an entry, and so on, all before the first writer gets its reply.
//!
//! Entries that clients add have depth 0; those that a callback adds, one more than its own. Each
//! is processed after the callback that added it, so the depth costs no stack; but a chain without
//! an end would hold the server up, iteration after iteration. So it gets a bound, and the callback that
//! would go beyond it an error.
//!
//! Of a stream only those IDs are kept from which on another depth holds: IDs only grow.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;

use gears_core::delivery::{EntryId, KeyRef};

/// The deepest entry there may be.
pub(crate) const DEPTH_MAX: u32 = 32;
/// Changes of depth that are kept of one stream.
const CHANGES_MAX: usize = 1024;

/// The nesting depth of the callback that runs, and of the entries that callbacks added.
#[derive(Default)]
pub(crate) struct Nesting {
    /// Depth of the callback that runs.
    running: Cell<Option<u32>>,
    /// What callbacks added, and is perhaps not processed yet.
    added: RefCell<HashMap<StreamPlace, Depths>>,
}

/// Database and name of a stream.
type StreamPlace = (i32, Box<[u8]>);

/// The depths of a stream's entries.
#[derive(Default)]
struct Depths {
    /// From which ID on which depth holds, ascending; before the first it is 0.
    changes: Vec<(EntryId, u32)>,
    /// The last entry that a callback added.
    last: EntryId,
}

impl Depths {
    fn of(&self, id: EntryId) -> u32 {
        let behind = self.changes.partition_point(|(from, _)| *from <= id);
        behind.checked_sub(1).map_or(0, |at| self.changes[at].1)
    }

    fn change(&mut self, from: EntryId, depth: u32) {
        if self.changes.last().map_or(0, |(_, last)| *last) == depth {
            return;
        }
        if self.changes.len() >= CHANGES_MAX {
            // The older ones are most likely processed.
            self.changes.drain(..CHANGES_MAX / 2);
        }
        self.changes.push((from, depth));
    }
}

fn name_of(key: KeyRef<'_>) -> StreamPlace {
    (key.db, key.name.into())
}

impl Nesting {
    /// A callback added an entry.
    pub(crate) fn note_added(&self, key: KeyRef<'_>, id: EntryId) {
        if let Some(depth) = self.running.get() {
            let mut added = self.added.borrow_mut();
            let depths = added.entry(name_of(key)).or_default();
            depths.change(id, depth + 1);
            depths.last = id;
        }
    }

    /// An entry was added, perhaps by a client.
    pub(crate) fn note_appended(&self, key: KeyRef<'_>) {
        if self.running.get().is_some() || self.added.borrow().is_empty() {
            return;
        }
        if let Some(depths) = self.added.borrow_mut().get_mut(&name_of(key))
            && let Some(next) = depths.last.next()
        {
            depths.change(next, 0);
        }
    }

    /// A stream has another name or database.
    pub(crate) fn moved(&self, from: KeyRef<'_>, to: KeyRef<'_>) {
        let mut added = self.added.borrow_mut();
        if let Some(depths) = added.remove(&name_of(from)) {
            added.insert(name_of(to), depths);
        }
    }

    /// Two databases changed places.
    pub(crate) fn swapped(&self, a: i32, b: i32) {
        let mut added = self.added.borrow_mut();
        for ((db, name), depths) in std::mem::take(&mut *added) {
            let db = match db {
                db if db == a => b,
                db if db == b => a,
                db => db,
            };
            added.insert((db, name), depths);
        }
    }

    /// The callback of this entry is about to run.
    pub(crate) fn begin(&self, key: KeyRef<'_>, id: EntryId) {
        let added = self.added.borrow();
        let depths = if added.is_empty() {
            None
        } else {
            added.get(&name_of(key))
        };
        self.running
            .set(Some(depths.map_or(0, |depths| depths.of(id))));
    }

    /// No callback runs.
    pub(crate) fn pause(&self) {
        self.running.set(None);
    }

    /// Whether an entry that the callback adds now would be too deep.
    pub(crate) fn is_too_deep(&self) -> bool {
        self.running.get().is_some_and(|depth| depth >= DEPTH_MAX)
    }

    /// Everything that was added is processed.
    pub(crate) fn end(&self) {
        self.added.borrow_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &[u8]) -> KeyRef<'_> {
        KeyRef { db: 0, name }
    }

    fn id(ms: u64) -> EntryId {
        EntryId::new(ms, 0)
    }

    #[test]
    fn a_chain_gets_deeper_with_each_callback_that_adds_and_has_an_end() {
        let nesting = Nesting::default();
        let mut last = 1;
        nesting.begin(key(b"a"), id(last));
        while !nesting.is_too_deep() {
            nesting.note_added(key(b"a"), id(last + 1));
            last += 1;
            nesting.begin(key(b"a"), id(last));
        }
        assert_eq!(last, 1 + u64::from(DEPTH_MAX));
        nesting.pause();
        nesting.note_appended(key(b"a"));
        nesting.begin(key(b"a"), id(last + 1));
        assert!(!nesting.is_too_deep(), "what clients add begins anew");
    }

    #[test]
    fn entries_of_clients_keep_their_depth_beside_those_of_callbacks() {
        let nesting = Nesting::default();
        // Of five entries of clients each has its callback add one behind them.
        for client in 1..=5 {
            nesting.begin(key(b"a"), id(client));
            assert_eq!(nesting.running.get(), Some(0));
            nesting.note_added(key(b"a"), id(client + 10));
        }
        for added in 11..=15 {
            nesting.begin(key(b"a"), id(added));
            assert_eq!(nesting.running.get(), Some(1));
        }
    }

    #[test]
    fn entries_keep_their_depth_wherever_their_stream_goes() {
        let nesting = Nesting::default();
        nesting.begin(key(b"a"), id(1));
        nesting.note_added(key(b"a"), id(5));
        nesting.swapped(0, 1);
        let to = KeyRef { db: 2, name: b"b" };
        nesting.moved(KeyRef { db: 1, name: b"a" }, to);
        nesting.begin(to, id(5));
        assert_eq!(nesting.running.get(), Some(1));
        nesting.begin(key(b"a"), id(5));
        assert_eq!(nesting.running.get(), Some(0));
    }

    #[test]
    fn streams_have_depths_of_their_own() {
        let nesting = Nesting::default();
        nesting.begin(key(b"a"), id(1));
        nesting.note_added(key(b"b"), id(5));
        for (stream, depth) in [(b"b", 1), (b"a", 0), (b"c", 0)] {
            nesting.begin(key(stream), id(5));
            assert_eq!(nesting.running.get(), Some(depth));
        }
        nesting.end();
        nesting.begin(key(b"b"), id(5));
        assert_eq!(nesting.running.get(), Some(0));
    }

    #[test]
    fn what_is_kept_of_a_stream_is_bounded() {
        let nesting = Nesting::default();
        for round in 0..10_000 {
            nesting.begin(key(b"b"), id(1));
            nesting.note_added(key(b"a"), id(2 * round + 1));
            nesting.pause();
            nesting.note_appended(key(b"a"));
        }
        assert!(nesting.added.borrow()[&name_of(key(b"a"))].changes.len() <= CHANGES_MAX);
    }
}
