//! Consumers without options: entries to their callbacks. Those of async ones are read ahead for
//! their worker; sync ones run here and now.

use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Instant;

use smallvec::SmallVec;

use gears_core::delivery::{
    ConsumerKey, EntryId, Event, KeyRef, Reach, ReadRequest, RecordBatch, SubscriptionKey,
};

use super::bindings::ConsumerBinding;
use super::consumers::Consumers;
use super::deadline::Deadline;
use super::delivery_core::DeliveryCore;
use super::refusals::Refusals;
use super::stream_access::Streams;
use super::sync_calls::SyncCalls;
use crate::executor::{PrefetchedRecords, RunContext};

/// Carries out the core's dispatches of streams: reads for workers, and runs sync callbacks.
/// Used by the main thread only.
pub(super) struct StreamDispatch {
    pub(super) core: Rc<DeliveryCore>,
    pub(super) consumers: Rc<Consumers>,
    pub(super) refusals: Rc<Refusals>,
    pub(super) sync_calls: Rc<SyncCalls>,
}

/// A stay in a library over entries of one subscription.
struct SyncRun<'a> {
    dispatch: &'a StreamDispatch,
    streams: &'a dyn Streams,
    sub: SubscriptionKey,
    binding: &'a ConsumerBinding,
    /// How many entries it has to get, and may get, unless time runs out.
    count: RangeInclusive<u64>,
    deadline: Deadline,
}

impl StreamDispatch {
    /// Finds out where a consumer begins with a stream.
    pub(super) fn answer_start_request(&self, streams: &dyn Streams, request: &ReadRequest) {
        if let Reach::Last(skip) = request.reach {
            let position = streams.last(request, skip);
            let sub = request.sub;
            self.core.on(Event::StartResolved { sub, position });
        }
    }

    /// Reads entries and tells the core. What is for a consumer with a policy stays there.
    fn read(&self, streams: &dyn Streams, request: &ReadRequest) -> RecordBatch {
        let sub = request.sub;
        let (batch, end) = streams.read(request);
        if request.batched {
            self.core.on(Event::Fetched { sub, batch, end });
            return RecordBatch::default();
        }
        let entries: SmallVec<[_; 1]> = batch.sizes().collect();
        self.core.on(Event::Read {
            sub,
            entries: &entries,
            end,
        });
        batch
    }

    /// Reads entries for an async callback and sends them to its worker.
    pub(super) fn read_ahead(&self, streams: &dyn Streams, request: &ReadRequest) {
        if let Reach::Last(_) = request.reach {
            // That needs neither code nor rights.
            self.answer_start_request(streams, request);
            return;
        }
        let sub = request.sub;
        let Some(binding) = self.consumers.binding(request.consumer, request.db) else {
            return;
        };
        if !self
            .consumers
            .authorize(streams, sub, &binding, &request.name)
        {
            return;
        }
        let batch = self.read(streams, request);
        // Reading may find the key expired, and the subscription gone with it.
        if batch.is_empty() || !self.core.inspect(|delivery| delivery.may_start(sub)) {
            return;
        }
        let window = self.core.inspect(|delivery| delivery.prefetch_window(sub));
        binding.executor.send_records(PrefetchedRecords {
            sub,
            target: &binding.target,
            stream: &request.name,
            background: Some(&binding.credentials),
            window,
            batch,
        });
    }

    /// Runs a sync callback over as many entries as it must get now, and over more while there is
    /// time.
    pub(super) fn run(
        &self,
        streams: &dyn Streams,
        sub: SubscriptionKey,
        consumer: ConsumerKey,
        count: RangeInclusive<u64>,
        deadline: Deadline,
    ) {
        let Some((db, name)) = self.core.inspect(|delivery| delivery.stream_of(sub)) else {
            return;
        };
        let Some(binding) = self.consumers.binding(consumer, db) else {
            return;
        };
        if !self.consumers.authorize(streams, sub, &binding, &name) {
            return;
        }
        let patience = if *count.start() > 0 {
            deadline.latest
        } else {
            deadline.end
        };
        let patience = patience.saturating_duration_since(self.core.now());
        let run = SyncRun {
            dispatch: self,
            streams,
            sub,
            binding: &binding,
            count,
            deadline,
        };
        let ran = self
            .sync_calls
            .run(streams, sub, &binding, patience, |library, server| {
                library.enter(server, |context| run.run(context));
            });
        if ran {
            self.core.on(Event::Yielded(sub));
        } else {
            // It may have been waited for.
            self.core.look();
        }
    }
}

impl SyncRun<'_> {
    fn run(&self, context: &mut RunContext<'_>) {
        let core = &self.dispatch.core;
        context.set_window(self.sub, self.prefetch_window());
        let mut started = 0;
        let mut now = core.now();
        let mut begin = |id| self.begin(id);
        while self.may_start_another(started, now) {
            let ran = context.run_entry(self.sub, now, &mut begin);
            let Some(after) = ran else {
                // Nothing waits, or the window is full.
                if !self.read_more(context) {
                    break;
                }
                now = core.look();
                continue;
            };
            now = after;
            core.note_now(now);
            started += 1;
            context.with_completions(|completions| core.tell(completions));
        }
    }

    fn may_start_another(&self, started: u64, now: Instant) -> bool {
        let StreamDispatch { core, refusals, .. } = self.dispatch;
        if !core.inspect(|delivery| delivery.has_next(self.sub)) || refusals.is_full(self.streams) {
            return false;
        }
        let is_enough = started >= *self.count.start() && now >= self.deadline.end;
        started < *self.count.end() && now < self.deadline.latest && !is_enough
    }

    fn begin(&self, id: EntryId) {
        let StreamDispatch {
            core, sync_calls, ..
        } = self.dispatch;
        let place = core.inspect(|delivery| delivery.stream_of(self.sub));
        if let Some((db, name)) = place {
            sync_calls.begin(KeyRef { db, name: &name }, id);
        }
    }

    /// Reads what comes next; false where there is nothing to be read.
    fn read_more(&self, context: &RunContext<'_>) -> bool {
        let core = &self.dispatch.core;
        let Some(request) = core.update(|delivery| delivery.read_request(self.sub)) else {
            return false;
        };
        let batch = self.dispatch.read(self.streams, &request);
        if batch.is_empty() {
            // That one is gone; there may be more.
            return matches!(request.reach, Reach::Only(_));
        }
        context.push_records(PrefetchedRecords {
            sub: self.sub,
            target: &self.binding.target,
            stream: &request.name,
            background: None,
            window: self.prefetch_window(),
            batch,
        });
        true
    }

    fn prefetch_window(&self) -> usize {
        let core = &self.dispatch.core;
        core.inspect(|delivery| delivery.prefetch_window(self.sub))
    }
}
