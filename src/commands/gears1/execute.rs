//! `RG.JSEXECUTE` and `RG.PYEXECUTE code [UNBLOCKING] [ID id] [DESCRIPTION text] [UPGRADE]
//! [REPLACE_WITH id]`: run a script once, as the latter did in `RedisGears` 1. It also takes
//! `[FORCE_REINSTALL_REQUIREMENTS] [REQUIREMENTS package ...]`.
//!
//! A script that registers something stays as a library of that name. A script that starts a run
//! over the data set lives until the run has ended.

use std::sync::Arc;

use crate::app::App;
use crate::executor::{FunctionCall, LibraryExecutor};
use crate::library::{LoadError, LoadRequest, ScriptSession, SourceKind};
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
    args: &[
        CODE,
        UNBLOCKING,
        ID,
        DESCRIPTION,
        UPGRADE,
        REPLACE_WITH,
        token(
            "force-reinstall-requirements",
            "FORCE_REINSTALL_REQUIREMENTS",
        ),
        Arg {
            token: Some("REQUIREMENTS"),
            optional: true,
            multiple: true,
            ..text("requirement")
        },
    ],
    ..EXECUTE
};

const EXECUTE: Command = Command {
    flags: "deny-oom deny-script may-replicate",
    summary: "Runs a script once; what it registers stays",
    complexity: "Depends on the script",
    arity: -2,
    args: &[CODE, UNBLOCKING, ID, DESCRIPTION, UPGRADE, REPLACE_WITH],
    ..GEARS1
};

const CODE: Arg = text("code");
const UNBLOCKING: Arg = token("unblocking", "UNBLOCKING");
const ID: Arg = option("id", "ID");
const DESCRIPTION: Arg = option("description", "DESCRIPTION");
const UPGRADE: Arg = token("upgrade", "UPGRADE");
const REPLACE_WITH: Arg = option("old-id", "REPLACE_WITH");

const fn option(name: &'static str, token: &'static str) -> Arg {
    Arg {
        token: Some(token),
        optional: true,
        ..text(name)
    }
}

/// Characters of a description.
const DESCRIPTION_MAX: usize = 1000;

const CANNOT_WAIT: &str =
    "ERR scripts cannot be run inside a transaction, a Lua script or another module's command";

#[derive(Debug, Default, PartialEq, Eq)]
struct ScriptOptions<'a> {
    unblocking: bool,
    upgrade: bool,
    id: Option<&'a str>,
    replaces: Option<&'a str>,
    session: ScriptSession,
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
    let options = parse(options, engine == "py")?;
    let code = named(code, engine, &options)?;
    for requirement in &options.session.requirements {
        check_requirement(app, engine, requirement)?;
    }
    if let Some(old) = options.replaces
        && !app.libraries.all().contains_key(old)
    {
        return Err(format!("ERR Session {old} does not exist"));
    }
    let user = user_of(context);
    let request = LoadRequest {
        code: &code,
        config: None,
        upgrade: options.upgrade,
        user: &user,
        caller: &user,
        versions: app.settings.library_versions(),
        kind: SourceKind::Script,
        is_check: false,
        tells_place: false,
    };
    let loaded = app.load(context, &request).map_err(|error| match error {
        LoadError::Compilation(text) | LoadError::Evaluation(text) => text,
        error => error.to_string(),
    })?;
    // In one go with what takes its place: nothing runs in between.
    if let Some(old) = options.replaces {
        app.delete(context, old);
    }
    let Some((executor, scheduled)) = loaded.scheduled else {
        return Ok(Some(Reply::OK));
    };
    if !loaded.stays {
        app.remote.keep_script(&loaded.name, &code, &executor);
    }
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
    if has_name {
        let refused = if options.id.is_some() {
            "ID"
        } else if options.session.description.is_some() {
            "DESCRIPTION"
        } else if options.replaces.is_some() {
            "REPLACE_WITH"
        } else {
            return Ok(code.to_owned());
        };
        return Err(format!(
            "ERR the script has a name: {refused} is not for it"
        ));
    }
    if options.upgrade && options.id.is_none() {
        return Err("ERR UPGRADE needs an ID".into());
    }
    if options.upgrade && options.replaces.is_some() {
        return Err("ERR UPGRADE and REPLACE_WITH exclude each other".into());
    }
    if options.id.is_some() && options.id == options.replaces {
        return Err("ERR REPLACE_WITH needs another ID than the new one: UPGRADE keeps it".into());
    }
    let id = options.id.map_or_else(random_name, str::to_owned);
    Ok(format!(
        "{}\n{code}",
        options.session.first_line(engine, &id)
    ))
}

