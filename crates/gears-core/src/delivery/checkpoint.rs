//! What outlives the process of a cursor.

use super::delivery_state::DeliveryState;
use super::id::EntryId;

/// What is kept of a cursor: enough to go on without leaving out an entry, and to dispatch no
/// entry again that is known to be finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Every entry up to this one is finished, but for those that are pending.
    pub position: EntryId,
    /// IDs up to the position that are not finished, ascending.
    pub pending: Vec<EntryId>,
    /// What keeps it from going on, and what was tried.
    pub delivery_state: DeliveryState,
}
