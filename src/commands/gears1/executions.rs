//! `RG.DUMPEXECUTIONS`, `RG.GETEXECUTION`, `RG.GETRESULTS`, `RG.ABORTEXECUTION`, ...: runs over the
//! data set, with the replies of the first `RedisGears`.
//!
//! A run belongs to its user. Other users are told that there is no run of that ID, except
//! administrators.

use gears_core::cluster::NodeId;

use crate::app::App;
use crate::executor::{ExecutionView, Responder, ShardView, Status};
use crate::remote::Unanswered;
use crate::server::{BlockedClient, Command, Context, is_admin};
use gears_v8::ports::Reply;

use super::{GEARS1, READS};
use crate::commands::{command, entry, text, token, user_of, waiting_command, wrong_arity};

pub(super) static COMMANDS: [Command; 6] = [
    Command {
        name: "rg.dumpexecutions",
        entry: entry!(command, dump),
        categories: READS,
        summary: "Lists runs over the data set",
        arity: 1,
        ..GEARS1
    },
    Command {
        name: "rg.getexecution",
        entry: entry!(waiting_command, get),
        categories: READS,
        summary: "Shows a run over the data set",
        arity: -2,
        args: &[
            text("id"),
            token("shard", "SHARD"),
            token("cluster", "CLUSTER"),
        ],
        ..GEARS1
    },
    Command {
        name: "rg.getresults",
        entry: entry!(command, results),
        categories: READS,
        summary: "Gives what came of a run",
        arity: 2,
        args: &[text("id")],
        ..GEARS1
    },
    Command {
        name: "rg.getresultsblocking",
        entry: entry!(waiting_command, results_blocking),
        categories: "blocking scripting slow",
        summary: "Waits for the end of a run, and gives what came of it",
        arity: 2,
        args: &[text("id")],
        ..GEARS1
    },
    Command {
        name: "rg.abortexecution",
        entry: entry!(command, abort),
        summary: "Ends a run",
        arity: 2,
        args: &[text("id")],
        ..GEARS1
    },
    Command {
        name: "rg.dropexecution",
        entry: entry!(command, forget),
        summary: "Forgets a run that has ended",
        arity: 2,
        args: &[text("id")],
        ..GEARS1
    },
];

const CANNOT_WAIT: &str = "ERR can not wait inside a transaction or a script";
const UNKNOWN: &str = "ERR execution plan does not exist";
const ELSEWHERE: &str = "ERR the execution began on another shard, which gives what comes of it";

fn id_of<'a>(arguments: &[&'a [u8]], command: &str) -> Result<&'a str, Reply> {
    match arguments {
        [id] => std::str::from_utf8(id).map_err(|_| Reply::error(UNKNOWN)),
        _ => Err(wrong_arity(command)),
    }
}

/// The user who sent the command.
struct Asker {
    user: Option<String>,
    is_admin: bool,
}

impl Asker {
    fn of(context: &Context) -> Self {
        let user = user_of(context);
        Self {
            is_admin: is_admin(&user),
            // Several names that are not UTF-8 become the same text.
            user: Some(user).filter(|user| !user.contains(char::REPLACEMENT_CHARACTER)),
        }
    }

    /// Whether this user may see and change the runs of that one.
    fn may_touch(&self, user: Option<&str>) -> bool {
        self.is_admin || user.is_some_and(|user| self.user.as_deref() == Some(user))
    }
}

/// The ID of the run that a command names, if its user may see it.
fn own_id<'a>(
    app: &App,
    context: &Context,
    arguments: &[&'a [u8]],
    command: &str,
) -> Result<&'a str, Reply> {
    let id = id_of(arguments, command)?;
    let asker = Asker::of(context);
    if app.executions.has(id, |user| asker.may_touch(user)) {
        Ok(id)
    } else {
        Err(Reply::error(UNKNOWN))
    }
}

fn view(app: &App, id: &str) -> Result<ExecutionView, Reply> {
    app.executions.view(id).ok_or_else(|| Reply::error(UNKNOWN))
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Done => "done",
        Status::Aborted => "aborted",
    }
}

fn dump(app: &App, context: &Context, _arguments: &[&[u8]]) -> Reply {
    let asker = Asker::of(context);
    let all = app.executions.list(|user| asker.may_touch(user));
    let all = all.into_iter().map(|(id, now)| {
        Reply::record(vec![
            ("executionId", Reply::text(id)),
            ("status", Reply::text(status(now))),
            // Events of registrations are no executions here; the registrations count them.
            ("registered", Reply::count(0u64)),
        ])
    });
    Reply::Array(all.collect())
}

