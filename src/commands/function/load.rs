//! `RG.FUNCTION LOAD [UPGRADE] [CHECK] [REPORT] [CONFIG json] [OWNER user] code`

use std::sync::Arc;

use crate::app::App;
use crate::library::{
    Change, LoadRequest, OwnerRequest, Prologue, SourceKind, Users, now_ms, owner,
};
use crate::server::{Arg, Command, Context, is_admin, is_enabled};
use gears_core::cluster::libraries::{Body, Content};
use gears_core::quoted;
use gears_v8::ports::Reply;

use crate::commands::{COMMAND, READ_ONLY, entry, text, token, user_of, waiting_subcommand};

pub(super) const LOAD: Command = Command {
    name: "load",
    entry: entry!(waiting_subcommand, run),
    flags: "deny-oom deny-script may-replicate",
    categories: "write scripting slow",
    summary: "Loads a library, or upgrades it",
    complexity: "O(N) where N is the size of the library's code, plus what its top level does",
    args: &[
        token("upgrade", "UPGRADE"),
        token("check", "CHECK"),
        token("report", "REPORT"),
        Arg {
            token: Some("CONFIG"),
            optional: true,
            ..text("config")
        },
        Arg {
            token: Some("OWNER"),
            optional: true,
            ..text("owner")
        },
        text("code"),
    ],
    help: &[
        "LOAD [UPGRADE] [CHECK] [REPORT] [CONFIG <json>] [OWNER <user>] <code>",
        "    Load a library. Its first line is '#!js name=<library>'.",
        "    UPGRADE replaces the library of that name; its consumers keep their progress, and it",
        "    keeps its owner and its configuration, unless others are given.",
        "    CHECK only replies what would change, REPORT replies what has changed.",
        "    CONFIG gives it a JSON object, which it finds in 'redis.config'.",
        "    OWNER names the user whose rights its consumers and triggers have.",
    ],
    ..COMMAND
};

/// What the command asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LoadOptions<'a> {
    pub(super) code: &'a str,
    pub(super) config: Option<&'a str>,
    pub(super) owner: Option<&'a str>,
    pub(super) upgrade: bool,
    pub(super) is_check: bool,
    pub(super) reports: bool,
}

fn run(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    if !context.state().is_primary {
        return Some(Reply::error(READ_ONLY));
    }
    let options = parse(arguments).map_err(Into::into);
    let done = options.and_then(|options| load(app, context, &options, SourceKind::Library));
    done.unwrap_or_else(|error| Some(Reply::Error(error)))
}

/// Loads a text in the name of the client, who waits where other shards have to be asked: then there is no
/// reply yet.
///
/// # Errors
/// Why it was not loaded; nothing has changed then.
pub(super) fn load(
    app: &App,
    context: &Context,
    options: &LoadOptions<'_>,
    kind: SourceKind<'_>,
) -> Result<Option<Reply>, String> {
    let replaced = options.upgrade.then(|| replaced(app, options.code));
    let replaced = replaced.flatten();
    let caller = user_of(context);
    let replaces = replaced.as_ref();
    let user = owner(
        OwnerRequest {
            caller: &caller,
            named: options.owner,
            replaces: replaces.map(|old| (&*old.name, &*old.owner)),
        },
        &ServerUsers,
    )?;
    let kept = replaces.and_then(|old| old.config.as_deref());
    let request = LoadRequest {
        code: options.code,
        config: options.config.or(kept),
        upgrade: options.upgrade,
        user,
        caller: &caller,
        versions: app.settings.library_versions(),
        kind,
        is_check: options.is_check || app.shares_libraries(),
        tells_place: options.is_check || options.reports,
    };
    let loaded = app.load(context, &request);
    let loaded = loaded.map_err(|error| error.to_string())?;
    let Some(change) = loaded.change else {
        return Ok(Some(Reply::OK));
    };
    if app.shares_libraries() {
        let done = match (options.is_check, options.reports) {
            (true, _) => Done::Checked,
            (false, true) => Done::Reported,
            (false, false) => Done::Ok,
        };
        return Ok(load_on_all(
            app,
            context,
            &request,
            &loaded.name,
            change,
            done,
        ));
    }
    Ok(Some(if options.is_check || options.reports {
        change.report.reply()
    } else {
        Reply::OK
    }))
}

/// What the client of a load over all shards is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Ok,
    /// What has changed.
    Reported,
    /// What would change: nothing does.
    Checked,
}

