//! Entries of dead letters that are redriven, among those of their stream.
//!
//! Only the IDs of those that are selected are kept: thousands may be, and their streams may be held
//! up. They are read a few at a time, when the ones before are with the callback, in turns with the
//! stream's own entries: neither stands in front of the other.

use std::collections::VecDeque;

use hashbrown::HashSet;
use smallvec::SmallVec;

use super::super::id::EntryId;
use super::super::policy::Policy;
use super::super::redrives::{FoundLetter, LetterPlace, Redriven};
use super::Batcher;
use super::load::{Entry, Load, Tried, group_of, take_free};

/// Dead letters that are read at once.
const READ: usize = 16;
/// Batches of the stream that have their turn before more are read.
const OTHERS: usize = 16;

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

impl Batcher {
    /// Has the entries of dead letters dispatched, behind what comes again; how many that are not
    /// on their way.
    pub(in super::super) fn redrive(&mut self, letters: &[EntryId], place: &LetterPlace) -> usize {
        let redrives = self.redrives.get_or_insert_default();
        let count = redrives.select(letters, place);
        self.tidy_redrives();
        count
    }

    /// Whether dead letters are to be read.
    pub(in super::super) fn wants_letters(&self) -> bool {
        self.redrives.as_ref().is_some_and(|one| one.wants_read())
    }

    /// Which dead letters are to be read now; `at_once` where the stream's own entries do not wait.
    pub(in super::super) fn letters_to_read(
        &self,
        at_once: bool,
    ) -> Option<(LetterPlace, Vec<EntryId>)> {
        let redrives = self.redrives.as_ref()?;
        let is_time = at_once || redrives.is_next();
        is_time.then(|| redrives.next_read()).flatten()
    }

    /// So many of those that were to be read were looked for, and these are there.
    pub(in super::super) fn note_letters(
        &mut self,
        looked_for: usize,
        found: Vec<FoundLetter>,
        policy: &Policy,
    ) {
        let Some(redrives) = &mut self.redrives else {
            return;
        };
        let mut found = found.into_iter().peekable();
        for _ in 0..looked_for {
            let Some((letter, place)) = redrives.take_selected() else {
                break;
            };
            let Some(one) = found.next_if(|one| one.letter == letter) else {
                // Somebody deleted it.
                redrives.end(letter);
                continue;
            };
            let group = group_of(&one.item, policy);
            let item = one.item;
            redrives.read.push_back(Load {
                entries: SmallVec::from_elem(Entry { item, group }, 1),
                tried: Tried::default(),
                letter: Some(Box::new(Redriven {
                    letter,
                    place,
                    attempts: one.attempts,
                    first_ms: one.first_ms,
                    redrives: one.redrives,
                })),
                has_begun: false,
                saw_demotion: false,
            });
        }
        self.tidy_redrives();
    }

    pub(super) fn take_redriven(&mut self) -> Option<Load> {
        let redrives = self.redrives.as_mut()?;
        take_free(&mut redrives.read, &self.busy)
    }

    /// A dead letter is not on its way any more: it is deleted, or stays where it is.
    pub(in super::super) fn end_redrive(&mut self, letter: EntryId) {
        if let Some(redrives) = &mut self.redrives {
            redrives.end(letter);
        }
        self.tidy_redrives();
    }

    /// Dead letters that somebody deleted are not dispatched; what is with the callback ends.
    pub(in super::super) fn forget_letters(&mut self, home: i32, letters: &HashSet<EntryId>) {
        if let Some(redrives) = &mut self.redrives {
            redrives.forget(home, letters);
            self.requeued.retain(|load| {
                let gone = load.letter.as_ref().filter(|one| one.is_of(home, letters));
                if let Some(gone) = gone {
                    redrives.end(gone.letter);
                }
                gone.is_none()
            });
        }
        self.tidy_redrives();
    }

    fn tidy_redrives(&mut self) {
        self.redrives.take_if(|redrives| redrives.is_empty());
    }

    /// How many dead letters are on their way, and how many of these are with the callback.
    pub(in super::super) fn redrive_counts(&self) -> (usize, usize) {
        let all = self.redrives.as_ref().map_or(0, |redrives| redrives.len());
        let loads = self.in_flight_attempts.values();
        let running = loads.filter(|load| load.has_begun && load.letter.is_some());
        (all, running.count())
    }
}
