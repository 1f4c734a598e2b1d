//! The libraries that are loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::Function;
use crate::exec::Runner;
use crate::stream::ConsumerKey;

/// A loaded library. All that describes it is plain memory of ours; V8 is behind the runner.
#[derive(Debug)]
pub struct Library {
    /// The engine it runs on.
    pub engine: &'static str,
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
    /// Where it runs.
    pub runner: Arc<Runner>,
}

/// A stream consumer of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its name in the delivery core.
    pub key: ConsumerKey,
    /// The prefix of the keys it wants.
    pub prefix: Arc<[u8]>,
}

/// Libraries by name, in that order.
pub type Registry = BTreeMap<String, Library>;
