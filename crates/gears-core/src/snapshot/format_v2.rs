//! The second form of a library, before registrations could be taken away. It is only read.

use serde::Deserialize;

use super::format_v3::Consumer;
use super::history::History;
use super::library::LibrarySnapshot;

#[derive(Deserialize)]
pub(super) struct Library {
    name: String,
    code: String,
    config: Option<String>,
    user: String,
    consumers: Vec<Consumer>,
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
