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

    /// Runs `work`, which processes what was added to this stream.
    pub(super) fn run<R>(&self, key: KeyRef<'_>, work: impl FnOnce() -> R) -> R {
        let depth = if self.added.borrow().is_empty() {
            0
        } else {
            let key = (key.db, key.name.into());
            self.added.borrow_mut().remove(&key).unwrap_or(0)
        };
        let outer = self.running.replace(Some(depth));
        let result = work();
        self.running.set(outer);
        result
    }

    /// Whether a callback added to this stream what is not processed yet.
    pub(super) fn has_added(&self, key: KeyRef<'_>) -> bool {
        let added = self.added.borrow();
        !added.is_empty() && added.contains_key(&(key.db, key.name.into()))
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
        chain.note_added(key(b"a"));
        let mut steps = 0;
        while chain.run(key(b"a"), || {
            let more = !chain.is_at_end();
            if more {
                chain.note_added(key(b"a"));
            }
            more
        }) {
            steps += 1;
        }
        assert_eq!(steps, DEPTH_MAX);
        chain.end();
        assert!(!chain.run(key(b"a"), || chain.is_at_end()));
    }

    #[test]
    fn streams_have_depths_of_their_own() {
        let chain = Chain::default();
        chain.run(key(b"a"), || chain.note_added(key(b"b")));
        chain.run(key(b"b"), || {
            assert_eq!(chain.running.get(), Some(1));
        });
        chain.run(key(b"c"), || assert_eq!(chain.running.get(), Some(0)));
        assert_eq!(chain.running.get(), None);
    }
}
