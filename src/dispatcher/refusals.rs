//! Whether the server takes what callbacks write. While it does not, none is called that may.

use std::cell::Cell;
use std::rc::Rc;

use gears_core::delivery::{Event, Refusal};

use super::delivery_core::DeliveryCore;
use super::stream_access::Streams;

/// Milliseconds after which the server is asked again, at the latest.
const AGAIN_MS: u64 = 100;

/// Whether the server refuses what callbacks write; asked once per event-loop iteration at most.
/// Used by the main thread only.
pub(super) struct Refusals {
    core: Rc<DeliveryCore>,
    /// Whether it is known of this event-loop iteration.
    asked: Cell<bool>,
}

impl Refusals {
    pub(super) fn new(core: Rc<DeliveryCore>) -> Self {
        Self {
            core,
            asked: Cell::default(),
        }
    }

    /// Asks the server, once in an event-loop iteration, where it matters. `has_calls`: triggers or
    /// hooks wait for their call.
    pub(super) fn ask(&self, streams: &dyn Streams, has_calls: bool) {
        let wants = self.core.inspect(|delivery| {
            let wants = has_calls || delivery.wants_to_write();
            // Where all is with workers, it is they who find out.
            let waits = delivery.refusal().is_some() || streams.blocks_wait();
            wants || waits
        });
        if wants && !self.asked.replace(true) {
            self.note(streams.refusal());
        }
    }

    /// Has the server asked anew.
    pub(super) fn forget(&self) {
        self.asked.set(false);
    }

    fn note(&self, refusal: Option<Refusal>) {
        let is_new = self
            .core
            .inspect(|delivery| delivery.refusal() != refusal.as_ref());
        if is_new {
            match &refusal {
                Some(Refusal { error, .. }) => {
                    log::warn!("callbacks that may write wait, since the server refuses: {error}");
                }
                None => log::warn!("callbacks go on: the server takes writes again"),
            }
            self.core.on(Event::WritesRefused(refusal));
        }
    }

    /// Whether triggers and hooks may be called: they are not redelivered. Without memory they run:
    /// only what needs some is refused.
    pub(super) fn may_call(&self) -> bool {
        self.core.inspect(|delivery| {
            let refusal = delivery.refusal();
            refusal.is_none_or(|refusal| refusal.may_trim)
        })
    }

    /// When the server is to be asked again, in Unix milliseconds, if it refused when it was asked
    /// last.
    pub(super) fn next_time(&self) -> Option<u64> {
        let is_refused = self.core.inspect(|delivery| delivery.refusal().is_some());
        is_refused.then(|| self.core.time() + AGAIN_MS)
    }

    /// Whether there is no memory any more for what callbacks write.
    pub(super) fn is_full(&self, streams: &dyn Streams) -> bool {
        let is_full = streams.is_full();
        if is_full {
            self.note(streams.refusal());
        }
        is_full
    }
}