/// `None` if the client waits for the reply: of a run that began on another shard, that one knows what all have done.
fn get(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    let (arguments, rest) = arguments.split_at(arguments.len().min(1));
    let is_in_cluster = app.cluster().is_some();
    let found = own_id(app, context, arguments, "rg.getexecution").and_then(|id| {
        let of_all = match rest {
            [] => is_in_cluster,
            [keyword] if keyword.eq_ignore_ascii_case(b"shard") => false,
            [keyword] if keyword.eq_ignore_ascii_case(b"cluster") => {
                if !is_in_cluster {
                    return Err(Reply::error(
                        "ERR only the executions of this shard are known",
                    ));
                }
                true
            }
            _ => return Err(Reply::error("ERR syntax error")),
        };
        Ok((id, view(app, id)?, of_all))
    });
    let (id, view, of_all) = match found {
        Ok(found) => found,
        Err(error) => return Some(error),
    };
    if of_all && let Some(shard) = app.executions.began_at(id) {
        return ask(app, context, id, shard);
    }
    let mut shards = view.of_shards(&context.shard_id());
    if !of_all {
        shards.truncate(1);
    }
    Some(describe(shards))
}

/// Has the client wait for what the shard says where a run began.
fn ask(app: &App, context: &Context, id: &str, shard: &str) -> Option<Reply> {
    let Some(node) = NodeId::parse(shard.as_bytes()) else {
        return Some(Reply::error(UNKNOWN));
    };
    match BlockedClient::new(context, Box::new(|| {})) {
        Ok(client) => {
            let shard = shard.to_owned();
            let answered = move |answer| {
                let reply = match answer {
                    Ok(shards) => describe(shards),
                    Err(Unanswered::Unknown) => Reply::error(UNKNOWN),
                    Err(Unanswered::Silent(why)) => Reply::error(format!(
                        "ERR the shard {shard}, where the execution began, does not answer: {why}"
                    )),
                };
                Box::new(client).answer(reply);
            };
            app.remote.ask(node, id, Box::new(answered));
            None
        }
        Err(refused) => Some(Reply::Error(refused.text(CANNOT_WAIT))),
    }
}

/// One element for each shard.
fn describe(shards: Vec<ShardView>) -> Reply {
    Reply::Array(shards.into_iter().map(describe_shard).collect())
}

fn describe_shard(view: ShardView) -> Reply {
    let steps = view.steps.into_iter().map(|(kind, name, arg)| {
        Reply::record(vec![
            ("type", Reply::text(kind)),
            ("duration", Reply::count(0u64)),
            ("name", Reply::text(name)),
            ("arg", Reply::text(arg)),
        ])
    });
    let errors = view.errors.into_iter().map(Reply::text);
    let described = Reply::record(vec![
        ("status", Reply::text(status(view.status))),
        ("shards_received", Reply::count(view.received)),
        ("shards_completed", Reply::count(view.completed)),
        (
            "results",
            view.results.map_or(Reply::Integer(-1), Reply::count),
        ),
        ("errors", Reply::Array(errors.collect())),
        ("total_duration", Reply::count(view.took_ms)),
        ("read_duration", Reply::count(0u64)),
        ("steps", Reply::Array(steps.collect())),
    ]);
    Reply::record(vec![
        ("shard_id", Reply::text(view.shard)),
        ("execution_plan", described),
    ])
}

fn outcome(view: ExecutionView) -> Reply {
    Reply::Array(vec![Reply::Array(view.results), Reply::Array(view.errors)])
}

fn results(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    let found = own_id(app, context, arguments, "rg.getresults").and_then(|id| view(app, id));
    match found {
        Ok(view) if view.status == Status::Running => {
            Reply::error("ERR execution is still running")
        }
        Ok(view) => outcome(view),
        Err(error) => error,
    }
}

/// `None` if the client waits for the reply.
fn results_blocking(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    let id = match own_id(app, context, arguments, "rg.getresultsblocking") {
        Ok(id) => id,
        Err(error) => return Some(error),
    };
    match view(app, id) {
        Err(error) => Some(error),
        Ok(view) if view.status != Status::Running => Some(outcome(view)),
        Ok(_) => match BlockedClient::new(context, Box::new(|| {})) {
            Ok(client) => {
                if let Err(client) = app.executions.wait(id, Box::new(client)) {
                    client.answer(Reply::error(ELSEWHERE));
                }
                None
            }
            Err(refused) => Some(Reply::Error(refused.text(CANNOT_WAIT))),
        },
    }
}

fn abort(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    let aborted =
        own_id(app, context, arguments, "rg.abortexecution").map(|id| app.executions.abort(id));
    match aborted {
        Ok(true) => Reply::OK,
        Ok(false) => Reply::error(UNKNOWN),
        Err(error) => error,
    }
}

fn forget(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    let dropped = own_id(app, context, arguments, "rg.dropexecution").and_then(|id| {
        view(app, id)?;
        Ok(app.executions.drop_ended(id))
    });
    match dropped {
        Ok(true) => Reply::OK,
        Ok(false) => Reply::error("ERR execution is still running"),
        Err(error) => error,
    }
}
