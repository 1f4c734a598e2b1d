//! `_RG_INTERNALS`: what the module tells itself, on replicas and after a restart.
//!
//! ```text
//! library dump                                        a library was loaded or upgraded
//! delete name                                         a library was deleted
//! cursor library consumer key position pending [hold] how far a consumer is in a stream
//! hold library consumer hold                          why nothing of any stream is dispatched
//! writes nothing                                      nothing: see below
//! ```
//!
//! Written by the module into the stream of commands to replicas and append-only file, and taken
//! from there alone. Each says how things are, not how they changed: it may come twice.
//!
//! `writes` is never sent. The server is asked whether it would let it through, as any command
//! that may write.

use crate::app::App;
use crate::library;
use crate::server::{Context, PropagationTarget};
use gears_core::delivery::{Checkpoint, ConsumerKey, DeliveryState, EntryId, Event, KeyRef};
use gears_core::snapshot::{LibrarySnapshot, decode_hold, decode_pending};
use gears_v8::ports::Reply;

use super::wrong_arity;

const NOT_FOR_CLIENTS: &str = "ERR _RG_INTERNALS is the module's own: it is only taken from the primary and from the append-only file";

/// Sends a library.
pub(crate) fn send_library(context: &Context, dump: &LibrarySnapshot, copies: PropagationTarget) {
    context.replicate(&[b"library", &dump.encode()], copies);
}

/// Sends the deletion of a library.
pub(super) fn send_deletion(context: &Context, name: &[u8]) {
    context.replicate(&[b"delete", name], PropagationTarget::All);
}

pub(super) fn library(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    taken(context, || {
        let [dump] = arguments else {
            return Err(wrong_arity("_rg_internals|library"));
        };
        let dump = LibrarySnapshot::decode(dump)
            .map_err(|error| Reply::error(format!("ERR the library {error}")))?;
        app.restore(context, &dump);
        Ok(())
    })
}

pub(super) fn delete(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    taken(context, || {
        let [name] = arguments else {
            return Err(wrong_arity("_rg_internals|delete"));
        };
        if let Ok(name) = std::str::from_utf8(name) {
            library::delete(&mut app.registry.borrow_mut(), &app.dispatcher, name);
        }
        Ok(())
    })
}

pub(super) fn cursor(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    taken(context, || {
        let (words, delivery_state) = arguments.split_at(arguments.len().min(5));
        let ([library, consumer, key, position, pending], [] | [_]) = (words, delivery_state)
        else {
            return Err(wrong_arity("_rg_internals|cursor"));
        };
        let delivery_state = delivery_state.first().copied().unwrap_or_default();
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let position = text(position).and_then(EntryId::parse);
        let checkpoint = Checkpoint {
            position: position.ok_or_else(|| Reply::error("ERR the position is no ID"))?,
            pending: decode_pending(pending)
                .map_err(|error| Reply::error(format!("ERR the list of pending IDs {error}")))?,
            delivery_state: taken_hold(delivery_state)?,
        };
        if let Some(consumer) = find(app, library, consumer) {
            app.dispatcher.on(Event::Resumed {
                consumer,
                key: KeyRef {
                    db: context.db(),
                    name: key,
                },
                checkpoint: &checkpoint,
            });
        }
        Ok(())
    })
}

pub(super) fn hold(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    taken(context, || {
        let [library, consumer, delivery_state] = arguments else {
            return Err(wrong_arity("_rg_internals|hold"));
        };
        let delivery_state = taken_hold(delivery_state)?;
        if let Some(consumer) = find(app, library, consumer) {
            app.dispatcher.set_consumer_state(consumer, &delivery_state);
        }
        Ok(())
    })
}

pub(super) fn writes(_app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    Reply::OK
}

fn taken_hold(bytes: &[u8]) -> Result<DeliveryState, Reply> {
    decode_hold(bytes).map_err(|error| Reply::error(format!("ERR what holds it {error}")))
}

/// A consumer by its names. Where it is not known, its library comes later: an append-only file
/// without a preamble has the libraries behind what happened while its rewrite began.
fn find(app: &App, library: &[u8], consumer: &[u8]) -> Option<ConsumerKey> {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let registry = app.registry.borrow();
    let library = registry.get(text(library)?)?;
    Some(library.consumers.get(text(consumer)?)?.key)
}

/// Takes what comes from the primary or the append-only file, and passes it on.
fn taken(context: &Context, take: impl FnOnce() -> Result<(), Reply>) -> Reply {
    if !context.is_replicated() {
        return Reply::error(NOT_FOR_CLIENTS);
    }
    match take() {
        Ok(()) => {
            context.replicate_verbatim();
            Reply::OK
        }
        Err(error) => {
            if let Reply::Error(text) = &error {
                log::error!("what came from the primary or the append-only file is wrong: {text}");
            }
            error
        }
    }
}
