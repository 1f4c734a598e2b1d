//! What a node asks another one about executions of `GearsBuilder` that began there.
//!
//! A question is a call of a library of which there is none: where nobody knows such questions it is refused like a
//! call of one. It changes nothing, so it may come and be answered twice.

use bytes::Bytes;
use gears_core::cluster::calls::{
    CallEnd, Destination, Ended, Message, Request, Shard, Thrown, Times,
};

use super::{Node, RemoteFunctions};
use crate::executor::ShardView;

/// In the place of the library's name: none has this one.
const LIBRARY: &str = "?";

/// In the place of the function's name.
const EXECUTION: &str = "execution";

/// Milliseconds in which there has to be an answer.
const ANSWER_MS: u64 = 5000;

/// Why there is no answer.
pub(crate) enum Unanswered {
    /// There is no such execution there.
    Unknown,
    /// None came, and why.
    Silent(String),
}

/// Takes the answer.
pub(crate) type Answered = Box<dyn FnOnce(Result<Vec<ShardView>, Unanswered>)>;

/// Whether a call is such a question.
pub(super) fn is_question(request: &Request) -> bool {
    request.library == LIBRARY
}

impl RemoteFunctions {
    /// Asks a shard how an execution stands that began there.
    pub(crate) fn ask(&self, shard: Node, execution: &str, answered: Answered) {
        let request = Request {
            id: 0,
            attempt: 0,
            remaining_ms: 0,
            library: LIBRARY.to_owned(),
            stamp: None,
            function: EXECUTION.to_owned(),
            user: String::new(),
            db: 0,
            flags: 0,
            key: None,
            script: None,
            arguments: execution.to_owned().into(),
        };
        let (to, times) = (Destination::Shard(Shard::of(shard)), Times::of(ANSWER_MS));
        let mut state = self.state.borrow_mut();
        let begun = state.outgoing.begin(self.now_ms(), to, request, times);
        if let Ok(id) = begun {
            state.asked.insert(id, answered);
            return;
        }
        drop(state);
        let why = "too many calls are on their way";
        answered(Err(Unanswered::Silent(why.to_owned())));
    }

    /// The answer to a question.
    pub(super) fn answer(&self, request: &Request) -> Message {
        let known = match request.function.as_str() {
            EXECUTION => std::str::from_utf8(&request.arguments).ok(),
            _ => None,
        };
        let views = known.and_then(|id| self.executions.of_shards(id));
        let ended = match views.map(|views| serde_json::to_vec(&views)) {
            Some(Ok(views)) => Ended::Done(views.into()),
            _ => Ended::Thrown(Thrown::default()),
        };
        let id = request.id;
        Message::Ended { id, ended }
    }
}

/// What came of a question.
pub(super) fn answer_of(end: CallEnd<Node>) -> Result<Vec<ShardView>, Unanswered> {
    let read = |result: Bytes| {
        let damaged = |error| Unanswered::Silent(format!("its answer is none: {error}"));
        serde_json::from_slice(&result).map_err(damaged)
    };
    match end {
        CallEnd::Done { result, .. } => read(result),
        CallEnd::Thrown { .. } => Err(Unanswered::Unknown),
        CallEnd::NotSent { why, .. } | CallEnd::ShardFailed { why, .. } => {
            Err(Unanswered::Silent(why))
        }
        CallEnd::Timeout { ms, .. } => {
            let why = format!("it has not answered within {ms} ms");
            Err(Unanswered::Silent(why))
        }
    }
}
