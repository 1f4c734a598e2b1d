//! Calls of other nodes, and of this one, that run here: what may run, and what its caller is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gears_core::cluster::NotSent;
use gears_core::cluster::calls::{Ended, Message, Refusal, Request, Thrown, ThrownKind, Verdict};
use gears_v8::ports::{Credentials, Database, Flags, Function, RemoteErrorCode, ScriptError};

use super::desk::Caller;
use super::{Key, Node, Process, RemoteFunctions, State};
use crate::cluster::Cluster;
use crate::executor::{LibraryExecutor, RemoteAnswer, RemoteEnd, RemoteTask};
use crate::server::{Context, is_enabled};

impl RemoteFunctions {
    /// Begins with a call of a node, or tells again what became of it.
    pub(super) fn serve(
        &self,
        state: &mut State,
        context: &Context,
        cluster: Option<&Cluster>,
        (node, process): (Node, Process),
        request: Request,
    ) {
        let (id, attempt) = (request.id, request.attempt);
        let key = (node, process, id);
        let remaining_ms = request.remaining_ms;
        let bytes = request.arguments.len();
        let verdict = state
            .incoming
            .on_request(self.now_ms(), &key, attempt, remaining_ms, bytes);
        let refused = |refusal, text| Message::Refused {
            id,
            attempt,
            refusal,
            text,
        };
        match verdict {
            Verdict::Runs => self.tell(state, cluster, node, &Message::Accepted { id, attempt }),
            Verdict::Ended(message) => self.post(state, cluster, node, message),
            Verdict::Full(why) => {
                let message = refused(Refusal::ForNow, why.to_owned());
                self.tell(state, cluster, node, &message);
            }
            Verdict::Run => match self.admit(context, &request) {
                Err((refusal, text)) => {
                    state.incoming.refuse(&key);
                    self.tell(state, cluster, node, &refused(refusal, text));
                }
                Ok((executor, function)) => {
                    let caller = Caller {
                        desk: Arc::clone(&self.desk),
                        key,
                    };
                    executor.send_remote(RemoteTask {
                        callback: function.callback,
                        credentials: Arc::new(Credentials {
                            user: request.user.into(),
                            db: Database::of_packed(request.db),
                            flags: flags(&function, request.flags),
                        }),
                        arguments: request.arguments,
                        until: Instant::now() + Duration::from_millis(remaining_ms),
                        answer: RemoteAnswer::new(Box::new(caller)),
                    });
                    self.tell(state, cluster, node, &Message::Accepted { id, attempt });
                }
            },
        }
    }

    /// What a request asks for, if it may run here and now.
    fn admit(
        &self,
        context: &Context,
        request: &Request,
    ) -> Result<(Arc<LibraryExecutor>, Arc<Function>), (Refusal, String)> {
        let for_now = |text: &str| Err((Refusal::ForNow, text.to_owned()));
        let (library, name) = (&request.library, &request.function);
        let Some((executor, function)) = self.libraries.remote_function(library, name) else {
            let text = format!("the shard has no remote function '{name}' of library '{library}'");
            return for_now(&text);
        };
        if request
            .key
            .as_ref()
            .is_some_and(|key| !context.has_slot_of(key))
        {
            return for_now("the key is on another shard");
        }
        if !is_enabled(&request.user) {
            let text = format!("the user '{}' does not exist or is disabled", request.user);
            return Err((Refusal::ForGood, text));
        }
        let flags = flags(&function, request.flags);
        if !flags.contains(Flags::NO_WRITES) {
            let server = context.state();
            if !server.is_primary {
                return for_now("the node is a replica, and the function may write");
            }
            // While the cluster is down, or too few replicas are there: soon it may be otherwise. Only in a
            // cluster does the server say so of a key.
            if context.is_in_cluster()
                && let Some(key) = &request.key
                && let Some(refusal) = context.refusal(key)
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
        Ok((executor, function))
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
        let ended = match end {
            RemoteEnd::Done(result) => Ended::Done(result),
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
                return self.tell(state, cluster, node, &message);
            }
        };
        let mut message = Message::Ended { id, ended }.encode();
        if let Some(why) = self.cannot_be_sent(state, cluster, node, message.len()) {
            let ended = Ended::Thrown(Thrown {
                kind: ThrownKind::NoResult,
                text: format!("ERR the result of the remote function cannot be sent: {why}"),
                ..Thrown::default()
            });
            message = Message::Ended { id, ended }.encode();
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
        match cluster.room_for(node, bytes) {
            Err(error @ NotSent::TooLarge(_)) => Some(error.to_string()),
            _ => None,
        }
    }
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
        value: error.thrown.map(|thrown| thrown.to_vec()),
    }
}

/// What a remote function may do: what it says of itself, and no more than who called it.
fn flags(function: &Function, of_caller: u32) -> Flags {
    function.flags | (Flags::from_bits_truncate(of_caller) & Flags::NO_WRITES)
}
