//! `RG.DUMPEXECUTIONS`, `RG.GETEXECUTION`, `RG.GETRESULTS`, `RG.ABORTEXECUTION`, ...: runs over the
//! data set, with the replies of the first `RedisGears`.
//!
//! A run belongs to its user. Other users are told that there is no run of that ID, except
//! administrators.

use serde::Deserialize;

use crate::app::App;
use crate::executor::{ExecutionView, Status};
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
        entry: entry!(command, get),
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

/// What a shard has done for a run: its name, how it stands, stages, milliseconds, errors.
type ShardPart = (String, String, u64, u64, Vec<String>);

/// The steps of a run.
#[derive(Default, Deserialize)]
struct Plan {
    #[serde(default)]
    steps: Vec<(String, String, String)>,
}

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

fn get(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
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
        Ok((view(app, id)?, of_all))
    });
    match found {
        Ok((view, of_all)) => Reply::Array(describe_shards(&view, context, of_all)),
        Err(error) => error,
    }
}

/// One element for each shard that takes part, this one first; or of this one alone.
fn describe_shards(view: &ExecutionView, context: &Context, of_all: bool) -> Vec<Reply> {
    let parts = view.shards.as_deref();
    let parts: Vec<ShardPart> = parts
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let me = context.shard_id();
    let mut all = vec![describe(view, &me, &parts)];
    if of_all {
        let others = parts.iter().filter(|(shard, ..)| *shard != me);
        all.extend(others.map(|(shard, status, _, took, errors)| {
            let done = status != "running";
            of_shard(
                shard,
                status,
                (1, u64::from(done)),
                (
                    if done {
                        Reply::count(0u64)
                    } else {
                        Reply::Integer(-1)
                    },
                    errors.iter().map(Reply::text).collect(),
                ),
                *took,
                steps(view),
            )
        }));
    }
    all
}

fn steps(view: &ExecutionView) -> Vec<Reply> {
    let plan: Plan = serde_json::from_str(&view.plan).unwrap_or_default();
    let steps = plan.steps.into_iter().rev().map(|(kind, name, arg)| {
        Reply::record(vec![
            ("type", Reply::text(kind)),
            ("duration", Reply::count(0u64)),
            ("name", Reply::text(name)),
            ("arg", Reply::text(arg)),
        ])
    });
    steps.collect()
}

fn describe(view: &ExecutionView, me: &str, parts: &[ShardPart]) -> Reply {
    let ended = view.status != Status::Running;
    let done = parts.iter().filter(|(_, status, ..)| status != "running");
    let (received, completed) = if parts.is_empty() {
        (1, u64::from(ended))
    } else {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        (count(parts.len()), count(done.count()))
    };
    let results = if ended {
        Reply::count(view.results.len())
    } else {
        Reply::Integer(-1)
    };
    let took = u64::try_from(view.took.as_millis()).unwrap_or(u64::MAX);
    of_shard(
        me,
        status(view.status),
        (received, completed),
        (results, view.errors.clone()),
        took,
        steps(view),
    )
}

fn of_shard(
    shard: &str,
    status: &str,
    (received, completed): (u64, u64),
    (results, errors): (Reply, Vec<Reply>),
    took: u64,
    steps: Vec<Reply>,
) -> Reply {
    let described = Reply::record(vec![
        ("status", Reply::text(status)),
        ("shards_received", Reply::count(received)),
        ("shards_completed", Reply::count(completed)),
        ("results", results),
        ("errors", Reply::Array(errors)),
        ("total_duration", Reply::count(took)),
        ("read_duration", Reply::count(0u64)),
        ("steps", Reply::Array(steps)),
    ]);
    Reply::record(vec![
        ("shard_id", Reply::text(shard)),
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
