//! Writing down what the delivery core decided: dead letters with the progress that they mean, and
//! the delivery states of whole consumers.

use std::rc::Rc;

use gears_core::delivery::{Delivery, Event};

use super::consumers::Consumers;
use super::delivery_core::DeliveryCore;
use super::stream_access::Streams;

/// See the module's description. Used by the main thread only.
pub(super) struct Commits {
    core: Rc<DeliveryCore>,
    consumers: Rc<Consumers>,
}

impl Commits {
    pub(super) fn new(core: Rc<DeliveryCore>, consumers: Rc<Consumers>) -> Self {
        Self { core, consumers }
    }

    /// Commits all there is to commit.
    pub(super) fn write(&self, streams: &dyn Streams) {
        self.write_dead_letters(streams);
        while let Some(progress) = self.core.update(Delivery::next_progress) {
            if let Some(name) = self.consumers.name(progress.consumer) {
                streams.record(&name, &progress);
            }
        }
        while let Some((consumer, delivery_state)) = self.core.update(Delivery::next_consumer_state)
        {
            if let Some(name) = self.consumers.name(consumer) {
                streams.commit_consumer_state(&name, &delivery_state);
            }
        }
    }

    /// Commits nothing, as on a replica: what waited for it goes on.
    pub(super) fn skip(&self) {
        while self.core.update(Delivery::next_progress).is_some() {}
    }

    /// Writes the dead letters that wait for it, and deletes those whose entries are done.
    fn write_dead_letters(&self, streams: &dyn Streams) {
        while let Some(dead_letter) = self.core.update(Delivery::next_dead_letter) {
            let binding = self.consumers.binding(dead_letter.consumer, dead_letter.db);
            let written = match binding {
                Some(binding) => {
                    streams.write_dead_letter(&binding.credentials, &binding.name, &dead_letter)
                }
                None => Err("the consumer has no code".into()),
            };
            self.core.on(match written {
                Ok(()) => Event::DeadLetterWritten(dead_letter),
                Err(error) => Event::DeadLetterRefused {
                    dead_letter,
                    error: error.into(),
                },
            });
        }
        while let Some(deletions) = self.core.update(Delivery::next_dead_letter_deletion) {
            let binding = self.consumers.binding(deletions.consumer, deletions.db);
            if let Some(binding) = binding {
                streams.redeem(&binding.credentials, &deletions);
            }
        }
    }
}
