//! Writing down what the delivery core decided: dead letters with the progress that they mean, and
//! the delivery states of whole consumers.

use std::rc::Rc;

use gears_core::delivery::{DeadLetter, Delivery, Durable, Event};

use super::consumers::Consumers;
use super::delivery_core::DeliveryCore;
use super::stream_access::Streams;

/// Carries out what the core wants written: dead letters, checkpoints, delivery states.
/// Used by the main thread only.
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
        while let Some(durable) = self.core.update(Delivery::next_durable) {
            match durable {
                Durable::DeadLetter(dead_letter) => self.write_dead_letter(streams, dead_letter),
                Durable::DeadLetterDeletion(deletion) => {
                    let binding = self.consumers.binding(deletion.consumer, deletion.db);
                    if let Some(binding) = binding {
                        streams.delete_dead_letters(&binding.credentials, &deletion);
                    }
                }
                Durable::Progress(progress) => {
                    if let Some(name) = self.consumers.name(progress.consumer) {
                        streams.record(&name, &progress);
                    }
                }
                Durable::ConsumerState {
                    consumer,
                    delivery_state,
                } => {
                    if let Some(name) = self.consumers.name(consumer) {
                        streams.commit_consumer_state(&name, &delivery_state);
                    }
                }
            }
        }
    }

    /// Commits nothing, as on a replica: what waited for it goes on.
    pub(super) fn skip(&self) {
        while self.core.update(Delivery::next_durable).is_some() {}
    }

    fn write_dead_letter(&self, streams: &dyn Streams, dead_letter: DeadLetter) {
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
}
