//! What is to outlive the process: what to write before the tick ends, and in what order.

use std::sync::Arc;

use super::super::dead_letter::{DeadLetter, DeadLetterDeletion};
use super::super::delivery_state::DeliveryState;
use super::super::event::{ControlMessage, Durable, Progress};
use super::super::subscription::List;
use super::super::{ConsumerKey, SubscriptionKey};
use super::Delivery;

impl Delivery {
    /// The next thing to write: dead letters come before the progress that claims their entries as
    /// done. All of it is to be written as one, with what callbacks wrote in the same tick. Where
    /// nothing is committed, on a replica, there is nothing; but it has to be asked for, as that
    /// frees the places in windows that waited for it.
    pub fn next_durable(&mut self) -> Option<Durable> {
        if let Some(dead_letter) = self.next_dead_letter() {
            return Some(Durable::DeadLetter(dead_letter));
        }
        if let Some(deletion) = self.next_dead_letter_deletion() {
            return Some(Durable::DeadLetterDeletion(deletion));
        }
        if let Some(progress) = self.next_progress() {
            return Some(Durable::Progress(progress));
        }
        let (consumer, delivery_state) = self.next_consumer_state()?;
        Some(Durable::ConsumerState {
            consumer,
            delivery_state,
        })
    }

    /// Has the progress of a subscription committed.
    pub(super) fn queue_commit(&mut self, sub: SubscriptionKey) {
        let state = self.subs.at_mut(sub);
        if state.lists.enter(List::Progress) {
            self.progress.push_back(sub);
        }
    }

    /// The next progress to commit. Each consumer and stream comes once, however many
    /// entries were finished. Where nothing is committed, on a replica, it only frees the
    /// places that waited for that.
    pub(super) fn next_progress(&mut self) -> Option<Progress> {
        while let Some(sub) = self.progress.pop_front() {
            self.catch_up(sub);
            let Some(state) = self.subs.get_mut(sub) else {
                continue;
            };
            state.lists.leave(List::Progress);
            state.tidy();
            let consumer = state.consumer;
            let places = std::mem::take(&mut state.uncommitted_slots) as usize;
            // Of batches those of earlier code are known here alone.
            let beside = state
                .feed
                .batcher_mut()
                .map(|one| one.ahead_mut().take_held());
            if places > 0 && beside.is_some() {
                state.adopt(&self.consumers[consumer].spec);
                self.schedule(sub);
            }
            let places = beside.unwrap_or(places);
            if places > 0 {
                self.control_messages
                    .push_back(ControlMessage::SlotsReleased {
                        consumer,
                        sub,
                        places,
                    });
            }
            // Where it begins is known soon, and committed then.
            if !self.is_active() {
                self.subs.at_mut(sub).missed_commit = true;
            } else if !self.subs.at(sub).is_start_unresolved() {
                let state = self.subs.at(sub);
                let stream = &self.streams[state.stream];
                return Some(Progress {
                    consumer,
                    db: self.names.db(stream.home),
                    name: Arc::clone(&stream.name),
                    checkpoint: state.checkpoint(self.now_ms),
                });
            }
        }
        None
    }

    /// The next dead letter to write, where the stream is by now, and where the consumer has it go by
    /// now: another place may be what new code is for.
    pub(super) fn next_dead_letter(&mut self) -> Option<DeadLetter> {
        if !self.is_active() || self.refusal.is_some() {
            return None;
        }
        while let Some(mut dead_letter) = self.dead_letters.pop_front() {
            if self.subs.contains_key(dead_letter.sub) {
                let stream = &self.streams[self.subs.stream_of(dead_letter.sub)];
                dead_letter.db = self.names.db(stream.home);
                dead_letter.stream = Arc::clone(&stream.name);
                let consumer = self.subs.consumer_of(dead_letter.sub);
                if let Some(to) = &self.policy(consumer).dead_letter {
                    dead_letter.to = Arc::clone(to);
                }
                if let Some(replaced) = &mut dead_letter.replaces {
                    replaced.db = self.names.db(replaced.home);
                }
                return Some(dead_letter);
            }
        }
        None
    }

    /// The next dead letters to delete.
    pub(super) fn next_dead_letter_deletion(&mut self) -> Option<DeadLetterDeletion> {
        if !self.is_active() || self.refusal.is_some() {
            return None;
        }
        let deletion = self.deletions.pop_front()?;
        for letter in &deletion.dead_letters {
            self.end_redrive(deletion.sub, *letter);
        }
        Some(deletion)
    }

    /// The next consumer whose delivery state is to be committed.
    fn next_consumer_state(&mut self) -> Option<(ConsumerKey, DeliveryState)> {
        if !self.is_active() {
            // It is kept for when this is a primary again.
            return None;
        }
        while let Some(consumer) = self.consumer_states.pop_front() {
            if let Some(state) = self.there(consumer) {
                return Some((consumer, state.delivery_state.clone().recorded(self.now_ms)));
            }
        }
        None
    }

    /// Has the delivery state of a consumer committed.
    pub(super) fn queue_consumer_state(&mut self, consumer: ConsumerKey) {
        if !self.consumer_states.contains(&consumer) {
            self.consumer_states.push_back(consumer);
        }
    }
}
