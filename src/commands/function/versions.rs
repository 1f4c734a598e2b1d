//! `RG.FUNCTION VERSIONS library` and `RG.FUNCTION ROLLBACK library [version]`

use crate::app::App;
use crate::commands::{
    COMMAND, READ_ONLY, entry, find_library, subcommand, text, waiting_subcommand, wrong_arity,
};
use crate::library::{Library, SourceKind, digest};
use crate::server::{Arg, ArgKind, Command, Context};
use gears_core::snapshot::EarlierVersion;
use gears_v8::ports::Reply;

use super::load::{LoadOptions, load};

pub(super) const VERSIONS: Command = Command {
    name: "versions",
    entry: entry!(subcommand, versions),
    flags: "deny-script",
    categories: super::CATEGORIES,
    summary: "Shows the versions of a library that are kept",
    complexity: "O(N) where N is the size of their code",
    args: &[text("library")],
    help: &[
        "VERSIONS <library>",
        "    Show the versions of the library that are kept, the newest first.",
    ],
    ..COMMAND
};

pub(super) const ROLLBACK: Command = Command {
    name: "rollback",
    entry: entry!(waiting_subcommand, rollback),
    flags: "deny-oom deny-script may-replicate",
    categories: "write scripting slow",
    summary: "Loads an earlier version of a library again",
    complexity: "O(N) where N is the size of its code, plus what its top level does",
    args: &[
        text("library"),
        Arg {
            kind: ArgKind::Number,
            optional: true,
            ..text("version")
        },
    ],
    help: &[
        "ROLLBACK <library> [<version>]",
        "    Load the version before the present one again, or that of this number.",
    ],
    ..COMMAND
};

fn versions(app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
    let [library] = arguments else {
        return wrong_arity("rg.function|versions");
    };
    let registry = app.libraries.all();
    match find_library(&registry, library) {
        Ok((_, library)) => describe(library),
        Err(error) => Reply::Error(error),
    }
}

fn describe(library: &Library) -> Reply {
    let history = &library.history;
    let current = record(
        (history.version, history.loaded_ms),
        (&library.user, &history.loaded_by),
        (&library.code, &library.digest),
        true,
    );
    let earlier = history.earlier.iter().rev().map(|one| {
        record(
            (one.version, one.loaded_ms),
            (&one.user, &one.loaded_by),
            (&one.code, &digest(&one.code)),
            false,
        )
    });
    Reply::Array(std::iter::once(current).chain(earlier).collect())
}

fn record(
    (version, loaded_ms): (u64, u64),
    (user, loaded_by): (&str, &str),
    (code, digest): (&str, &str),
    is_current: bool,
) -> Reply {
    Reply::record(vec![
        ("version", Reply::count(version)),
        ("digest", Reply::text(digest)),
        ("loaded_at", Reply::count(loaded_ms)),
        ("user", Reply::text(user)),
        ("loaded_by", Reply::text(loaded_by)),
        ("bytes", Reply::count(code.len())),
        ("current", Reply::count(u8::from(is_current))),
    ])
}

fn rollback(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    if !context.state().is_primary {
        return Some(Reply::error(READ_ONLY));
    }
    let (library, version) = match arguments {
        [library] => (*library, None),
        [library, version] => (*library, Some(*version)),
        _ => return Some(wrong_arity("rg.function|rollback")),
    };
    let chosen = choose(app, library, version);
    let done = chosen.and_then(|chosen| {
        let options = LoadOptions {
            code: &chosen.code,
            upgrade: true,
            reports: true,
            ..LoadOptions::default()
        };
        let version = chosen.version;
        load(app, context, &options, SourceKind::Earlier { version })
    });
    done.unwrap_or_else(|error| Some(Reply::Error(error)))
}

/// The version to go back to: that of the number, or the newest of the earlier ones.
///
/// # Errors
/// Why there is none.
fn choose(app: &App, library: &[u8], version: Option<&[u8]>) -> Result<EarlierVersion, String> {
    let wanted = version.map(number).transpose()?;
    let registry = app.libraries.all();
    let (name, library) = find_library(&registry, library)?;
    let history = &library.history;
    let found = match wanted {
        None => history.earlier.last(),
        Some(wanted) if wanted == history.version => {
            return Err(format!("ERR library '{name}' is at version {wanted}"));
        }
        Some(wanted) => history.earlier.iter().find(|one| one.version == wanted),
    };
    found.cloned().ok_or_else(|| match wanted {
        None => format!("ERR no earlier version of library '{name}' is kept"),
        Some(wanted) => format!("ERR version {wanted} of library '{name}' is not kept"),
    })
}

fn number(text: &[u8]) -> Result<u64, String> {
    let number = std::str::from_utf8(text).ok();
    let number = number.and_then(|text| text.parse().ok());
    number.ok_or_else(|| "ERR the version is no number".to_owned())
}
