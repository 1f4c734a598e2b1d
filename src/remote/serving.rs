//! Calls of other nodes, and of this one, that run here: what may run, and what its caller is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gears_core::cluster::calls::{Ended, Message, Refusal, Request, Thrown, ThrownKind, Verdict};
use gears_core::cluster::{NotSent, Payload, Topic, slot_of};
use gears_v8::ports::{
    CallbackId, Credentials, Database, Flags, RemoteErrorCode, STAGE, ScriptError,
};

use super::desk::Caller;
use super::scripts::Running;
use super::way::{DOWN, not_here};
use super::{Key, Node, Process, RemoteFunctions, State};
use crate::cluster::Cluster;
use crate::executor::{ABORTED, LibraryExecutor, RemoteAnswer, RemoteEnd, RemoteTask};
use crate::server::{Context, SlotOwner, is_enabled};

impl RemoteFunctions {
    /// Begins with a call of a node, or tells again what became of it. Where the library is older here than where
    /// the call comes from, it comes again: by then that is fetched.
    pub(super) fn serve(
        &self,
        state: &mut State,
        context: &Context,
        cluster: Option<&Cluster>,
        (node, process): (Node, Process),
        (request, is_up_to_date): (Request, bool),
    ) {
        let (id, attempt) = (request.id, request.attempt);
        let key = (node, process, id);
        if request.library.is_empty() {
            return self.abort_for_another(state, cluster, &key, &request.arguments);
        }
        let remaining_ms = request.remaining_ms;
        let verdict = state.incoming.on_request(self.now_ms(), &key, &request);
        let refused = |refusal, text| Message::Refused {
            id,
            attempt,
            refusal,
            text,
        };
        match verdict {
            Verdict::Runs => self.tell(state, cluster, node, Message::Accepted { id, attempt }),
            Verdict::Ended(message) => self.post(state, cluster, node, message),
            Verdict::Full(why) => {
                let message = refused(Refusal::ForNow, why.to_owned());
                self.tell_refused(state, cluster, key, message);
            }
            Verdict::Run { is_told } => match self.admit(context, cluster, &request, is_up_to_date)
            {
                Err((refusal, text)) => {
                    state.incoming.refuse(&key);
                    self.tell_refused(state, cluster, key, refused(refusal, text));
                }
                Ok(Admitted {
                    executor,
                    callback,
                    flags,
                    running,
                }) => {
                    let visit = self.visit(state, &key, &request, (&executor, &running));
                    let caller = Caller {
                        desk: Arc::clone(&self.desk),
                        key,
                        is_aborted: running,
                        _visit: visit,
                    };
                    executor.send_remote(RemoteTask {
                        callback,
                        credentials: Arc::new(Credentials {
                            user: request.user.into(),
                            db: Database::of_packed(request.db),
                            flags,
                        }),
                        arguments: request.arguments,
                        until: Instant::now() + Duration::from_millis(remaining_ms),
                        answer: RemoteAnswer::new(Box::new(caller)),
                    });
                    if is_told {
                        self.tell(state, cluster, node, Message::Accepted { id, attempt });
                    }
                }
            },
        }
    }

    /// What a request asks for, if it may run here and now.
    fn admit(
        &self,
        context: &Context,
        cluster: Option<&Cluster>,
        request: &Request,
        is_up_to_date: bool,
    ) -> Result<Admitted, (Refusal, String)> {
        let for_now = |text: &str| Err((Refusal::ForNow, text.to_owned()));
        let is_stage = request.function == STAGE;
        if let Some(key) = request.key.as_ref().filter(|_| !is_stage) {
            match context.slot_owner_of(key) {
                SlotOwner::Myself => {}
                SlotOwner::Nobody => return for_now(DOWN),
                SlotOwner::Another => return for_now(&not_here(cluster, slot_of(key))),
            }
        }
        if is_stage
            && let Some(id) = &request.key
            && self
                .executions
                .is_aborted_elsewhere(&String::from_utf8_lossy(id))
        {
            return Err((Refusal::ForGood, ABORTED.to_owned()));
        }
        if !is_enabled(&request.user) {
            let text = format!("the user '{}' does not exist or is disabled", request.user);
            return Err((Refusal::ForGood, text));
        }
        let admitted = self.find(request)?;
        // Also what it says of its flags may be another thing by then.
        if !is_up_to_date {
            let text = format!(
                "the shard has an older version of library '{}' than its caller, and fetches it",
                request.library
            );
            return for_now(&text);
        }
        let flags = admitted.flags;
        if !flags.contains(Flags::NO_WRITES) {
            let server = context.state();
            if !server.is_primary {
                return for_now("the node is a replica, and the function may write");
            }
            // While the cluster is down, or too few replicas are there: soon it may be otherwise.
            if context.is_in_cluster()
                && let Some(refusal) = context.refusal()
                && !refusal.may_trim
            {
                let text = format!("the shard refuses writes: {}", refusal.error);
                return for_now(&text);
            }
            if !flags.contains(Flags::ALLOW_OOM) && server.is_out_of_memory {
                let text = "the shard is out of memory, and the function may write";
                return Err((Refusal::ForGood, text.to_owned()));
            }
        }
        Ok(admitted)
    }

