//! `RG.FUNCTION LOAD [UPGRADE] [CONFIG json] code`

use crate::app::App;
use crate::library::{LoadRequest, SourceKind};
use crate::server::{Arg, Command, Context};
use gears_v8::ports::Reply;

use crate::commands::{COMMAND, READ_ONLY, entry, subcommand, text, token, user_of};

pub(super) const LOAD: Command = Command {
    name: "load",
    entry: entry!(subcommand, run),
    flags: "deny-oom deny-script may-replicate",
    categories: "write scripting slow",
    summary: "Loads a library, or upgrades it",
    complexity: "O(N) where N is the size of the library's code, plus what its top level does",
    args: &[
        token("upgrade", "UPGRADE"),
        Arg {
            token: Some("CONFIG"),
            optional: true,
            ..text("config")
        },
        text("code"),
    ],
    help: &[
        "LOAD [UPGRADE] [CONFIG <json>] <code>",
        "    Load a library. Its first line is '#!js name=<library>'.",
        "    UPGRADE replaces the library of that name; its consumers keep their progress.",
        "    CONFIG gives it a JSON object, which it finds in 'redis.config'.",
    ],
    ..COMMAND
};

fn run(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    if !context.state().is_primary {
        return Reply::error(READ_ONLY);
    }
    let user = user_of(context);
    let request = match parse(arguments, &user) {
        Ok(request) => request,
        Err(error) => return Reply::error(error),
    };
    match app.load(context, &request) {
        Ok(_) => Reply::OK,
        Err(error) => Reply::error(error.to_string()),
    }
}

/// Options come first. The first argument that is not an option is the code; what follows is
/// ignored.
fn parse<'a>(arguments: &[&'a [u8]], user: &'a str) -> Result<LoadRequest<'a>, &'static str> {
    let mut upgrade = false;
    let mut config = None;
    let mut arguments = arguments.iter();
    loop {
        let argument = arguments.next().ok_or("Could not find library payload")?;
        if argument.eq_ignore_ascii_case(b"upgrade") {
            upgrade = true;
        } else if argument.eq_ignore_ascii_case(b"config") {
            let value = arguments
                .next()
                .ok_or("configuration value was not given")?;
            let value = std::str::from_utf8(value)
                .map_err(|_| "given configuration value is not a valid string")?;
            config = Some(value);
        } else {
            let code =
                std::str::from_utf8(argument).map_err(|_| "lib code must be a valid string")?;
            return Ok(LoadRequest {
                code,
                config,
                upgrade,
                user,
                kind: SourceKind::Library,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<'a>(
        arguments: &[&'a [u8]],
    ) -> Result<(&'a str, Option<&'a str>, bool), &'static str> {
        parse(arguments, "someone").map(|request| (request.code, request.config, request.upgrade))
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
