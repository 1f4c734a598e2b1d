//! What carrying out decisions of the delivery core needs of the server.

use std::sync::Arc;

use gears_core::delivery::{
    DeadLetter, DeadLetterDeletion, DeliveryState, EntryId, FoundLetter, LetterRequest, Progress,
    ReadRequest, RecordBatch, Refusal, Trim,
};
use gears_v8::ports::{Credentials, Server};

/// Access to the server's streams. All calls may come back with events before they return.
pub(crate) trait Streams {
    /// Whether a user may have the entries of a stream, and `trims` it.
    ///
    /// # Errors
    /// With what the user lacks.
    fn authorize(
        &self,
        credentials: &Credentials,
        stream: &[u8],
        trims: bool,
    ) -> Result<(), String>;

    /// Why the server refuses what clients write, if it does.
    fn refusal(&self) -> Option<Refusal>;

    /// Whether blocks of workers wait until they may write.
    fn blocks_wait(&self) -> bool;

    /// Whether it refuses that for want of memory.
    fn is_full(&self) -> bool;

    /// Runs `work` with the server as it is to that user, its lock being held. Whether commands
    /// were run.
    fn act(&self, credentials: &Credentials, work: &mut dyn FnMut(&dyn Server)) -> bool;

    /// Reads entries; the second value says whether the stream holds nothing behind them. A key
    /// that is not there, or no stream, has no entries.
    fn read(&self, request: &ReadRequest) -> (RecordBatch, bool);

    /// Which entries of a stream are not there any more, in the order given.
    fn missing(
        &self,
        db: i32,
        stream: &[u8],
        ids: &mut dyn Iterator<Item = EntryId>,
    ) -> Vec<EntryId>;

    /// The ID that so many entries of a stream are behind: 0-0 where there are no more.
    fn last(&self, request: &ReadRequest, skip: u64) -> EntryId;

    /// Puts a consumer's progress committed, in the append-only file and on the replicas: as one
    /// with what is written in the same tick.
    fn record(&self, consumer: &ConsumerName, progress: &Progress);

    /// Puts committed why nothing is dispatched of any of a consumer's streams.
    fn commit_consumer_state(&self, consumer: &ConsumerName, delivery_state: &DeliveryState);

    /// Writes a dead letter, here and on the replicas, as one with the progress of the same tick.
    ///
    /// # Errors
    /// With what the server says against it.
    fn write_dead_letter(
        &self,
        credentials: &Credentials,
        consumer: &ConsumerName,
        dead_letter: &DeadLetter,
    ) -> Result<(), String>;

    /// Reads dead letters of a consumer: how many were looked for, from the first on, at least one;
    /// and those of them that are there.
    fn read_letters(
        &self,
        consumer: &ConsumerName,
        request: &LetterRequest,
    ) -> (usize, Vec<FoundLetter>);

    /// Deletes dead letters, here and on the replicas.
    fn delete_dead_letters(&self, credentials: &Credentials, deletions: &DeadLetterDeletion);

    /// Trims a stream, here and on the replicas.
    fn trim(&self, trim: &Trim);
}

/// What a consumer is called outside of the delivery core.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerName {
    /// Its library.
    pub library: Arc<str>,
    /// Its name there.
    pub consumer: Arc<str>,
}
