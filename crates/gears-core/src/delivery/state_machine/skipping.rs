//! One entry that stops a stream is given up because somebody says so.

use std::sync::Arc;
use std::time::Duration;

use super::super::ConsumerKey;
use super::super::SubscriptionKey;
use super::super::batcher::Load;
use super::super::delivery_state::DeliveryState;
use super::super::event::{Failure, KeyRef};
use super::super::id::EntryId;
use super::super::policy::Scope;
use super::super::record::Item;
use super::Delivery;

/// Why an entry is not skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSkip {
    /// It does not come again: it is done, or was never dispatched.
    NotStopping,
    /// It is with the callback, or beside it.
    Dispatched,
    /// It is given up already, and its dead letter is to be written.
    GivenUp,
}

impl Delivery {
    /// Gives up an entry that is to be dispatched again, as if its last attempt had failed with
    /// `error`: it becomes a dead letter if the consumer has a place for these. What was waited for,
    /// or stopped, goes on; a pause that somebody asked for stays. `item` is the entry as its stream
    /// has it, if it is there.
    ///
    /// # Errors
    /// Where no such entry comes again.
    pub fn skip(
        &mut self,
        consumer: ConsumerKey,
        key: KeyRef<'_>,
        id: EntryId,
        item: Option<Item>,
        error: Arc<str>,
    ) -> Result<(), NoSkip> {
        let sub = self
            .find_current(consumer, key)
            .ok_or(NoSkip::NotStopping)?;
        let load = self.take_stopping(sub, id, item)?;
        if let Some(load) = load {
            let failure = Failure {
                fatal: true,
                ..Failure::new(error)
            };
            self.note_error(sub, Some(id), &failure.error, self.now_ms, false);
            self.give_up(sub, load, &failure, Duration::ZERO, self.now_ms);
        }
        if self.policy(consumer).scope == Scope::Consumer
            && self.consumers[consumer].delivery_state.is_held_up()
        {
            self.change_state(consumer, None, DeliveryState::go_on);
        }
        self.change_state(consumer, Some(key), DeliveryState::go_on);
        self.queue_trim(self.subs.stream_of(sub));
        Ok(())
    }

    /// Takes an entry out of what comes again. `None` where it is gone from its stream, and done.
    fn take_stopping(
        &mut self,
        sub: SubscriptionKey,
        id: EntryId,
        item: Option<Item>,
    ) -> Result<Option<Load>, NoSkip> {
        let unwritten = self.unwritten.iter().map(|(_, dead_letter)| dead_letter);
        let mut dead_letters = self.dead_letters.iter().chain(unwritten);
        if dead_letters.any(|one| one.sub == sub && one.item.id() == id) {
            return Err(NoSkip::GivenUp);
        }
        let state = self.subs.at_mut(sub);
        let resumed = state.cursor.resumed();
        let Some(batcher) = state.feed.batcher_mut() else {
            let mut in_flight = state.cursor.in_flight();
            return Err(if in_flight.any(|one| one == id) {
                NoSkip::Dispatched
            } else {
                NoSkip::NotStopping
            });
        };
        if let Some(load) = batcher.take_again(id, resumed) {
            if load.letter.is_none() {
                // As if it had been dispatched once more: it is not read again.
                state.cursor.note_started(id);
            }
            return Ok(Some(load));
        }
        if batcher.is_dispatched(id) {
            return Err(NoSkip::Dispatched);
        }
        let bytes = item.as_ref().map(|item| item.record().packed().len());
        if !state.cursor.take_redelivery(id, bytes) {
            return Err(NoSkip::NotStopping);
        }
        let tried = state.delivery_state.take_tried(id);
        state.cursor.note_started(id);
        Ok(item.map(|item| Load::of_one(item, tried)))
    }
}

impl DeliveryState {
    /// Whether something is waited for, or stopped.
    fn is_held_up(&self) -> bool {
        self.aborted.is_some() || self.until_ms > 0
    }

    /// Nothing is waited for, and nothing is stopped.
    fn go_on(&mut self) {
        self.aborted = None;
        self.until_ms = 0;
    }
}
