//! Dead letters that are redriven: on their way to the callback in one stream, and what became of
//! those of a consumer.
//!
//! ```text
//! selected ──> read ──> with the callback ──> done: deleted
//!                                         └─> given up again: another one at the end in its place
//! ```

use std::sync::Arc;

use hashbrown::HashSet;

use super::SubscriptionKey;
use super::error_classes::ErrorClasses;
use super::id::EntryId;
use super::record::Item;

/// A stream of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LetterPlace {
    /// The handle of its database.
    pub(super) home: i32,
    /// Its name, as the consumer's options have it.
    pub(super) stream: Arc<[u8]>,
}

/// The dead letter that an entry comes from.
#[derive(Clone, Debug)]
pub(super) struct Redriven {
    pub(super) letter: EntryId,
    pub(super) place: LetterPlace,
    /// What was tried with the entry before.
    pub(super) attempts: u32,
    pub(super) first_ms: u64,
    /// How often it was redriven in vain.
    pub(super) redrives: u32,
}

impl Redriven {
    /// Whether it is one of these, which lie in that database.
    pub(super) fn is_of(&self, home: i32, letters: &HashSet<EntryId>) -> bool {
        self.place.home == home && letters.contains(&self.letter)
    }
}

/// A dead letter that was read to be redriven.
#[derive(Clone, Debug)]
pub struct FoundLetter {
    /// Its ID.
    pub letter: EntryId,
    /// The entry that it is about.
    pub item: Item,
    /// Attempts that failed.
    pub attempts: u32,
    /// When the first of them began, Unix milliseconds.
    pub first_ms: u64,
    /// How often it was redriven in vain.
    pub redrives: u32,
}

/// Dead letters to read: answered with [`super::Event::LettersRead`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterRequest {
    /// For whom.
    pub sub: SubscriptionKey,
    /// Its consumer.
    pub consumer: super::ConsumerKey,
    /// Database of the dead letters.
    pub db: i32,
    /// The stream of the entries.
    pub stream: Arc<[u8]>,
    /// The stream of the dead letters.
    pub from: Arc<[u8]>,
    /// Which.
    pub letters: Vec<EntryId>,
}

/// What became of a consumer's redriven dead letters.
#[derive(Clone, Debug, Default)]
pub struct Redrives {
    /// Those whose entries are done.
    pub ok: u64,
    /// Those whose entries were given up again.
    pub failed: u64,
    /// What these failed with.
    pub errors: ErrorClasses,
    /// What the last one failed with.
    pub last_error: Option<Arc<str>>,
    /// When that was, Unix milliseconds.
    pub last_error_ms: u64,
}

impl Redrives {
    pub(super) const NONE: Self = Self {
        ok: 0,
        failed: 0,
        errors: ErrorClasses::NONE,
        last_error: None,
        last_error_ms: 0,
    };

    pub(super) fn note_failed(&mut self, error: &Arc<str>, now_ms: u64) {
        self.failed += 1;
        self.errors.note(error);
        self.last_error = Some(Arc::clone(error));
        self.last_error_ms = now_ms;
    }
}

/// The same, with those that are on their way.
#[derive(Clone, Debug)]
pub struct RedrivesView<'a> {
    /// Those that wait.
    pub waiting: usize,
    /// Those that are with the callback.
    pub running: usize,
    /// What became of the others.
    pub done: &'a Redrives,
}

/// What is known of a consumer's redrives.
#[derive(Debug, Default)]
pub(super) struct ConsumerRedrives {
    pub(super) done: Redrives,
    /// Subscriptions of which some are on their way, and perhaps others.
    pub(super) subs: HashSet<SubscriptionKey>,
}