/// Nothing can be installed: a package has to be there already.
fn check_requirement(app: &App, engine: &str, requirement: &str) -> Result<(), String> {
    let is_of_name = |one: char| one.is_ascii_alphanumeric() || "_.-".contains(one);
    let end = requirement.find(|one| !is_of_name(one));
    let package = &requirement[..end.unwrap_or(requirement.len())];
    let module = package.to_ascii_lowercase().replace('-', "_");
    let engine = app.libraries.engine(engine);
    if engine.is_some_and(|engine| engine.has_module(&module)) {
        return Ok(());
    }
    Err(format!(
        "ERR requirement '{requirement}' is not there: scripts have Python's standard library, and packages cannot be installed"
    ))
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
            timeout_ms: None,
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

/// The text behind an option.
fn value<'a>(
    arguments: &mut std::slice::Iter<'_, &'a [u8]>,
    option: &str,
) -> Result<&'a str, String> {
    let value = arguments
        .next()
        .and_then(|value| std::str::from_utf8(value).ok());
    value.ok_or_else(|| format!("ERR {option} must be followed by a text"))
}

fn id<'a>(arguments: &mut std::slice::Iter<'_, &'a [u8]>) -> Result<&'a str, String> {
    let is_fit = |id: &&str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        (1..=1000).contains(&id.len()) && id.bytes().all(fits)
    };
    let id = value(arguments, "ID").ok().filter(is_fit);
    id.ok_or_else(|| "ERR the ID must be of letters, digits, '_' and '-'".into())
}

fn parse<'a>(arguments: &[&'a [u8]], requires: bool) -> Result<ScriptOptions<'a>, String> {
    let mut options = ScriptOptions::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument.eq_ignore_ascii_case(b"unblocking") {
            options.unblocking = true;
        } else if argument.eq_ignore_ascii_case(b"upgrade") {
            options.upgrade = true;
        } else if argument.eq_ignore_ascii_case(b"id") {
            options.id = Some(id(&mut arguments)?);
        } else if argument.eq_ignore_ascii_case(b"replace_with") {
            options.replaces = Some(id(&mut arguments)?);
        } else if argument.eq_ignore_ascii_case(b"description") {
            let description = value(&mut arguments, "DESCRIPTION")?;
            if description.chars().count() > DESCRIPTION_MAX {
                return Err(format!(
                    "ERR DESCRIPTION is longer than {DESCRIPTION_MAX} characters"
                ));
            }
            options.session.description = Some(description.to_owned());
        } else if requires && argument.eq_ignore_ascii_case(b"force_reinstall_requirements") {
            // What there is was not installed.
        } else if requires && argument.eq_ignore_ascii_case(b"requirements") {
            while !arguments.as_slice().is_empty() {
                let requirement = value(&mut arguments, "REQUIREMENTS")?;
                options.session.requirements.push(requirement.to_owned());
            }
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
        let options = parse(&[b"id", b"a-1", b"Unblocking", b"UPGRADE"], false);
        let expected = ScriptOptions {
            unblocking: true,
            upgrade: true,
            id: Some("a-1"),
            ..ScriptOptions::default()
        };
        assert_eq!(options, Ok(expected));
    }

    #[test]
    fn requirements_are_all_that_follows() {
        let given: &[&[u8]] = &[
            b"Replace_With",
            b"old",
            b"force_reinstall_requirements",
            b"description",
            b"what for",
            b"requirements",
            b"json",
            b"unblocking",
        ];
        let expected = ScriptOptions {
            replaces: Some("old"),
            session: ScriptSession {
                description: Some("what for".into()),
                requirements: vec!["json".into(), "unblocking".into()],
            },
            ..ScriptOptions::default()
        };
        assert_eq!(parse(given, true), Ok(expected));
        let refused = parse(given, false).unwrap_err();
        assert!(
            refused.contains("Unknown arguments were given: force"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |arguments: &[&[u8]]| parse(arguments, false).unwrap_err();
        assert!(wrong(&[b"requirements"]).contains("Unknown arguments were given: requirements"));
        for id in [&b"a b"[..], b"", b"\xff"] {
            assert!(wrong(&[b"ID", id]).contains("letters"));
        }
        assert!(wrong(&[b"ID"]).contains("letters"));
        assert!(wrong(&[b"REPLACE_WITH"]).contains("letters"));
        assert!(wrong(&[b"DESCRIPTION"]).contains("followed by a text"));
    }
}