/// Has all shards load what could be loaded here, or look whether they could.
fn load_on_all(
    app: &App,
    context: &Context,
    request: &LoadRequest<'_>,
    name: &str,
    change: Change,
    done: Done,
) -> Option<Reply> {
    let Change {
        is_upgrade,
        description,
        mut report,
    } = change;
    let body = Body {
        code: request.code.to_owned(),
        config: request.config.map(str::to_owned),
        owner: request.user.to_owned(),
        unregistered: Vec::new(),
        version: report.version(),
        loaded_ms: now_ms(),
        loaded_by: request.caller.to_owned(),
    };
    if done == Done::Checked {
        let content = Content::Live(Arc::new(body));
        return app.check_on_all(context, (name, content), report.reply());
    }
    report.set_loaded(body.loaded_ms);
    let done = if done == Done::Reported {
        report.reply()
    } else {
        Reply::OK
    };
    let what = match request.kind {
        SourceKind::Earlier { .. } => "ROLLBACK",
        _ if is_upgrade => "UPGRADE",
        _ => "LOAD",
    };
    let quoted = quoted(name.as_bytes());
    let details = format_args!("library {quoted}, asked of all shards: {description}");
    let content = Content::Live(Arc::new(body));
    app.change_on_all(context, (name, content), done, (what, details))
}

/// What an upgrade keeps.
struct Replaced {
    name: String,
    owner: String,
    config: Option<String>,
}

/// The library that this code would replace. What is wrong with its first line is told by the load.
fn replaced(app: &App, code: &str) -> Option<Replaced> {
    let prologue = Prologue::parse(code).ok()?;
    let registry = app.libraries.all();
    let old = registry.get(prologue.name)?;
    Some(Replaced {
        name: prologue.name.to_owned(),
        owner: old.user.to_string(),
        config: old.config.clone(),
    })
}

/// The users of the server.
struct ServerUsers;

impl Users for ServerUsers {
    fn is_enabled(&self, user: &str) -> bool {
        is_enabled(user)
    }

    fn is_admin(&self, user: &str) -> bool {
        is_admin(user)
    }
}

/// Options come first. The first argument that is not an option is the code; what follows is
/// ignored.
fn parse<'a>(arguments: &[&'a [u8]]) -> Result<LoadOptions<'a>, &'static str> {
    let mut options = LoadOptions::default();
    let mut arguments = arguments.iter();
    loop {
        let argument = arguments.next().ok_or("Could not find library payload")?;
        let is = |name: &str| argument.eq_ignore_ascii_case(name.as_bytes());
        if is("upgrade") {
            options.upgrade = true;
        } else if is("check") {
            options.is_check = true;
        } else if is("report") {
            options.reports = true;
        } else if is("config") {
            let value = arguments
                .next()
                .ok_or("configuration value was not given")?;
            let value = std::str::from_utf8(value)
                .map_err(|_| "given configuration value is not a valid string")?;
            options.config = Some(value);
        } else if is("owner") {
            let value = arguments.next().ok_or("ERR OWNER needs a user")?;
            let value =
                std::str::from_utf8(value).map_err(|_| "ERR OWNER is not a valid string")?;
            options.owner = Some(value);
        } else {
            options.code =
                std::str::from_utf8(argument).map_err(|_| "lib code must be a valid string")?;
            return Ok(options);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<'a>(
        arguments: &[&'a [u8]],
    ) -> Result<(&'a str, Option<&'a str>, bool), &'static str> {
        parse(arguments).map(|options| (options.code, options.config, options.upgrade))
    }

    #[test]
    fn options_come_before_the_code_in_any_order() {
        assert_eq!(parsed(&[b"code"]), Ok(("code", None, false)));
        assert_eq!(
            parsed(&[b"config", b"{}", b"UPGRADE", b"code", b"more"]),
            Ok(("code", Some("{}"), true))
        );
    }

    #[test]
    fn a_report_a_check_and_an_owner_can_be_asked_for() {
        let options = parse(&[b"CHECK", b"owner", b"anna", b"Report", b"code"]);
        let expected = LoadOptions {
            code: "code",
            owner: Some("anna"),
            is_check: true,
            reports: true,
            ..LoadOptions::default()
        };
        assert_eq!(options, Ok(expected));
        assert_eq!(parse(&[b"OWNER"]), Err("ERR OWNER needs a user"));
    }

    #[test]
    fn what_is_missing_or_no_text_is_named() {
        assert_eq!(parsed(&[]), Err("Could not find library payload"));
        assert_eq!(parsed(&[b"UPGRADE"]), Err("Could not find library payload"));
        assert_eq!(
            parsed(&[b"CONFIG"]),
            Err("configuration value was not given")
        );
        assert_eq!(
            parsed(&[b"CONFIG", b"\xff", b"code"]),
            Err("given configuration value is not a valid string")
        );
        assert_eq!(parsed(&[b"\xff"]), Err("lib code must be a valid string"));
    }
}
