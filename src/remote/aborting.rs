//! Executions of `GearsBuilder` that end before their time: the shards that take part are told, and what they
//! run of them ends; nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use gears_core::cluster::calls::{Destination, Ended, Message, Request, Shard, Thrown, Times};
use gears_v8::ports::STAGE;

use super::scripts::Running;
use super::{Key, RemoteFunctions, State};
use crate::cluster::Cluster;
use crate::executor::{ABORTED, ExecutionLog, LibraryExecutor};

/// Milliseconds in which another shard is to hear of it.
const TOLD_MS: u64 = 10_000;

/// A stage of an execution of another shard that runs here.
pub(super) struct Stage {
    /// The call that it is.
    pub(super) key: Key,
    /// Where it runs.
    executor: Arc<LibraryExecutor>,
    /// Whether it was aborted.
    is_aborted: Running,
}

/// Has an execution of another shard known here while a stage of it runs.
pub(super) struct Visit {
    executions: Arc<ExecutionLog>,
    id: String,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.executions.leave(&self.id);
    }
}

impl RemoteFunctions {
    /// A call begins here. If it is a stage of an execution, that is known from now on.
    pub(super) fn visit(
        &self,
        state: &mut State,
        key: &Key,
        request: &Request,
        (executor, is_aborted): (&Arc<LibraryExecutor>, &Running),
    ) -> Option<Visit> {
        if request.function != STAGE {
            return None;
        }
        let id = String::from_utf8_lossy(request.key.as_deref()?).into_owned();
        if id.is_empty() {
            return None;
        }
        self.executions.join(&id, &request.user);
        let stages = state.stages.entry(id.clone()).or_default();
        stages.push(Stage {
            key: *key,
            executor: Arc::clone(executor),
            is_aborted: Arc::clone(is_aborted),
        });
        Some(Visit {
            executions: Arc::clone(&self.executions),
            id,
        })
    }

    /// Tells all other shards of executions that were aborted here, and ends what runs of them.
    pub(super) fn tell_of_aborted(&self, state: &mut State, cluster: Option<&Cluster>) {
        for id in self.executions.take_aborted() {
            self.end_stages(state, cluster, &id);
            let Some(topology) = cluster.and_then(Cluster::topology) else {
                continue;
            };
            for shard in topology.shards().filter(|shard| shard.id != topology.me) {
                let request = Request {
                    id: 0,
                    attempt: 0,
                    remaining_ms: 0,
                    library: String::new(),
                    stamp: None,
                    function: STAGE.to_owned(),
                    user: String::new(),
                    db: 0,
                    flags: 0,
                    key: None,
                    script: None,
                    arguments: id.clone().into(),
                };
                let destination = Destination::Shard(Shard {
                    slot: shard.first_slot(),
                    ..Shard::of(shard.id)
                });
                let times = Times::of(TOLD_MS);
                // Where it cannot be told, a stage there runs to its end, and what it gives is left out.
                let _ = state
                    .outgoing
                    .begin(self.now_ms(), destination, request, times);
            }
        }
    }

    /// Another shard tells that an execution is aborted.
    pub(super) fn abort_for_another(
        &self,
        state: &mut State,
        cluster: Option<&Cluster>,
        key: &Key,
        execution: &[u8],
    ) {
        let execution = String::from_utf8_lossy(execution);
        self.executions.abort_for_another(&execution);
        self.end_stages(state, cluster, &execution);
        state.incoming.refuse(key);
        let (node, _, id) = *key;
        let ended = Ended::Done(Bytes::new());
        self.tell(state, cluster, node, Message::Ended { id, ended });
    }

    /// Nobody waits for what runs here of the executions that such calls belong to: who made them is gone.
    pub(super) fn abort_stages_of(
        &self,
        state: &mut State,
        cluster: Option<&Cluster>,
        is_of: impl Fn(&Key) -> bool,
    ) {
        let stages = state.stages.iter();
        let its = stages.filter(|(_, stages)| stages.iter().any(|one| is_of(&one.key)));
        let its: Vec<_> = its.map(|(id, _)| id.clone()).collect();
        for execution in its {
            self.executions.abort_for_another(&execution);
            self.end_stages(state, cluster, &execution);
        }
    }

    /// Whoever waits for stages of an execution is answered; what they give after that is nobody's.
    fn end_stages(&self, state: &mut State, cluster: Option<&Cluster>, execution: &str) {
        for stage in state.stages.remove(execution).unwrap_or_default() {
            stage.is_aborted.store(true, Ordering::Relaxed);
            stage.executor.note_responder_gone();
            let key = stage.key;
            let (node, _, id) = key;
            let ended = Ended::Thrown(Thrown {
                text: ABORTED.to_owned(),
                ..Thrown::default()
            });
            let message = Message::Ended { id, ended }.encode();
            if let Some(message) = state.incoming.end(&key, message) {
                self.post(state, cluster, node, message);
            }
        }
        self.scripts.end_aborted();
    }
}
