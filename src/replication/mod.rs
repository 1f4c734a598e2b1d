//! What the module tells itself, on replicas and after a restart.

mod command;

/// Where a replicated command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PropagationTarget {
    /// To the append-only file and to the replicas.
    All,
    /// To the append-only file alone.
    LogOnly,
}

pub(crate) use command::{COMMAND, CURSOR, DELETE, HOLD, LIBRARY, ReplicatedCommand, WRITES};