    /// What a request asks for.
    fn find(&self, request: &Request) -> Result<Admitted, (Refusal, String)> {
        let (library, name) = (&request.library, &request.function);
        let of_caller = Flags::from_bits_truncate(request.flags) & Flags::NO_WRITES;
        if name != STAGE {
            let found = self.libraries.remote_function(library, name);
            let (executor, function) = found.ok_or_else(|| {
                let text =
                    format!("the shard has no remote function '{name}' of library '{library}'");
                (Refusal::ForNow, text)
            })?;
            return Ok(Admitted {
                executor,
                callback: function.callback,
                // What it says of itself, and no more than who called it.
                flags: function.flags | of_caller,
                running: Running::default(),
            });
        }
        let (executor, callback, running) = if let Some(code) = &request.script {
            let part = self.scripts.part(&self.libraries, code, &request.user);
            let (executor, callback, running) = part.map_err(|text| (Refusal::ForGood, text))?;
            (executor, callback, running)
        } else {
            let found = self.libraries.stage(library);
            let (executor, callback) = found.ok_or_else(|| {
                let text = format!("the shard has no library '{library}' that uses GearsBuilder");
                (Refusal::ForNow, text)
            })?;
            (executor, callback, Running::default())
        };
        Ok(Admitted {
            executor,
            callback,
            flags: of_caller,
            running,
        })
    }

    /// A call that ran here has ended: its caller is told.
    pub(super) fn end(
        &self,
        state: &mut State,
        cluster: Option<&Cluster>,
        key: &Key,
        end: RemoteEnd,
    ) {
        let (node, _, id) = *key;
        for stages in state.stages.values_mut() {
            stages.retain(|one| one.key != *key);
        }
        state.stages.retain(|_, stages| !stages.is_empty());
        let ended = match end {
            RemoteEnd::Done(result) => Ended::Done(result.into()),
            RemoteEnd::Failed(error) => Ended::Thrown(thrown(error)),
            RemoteEnd::Late => {
                let Some(attempt) = state.incoming.refuse(key) else {
                    return;
                };
                let message = Message::Refused {
                    id,
                    attempt,
                    refusal: Refusal::ForNow,
                    text: "its time was over before it began".to_owned(),
                };
                return self.tell_refused(state, cluster, *key, message);
            }
        };
        let mut message = Message::Ended { id, ended }.encode();
        if let Some(why) = self.cannot_be_sent(state, cluster, node, message.len()) {
            message = not_sent(id, &why);
        }
        if let Some(message) = state.incoming.end(key, message) {
            self.post(state, cluster, node, message);
        }
    }

    /// Why a result of so many bytes can certainly not get to its caller, if so.
    fn cannot_be_sent(
        &self,
        state: &State,
        cluster: Option<&Cluster>,
        node: Node,
        bytes: usize,
    ) -> Option<String> {
        if !state.incoming.has_room_for(bytes) {
            return Some("results that wait for their callers take too much memory".to_owned());
        }
        let cluster = cluster.filter(|_| node != self.me.get())?;
        too_large(cluster, node, bytes).map(|why| why.to_string())
    }
}

/// Why no message of so many bytes is ever sent to that node, if so.
pub(super) fn too_large(cluster: &Cluster, node: Node, bytes: usize) -> Option<NotSent> {
    match cluster.room_for(node, Topic::Calls, bytes) {
        Err(error @ (NotSent::TooLarge(_) | NotSent::TooLargeThere(_))) => Some(error),
        _ => None,
    }
}

/// The message that a call has run, and that its result does not come.
pub(super) fn no_result(id: u64, text: String) -> Payload {
    let ended = Ended::Thrown(Thrown {
        kind: ThrownKind::NoResult,
        text,
        ..Thrown::default()
    });
    Message::Ended { id, ended }.encode()
}

/// The same, since the result cannot be sent.
pub(super) fn not_sent(id: u64, why: &str) -> Payload {
    let text = format!("ERR the result of the remote function cannot be sent: {why}");
    no_result(id, text)
}

/// An error of a script, as its caller gets it.
fn thrown(error: ScriptError) -> Thrown {
    let kind = match error.remote_code {
        Some(RemoteErrorCode::NotSent) => ThrownKind::NotRun,
        Some(RemoteErrorCode::Thrown) => ThrownKind::Other,
        None if error.thrown.is_some() => ThrownKind::Value,
        // What ended the function from outside has no exception.
        _ => ThrownKind::NoResult,
    };
    Thrown {
        kind,
        text: error.message,
        stack: error.stack,
        value: error.thrown.map(|thrown| thrown.to_vec().into()),
    }
}

/// What may run here.
struct Admitted {
    executor: Arc<LibraryExecutor>,
    callback: CallbackId,
    flags: Flags,
    running: Running,
}
