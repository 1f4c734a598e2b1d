//! Lines of the log about consumers that are blocked: one when that begins, however many streams it
//! concerns, and one when it is over.

use std::cell::RefCell;
use std::fmt::Arguments;

use hashbrown::HashMap;

use gears_core::delivery::{ConsumerKey, SubscriptionKey};

use super::delivery_core::DeliveryCore;
use super::stream_access::ConsumerName;

/// The consumers of which the log says that they are blocked, and what they are called there.
/// Used by the main thread only.
#[derive(Default)]
pub(super) struct BlockedLog(RefCell<HashMap<ConsumerKey, String>>);

impl BlockedLog {
    /// Whether it says that of none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// A stream of a consumer is blocked. `why` goes on behind the stream's name.
    pub(super) fn begin(
        &self,
        core: &DeliveryCore,
        sub: SubscriptionKey,
        name: &ConsumerName,
        stream: &[u8],
        why: Arguments<'_>,
    ) {
        let Some(consumer) = core.inspect(|delivery| delivery.consumer_of(sub)) else {
            return;
        };
        self.0.borrow_mut().entry(consumer).or_insert_with(|| {
            let ConsumerName { library, consumer } = name;
            let name = format!("{library}/{consumer}");
            let stream = stream.escape_ascii();
            log::warn!("[{name}] is blocked at stream '{stream}'{why}");
            name
        });
    }

    /// Says what consumers are blocked no more.
    pub(super) fn end(&self, core: &DeliveryCore) {
        self.0.borrow_mut().retain(|consumer, name| {
            let is_blocked = core.inspect(|delivery| delivery.is_any_blocked(*consumer));
            let is_there = core.inspect(|delivery| delivery.spec(*consumer).is_some());
            if !is_blocked && is_there {
                log::warn!("[{name}] is not blocked any more");
            }
            is_blocked
        });
    }
}
