//! The second form of a library, before registrations could be taken away. It is only read.

use serde::Deserialize;

use super::dump::LibraryDump;
use super::form_3::Consumer;

#[derive(Deserialize)]
pub(super) struct Library {
    name: String,
    code: String,
    config: Option<String>,
    user: String,
    consumers: Vec<Consumer>,
}

impl From<Library> for LibraryDump {
    fn from(form: Library) -> Self {
        Self {
            name: form.name,
            code: form.code,
            config: form.config,
            user: form.user,
            consumers: form.consumers.into_iter().map(Into::into).collect(),
            unregistered: Vec::new(),
        }
    }
}
