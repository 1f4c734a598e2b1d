//! Both ends of the stream of commands to replicas and append-only file: what is sent into it, and
//! what is taken from it.

use std::borrow::Cow;

use thiserror::Error;

use super::command::{DecodeError, ReplicatedCommand};
use crate::dispatcher::Dispatcher;
use crate::library::{KeyEvents, Libraries};
use gears_core::cluster::libraries::Ledger;
use gears_core::delivery::{Event, KeyRef};
use gears_core::snapshot::Paused;

/// Where a replicated command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PropagationTarget {
    /// To the append-only file and to the replicas.
    All,
    /// To the append-only file alone.
    LogOnly,
}

/// What replication needs of the server.
pub(crate) trait ReplicationLink: KeyEvents {
    /// Sends a command, in the selected database: as one with what else is written now.
    fn send(&self, command: &ReplicatedCommand<'_>, target: PropagationTarget);

    /// Sends the command at hand on as it came.
    fn pass_on(&self);

    /// Whether the command at hand comes from the primary, or from the append-only file.
    fn is_replicated(&self) -> bool;

    /// The selected database.
    fn db(&self) -> i32;
}

/// Why a command that was to be taken is not.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// A client sent it.
    #[error(
        "ERR _RG_INTERNALS is the module's own: it is only taken from the primary and from the append-only file"
    )]
    FromClient,
    /// It is no command of the module's.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// Sends a library as it is now. What its consumers have done so far is known where it goes.
pub(crate) fn send_library(link: &dyn ReplicationLink, libraries: &Libraries, name: &str) {
    if let Some(snapshot) = libraries.snapshot(name) {
        let command = ReplicatedCommand::Library(Cow::Owned(snapshot));
        link.send(&command, PropagationTarget::All);
    }
}

/// Sends the deletion of a library.
pub(crate) fn send_deletion(link: &dyn ReplicationLink, library: &str) {
    let library = library.as_bytes();
    let command = ReplicatedCommand::Deletion { library };
    link.send(&command, PropagationTarget::All);
}

/// Sends the stamps of all libraries of the cluster.
pub(crate) fn send_ledger(link: &dyn ReplicationLink, ledger: &Ledger) {
    let command = ReplicatedCommand::Ledger(Cow::Borrowed(ledger));
    link.send(&command, PropagationTarget::All);
}

/// Sends the stamps of some libraries, behind these.
pub(crate) fn send_stamps(link: &dyn ReplicationLink, stamps: &Ledger) {
    let command = ReplicatedCommand::Stamps(Cow::Borrowed(stamps));
    link.send(&command, PropagationTarget::All);
}

/// Sends whether a function or trigger is paused.
pub(crate) fn send_pause(
    link: &dyn ReplicationLink,
    library: &str,
    what: &Paused,
    is_paused: bool,
) {
    let command = ReplicatedCommand::Pause {
        library: library.as_bytes(),
        what: what.clone(),
        is_paused,
    };
    link.send(&command, PropagationTarget::All);
}

/// Takes a command of the primary or the append-only file, and passes it on.
///
/// # Errors
/// Why it is not taken; nothing has changed then.
pub(crate) fn take(
    link: &dyn ReplicationLink,
    libraries: &Libraries,
    dispatcher: &Dispatcher,
    arguments: &[&[u8]],
) -> Result<(), NotTaken> {
    if !link.is_replicated() {
        return Err(NotTaken::FromClient);
    }
    let command = ReplicatedCommand::decode(arguments).inspect_err(|error| {
        log::error!("what came from the primary or the append-only file is wrong: {error}");
    })?;
    apply(link, libraries, dispatcher, &command);
    link.pass_on();
    Ok(())
}

/// Makes things as a command says that they are. A consumer that is not known has its library come
/// later: an append-only file without a preamble has the libraries behind what happened while its
/// rewrite began.
fn apply(
    link: &dyn ReplicationLink,
    libraries: &Libraries,
    dispatcher: &Dispatcher,
    command: &ReplicatedCommand<'_>,
) {
    match command {
        ReplicatedCommand::Library(snapshot) => libraries.restore(link, snapshot),
        ReplicatedCommand::Ledger(ledger) => libraries.take_ledger(Ledger::clone(ledger)),
        ReplicatedCommand::Stamps(stamps) => libraries.take_stamps(Ledger::clone(stamps)),
        ReplicatedCommand::Deletion { library } => {
            if let Ok(name) = std::str::from_utf8(library) {
                libraries.delete(name);
            }
        }
        ReplicatedCommand::Cursor {
            library,
            consumer,
            stream,
            checkpoint,
        } => {
            if let Some(consumer) = libraries.consumer(library, consumer) {
                dispatcher.on(Event::Resumed {
                    consumer,
                    key: KeyRef {
                        db: link.db(),
                        name: stream,
                    },
                    checkpoint,
                });
            }
        }
        ReplicatedCommand::ConsumerState {
            library,
            consumer,
            delivery_state,
        } => {
            if let Some(consumer) = libraries.consumer(library, consumer) {
                dispatcher.consumers.set_state(consumer, delivery_state);
            }
        }
        ReplicatedCommand::Pause {
            library,
            what,
            is_paused,
        } => {
            if let Ok(name) = std::str::from_utf8(library) {
                libraries.set_paused(name, what, *is_paused);
            }
        }
    }
}
