//! Whether owners may have the streams that their consumers ask for.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use hashbrown::HashSet;

use gears_core::delivery::{Event, SubscriptionKey};

use super::bindings::ConsumerBinding;
use super::delivery_core::DeliveryCore;
use super::stream_access::Streams;

/// How long a consumer waits that was refused its stream, before it is tried again.
const REFUSED: Duration = Duration::from_millis(200);

/// What is known of that. Used by the main thread only.
#[derive(Default)]
pub(super) struct Authorizations {
    /// Subscriptions whose owner may have the stream, as of this event-loop iteration.
    authorized: RefCell<HashSet<SubscriptionKey>>,
    /// Subscriptions whose owner may not have the stream, and when to try again.
    refused: RefCell<Vec<(SubscriptionKey, Instant)>>,
}

impl Authorizations {
    /// Whether the owner may have the stream. Where not, it is tried again a little later: nothing
    /// is lost.
    pub(super) fn check(
        &self,
        core: &DeliveryCore,
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
            return true;
        };
        core.on(Event::Refused {
            sub,
            error: error.into(),
        });
        let mut refused = self.refused.borrow_mut();
        let again = Instant::now() + REFUSED;
        match refused.iter_mut().find(|(other, _)| *other == sub) {
            Some((_, until)) => *until = again,
            None => refused.push((sub, again)),
        }
        false
    }

    /// Has those tried again that have waited for long enough.
    pub(super) fn retry(&self, core: &DeliveryCore) {
        let mut refused = self.refused.borrow_mut();
        if refused.is_empty() {
            return;
        }
        let now = Instant::now();
        refused.retain(|(sub, until)| {
            let waits = now < *until;
            if !waits {
                core.on(Event::Yielded(*sub));
            }
            waits
        });
    }

    /// Has everybody asked anew: rights may be others.
    pub(super) fn forget(&self) {
        self.authorized.borrow_mut().clear();
    }
}
