//! The libraries there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::executor::LibraryExecutor;
use gears_core::delivery::ConsumerKey;
use gears_core::snapshot::Unregistered;
use gears_core::triggers::TriggerKey;
use gears_v8::ports::{Function, Metadata, Registered, Registrations};

/// A library. All that describes it is plain memory of ours; V8 is behind the executor.
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
    /// Its stream consumers by name.
    pub consumers: BTreeMap<String, Consumer>,
    /// Its key-space triggers by name.
    pub triggers: BTreeMap<String, TriggerKey>,
    /// What of its code is not live: it was taken away by name, until the next upgrade.
    pub unregistered: Vec<Unregistered>,
    /// Whether it runs.
    pub status: LibraryStatus,
}

/// Whether a library runs.
#[derive(Debug)]
pub(crate) enum LibraryStatus {
    /// It does, here.
    Live(Arc<LibraryExecutor>),
    /// It came with the data set, or from the primary, and could not be loaded. It is kept as it
    /// was, with its consumers and their progress, until it is upgraded or deleted.
    Quarantined {
        /// Why.
        error: String,
    },
}

/// Takes out of what code registered what is not to be live.
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
    /// Where it runs, if it does.
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
pub(crate) struct Consumer {
    /// Its name in the delivery core.
    pub key: ConsumerKey,
    /// The prefix of the keys it wants.
    pub prefix: Arc<[u8]>,
    /// Whether it wants only the key of just that name.
    pub exact: bool,
    /// What it says of itself.
    pub metadata: Metadata,
}

/// Libraries by name, in that order.
pub(crate) type Registry = BTreeMap<String, Library>;
