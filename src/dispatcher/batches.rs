//! Consumers with a policy, from the main thread's side: batches to their callbacks, and dead
//! letters to where dead letters go.

use std::sync::Arc;
use std::time::Instant;

use gears_core::delivery::{
    Batch, ConsumerKey, Delivery, Event, Item, KeyRef, Mode, SubscriptionKey,
};

use super::streams::Streams;
use super::tick::{Deadline, Dispatcher};
use crate::executor::BatchTask;

impl Dispatcher {
    /// Gives a batch to its callback: a sync one here and now, an async one on a worker.
    pub(crate) fn deliver(
        &self,
        streams: &dyn Streams,
        sub: SubscriptionKey,
        consumer: ConsumerKey,
        mut batch: Batch,
        deadline: Deadline,
    ) {
        let number = batch.number;
        let give_back = || {
            self.on(Event::Returned {
                sub,
                batch: number,
                yields: true,
            });
        };
        let place = self.inspect(|delivery| delivery.stream_of(sub));
        let Some((db, stream)) = place else {
            return;
        };
        let Some(binding) = self.binding(consumer, db) else {
            return give_back();
        };
        if self.is_full(streams) {
            self.stalled.borrow_mut().push(sub);
            return give_back();
        }
        if !self.authorize(streams, sub, &binding, &stream) {
            return give_back();
        }
        if batch.is_redelivery {
            // What was deleted meanwhile holds nothing up.
            let mut ids = batch.items.iter().map(Item::id);
            let gone = streams.missing(db, &stream, &mut ids);
            if !gone.is_empty() {
                batch
                    .items
                    .retain(|item| gone.binary_search(&item.id()).is_err());
                self.on(Event::Gone {
                    sub,
                    batch: number,
                    ids: gone,
                });
            }
            if batch.items.is_empty() {
                return;
            }
        }
        let is_sync = binding.target.mode == Mode::Sync;
        let call = BatchTask {
            sub,
            batch,
            target: binding.target.clone(),
            as_batch: binding.as_batch,
            stream,
            background: (!is_sync).then(|| Arc::clone(&binding.credentials)),
        };
        if !is_sync {
            binding.executor.send_batch(call);
            return;
        }
        let patience = deadline.latest.saturating_duration_since(Instant::now());
        let ran = if patience.is_zero() {
            // Scripts have held up this iteration for long enough.
            None
        } else {
            self.main_thread
                .with(&binding.executor, patience, |library| {
                    streams.act(&binding.credentials, &mut |server| {
                        let mut completions = Vec::new();
                        if let Some(first) = call.batch.items.first() {
                            let key = KeyRef {
                                db,
                                name: &call.stream,
                            };
                            self.nesting.begin(key, first.id());
                        }
                        library.enter(|session| library.run_batch(session, server, &call));
                        library.take_completions(&mut completions);
                        // A pause begins with the failure, not with the tick.
                        self.set_time();
                        self.tell(&mut completions);
                    })
                })
        };
        self.acted.set(self.acted.get() || ran == Some(true));
        self.nesting.pause();
        if ran.is_none() {
            give_back();
            self.stalled.borrow_mut().push(sub);
        }
    }

    /// Writes the dead letters that wait for it, and deletes those whose entries are done.
    pub(crate) fn write_dead_letters(&self, streams: &dyn Streams) {
        while let Some(dead_letter) = self.update(Delivery::next_dead_letter) {
            let written = match self.binding(dead_letter.consumer, dead_letter.db) {
                Some(binding) => {
                    streams.write_dead_letter(&binding.credentials, &binding.name, &dead_letter)
                }
                None => Err("the consumer has no code".into()),
            };
            self.on(match written {
                Ok(()) => Event::DeadLetterWritten(dead_letter),
                Err(error) => Event::DeadLetterRefused {
                    dead_letter,
                    error: error.into(),
                },
            });
        }
        while let Some(deletions) = self.update(Delivery::next_dead_letter_deletion) {
            if let Some(binding) = self.binding(deletions.consumer, deletions.db) {
                streams.redeem(&binding.credentials, &deletions);
            }
        }
    }
}
