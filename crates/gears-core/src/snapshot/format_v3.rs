//! The third form of a library, before it was kept at what time pauses and attempts were put on
//! record. It is only read.

use serde::Deserialize;

use crate::delivery::{Checkpoint, DeliveryState, EntryId, Tried};

use super::history::History;
use super::ids::ids;
use super::library::{
    ConsumerSnapshot, LibrarySnapshot, StartSnapshot, StreamSnapshot, Unregistered,
};

#[derive(Deserialize)]
pub(super) struct Library {
    name: String,
    code: String,
    config: Option<String>,
    user: String,
    consumers: Vec<Consumer>,
    unregistered: Vec<Unregistered>,
}

#[derive(Deserialize)]
pub(super) struct Consumer {
    name: String,
    prefix: Vec<u8>,
    window: u64,
    trim: bool,
    is_async: bool,
    exact: bool,
    start: StartSnapshot,
    delivery_state: DeliveryStateFormat,
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    db: i32,
    name: Vec<u8>,
    checkpoint: ((u64, u64), Vec<(u64, u64)>, DeliveryStateFormat),
}

#[derive(Deserialize)]
pub(super) struct DeliveryStateFormat {
    paused: bool,
    aborted: Option<String>,
    until_ms: u64,
    tried: Vec<(u64, u64)>,
    attempts: Vec<(u32, u64)>,
}

impl From<Library> for LibrarySnapshot {
    fn from(form: Library) -> Self {
        Self {
            name: form.name,
            code: form.code,
            config: form.config,
            user: form.user,
            consumers: form.consumers.into_iter().map(Into::into).collect(),
            unregistered: form.unregistered,
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
            exact: form.exact,
            start: form.start,
            delivery_state: form.delivery_state.into(),
            streams: form.streams.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Stream> for StreamSnapshot {
    fn from(form: Stream) -> Self {
        let ((ms, seq), pending, delivery_state) = form.checkpoint;
        Self {
            db: form.db,
            name: form.name,
            checkpoint: Checkpoint {
                position: EntryId::new(ms, seq),
                pending: ids(&pending),
                delivery_state: delivery_state.into(),
            },
        }
    }
}

impl From<DeliveryStateFormat> for DeliveryState {
    fn from(form: DeliveryStateFormat) -> Self {
        let tried = |(attempts, first_ms)| Tried { attempts, first_ms };
        Self {
            paused: form.paused,
            aborted: form.aborted.map(Into::into),
            until_ms: form.until_ms,
            tried: ids(&form.tried)
                .into_iter()
                .zip(form.attempts.into_iter().map(tried))
                .collect(),
            as_of_ms: 0,
        }
    }
}
