//! Calls of async callbacks that have not ended for so long that they may never do.
//!
//! Nothing is noted of a call for that: all that are pending are looked at now and then.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gears_core::delivery::StalledCall;

use super::bindings::Bindings;
use super::blocked_log::BlockedLog;
use super::delivery_core::DeliveryCore;
use crate::executor::LibraryExecutor;

/// How often they are looked at, for so many pending calls; more rarely where there are more.
const LOOK: Duration = Duration::from_secs(1);
const LOOKED_AT: usize = 20_000;

/// When calls are looked at, and whether any was found. Used by the main thread only.
#[derive(Default)]
pub(super) struct Stalls {
    due: Cell<Option<Instant>>,
    are_noted: Cell<bool>,
}

impl Stalls {
    /// Tells the core which calls began longer than `after` ago, and the log of what is blocked since;
    /// without that time there are none. Cheap enough for every tick.
    pub(super) fn look<'a>(
        &self,
        (core, bindings, log): (&DeliveryCore, &Bindings, &BlockedLog),
        executors: impl Iterator<Item = &'a Arc<LibraryExecutor>>,
        after: Option<Duration>,
    ) {
        let now = Instant::now();
        if self.due.get().is_some_and(|due| now < due) {
            return;
        }
        let mut calls = Vec::new();
        let mut looked_at = 0;
        if let Some(before) = after.and_then(|after| now.checked_sub(after)) {
            for executor in executors {
                let (stalled, pending) = executor.stalled(before);
                looked_at += pending;
                calls.extend(stalled.into_iter().map(|(sub, id, since)| StalledCall {
                    sub,
                    id,
                    since_ms: core.wall_ms(since),
                }));
            }
        }
        let times = u32::try_from(1 + looked_at / LOOKED_AT).unwrap_or(u32::MAX);
        self.due.set(Some(now + LOOK.saturating_mul(times)));
        let are_any = !calls.is_empty();
        if !are_any && !self.are_noted.get() {
            return;
        }
        self.are_noted.set(are_any);
        calls.sort_unstable_by_key(|call| call.since_ms);
        core.set_time();
        let new = core.update(|delivery| delivery.set_stalled(&calls));
        for call in new {
            let found = core.inspect(|delivery| {
                let consumer = delivery.consumer_of(call.sub)?;
                Some((consumer, delivery.stream_of(call.sub)?.1))
            });
            let Some((consumer, stream)) = found else {
                continue;
            };
            let Some(name) = bindings.name(consumer) else {
                continue;
            };
            let seconds = core.time().saturating_sub(call.since_ms) / 1000;
            let why = format_args!(
                ": its callback has not settled for {seconds} s with entry {}",
                call.id
            );
            log.begin(core, call.sub, &name, &stream, why);
        }
    }
}
