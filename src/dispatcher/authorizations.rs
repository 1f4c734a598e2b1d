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

/// How long a consumer waits that was refused its stream, before it is tried again: at least so long,
const REFUSED: Duration = Duration::from_millis(200);
/// and so long for each stream that is refused, so that very many of them take a tenth of the time at most.
const REFUSED_EACH: Duration = Duration::from_micros(50);

/// How many are tried again in one event-loop iteration: about a millisecond's worth.
const AT_ONCE: usize = 256;

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
            let mut again = self.again.borrow_mut();
            let until = Instant::now() + pause(again.len());
            again.push_back((sub, until));
        }
        false
    }

    /// Has those tried again that have waited for long enough, as many as go at once; whether there are more.
    pub(super) fn retry(&self, core: &DeliveryCore, log: &BlockedLog) -> bool {
        if log.is_empty() && self.again.borrow().is_empty() {
            return false;
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
        again.front().is_some_and(|(_, until)| *until <= now)
    }

    /// Has everybody asked anew: rights may be others.
    pub(super) fn forget(&self) {
        self.authorized.borrow_mut().clear();
    }
}

/// How long a stream waits that is refused while so many others are.
fn pause(others: usize) -> Duration {
    let others = u32::try_from(others).unwrap_or(u32::MAX);
    REFUSED.max(REFUSED_EACH.saturating_mul(others))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_tried_again_soon_and_very_many_take_longer() {
        assert_eq!(pause(0), REFUSED);
        assert_eq!(pause(4000), REFUSED);
        assert_eq!(pause(200_000), Duration::from_secs(10));
    }
}
