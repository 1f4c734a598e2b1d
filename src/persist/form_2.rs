//! The second form of a library, before registrations could be taken away. It is only read.

use serde::Deserialize;

use super::dump::{ConsumerDump, LibraryDump};

#[derive(Deserialize)]
pub(super) struct Library {
    name: String,
    code: String,
    config: Option<String>,
    user: String,
    consumers: Vec<ConsumerDump>,
}

impl From<Library> for LibraryDump {
    fn from(form: Library) -> Self {
        Self {
            name: form.name,
            code: form.code,
            config: form.config,
            user: form.user,
            consumers: form.consumers,
            unregistered: Vec::new(),
        }
    }
}
