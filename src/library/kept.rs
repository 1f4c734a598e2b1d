//! What is kept of libraries that were deleted: how far their consumers are.
//!
//! The consumers stay in the delivery core, without code, as those of a library in quarantine do. So
//! they follow keys that are renamed, moved and deleted, and nothing is trimmed that they have not
//! seen. The next library of that name gets those back that it registers.

use std::cell::Ref;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dispatcher::Dispatcher;
use gears_core::delivery::{ConsumerKey, EntryId, StreamView};
use gears_core::snapshot::{History, LibrarySnapshot};

use super::libraries::Libraries;
use super::registry::{Library, LibraryConsumer, LibraryStatus};
use super::restore::restore_consumers;
use super::versions::now_ms;

/// Deleted libraries whose progress is kept at most.
const KEPT_MAX: usize = 1000;

/// What is kept of a library that was deleted. Plain memory, which a forked child can read.
#[derive(Debug)]
pub(crate) struct KeptProgress {
    /// The owner it had.
    pub(crate) user: Arc<str>,
    /// When it was deleted, in Unix milliseconds.
    pub(crate) deleted_ms: u64,
    /// The user who did.
    pub(crate) deleted_by: String,
    /// Its consumers by name.
    pub(crate) consumers: BTreeMap<String, LibraryConsumer>,
}

/// What is kept of deleted libraries, by their names. No library of such a name is in the registry.
pub(crate) type KeptLibraries = BTreeMap<String, KeptProgress>;

impl Libraries {
    /// What is kept of deleted libraries. Drop the result before anything is changed.
    pub(crate) fn kept(&self) -> Ref<'_, KeptLibraries> {
        self.kept.borrow()
    }

    /// The consumers of a library that have read something.
    #[must_use]
    pub(crate) fn with_progress(&self, name: &str) -> Vec<String> {
        let registry = self.all();
        let consumers = registry.get(name).into_iter();
        let consumers = consumers.flat_map(|library| &library.consumers);
        let consumers = consumers.filter(|(_, one)| has_progress(&self.dispatcher, one.key));
        consumers.map(|(name, _)| name.clone()).collect()
    }

    fn has_consumers(&self, name: &str) -> bool {
        let has_consumers = |library: &Library| !library.consumers.is_empty();
        self.all().get(name).is_some_and(has_consumers)
    }

    /// Whether the progress of a library's consumers can be kept.
    ///
    /// # Errors
    /// Where too much is kept already.
    pub(crate) fn room_to_keep(&self, name: &str) -> Result<(), String> {
        if self.has_consumers(name) && self.kept().len() >= KEPT_MAX {
            return Err(format!(
                "ERR the progress of {KEPT_MAX} libraries is kept already: RG.CONSUMER KEPT lists them, RG.FUNCTION DEL with FORCE drops one"
            ));
        }
        Ok(())
    }

    /// Deletes a library but for how far its consumers are, however much is kept already; whether it has any.
    pub(crate) fn delete_but_keep(&self, name: &str, user: &str) -> bool {
        if !self.has_consumers(name) {
            self.delete(name);
            return false;
        }
        let library = self.change().remove(name);
        if let Some(library) = library {
            let progress = KeptProgress {
                user: Arc::clone(&library.user),
                deleted_ms: now_ms(),
                deleted_by: user.to_owned(),
                consumers: self.end_code(name, library),
            };
            self.kept.borrow_mut().insert(name.to_owned(), progress);
        }
        true
    }

    /// Drops what is kept of a deleted library; false if that is nothing.
    pub(super) fn drop_progress(&self, name: &str) -> bool {
        let Some(dropped) = self.kept.borrow_mut().remove(name) else {
            return false;
        };
        for consumer in dropped.consumers.into_values() {
            self.dispatcher.consumers.remove(consumer.key);
        }
        true
    }

    /// Keeps what a snapshot says of a library that was deleted, in the place of the library of its
    /// name.
    pub(super) fn restore_progress(&self, snapshot: &LibrarySnapshot) {
        let name = &snapshot.name;
        let library = self.change().remove(name);
        let before = match library {
            Some(library) => self.end_code(name, library),
            None => self.take_kept(name),
        };
        let consumers =
            restore_consumers(name, Some(&before), &self.dispatcher, &snapshot.consumers);
        for (name, old) in before {
            if consumers.get(&name).is_none_or(|new| new.key != old.key) {
                self.dispatcher.consumers.remove(old.key);
            }
        }
        let progress = KeptProgress {
            user: snapshot.user.as_str().into(),
            deleted_ms: snapshot.history.loaded_ms,
            deleted_by: snapshot.history.loaded_by.clone(),
            consumers,
        };
        self.kept.borrow_mut().insert(name.clone(), progress);
    }

    /// Takes out the consumers that are kept of a deleted library.
    pub(super) fn take_kept(&self, name: &str) -> BTreeMap<String, LibraryConsumer> {
        let kept = self.kept.borrow_mut().remove(name);
        kept.map(|kept| kept.consumers).unwrap_or_default()
    }

    /// Ends the code of a library that was taken out of the registry. Its consumers stay, without
    /// code; what it has not finished comes to other code.
    fn end_code(&self, name: &str, library: Library) -> BTreeMap<String, LibraryConsumer> {
        self.dispatcher.leave_isolate();
        for consumer in library.consumers.values() {
            self.dispatcher.consumers.suspend(consumer.key);
        }
        for trigger in library.triggers.into_values() {
            self.dispatcher.triggers.remove(trigger);
        }
        self.dispatcher.hooks.remove_all(name);
        if let LibraryStatus::Live(executor) = library.status {
            self.dispatcher.end_code(&executor);
        }
        library.consumers
    }
}

impl KeptProgress {
    /// As the history of its snapshot: it tells of the deletion what that of a library tells of its
    /// load.
    pub(super) fn history(&self) -> History {
        History::first(self.deleted_ms, &self.deleted_by)
    }
}

/// Whether the consumer has read anything of any stream.
pub(super) fn has_progress(dispatcher: &Dispatcher, consumer: ConsumerKey) -> bool {
    let has_read =
        |stream: StreamView<'_>| stream.is_start_resolved() && stream.read() != EntryId::default();
    dispatcher.inspect(|delivery| delivery.streams_of(consumer).any(has_read))
}
