//! What came of the calls that one call of a script became: one for each shard where it was to run.

use std::sync::Arc;

use bytes::Bytes;
use gears_core::cluster::calls::{CallEnd, Thrown, ThrownKind};
use gears_v8::ports::{
    Held, HeldBytes, RemoteCall, RemoteError, RemoteErrorCode, RemotePlace, RemoteReturn,
    RemoteReturns, STAGE, ShardOutcome,
};

use super::Node;

/// What may come back for programs of this node, and has.
pub(super) struct Room {
    /// What has.
    pub(super) held: Arc<HeldBytes>,
    /// Bytes there may be.
    pub(super) most: usize,
}

impl Room {
    /// Whether there is room for so many bytes. One is always let in: it may be larger than all there is.
    fn has(&self, bytes: usize) -> bool {
        let held = self.held.get();
        held == 0 || held.saturating_add(bytes) <= self.most
    }
}

/// What came so far.
pub(super) struct Gathering {
    number: u64,
    what: String,
    returns: Arc<RemoteReturns>,
    of_all_shards: bool,
    /// Records of an execution have a bound of their own.
    is_stage: bool,
    outcomes: Vec<ShardOutcome>,
    missing: usize,
    held: Held,
}

impl Gathering {
    /// Of a call that became so many.
    pub(super) fn new(
        call: &RemoteCall,
        of_all_shards: bool,
        count: usize,
        held: &Arc<HeldBytes>,
    ) -> Self {
        Self {
            number: call.number,
            what: what(&call.function),
            returns: Arc::clone(&call.returns),
            of_all_shards,
            is_stage: matches!(call.place, RemotePlace::Shard { .. }),
            outcomes: Vec::with_capacity(count),
            missing: count,
            held: Held::of(held),
        }
    }

    /// One of them ended; whether that was the last. What there is no room for is dropped: its function has run, and
    /// has no result.
    pub(super) fn add(&mut self, end: CallEnd<Node>, room: &Room) -> bool {
        let mut outcome = outcome(&self.what, end);
        let bytes = outcome.bytes();
        if bytes == 0 || self.is_stage || room.has(bytes) {
            self.held.add(bytes);
        } else {
            outcome.outcome = Err(no_room(&self.what));
        }
        self.outcomes.push(outcome);
        self.missing = self.missing.saturating_sub(1);
        self.missing == 0
    }

    /// Whether who called is gone.
    pub(super) fn is_of_nobody(&self) -> bool {
        self.returns.is_closed()
    }

    /// Gives all to the script that called.
    pub(super) fn send(self) {
        self.returns.push(RemoteReturn {
            number: self.number,
            outcomes: self.outcomes,
            of_all_shards: self.of_all_shards,
            held: Some(self.held),
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
    let outcome = table.map(Bytes::from).map_err(|text| RemoteError {
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
        held: None,
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
        held: None,
    });
}

/// What came of a call that has ended, and whose result is dropped.
fn no_room(what: &str) -> RemoteError {
    let text = format!(
        "ERR the result of {what} is dropped, which has run: results that wait for their callers' libraries take too much memory"
    );
    RemoteError {
        text,
        code: Some(RemoteErrorCode::NoResult),
        may_have_run: true,
        ..RemoteError::default()
    }
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
        thrown: thrown.value.map(|value| value[..].into()),
    }
}

#[cfg(test)]
mod tests {
    use gears_v8::ports::{Credentials, Database, Flags, Returns};

    use super::*;

    fn call(function: &str, place: RemotePlace) -> RemoteCall {
        RemoteCall {
            number: 1,
            library: "lib".into(),
            function: function.into(),
            place,
            credentials: Credentials {
                user: "anna".into(),
                db: Database::Number(0),
                flags: Flags::default(),
            },
            arguments: Vec::new(),
            timeout_ms: None,
            returns: Arc::default(),
        }
    }

    fn done(bytes: usize) -> CallEnd<Node> {
        let on = Node::nobody();
        let result = vec![0; bytes].into();
        CallEnd::Done { on, result }
    }

    /// Which results are there, of calls that have ended.
    fn there(returns: &RemoteReturns) -> Vec<Option<usize>> {
        let came = returns.take(100, Returns::All);
        let outcomes = came.iter().flat_map(|one| &one.outcomes);
        let sizes = outcomes.map(|one| match &one.outcome {
            Ok(result) => Some(result.len()),
            Err(error) => {
                assert_eq!(error.code, Some(RemoteErrorCode::NoResult));
                assert!(error.may_have_run && error.text.contains("function 'f' is dropped"));
                None
            }
        });
        sizes.collect()
    }

    #[test]
    fn results_beyond_the_bound_are_dropped_until_others_are_taken_and_one_is_always_let_in() {
        let held = Arc::default();
        let room = Room {
            held: Arc::clone(&held),
            most: 10,
        };
        let call = call("f", RemotePlace::AllShards);
        let gather = |ends: &[usize]| {
            let mut gathering = Gathering::new(&call, true, ends.len(), &held);
            let last = ends.iter().map(|bytes| gathering.add(done(*bytes), &room));
            assert_eq!(last.last(), Some(true));
            gathering.send();
        };
        gather(&[11, 1, 0]);
        gather(&[5]);
        assert_eq!(held.get(), 11);
        assert_eq!(there(&call.returns), [Some(11), None, Some(0), None]);
        assert_eq!(held.get(), 0);
        gather(&[4, 6, 1]);
        assert_eq!(there(&call.returns), [Some(4), Some(6), None]);
        gather(&[7]);
        drop(call);
        assert_eq!(held.get(), 0, "a program is gone");
    }

    #[test]
    fn records_of_an_execution_have_another_bound() {
        let held = Arc::default();
        let room = Room {
            held: Arc::clone(&held),
            most: 10,
        };
        let place = RemotePlace::Shard {
            shard: String::new(),
            execution: String::new(),
            digest: 0,
        };
        let call = call(STAGE, place);
        let mut gathering = Gathering::new(&call, true, 2, &held);
        gathering.add(done(11), &room);
        gathering.add(done(11), &room);
        gathering.send();
        assert_eq!(there(&call.returns), [Some(11), Some(11)]);
    }
}
