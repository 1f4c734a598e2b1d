//! `RG.JSEXECUTE` and `RG.PYEXECUTE code [UNBLOCKING] [ID id] [UPGRADE]`: run a script once, as the
//! latter did in `RedisGears` 1.
//!
//! A script that registers something stays as a library of that name. A script that starts a run
//! over the data set lives until the run has ended.

use std::sync::Arc;

use crate::app::App;
use crate::executor::{FunctionCall, LibraryExecutor};
use crate::library::{LoadError, LoadRequest, SourceKind};
use crate::server::{Arg, BlockedClient, Command, Context, NoWait, random_name};
use gears_v8::ports::{Arguments, Credentials, Database, Flags, Reply, Scheduled};

use super::GEARS1;
use crate::commands::{READ_ONLY, entry, text, token, user_of, waiting_command};

pub(super) static JSEXECUTE: Command = Command {
    name: "rg.jsexecute",
    entry: entry!(waiting_command, run_javascript),
    ..EXECUTE
};

pub(super) static PYEXECUTE: Command = Command {
    name: "rg.pyexecute",
    entry: entry!(waiting_command, run_python),
    ..EXECUTE
};

const EXECUTE: Command = Command {
    flags: "deny-oom deny-script may-replicate",
    summary: "Runs a script once; what it registers stays",
    complexity: "Depends on the script",
    arity: -2,
    args: &[
        text("code"),
        token("unblocking", "UNBLOCKING"),
        Arg {
            token: Some("ID"),
            optional: true,
            ..text("id")
        },
        token("upgrade", "UPGRADE"),
    ],
    ..GEARS1
};

const CANNOT_WAIT: &str =
    "ERR scripts cannot be run inside a transaction, a Lua script or another module's command";

#[derive(Debug, Default, PartialEq, Eq)]
struct ScriptOptions<'a> {
    unblocking: bool,
    upgrade: bool,
    id: Option<&'a str>,
}

fn run_javascript(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    run(app, context, "js", arguments)
}

fn run_python(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    run(app, context, "py", arguments)
}

/// `None` if the client waits for the reply.
fn run(app: &App, context: &Context, engine: &str, arguments: &[&[u8]]) -> Option<Reply> {
    match execute(app, context, engine, arguments) {
        Ok(reply) => reply,
        Err(error) => Some(Reply::Error(error)),
    }
}

fn execute(
    app: &App,
    context: &Context,
    engine: &str,
    arguments: &[&[u8]],
) -> Result<Option<Reply>, String> {
    let [code, options @ ..] = arguments else {
        return Err(format!(
            "ERR wrong number of arguments for 'rg.{engine}execute' command"
        ));
    };
    if !context.state().is_primary {
        return Err(READ_ONLY.into());
    }
    if context.may_wait() == Err(NoWait::Nested) {
        return Err(CANNOT_WAIT.into());
    }
    let options = parse(options)?;
    let code = named(code, engine, &options)?;
    let user = user_of(context);
    let request = LoadRequest {
        code: &code,
        config: None,
        upgrade: options.upgrade,
        user: &user,
        kind: SourceKind::Script,
    };
    let loaded = app.load(context, &request).map_err(|error| match error {
        LoadError::Compilation(text) | LoadError::Evaluation(text) => text,
        error => error.to_string(),
    })?;
    let Some((executor, scheduled)) = loaded.scheduled else {
        return Ok(Some(Reply::OK));
    };
    let run = ScriptRun {
        user: &user,
        stays: loaded.stays,
        waits: !loaded.stays && !options.unblocking,
    };
    run.start(app, context, &executor, &scheduled)
}

