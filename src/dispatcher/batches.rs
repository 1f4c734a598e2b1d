//! Consumers with a policy: batches to their callbacks.

use std::rc::Rc;
use std::sync::Arc;

use gears_core::delivery::{Batch, ConsumerKey, Event, Item, KeyRef, Mode, SubscriptionKey};
use gears_v8::ports::Server;

use super::consumers::Consumers;
use super::deadline::Deadline;
use super::delivery_core::DeliveryCore;
use super::refusals::Refusals;
use super::stream_access::Streams;
use super::sync_calls::SyncCalls;
use crate::executor::{BatchTask, EnteredLibrary};

/// Carries out the core's decisions for consumers with a policy.
/// Used by the main thread only.
pub(super) struct BatchDispatch {
    pub(super) core: Rc<DeliveryCore>,
    pub(super) consumers: Rc<Consumers>,
    pub(super) refusals: Rc<Refusals>,
    pub(super) sync_calls: Rc<SyncCalls>,
}

impl BatchDispatch {
    /// Gives a batch to its callback: a sync one here and now, an async one on a worker.
    pub(super) fn deliver(
        &self,
        streams: &dyn Streams,
        sub: SubscriptionKey,
        consumer: ConsumerKey,
        mut batch: Batch,
        deadline: Deadline,
    ) {
        let number = batch.number;
        let give_back = || {
            self.core.on(Event::Returned {
                sub,
                batch: number,
                yields: true,
            });
        };
        let place = self.core.inspect(|delivery| delivery.stream_of(sub));
        let Some((db, stream)) = place else {
            return;
        };
        let Some(binding) = self.consumers.binding(consumer, db) else {
            return give_back();
        };
        if self.refusals.is_full(streams) {
            self.sync_calls.stall(sub);
            return give_back();
        }
        if !self.consumers.authorize(streams, sub, &binding, &stream) {
            return give_back();
        }
        if batch.is_redelivery {
            self.remove_deleted(streams, sub, db, &stream, &mut batch);
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
            let window = self.core.inspect(|delivery| delivery.prefetch_window(sub));
            binding.executor.send_batch(call, window);
            return;
        }
        let patience = deadline.latest.saturating_duration_since(self.core.now());
        if patience.is_zero() {
            // Scripts have held up this iteration for long enough.
            self.sync_calls.stall(sub);
            return give_back();
        }
        let ran = self
            .sync_calls
            .run(streams, sub, &binding, patience, |library, server| {
                self.run(library, server, db, &call);
            });
        if !ran {
            // It may have been waited for.
            self.core.look();
            give_back();
        }
    }

    /// Takes those entries out of a batch that were deleted since it was put together: they hold
    /// nothing up.
    fn remove_deleted(
        &self,
        streams: &dyn Streams,
        sub: SubscriptionKey,
        db: i32,
        stream: &[u8],
        batch: &mut Batch,
    ) {
        let mut ids = batch.items.iter().map(Item::id);
        let gone = streams.missing(db, stream, &mut ids);
        if gone.is_empty() {
            return;
        }
        batch
            .items
            .retain(|item| gone.binary_search(&item.id()).is_err());
        self.core.on(Event::Gone {
            sub,
            batch: batch.number,
            ids: gone,
        });
    }

    fn run(&self, library: &EnteredLibrary<'_>, server: &dyn Server, db: i32, call: &BatchTask) {
        if let Some(first) = call.batch.items.first() {
            let name = &call.stream;
            self.sync_calls.begin(KeyRef { db, name }, first.id());
        }
        let mut completions = Vec::new();
        library.enter(server, |run| {
            run.run_batch(call);
            run.with_completions(|news| completions.append(news));
        });
        // A pause begins with the failure, not with the tick.
        self.core.set_time();
        self.core.tell(&mut completions);
    }
}
