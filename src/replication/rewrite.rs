//! Libraries in an append-only file that is written anew as commands.
//!
//! Such a file has no place for them. They go into the one that the server begins beside it, which
//! is read behind it: at once, before anything else is, so that they are there whenever the new
//! file counts. The child may have ended by then, if the data set is small, and the new file counts
//! already.

use std::borrow::Cow;
use std::cell::Cell;

use super::command::ReplicatedCommand;
use super::link::{PropagationTarget, ReplicationLink};
use crate::library::Libraries;

/// Whether a child was forked to write the append-only file anew as commands, and the libraries are
/// not in the file started beside it yet.
#[derive(Default)]
pub(crate) struct Rewrite(Cell<bool>);

impl Rewrite {
    /// The child was forked.
    pub(crate) fn begin(&self) {
        self.0.set(true);
    }

    /// Writes all libraries with their checkpoints, if they are due. Not to be called while writes
    /// have to wait.
    pub(crate) fn complete(&self, link: &dyn ReplicationLink, libraries: &Libraries) {
        if !self.0.take() {
            return;
        }
        for snapshot in libraries.snapshots() {
            let command = ReplicatedCommand::Library(Cow::Owned(snapshot));
            link.send(&command, PropagationTarget::LogOnly);
        }
        if let Some(ledger) = libraries.ledger() {
            let command = ReplicatedCommand::Ledger(Cow::Owned(ledger));
            link.send(&command, PropagationTarget::LogOnly);
        }
    }
}
