//! Dead letters that are redriven: on their way to the callback in one stream, and what became of
//! those of a consumer.
//!
//! ```text
//! selected ──> read ──> with the callback ──> done: deleted
//!                                         └─> given up again: another one at the end in its place
//! ```
//!
//! Only the IDs of those that are selected are kept: thousands may be, and their streams may be held
//! up. They are read a few at a time, when the ones before are with the callback, in turns with the
//! stream's own entries: neither stands in front of the other.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashSet;

use super::SubscriptionKey;
use super::batcher::Load;
use super::error_classes::ErrorClasses;
use super::id::EntryId;
use super::record::Item;

/// Dead letters that are read at once.
const READ: usize = 16;
/// Batches of the stream that have their turn before more are read.
const OTHERS: usize = 16;

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

/// The dead letters of one stream that are on their way.
#[derive(Debug, Default)]
pub(super) struct StreamRedrives {
    /// Those that are not read, in the order in which they come.
    selected: VecDeque<(EntryId, LetterPlace)>,
    /// Those that are read and were not dispatched.
    pub(super) read: VecDeque<Load>,
    /// All of them, those that are with the callback or done and not deleted yet included.
    all: HashSet<EntryId>,
    /// Batches of the stream itself since some were read last.
    others: usize,
}

impl StreamRedrives {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.read.is_empty()
    }

    /// How many are on their way.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn contains(&self, letter: EntryId) -> bool {
        self.all.contains(&letter)
    }

    /// Has those redriven that are not on their way; how many.
    pub(super) fn select(&mut self, letters: &[EntryId], place: &LetterPlace) -> usize {
        let before = self.selected.len();
        for letter in letters {
            if self.all.insert(*letter) {
                self.selected.push_back((*letter, place.clone()));
            }
        }
        self.selected.len() - before
    }

    /// Whether some are to be read.
    pub(super) fn wants_read(&self) -> bool {
        self.read.is_empty() && !self.selected.is_empty()
    }

    /// Whether it is their turn.
    pub(super) fn is_next(&self) -> bool {
        self.others >= OTHERS
    }

    /// Which are to be read next.
    pub(super) fn next_read(&self) -> Option<(LetterPlace, Vec<EntryId>)> {
        let (_, place) = self.selected.front().filter(|_| self.wants_read())?;
        let same = self.selected.iter().take_while(|(_, one)| one == place);
        let letters = same.take(READ).map(|(letter, _)| *letter);
        Some((place.clone(), letters.collect()))
    }

    /// The first that is not read, which is now.
    pub(super) fn take_selected(&mut self) -> Option<(EntryId, LetterPlace)> {
        self.others = 0;
        self.selected.pop_front()
    }

    /// A batch of the stream itself was dispatched.
    pub(super) fn note_other(&mut self) {
        self.others = self.others.saturating_add(1);
    }

    /// One is not on its way any more.
    pub(super) fn end(&mut self, letter: EntryId) {
        self.all.remove(&letter);
    }

    /// Those that somebody deleted are not dispatched.
    pub(super) fn forget(&mut self, home: i32, letters: &HashSet<EntryId>) {
        let Self { selected, all, .. } = self;
        selected.retain(|(letter, place)| {
            let is_gone = place.home == home && letters.contains(letter);
            if is_gone {
                all.remove(letter);
            }
            !is_gone
        });
        self.read.retain(|load| {
            let gone = load.letter.as_ref().filter(|one| one.is_of(home, letters));
            if let Some(gone) = gone {
                all.remove(&gone.letter);
            }
            gone.is_none()
        });
    }
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
