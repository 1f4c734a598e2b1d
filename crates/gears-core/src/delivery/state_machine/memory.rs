//! How much memory the streams take that are tracked.

use super::super::subscription::Subscription;
use super::super::{StreamKey, SubscriptionKey};
use super::{Delivery, TrackedStream};

/// Bytes of a subscription: its slot and its place in the consumer's list.
const SUBSCRIPTION: usize = size_of::<Subscription>() + SLOT + size_of::<(u64, SubscriptionKey)>();
/// Bytes of a stream but for its name: its slot, its place in the index of names, which is on an
/// average three quarters full and has a byte for each place, and what the name is counted with.
const STREAM: usize = size_of::<TrackedStream>()
    + SLOT
    + (size_of::<StreamKey>() + 1) * 4 / 3
    + 2 * size_of::<usize>();
/// What a slot has beside its value.
const SLOT: usize = size_of::<u64>();

impl Delivery {
    /// Bytes that the streams take which consumers know: what each takes at rest. What is with
    /// callbacks, waits for them or is being put off comes and goes, and is not counted.
    #[must_use]
    pub fn streams_bytes(&self) -> usize {
        let of_names = self.names.bytes();
        self.subs.len() * SUBSCRIPTION + self.streams.len() * STREAM + of_names
    }
}
