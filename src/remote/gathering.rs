//! What came of the calls that one call of a script became: one for each shard where it was to run.

use std::sync::Arc;

use gears_core::cluster::calls::{CallEnd, Thrown, ThrownKind};
use gears_v8::ports::{
    RemoteCall, RemoteError, RemoteErrorCode, RemoteReturn, RemoteReturns, STAGE, ShardOutcome,
};

use super::Node;

/// What came so far.
pub(super) struct Gathering {
    number: u64,
    what: String,
    returns: Arc<RemoteReturns>,
    of_all_shards: bool,
    outcomes: Vec<ShardOutcome>,
    missing: usize,
}

impl Gathering {
    /// Of a call that became so many.
    pub(super) fn new(call: &RemoteCall, of_all_shards: bool, count: usize) -> Self {
        Self {
            number: call.number,
            what: what(&call.function),
            returns: Arc::clone(&call.returns),
            of_all_shards,
            outcomes: Vec::with_capacity(count),
            missing: count,
        }
    }

    /// One of them ended; whether that was the last.
    pub(super) fn add(&mut self, end: CallEnd<Node>) -> bool {
        let outcome = outcome(&self.what, end);
        self.outcomes.push(outcome);
        self.missing = self.missing.saturating_sub(1);
        self.missing == 0
    }

    /// Gives all to the script that called.
    pub(super) fn send(self) {
        self.returns.push(RemoteReturn {
            number: self.number,
            outcomes: self.outcomes,
            of_all_shards: self.of_all_shards,
        });
    }
}

/// A call in words.
fn what(function: &str) -> String {
    if function == STAGE {
        "the stage of the execution".to_owned()
    } else {
        format!("the remote function '{function}'")
    }
}

/// The cluster's table comes back.
pub(super) fn give_table(call: &RemoteCall, table: Result<Vec<u8>, String>) {
    let outcome = table.map_err(|text| RemoteError {
        text,
        code: Some(RemoteErrorCode::NotSent),
        ..RemoteError::default()
    });
    call.returns.push(RemoteReturn {
        number: call.number,
        outcomes: vec![ShardOutcome {
            shard: String::new(),
            outcome,
        }],
        of_all_shards: false,
    });
}

/// A call that is not made at all.
pub(super) fn refuse(call: &RemoteCall, text: String) {
    call.returns.push(RemoteReturn {
        number: call.number,
        outcomes: vec![ShardOutcome {
            shard: String::new(),
            outcome: Err(RemoteError {
                text,
                code: Some(RemoteErrorCode::NotSent),
                ..RemoteError::default()
            }),
        }],
        // Also where it was to run on all shards: there is none of which something came.
        of_all_shards: false,
    });
}

fn outcome(what: &str, end: CallEnd<Node>) -> ShardOutcome {
    let (shard, text, code) = match end {
        CallEnd::Done { on, result } => {
            return ShardOutcome {
                shard: on.to_string(),
                outcome: Ok(result),
            };
        }
        CallEnd::Thrown { on, thrown } => {
            return ShardOutcome {
                shard: on.to_string(),
                outcome: Err(of_thrown(thrown)),
            };
        }
        CallEnd::NotSent { on, why } => (
            on,
            format!("ERR {what} has not run: {why}"),
            RemoteErrorCode::NotSent,
        ),
        CallEnd::Timeout { on, ms } => (
            Some(on),
            format!("ERR {what} has not settled within {ms} ms, it may have run"),
            RemoteErrorCode::Timeout,
        ),
        CallEnd::ShardFailed { on, why } => {
            let text =
                format!("ERR the shard {on} failed while it had {what}, which may have run: {why}");
            (Some(on), text, RemoteErrorCode::ShardFailed)
        }
    };
    ShardOutcome {
        shard: on_or_nothing(shard),
        outcome: Err(RemoteError {
            text,
            code: Some(code),
            may_have_run: code != RemoteErrorCode::NotSent,
            ..RemoteError::default()
        }),
    }
}

fn on_or_nothing(node: Option<Node>) -> String {
    node.map(|node| node.to_string()).unwrap_or_default()
}

fn of_thrown(thrown: Thrown) -> RemoteError {
    let code = match thrown.kind {
        ThrownKind::Value => None,
        ThrownKind::Other => Some(RemoteErrorCode::Thrown),
        ThrownKind::NoResult => Some(RemoteErrorCode::NoResult),
        ThrownKind::NotRun => Some(RemoteErrorCode::NotSent),
    };
    RemoteError {
        text: thrown.text,
        code,
        may_have_run: thrown.kind != ThrownKind::NotRun,
        stack: thrown.stack,
        thrown: thrown.value.map(Into::into),
    }
}
