//! How much memory the streams take that are tracked.

use super::super::StreamKey;
use super::super::shrink::shrink;
use super::super::subscription::Subscription;
use super::super::subscriptions::Subscriptions;
use super::super::tracked::TrackedStreams;
use super::Delivery;

/// Bytes of a subscription that is packed: that, and its place in the consumer's list.
const SUBSCRIPTION: usize = Subscriptions::BYTES + size_of::<u32>();
/// Bytes of a stream but for its name: its slot, its place in the index of names, which is on an
/// average three quarters full and has a byte for each place, and what the name is counted with.
const STREAM: usize =
    TrackedStreams::BYTES + (size_of::<StreamKey>() + 1) * 4 / 3 + 2 * size_of::<usize>();

impl Delivery {
    /// Bytes that the streams take which consumers know: what each takes at rest, and those that
    /// were in use last beside that. What is with callbacks, waits for them or is being put off
    /// comes and goes, and is not counted.
    #[must_use]
    pub fn streams_bytes(&self) -> usize {
        let whole = self.subs.whole_count() * size_of::<Subscription>();
        let of_names = self.names.bytes();
        self.subs.len() * SUBSCRIPTION + whole + self.streams.len() * STREAM + of_names
    }

    /// Gives back memory that much work at once took, a little at a time.
    pub(super) fn give_back(&mut self) {
        self.note_standings_in_time();
        for list in [&mut self.ready, &mut self.progress] {
            shrink(list);
        }
        shrink(&mut self.trims);
        shrink(&mut self.control_messages);
        self.subs.give_back();
    }

    /// Puts away what is not in use, as it otherwise is after a while.
    pub fn pack(&mut self) {
        self.note_standings();
        self.subs.pack_all();
    }
}
