//! The first form of a library, as releases before policies wrote it. It is only read.

use serde::Deserialize;

use crate::delivery::{Checkpoint, DeliveryState, EntryId};

use super::history::History;
use super::ids::ids;
use super::library::{ConsumerSnapshot, LibrarySnapshot, StartSnapshot, StreamSnapshot};

#[derive(Deserialize)]
pub(super) struct Library {
    name: String,
    code: String,
    config: Option<String>,
    user: String,
    consumers: Vec<Consumer>,
}

#[derive(Deserialize)]
struct Consumer {
    name: String,
    prefix: Vec<u8>,
    window: u64,
    trim: bool,
    is_async: bool,
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    db: i32,
    name: Vec<u8>,
    checkpoint: ((u64, u64), Vec<(u64, u64)>),
}

impl From<Library> for LibrarySnapshot {
    fn from(form: Library) -> Self {
        Self {
            name: form.name,
            code: form.code,
            config: form.config,
            user: form.user,
            consumers: form.consumers.into_iter().map(Into::into).collect(),
            unregistered: Vec::new(),
            paused: Vec::new(),
            history: History::default(),
        }
    }
}

impl From<Consumer> for ConsumerSnapshot {
    fn from(form: Consumer) -> Self {
        Self {
            name: form.name,
            prefix: form.prefix,
            window: form.window,
            trim: form.trim,
            is_async: form.is_async,
            exact: false,
            start: StartSnapshot::Earliest,
            delivery_state: DeliveryState::default(),
            streams: form.streams.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Stream> for StreamSnapshot {
    fn from(form: Stream) -> Self {
        let ((ms, seq), pending) = form.checkpoint;
        Self {
            db: form.db,
            name: form.name,
            checkpoint: Checkpoint {
                position: EntryId::new(ms, seq),
                pending: ids(&pending),
                delivery_state: DeliveryState::default(),
            },
        }
    }
}
