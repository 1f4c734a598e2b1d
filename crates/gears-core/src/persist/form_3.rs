//! The third form of a library, before it was kept at what time pauses and attempts were put on
//! record. It is only read.

use serde::Deserialize;

use crate::stream::{Checkpoint, EntryId, Hold, Tried};

use super::dump::{ConsumerDump, LibraryDump, StartDump, StreamDump, Unregistered};
use super::ids::ids;

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
    start: StartDump,
    hold: HoldForm,
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    db: i32,
    name: Vec<u8>,
    checkpoint: ((u64, u64), Vec<(u64, u64)>, HoldForm),
}

#[derive(Deserialize)]
pub(super) struct HoldForm {
    paused: bool,
    aborted: Option<String>,
    until_ms: u64,
    tried: Vec<(u64, u64)>,
    attempts: Vec<(u32, u64)>,
}

impl From<Library> for LibraryDump {
    fn from(form: Library) -> Self {
        Self {
            name: form.name,
            code: form.code,
            config: form.config,
            user: form.user,
            consumers: form.consumers.into_iter().map(Into::into).collect(),
            unregistered: form.unregistered,
        }
    }
}

impl From<Consumer> for ConsumerDump {
    fn from(form: Consumer) -> Self {
        Self {
            name: form.name,
            prefix: form.prefix,
            window: form.window,
            trim: form.trim,
            is_async: form.is_async,
            exact: form.exact,
            start: form.start,
            hold: form.hold.into(),
            streams: form.streams.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Stream> for StreamDump {
    fn from(form: Stream) -> Self {
        let ((ms, seq), pending, hold) = form.checkpoint;
        Self {
            db: form.db,
            name: form.name,
            checkpoint: Checkpoint {
                position: EntryId::new(ms, seq),
                pending: ids(&pending),
                hold: hold.into(),
            },
        }
    }
}

impl From<HoldForm> for Hold {
    fn from(form: HoldForm) -> Self {
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
