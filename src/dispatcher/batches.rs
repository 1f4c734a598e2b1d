//! Consumers with a policy: batches to their callbacks.

use std::rc::Rc;

use gears_core::delivery::{
    Batch, ConsumerKey, Event, Item, KeyRef, LetterRequest, Mode, SubscriptionKey,
};
use gears_v8::ports::Server;

use super::consumers::Consumers;
use super::deadline::Deadline;
use super::delivery_core::DeliveryCore;
use super::refusals::Refusals;
use super::stream_access::Streams;
use super::sync_calls::SyncCalls;
use crate::executor::{BatchTask, EnteredLibrary, PrefetchedBatches};

/// Carries out the core's decisions for consumers with a policy.
/// Used by the main thread only.
pub(super) struct BatchDispatch {
    pub(super) core: Rc<DeliveryCore>,
    pub(super) consumers: Rc<Consumers>,
    pub(super) refusals: Rc<Refusals>,
    pub(super) sync_calls: Rc<SyncCalls>,
}

impl BatchDispatch {
    /// Gives a batch to its callback: a sync one here and now; an async one on a worker, together with
    /// those that can go there now.
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
        if binding.target.mode == Mode::Async {
            let mut batches = vec![batch];
            self.core
                .update(|delivery| delivery.add_batches(sub, &mut batches));
            batches.retain_mut(|batch| self.is_left(streams, sub, db, &stream, batch));
            let window = self.core.inspect(|delivery| delivery.prefetch_window(sub));
            binding.executor.send_batches(PrefetchedBatches {
                sub,
                target: &binding.target,
                as_batch: binding.as_batch,
                timeout_ms: binding.timeout_ms,
                stream: &stream,
                background: &binding.credentials,
                window,
                batches,
            });
            return;
        }
        if !self.is_left(streams, sub, db, &stream, &mut batch) {
            return;
        }
        let call = BatchTask {
            sub,
            batch,
            target: binding.target.clone(),
            as_batch: binding.as_batch,
            timeout_ms: binding.timeout_ms,
            stream,
            background: None,
        };
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

    /// Reads dead letters that are redriven.
    pub(super) fn read_letters(&self, streams: &dyn Streams, request: &LetterRequest) {
        let name = self.consumers.name(request.consumer);
        let (looked_for, found) = match name {
            Some(name) => streams.read_letters(&name, request),
            None => (request.letters.len(), Vec::new()),
        };
        self.core.on(Event::LettersRead {
            sub: request.sub,
            looked_for,
            found,
        });
    }

    /// Takes those entries out of a batch that were deleted since it was put together: they hold
    /// nothing up. Gives whether any are left.
    fn is_left(
        &self,
        streams: &dyn Streams,
        sub: SubscriptionKey,
        db: i32,
        stream: &[u8],
        batch: &mut Batch,
    ) -> bool {
        if !batch.is_redelivery {
            return true;
        }
        let mut ids = batch.items.iter().map(Item::id);
        let gone = streams.missing(db, stream, &mut ids);
        if gone.is_empty() {
            return true;
        }
        batch
            .items
            .retain(|item| gone.binary_search(&item.id()).is_err());
        self.core.on(Event::Gone {
            sub,
            batch: batch.number,
            ids: gone,
        });
        !batch.items.is_empty()
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
