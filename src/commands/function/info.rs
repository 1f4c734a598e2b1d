//! `RG.FUNCTION INFO library function`

use crate::app::App;
use crate::commands::{COMMAND, entry, find_library, subcommand, text, wrong_arity};
use crate::executor::CallbackKind;
use crate::library::{Library, Registry};
use crate::server::{Command, Context};
use crate::stats;
use gears_v8::ports::{Flags, Function, Reply};

pub(super) const INFO: Command = Command {
    name: "info",
    entry: entry!(subcommand, info),
    flags: "deny-script",
    categories: super::CATEGORIES,
    summary: "Shows how it stands with a function",
    args: &[text("library"), text("function")],
    help: &[
        "INFO <library> <function>",
        "    Show how it stands with a function.",
    ],
    ..COMMAND
};

fn info(app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
    let [library, function] = arguments else {
        return wrong_arity("rg.function|info");
    };
    let registry = app.libraries.all();
    match find(&registry, library, function) {
        Ok((name, library, function)) => describe(name, library, function),
        Err(error) => Reply::Error(error),
    }
}

/// A function by the names of its library and its own.
///
/// # Errors
/// Which of the two there is not.
pub(super) fn find<'r>(
    registry: &'r Registry,
    library: &[u8],
    function: &[u8],
) -> Result<(&'r str, &'r Library, &'r Function), String> {
    let (name, library) = find_library(registry, library)?;
    let found = std::str::from_utf8(function).ok();
    let found = found.and_then(|function| library.functions.get(function));
    let function = found.ok_or_else(|| {
        let function = String::from_utf8_lossy(function);
        format!("ERR library '{name}' has no function '{function}'")
    })?;
    Ok((name, library, function))
}

fn describe(name: &str, library: &Library, function: &Function) -> Reply {
    let flags = Flags::NAMES.iter();
    let flags = flags.filter(|(_, flag)| function.flags.contains(*flag));
    let flags = flags.map(|(name, _)| Reply::text(*name)).collect();
    let timeout = function.timeout_ms;
    let is_paused = library.is_paused_function(&function.name);
    let mut fields = vec![
        ("name", Reply::text(function.name.as_str())),
        ("library", Reply::text(name)),
        ("mode", Reply::text(stats::mode_name(function.mode))),
        ("flags", Reply::Array(flags)),
        ("run_as", Reply::text(function.run_as.name())),
        ("timeout", timeout.map_or(Reply::Null, Reply::count)),
        ("state", stats::running_or_paused(is_paused)),
    ];
    let figures = stats::figures_of(library, CallbackKind::Function, &function.name);
    fields.extend(stats::figures(&figures));
    Reply::record(fields)
}
