//! The fourth form of a library, before functions and triggers could be paused,
//! and before earlier versions were kept. It is only read.

use serde::Deserialize;

use super::history::History;
use super::library::{ConsumerSnapshot, LibrarySnapshot, Unregistered};

#[derive(Deserialize)]
pub(super) struct Library {
    name: String,
    code: String,
    config: Option<String>,
    user: String,
    /// They are in the fifth form as they were.
    consumers: Vec<ConsumerSnapshot>,
    unregistered: Vec<Unregistered>,
}

impl From<Library> for LibrarySnapshot {
    fn from(form: Library) -> Self {
        Self {
            name: form.name,
            code: form.code,
            config: form.config,
            user: form.user,
            consumers: form.consumers,
            unregistered: form.unregistered,
            paused: Vec::new(),
            history: History::default(),
        }
    }
}