/// The text with a first line that names it: a script that stays is restored from its text alone.
fn named(code: &[u8], engine: &str, options: &ScriptOptions<'_>) -> Result<String, String> {
    let code = std::str::from_utf8(code).map_err(|_| "lib code must be a valid string")?;
    let has_name = code.starts_with("#!");
    if has_name && options.id.is_some() {
        return Err("ERR the script has a name: ID is not for it".into());
    }
    if options.upgrade && !has_name && options.id.is_none() {
        return Err("ERR UPGRADE needs an ID".into());
    }
    if has_name {
        return Ok(code.to_owned());
    }
    let id = options.id.map_or_else(random_name, str::to_owned);
    Ok(format!("#!{engine} name={id}\n{code}"))
}

/// A run over the data set that a script asked for.
struct ScriptRun<'a> {
    user: &'a str,
    /// Whether the script stays as a library.
    stays: bool,
    /// Whether the client waits for the results.
    waits: bool,
}

impl ScriptRun<'_> {
    /// Begins the run; `None` if the client waits for its results.
    fn start(
        &self,
        app: &App,
        context: &Context,
        executor: &Arc<LibraryExecutor>,
        scheduled: &Scheduled,
    ) -> Result<Option<Reply>, String> {
        // A library outlives its runs. A script ends with its run.
        let script = (!self.stays).then(|| Arc::clone(executor));
        let (id, responder) =
            app.executions
                .begin_script(&scheduled.plan, self.user, !self.waits, script);
        if self.waits {
            wait(app, context, &id)?;
        }
        executor.send_function(FunctionCall {
            callback: scheduled.callback,
            credentials: Arc::new(Credentials {
                user: self.user.into(),
                db: Database::Number(context.db()),
                flags: Flags::default(),
            }),
            arguments: Arguments::of([id.as_bytes()]),
            raw: false,
            responder,
        });
        Ok(match (self.waits, self.stays) {
            (true, _) => None,
            (false, true) => Some(Reply::OK),
            (false, false) => Some(Reply::text(id)),
        })
    }
}

/// Has the client wait for the results of a run. The run is aborted if the client leaves, or cannot
/// wait.
fn wait(app: &App, context: &Context, id: &str) -> Result<(), String> {
    let (executions, gone) = (Arc::clone(&app.executions), id.to_owned());
    let on_gone = Box::new(move || {
        executions.abort(&gone);
    });
    match BlockedClient::new(context, on_gone) {
        // The run has just started, so it is known.
        Ok(client) => drop(app.executions.wait(id, Box::new(client))),
        Err(refused) => {
            app.executions.abort(id);
            return Err(refused.text(CANNOT_WAIT));
        }
    }
    Ok(())
}

fn parse<'a>(arguments: &[&'a [u8]]) -> Result<ScriptOptions<'a>, String> {
    let mut options = ScriptOptions::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument.eq_ignore_ascii_case(b"unblocking") {
            options.unblocking = true;
        } else if argument.eq_ignore_ascii_case(b"upgrade") {
            options.upgrade = true;
        } else if argument.eq_ignore_ascii_case(b"id") {
            let id = arguments.next().and_then(|id| std::str::from_utf8(id).ok());
            let is_fit = |id: &&str| {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
                (1..=1000).contains(&id.len()) && id.bytes().all(fits)
            };
            let id = id.filter(is_fit);
            options.id = Some(id.ok_or("ERR the ID must be of letters, digits, '_' and '-'")?);
        } else {
            let shown = String::from_utf8_lossy(argument);
            return Err(format!("ERR Unknown arguments were given: {shown}"));
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_in_any_order_and_case() {
        let options = parse(&[b"id", b"a-1", b"Unblocking", b"UPGRADE"]);
        let expected = ScriptOptions {
            unblocking: true,
            upgrade: true,
            id: Some("a-1"),
        };
        assert_eq!(options, Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |arguments: &[&[u8]]| parse(arguments).unwrap_err();
        assert!(wrong(&[b"requirements"]).contains("Unknown arguments were given: requirements"));
        for id in [&b"a b"[..], b"", b"\xff"] {
            assert!(wrong(&[b"ID", id]).contains("letters"));
        }
        assert!(wrong(&[b"ID"]).contains("letters"));
    }
}
