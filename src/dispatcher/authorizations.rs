//! Whether owners may have the streams that their consumers ask for.

use std::cell::RefCell;

use hashbrown::HashSet;

use gears_core::delivery::{ConsumerKey, Event, Retries, SubscriptionKey};

use super::bindings::ConsumerBinding;
use super::blocked_log::BlockedLog;
use super::delivery_core::DeliveryCore;
use super::stream_access::Streams;

/// How many are tried again in one event-loop iteration: about a millisecond's worth.
const AT_ONCE: usize = 256;

/// What is known of that. Used by the main thread only.
#[derive(Default)]
pub(super) struct Authorizations {
    /// Subscriptions whose owner may have the stream, as of this event-loop iteration.
    authorized: RefCell<HashSet<SubscriptionKey>>,
    /// Subscriptions whose owner may not have the stream.
    refused: RefCell<Retries<ConsumerKey, SubscriptionKey>>,
}

impl Authorizations {
    /// Whether the owner may have the stream. Where not, it is tried again a little later: nothing
    /// is lost.
    pub(super) fn check(
        &self,
        (core, log): (&DeliveryCore, &BlockedLog),
        streams: &dyn Streams,
        sub: SubscriptionKey,
        binding: &ConsumerBinding,
        stream: &[u8],
    ) -> bool {
        if self.authorized.borrow().contains(&sub) {
            return true;
        }
        let Err(error) = streams.authorize(&binding.credentials, stream, binding.trims) else {
            self.authorized.borrow_mut().insert(sub);
            if !log.is_empty() {
                core.on(Event::Authorized(sub));
            }
            return true;
        };
        let why = format_args!(", and tries again: {error}");
        log.begin(core, sub, &binding.name, stream, why);
        core.on(Event::Refused {
            sub,
            error: error.into(),
        });
        if let Some(consumer) = core.inspect(|delivery| delivery.consumer_of(sub)) {
            let mut refused = self.refused.borrow_mut();
            refused.refused(core.time(), consumer, sub);
        }
        false
    }

    /// Has those tried again that have waited for long enough, as many as go at once; whether there are more.
    pub(super) fn retry(&self, core: &DeliveryCore, log: &BlockedLog) -> bool {
        let mut refused = self.refused.borrow_mut();
        if log.is_empty() && refused.is_empty() {
            return false;
        }
        let now = core.time();
        for _ in 0..AT_ONCE {
            let Some(sub) = refused.next_due(now) else {
                break;
            };
            core.on(Event::Yielded(sub));
        }
        log.end(core);
        refused.is_any_due(now)
    }

    /// Has everybody asked anew: rights may be others.
    pub(super) fn forget(&self) {
        self.authorized.borrow_mut().clear();
    }
}
