//! How deep the sync callbacks at hand are nested: a callback adds an entry, whose callback adds
//! an entry, and so on, all before the first writer gets its reply.
//!
//! Entries that clients add have depth 0; those that a callback adds, one more than its own. Each
//! is processed after the callback that added it, so the depth costs no stack; but a chain without
//! an end would hold the server up, round after round. So it gets a bound, and the callback that
//! would go beyond it an error.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;

use crate::stream::KeyRef;

/// The deepest entry there may be.
pub(super) const DEPTH_MAX: u32 = 32;

/// See the module's description.
#[derive(Default)]
pub(super) struct Chain {
    /// Depth of the callback that runs.
    running: Cell<Option<u32>>,
    /// Depth of what callbacks added to a stream and what was not processed yet.
    added: RefCell<HashMap<StreamName, u32>>,
}

/// Database and name of a stream.
type StreamName = (i32, Box<[u8]>);

impl Chain {
    /// Whether a callback runs.
    pub(super) fn is_running(&self) -> bool {
        self.running.get().is_some()
    }

    /// An entry was added.
    pub(super) fn note_added(&self, key: KeyRef<'_>) {
        if let Some(depth) = self.running.get() {
            let mut added = self.added.borrow_mut();
            let of_key = added.entry((key.db, key.name.into())).or_default();
            *of_key = (*of_key).max(depth + 1);
        }
    }

    /// Whether an entry that is added now would be too deep.
    pub(super) fn is_at_end(&self) -> bool {
        self.running.get().is_some_and(|depth| depth >= DEPTH_MAX)
    }

    /// Runs `work`, which processes what was added to this stream, and says whether it got to the
    /// end of it.
    pub(super) fn run(&self, key: KeyRef<'_>, work: impl FnOnce() -> bool) {
        let depth = self.depth_of(key);
        let outer = self.running.replace(Some(depth));
        let is_done = work();
        self.running.set(outer);
        // Deeper entries that were added meanwhile are not part of it.
        if depth > 0 && is_done && self.depth_of(key) == depth {
            let key = (key.db, key.name.into());
            self.added.borrow_mut().remove(&key);
        }
    }

    fn depth_of(&self, key: KeyRef<'_>) -> u32 {
        let added = self.added.borrow();
        if added.is_empty() {
            return 0;
        }
        let depth = added.get(&(key.db, key.name.into()));
        depth.copied().unwrap_or(0)
    }

    /// Whether the callback that runs, or one before it in this run, added to this stream.
    pub(super) fn has_deeper(&self, key: KeyRef<'_>) -> bool {
        self.running
            .get()
            .is_some_and(|depth| self.depth_of(key) > depth)
    }

    /// Everything that was added is processed.
    pub(super) fn end(&self) {
        self.added.borrow_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &[u8]) -> KeyRef<'_> {
        KeyRef { db: 0, name }
    }

    #[test]
    fn a_chain_gets_deeper_with_each_callback_that_adds_and_has_an_end() {
        let chain = Chain::default();
        let mut steps = 0;
        let mut more = true;
        while more {
            chain.run(key(b"a"), || {
                more = !chain.is_at_end();
                if more {
                    chain.note_added(key(b"a"));
                    steps += 1;
                }
                true
            });
        }
        assert_eq!(steps, DEPTH_MAX);
        chain.run(key(b"a"), || {
            assert!(!chain.is_at_end(), "what clients add begins anew");
            true
        });
    }

    #[test]
    fn streams_have_depths_of_their_own() {
        let chain = Chain::default();
        chain.run(key(b"a"), || {
            chain.note_added(key(b"b"));
            assert!(chain.has_deeper(key(b"b")) && !chain.has_deeper(key(b"a")));
            true
        });
        chain.run(key(b"b"), || {
            assert_eq!(chain.running.get(), Some(1));
            true
        });
        chain.run(key(b"c"), || {
            assert_eq!(chain.running.get(), Some(0));
            true
        });
        assert_eq!(chain.running.get(), None);
    }

    #[test]
    fn what_a_run_has_no_time_for_stays_as_deep_as_it_is() {
        let chain = Chain::default();
        chain.run(key(b"a"), || {
            chain.note_added(key(b"a"));
            true
        });
        for is_done in [false, false, true] {
            chain.run(key(b"a"), || {
                assert_eq!(chain.running.get(), Some(1));
                is_done
            });
        }
        assert_eq!(chain.depth_of(key(b"a")), 0);
    }
}
