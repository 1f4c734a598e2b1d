//! What is known of each library.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::executor::LibraryExecutor;
use gears_core::delivery::ConsumerKey;
use gears_core::snapshot::{History, Paused, Unregistered};
use gears_core::triggers::TriggerKey;
use gears_v8::ports::{CallbackId, Function, Metadata, Registered, Registrations};

/// A library. Everything but the executor is plain memory, which a forked child can read.
#[derive(Debug)]
pub(crate) struct Library {
    /// The engine it is written for.
    pub engine: String,
    /// The user who loaded it.
    pub user: Arc<str>,
    /// The JSON text it was configured with.
    pub config: Option<String>,
    /// Its whole text.
    pub code: String,
    /// Its functions by name.
    pub functions: BTreeMap<String, Arc<Function>>,
    /// Its remote functions by name.
    pub remote_functions: BTreeMap<String, Arc<Function>>,
    /// What runs a stage of an execution of `GearsBuilder`; none where it does not use that.
    pub stage: Option<CallbackId>,
    /// Its stream consumers by name.
    pub consumers: BTreeMap<String, LibraryConsumer>,
    /// Its key-space triggers by name.
    pub triggers: BTreeMap<String, TriggerKey>,
    /// Registrations of its code that were taken away by name; an upgrade brings them back.
    pub unregistered: Vec<Unregistered>,
    /// Its functions and triggers that are paused.
    pub paused: BTreeSet<Paused>,
    /// When it was loaded, and what it was before.
    pub history: History,
    /// What its text is known by.
    pub digest: String,
    /// Whether it runs.
    pub status: LibraryStatus,
}

/// Whether a library runs.
#[derive(Debug)]
pub(crate) enum LibraryStatus {
    /// It runs, in this executor.
    Live(Arc<LibraryExecutor>),
    /// It came with the data set or from the primary and could not be loaded. It is kept as it was,
    /// with its consumers and their progress, until it is upgraded or deleted.
    Quarantined {
        /// Why it could not be loaded.
        error: String,
    },
}

/// Removes a registration that was taken away from what the code has registered again.
pub(super) fn exclude(gone: &Unregistered, registrations: &mut Registrations) {
    let of = match gone {
        Unregistered::Consumer(name) => {
            let consumers = &mut registrations.stream_consumers;
            consumers.retain(|one| one.name != *name);
            Registered::Consumer(name.clone())
        }
        Unregistered::Trigger(name) => {
            registrations.triggers.retain(|one| one.name != *name);
            Registered::Trigger(name.clone())
        }
    };
    registrations.hooks.retain(|hook| hook.of != of);
}

impl Library {
    /// Whether a function is paused.
    #[must_use]
    pub(crate) fn is_paused_function(&self, name: &str) -> bool {
        let is_it = |one: &Paused| matches!(one, Paused::Function(paused) if paused == name);
        self.paused.iter().any(is_it)
    }

    /// Its executor; none in quarantine.
    #[must_use]
    pub(crate) fn executor(&self) -> Option<&Arc<LibraryExecutor>> {
        match &self.status {
            LibraryStatus::Live(executor) => Some(executor),
            LibraryStatus::Quarantined { .. } => None,
        }
    }
}

/// A stream consumer of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LibraryConsumer {
    /// Its key in the delivery core.
    pub key: ConsumerKey,
    /// It consumes the streams whose keys begin with this.
    pub prefix: Arc<[u8]>,
    /// Whether it consumes only the stream whose key equals the prefix.
    pub exact: bool,
    /// Its description and mode, as `RedisGears` 1 shows them.
    pub metadata: Metadata,
}

/// Libraries, sorted by name.
pub(crate) type Registry = BTreeMap<String, Library>;
