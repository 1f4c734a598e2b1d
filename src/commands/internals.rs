//! `_RG_INTERNALS`: what the module tells itself, on replicas and after a restart.
//!
//! Taken from the primary and from the append-only file alone: see [`crate::replication`].

use std::borrow::Cow;

use crate::app::App;
use crate::library;
use crate::replication::{PropagationTarget, ReplicatedCommand};
use crate::server::Context;
use gears_core::delivery::{ConsumerKey, Event, KeyRef};
use gears_core::snapshot::LibrarySnapshot;
use gears_v8::ports::Reply;

const NOT_FOR_CLIENTS: &str = "ERR _RG_INTERNALS is the module's own: it is only taken from the primary and from the append-only file";

/// Sends a library.
pub(crate) fn send_library(context: &Context, dump: &LibrarySnapshot, target: PropagationTarget) {
    let command = ReplicatedCommand::Library(Cow::Borrowed(dump));
    context.replicate(&command, target);
}

/// Sends the deletion of a library.
pub(super) fn send_deletion(context: &Context, library: &[u8]) {
    let command = ReplicatedCommand::Deletion { library };
    context.replicate(&command, PropagationTarget::All);
}

pub(super) fn take(app: &App, context: &Context, words: &[&[u8]]) -> Reply {
    if !context.is_replicated() {
        return Reply::error(NOT_FOR_CLIENTS);
    }
    match ReplicatedCommand::decode(words) {
        Ok(command) => {
            apply(app, context, command);
            context.replicate_verbatim();
            Reply::OK
        }
        Err(error) => {
            log::error!("what came from the primary or the append-only file is wrong: {error}");
            Reply::error(error.to_string())
        }
    }
}

fn apply(app: &App, context: &Context, command: ReplicatedCommand<'_>) {
    match command {
        ReplicatedCommand::Library(snapshot) => app.restore(context, &snapshot),
        ReplicatedCommand::Deletion { library } => {
            if let Ok(name) = std::str::from_utf8(library) {
                library::delete(&mut app.registry.borrow_mut(), &app.dispatcher, name);
            }
        }
        ReplicatedCommand::Cursor {
            library,
            consumer,
            stream,
            checkpoint,
        } => {
            if let Some(consumer) = find(app, library, consumer) {
                app.dispatcher.on(Event::Resumed {
                    consumer,
                    key: KeyRef {
                        db: context.db(),
                        name: stream,
                    },
                    checkpoint: &checkpoint,
                });
            }
        }
        ReplicatedCommand::ConsumerState {
            library,
            consumer,
            delivery_state,
        } => {
            if let Some(consumer) = find(app, library, consumer) {
                app.dispatcher.set_consumer_state(consumer, &delivery_state);
            }
        }
    }
}

/// A consumer by its names. Where it is not known, its library comes later: an append-only file
/// without a preamble has the libraries behind what happened while its rewrite began.
fn find(app: &App, library: &[u8], consumer: &[u8]) -> Option<ConsumerKey> {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let registry = app.registry.borrow();
    let library = registry.get(text(library)?)?;
    Some(library.consumers.get(text(consumer)?)?.key)
}

/// `writes`: the server is asked whether it would let it through.
pub(super) fn writes(_app: &App, _context: &Context, _words: &[&[u8]]) -> Reply {
    Reply::OK
}
