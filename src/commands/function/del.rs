//! `RG.FUNCTION DEL name [FORCE | KEEPPROGRESS]`

use crate::app::App;
use crate::server::{Arg, ArgKind, Command, Context};
use gears_core::cluster::libraries::Content;
use gears_core::quoted;
use gears_v8::ports::Reply;

use crate::commands::{COMMAND, READ_ONLY, entry, text, token, waiting_subcommand, wrong_arity};

pub(super) const DEL: Command = Command {
    name: "del",
    entry: entry!(waiting_subcommand, run),
    flags: "deny-script may-replicate",
    categories: "write scripting slow",
    summary: "Deletes a library with its consumers and their progress",
    complexity: "O(N) where N is the number of streams its consumers know",
    args: &[
        text("library"),
        Arg {
            kind: ArgKind::OneOf(&[
                token("force", "FORCE"),
                token("keepprogress", "KEEPPROGRESS"),
            ]),
            optional: true,
            ..text("progress")
        },
    ],
    help: &[
        "DEL <name> [FORCE|KEEPPROGRESS]",
        "    Delete a library with its consumers and their progress. KEEPPROGRESS keeps the",
        "    progress for the next library of that name. FORCE deletes it where the setting",
        "    delete-with-progress refuses that, and what was kept.",
    ],
    ..COMMAND
};

/// What becomes of the progress of the library's consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProgressOnDelete {
    /// It is lost, unless the settings refuse that.
    Unsaid,
    /// It is lost.
    Lost,
    /// It is kept.
    Kept,
}

fn run(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    if !context.state().is_primary {
        return Some(Reply::error(READ_ONLY));
    }
    let (name, progress) = match arguments {
        [] => return Some(Reply::error("function name was not given")),
        [name] => (*name, ProgressOnDelete::Unsaid),
        [name, word] => {
            let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
            if is("force") {
                (*name, ProgressOnDelete::Lost)
            } else if is("keepprogress") {
                (*name, ProgressOnDelete::Kept)
            } else {
                return Some(Reply::error("ERR syntax error"));
            }
        }
        _ => return Some(wrong_arity("rg.function|del")),
    };
    let deleted = std::str::from_utf8(name)
        .map_err(|_| NO_LIBRARY.to_owned())
        .and_then(|name| delete(app, context, name, progress));
    deleted.unwrap_or_else(|error| Some(Reply::Error(error)))
}

const NO_LIBRARY: &str = "library does not exists";

fn delete(
    app: &App,
    context: &Context,
    name: &str,
    progress: ProgressOnDelete,
) -> Result<Option<Reply>, String> {
    let is_loaded = app.libraries.all().contains_key(name);
    let is_kept = app.libraries.kept().contains_key(name) || app.libraries.is_kept_by_cluster(name);
    match (progress, is_loaded, is_kept) {
        (_, false, false) => Err(NO_LIBRARY.to_owned()),
        (ProgressOnDelete::Kept, true, _) if app.shares_libraries() => {
            app.libraries.room_to_keep(name)?;
            let how = ", its consumers' progress is kept";
            Ok(on_all(app, context, name, Content::Kept, how))
        }
        (ProgressOnDelete::Kept, true, _) => {
            app.keep_progress(context, name)?;
            Ok(Some(Reply::OK))
        }
        (ProgressOnDelete::Unsaid | ProgressOnDelete::Kept, false, true) => Err(format!(
            "ERR library {} is deleted, and the progress of its consumers is kept: say FORCE to drop that",
            quoted(name.as_bytes())
        )),
        (ProgressOnDelete::Unsaid, true, _) if app.settings.refuses_to_lose_progress() => {
            app.dispatcher.catch_up();
            match loses(name, &losing(app, name)) {
                Some(refused) => Err(refused),
                None => forget(app, context, name),
            }
        }
        (ProgressOnDelete::Unsaid | ProgressOnDelete::Lost, ..) => forget(app, context, name),
    }
}

/// The consumers whose progress would be lost. What they have read on other shards is not known here: there it may be
/// any of them.
fn losing(app: &App, name: &str) -> Vec<String> {
    if !app.shares_libraries() {
        return app.libraries.with_progress(name);
    }
    let registry = app.libraries.all();
    let library = registry.get(name).into_iter();
    let consumers = library.flat_map(|library| library.consumers.keys());
    consumers.cloned().collect()
}

fn forget(app: &App, context: &Context, name: &str) -> Result<Option<Reply>, String> {
    if app.shares_libraries() {
        return Ok(on_all(app, context, name, Content::Deleted, ""));
    }
    let is_deleted = app.delete(context, name);
    is_deleted
        .then_some(Some(Reply::OK))
        .ok_or_else(|| NO_LIBRARY.to_owned())
}

/// Has all shards delete it.
fn on_all(app: &App, context: &Context, name: &str, content: Content, how: &str) -> Option<Reply> {
    let library = quoted(name.as_bytes());
    let is_there = app.libraries.all().contains_key(name);
    let what = if is_there { "" } else { "what was kept of " };
    let details = format_args!("{what}library {library}, asked of all shards{how}");
    app.change_on_all(context, (name, content), Reply::OK, ("DEL", details))
}

/// Consumers that the error names; of the others it says how many there are.
const NAMES: usize = 10;

/// Why a library is not deleted whose consumers have progress; none where they have none.
fn loses(library: &str, consumers: &[String]) -> Option<String> {
    if consumers.is_empty() {
        return None;
    }
    let named = consumers.iter().take(NAMES);
    let named: Vec<_> = named
        .map(|name| quoted(name.as_bytes()).to_string())
        .collect();
    let more = match consumers.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "ERR library {} has consumers with progress ({}{more}): say FORCE to delete it, or KEEPPROGRESS to keep it for a later load",
        quoted(library.as_bytes()),
        named.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_some_of_the_consumers() {
        let names: Vec<_> = (0..12).map(|number| number.to_string()).collect();
        assert_eq!(loses("lib", &[]), None);
        let one = loses("lib", &names[..1]).unwrap_or_default();
        assert!(
            one.starts_with("ERR library 'lib' has consumers with progress ('0'): say FORCE"),
            "{one}"
        );
        let many = loses("lib", &names).unwrap_or_default();
        assert!(many.contains("'9' and 2 more): say"), "{many}");
    }
}
