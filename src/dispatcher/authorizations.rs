//! Whether owners may have the streams that their consumers ask for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hashbrown::HashSet;

use gears_core::delivery::{Event, SubscriptionKey};

use super::bindings::ConsumerBinding;
use super::blocked_log::BlockedLog;
use super::delivery_core::DeliveryCore;
use super::stream_access::Streams;

/// How long a consumer waits that was refused its stream, before it is tried again.
const REFUSED: Duration = Duration::from_millis(200);

/// How many are tried again in one event-loop iteration.
const AT_ONCE: usize = 4096;

/// What is known of that. Used by the main thread only.
#[derive(Default)]
pub(super) struct Authorizations {
    /// Subscriptions whose owner may have the stream, as of this event-loop iteration.
    authorized: RefCell<HashSet<SubscriptionKey>>,
    /// Subscriptions whose owner may not have the stream.
    refused: RefCell<HashSet<SubscriptionKey>>,
    /// The same, the one first that is tried again first, and when.
    again: RefCell<VecDeque<(SubscriptionKey, Instant)>>,
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
        if self.refused.borrow_mut().insert(sub) {
            let again = Instant::now() + REFUSED;
            self.again.borrow_mut().push_back((sub, again));
        }
        false
    }

    /// Has those tried again that have waited for long enough.
    pub(super) fn retry(&self, core: &DeliveryCore, log: &BlockedLog) {
        if log.is_empty() && self.again.borrow().is_empty() {
            return;
        }
        let now = Instant::now();
        let mut again = self.again.borrow_mut();
        let mut tried = 0;
        while tried < AT_ONCE
            && let Some((sub, until)) = again.front().copied()
            && until <= now
        {
            tried += 1;
            again.pop_front();
            self.refused.borrow_mut().remove(&sub);
            core.on(Event::Yielded(sub));
        }
        log.end(core);
    }

    /// Has everybody asked anew: rights may be others.
    pub(super) fn forget(&self) {
        self.authorized.borrow_mut().clear();
    }
}
