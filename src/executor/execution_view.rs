//! A run over the data set as users see it: where it is, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use serde::de::IgnoredAny;

use gears_v8::ports::Reply;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It goes on.
    Running,
    /// It has ended, perhaps with errors.
    Done,
    /// It was ended.
    Aborted,
}

/// A run as users see it.
#[derive(Clone, Debug)]
pub(crate) struct ExecutionView {
    /// Where it is.
    pub status: Status,
    /// In whose name it acts; `None` where nobody knows.
    pub user: Option<Arc<str>>,
    /// What it does, as JSON text.
    pub plan: String,
    /// What came of it; empty before.
    pub results: Vec<Reply>,
    /// What went wrong.
    pub errors: Vec<Reply>,
    /// How long it took, or has taken so far.
    pub took: Duration,
    /// What each shard has done for it, as JSON text; `None` where it stays on this one.
    pub shards: Option<String>,
}

impl ExecutionView {
    /// A run that begins.
    pub(super) fn new(plan: &str, user: Option<Arc<str>>) -> Self {
        Self {
            status: Status::Running,
            user,
            plan: plan.to_owned(),
            results: Vec::new(),
            errors: Vec::new(),
            took: Duration::ZERO,
            shards: None,
        }
    }

    /// Whether a shard still has a part of it.
    pub(super) fn goes_on_elsewhere(&self) -> bool {
        type Part = (IgnoredAny, String, IgnoredAny, IgnoredAny, IgnoredAny);
        let parts = self.shards.as_deref().map(serde_json::from_str);
        let parts: Vec<Part> = parts.and_then(Result::ok).unwrap_or_default();
        parts.iter().any(|(_, status, ..)| status == "running")
    }

    /// Takes what a run gives: a list of results and a list of errors. Anything else went wrong.
    pub(super) fn take_outcome(&mut self, outcome: Reply) {
        (self.results, self.errors) = match outcome {
            Reply::Array(mut lists) if lists.len() == 2 => match (lists.pop(), lists.pop()) {
                (Some(Reply::Array(errors)), Some(Reply::Array(results))) => (results, errors),
                (errors, results) => (Vec::from_iter(results), Vec::from_iter(errors)),
            },
            Reply::Error(error) => (Vec::new(), vec![Reply::text(error)]),
            other => (vec![other], Vec::new()),
        };
    }

    /// What came of it, as those who wait for it are told.
    pub(super) fn outcome(&self) -> Reply {
        Reply::Array(vec![
            Reply::Array(self.results.clone()),
            Reply::Array(self.errors.clone()),
        ])
    }
}
