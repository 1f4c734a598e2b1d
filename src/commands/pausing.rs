//! What `PAUSE` and `RESUME` of functions and of triggers have in common.

use crate::app::App;
use crate::library::Registry;
use crate::server::Context;
use gears_core::snapshot::Paused;
use gears_v8::ports::Reply;

use super::{READ_ONLY, wrong_arity};

/// The library of that name, and what of it the second name means.
type Find = fn(&Registry, &[u8], &[u8]) -> Result<(String, Paused), String>;

/// Carries out `PAUSE` or `RESUME` of a command such as `rg.trigger`.
pub(super) fn set_paused(
    app: &App,
    context: &Context,
    command: &str,
    arguments: &[&[u8]],
    is_paused: bool,
    find: Find,
) -> Reply {
    let [library, name] = arguments else {
        let subcommand = if is_paused { "pause" } else { "resume" };
        return wrong_arity(&format!("{command}|{subcommand}"));
    };
    if !context.state().is_primary {
        return Reply::error(READ_ONLY);
    }
    // The libraries are given back before one of them is changed.
    let found = find(&app.libraries.all(), library, name);
    match found {
        Ok((library, what)) => {
            app.set_paused(context, &library, &what, is_paused);
            Reply::OK
        }
        Err(error) => Reply::Error(error),
    }
}
