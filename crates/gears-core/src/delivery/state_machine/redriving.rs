//! Dead letters that somebody has redriven.

use std::sync::Arc;

use hashbrown::HashSet;

use super::super::batcher::Batcher;
use super::super::dead_letter::{DeadLetter, DeadLetterDeletion, Replaced};
use super::super::event::KeyRef;
use super::super::id::EntryId;
use super::super::redrives::Redrives;
use super::super::redrives::{FoundLetter, LetterPlace, LetterRequest, Redriven, RedrivesView};
use super::super::{ConsumerKey, SubscriptionKey};
use super::Delivery;

impl Delivery {
    /// Has the entries of dead letters dispatched again; how many that are not on their way already.
    pub fn redrive(
        &mut self,
        consumer: ConsumerKey,
        key: KeyRef<'_>,
        letters: &[EntryId],
    ) -> usize {
        let Some(sub) = self.find_current(consumer, key) else {
            return 0;
        };
        let policy = self.consumers[consumer].spec.policy.as_ref();
        let stream = policy.and_then(|policy| policy.dead_letter.clone());
        let home = self.names.home(key.db);
        let (Some(batcher), Some(stream)) = (self.subs.at_mut(sub).feed.batcher_mut(), stream)
        else {
            return 0;
        };
        let count = batcher.redrive(letters, &LetterPlace { home, stream });
        if count > 0 {
            let redrives = &mut self.consumers[consumer].redrives;
            redrives.get_or_insert_default().subs.insert(sub);
        }
        self.schedule(sub);
        count
    }

    /// Whether a dead letter is on its way to the callback.
    #[must_use]
    pub fn is_redriven(
        &self,
        consumer: ConsumerKey,
        key: KeyRef<'_>,
        dead_letter: EntryId,
    ) -> bool {
        let state = self.find(consumer, key).and_then(|sub| self.subs.get(sub));
        let batcher = state.as_ref().and_then(|state| state.feed.batcher());
        batcher.is_some_and(|batcher| batcher.is_redriven(dead_letter))
    }

    /// Dead letters of a consumer in that database were deleted: those that wait are not dispatched.
    pub fn forget_letters(&mut self, consumer: ConsumerKey, db: i32, letters: &HashSet<EntryId>) {
        let Some(redrives) = self.there(consumer).and_then(|one| one.redrives.as_ref()) else {
            return;
        };
        let subs: Vec<_> = redrives.subs.iter().copied().collect();
        let home = self.names.home(db);
        for sub in subs {
            let Some(state) = self.subs.get_mut(sub) else {
                continue;
            };
            if let Some(batcher) = state.feed.batcher_mut() {
                batcher.forget_letters(home, letters);
            }
            state.adopt(&self.consumers[consumer].spec);
            self.schedule(sub);
        }
    }

    /// How it stands with a consumer's redrives.
    pub fn redrives(&mut self, key: ConsumerKey) -> Option<RedrivesView<'_>> {
        static NONE: Redrives = Redrives::NONE;
        let mut counts = (0, 0);
        let Some(redrives) = self.there(key)?.redrives.as_ref() else {
            return Some(RedrivesView {
                waiting: 0,
                running: 0,
                done: &NONE,
            });
        };
        let mut over = Vec::new();
        for sub in &redrives.subs {
            let state = self.subs.get(*sub);
            let batcher = state.as_ref().and_then(|state| state.feed.batcher());
            let (all, running) = batcher.map_or((0, 0), Batcher::redrive_counts);
            if all == 0 {
                over.push(*sub);
            }
            counts.0 += all - running.min(all);
            counts.1 += running;
        }
        let redrives = self.consumers[key].redrives.as_mut()?;
        for sub in over {
            redrives.subs.remove(&sub);
        }
        Some(RedrivesView {
            waiting: counts.0,
            running: counts.1,
            done: &redrives.done,
        })
    }

    /// The dead letters to read next for a subscription; `at_once` where its own entries do not wait.
    pub(super) fn letter_request(
        &self,
        sub: SubscriptionKey,
        at_once: bool,
    ) -> Option<LetterRequest> {
        let state = self.subs.get(sub)?;
        let batcher = state.feed.batcher()?;
        let (place, letters) = batcher.letters_to_read(at_once)?;
        if !self.is_runnable(sub) {
            return None;
        }
        Some(LetterRequest {
            sub,
            consumer: state.consumer,
            db: self.names.db(place.home),
            stream: Arc::clone(&self.streams[state.stream].name),
            from: place.stream,
            letters,
        })
    }

    /// Dead letters were read.
    pub(super) fn letters_read(
        &mut self,
        sub: SubscriptionKey,
        looked_for: usize,
        found: Vec<FoundLetter>,
    ) {
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        let policy = self.consumers[state.consumer].spec.policy();
        if let Some(batcher) = state.feed.batcher_mut() {
            batcher.note_letters(looked_for, found, policy);
        }
        let consumer = state.consumer;
        state.adopt(&self.consumers[consumer].spec);
        self.schedule(sub);
    }

    /// The entry of a dead letter is done after all.
    pub(super) fn redrive_done(&mut self, sub: SubscriptionKey, redriven: Redriven) {
        let consumer = self.subs.consumer_of(sub);
        let redrives = &mut self.consumers[consumer].redrives;
        redrives.get_or_insert_default().done.ok += 1;
        let LetterPlace { home, stream } = redriven.place;
        self.delete_dead_letter(sub, home, &stream, redriven.letter);
    }

    /// A dead letter is to be deleted. It stays where it is, wherever the stream is moved.
    pub(super) fn delete_dead_letter(
        &mut self,
        sub: SubscriptionKey,
        home: i32,
        from: &Arc<[u8]>,
        letter: EntryId,
    ) {
        if !self.subs.contains_key(sub) {
            return;
        }
        let consumer = self.subs.consumer_of(sub);
        let stream = &self.streams[self.subs.stream_of(sub)];
        self.deletions.push_back(DeadLetterDeletion {
            sub,
            consumer,
            db: self.names.db(home),
            stream: Arc::clone(&stream.name),
            from: Arc::clone(from),
            dead_letters: vec![letter],
        });
    }

    /// A dead letter is not on its way any more.
    pub(super) fn end_redrive(&mut self, sub: SubscriptionKey, letter: EntryId) {
        let Some(state) = self.subs.get_mut(sub) else {
            return;
        };
        if let Some(batcher) = state.feed.batcher_mut() {
            batcher.end_redrive(letter);
        }
        let consumer = state.consumer;
        state.adopt(&self.consumers[consumer].spec);
        self.schedule(sub);
    }
}

impl DeadLetter {
    /// It comes in the place of the one that was redriven in vain.
    pub(super) fn replace(&mut self, redriven: &Redriven) {
        self.attempts = self.attempts.saturating_add(redriven.attempts);
        if redriven.first_ms > 0 {
            self.first_ms = redriven.first_ms;
        }
        self.replaces = Some(Replaced {
            db: self.db,
            from: Arc::clone(&redriven.place.stream),
            letter: redriven.letter,
            redrives: redriven.redrives.saturating_add(1),
            home: redriven.place.home,
        });
    }
}
