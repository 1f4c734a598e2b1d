//! `RG.TRIGGER`: looking at one key-space trigger, and controlling it.

use crate::app::App;
use crate::executor::CallbackKind;
use crate::library::{Library, Registry};
use crate::server::{Command, Context};
use crate::stats;
use gears_core::snapshot::Paused;
use gears_core::triggers::TriggerKey;
use gears_v8::ports::Reply;

use super::pausing::set_paused;
use super::{COMMAND, CONTAINER, entry, find_library, help_of, subcommand, text, wrong_arity};

/// ACL categories of the commands that only look.
const CATEGORIES: &str = "scripting slow";

pub(super) static RG_TRIGGER: Command = Command {
    name: "rg.trigger",
    categories: CATEGORIES,
    summary: "A container for commands about key-space triggers",
    subcommands: &[
        INFO,
        PAUSE,
        RESUME,
        Command {
            entry: entry!(subcommand, help),
            categories: CATEGORIES,
            summary: "Shows the subcommands of RG.TRIGGER",
            ..super::HELP
        },
    ],
    ..CONTAINER
};

const INFO: Command = Command {
    name: "info",
    entry: entry!(subcommand, info),
    flags: "deny-script",
    categories: CATEGORIES,
    summary: "Shows how it stands with a key-space trigger",
    args: &[text("library"), text("trigger")],
    help: &[
        "INFO <library> <trigger>",
        "    Show how it stands with a trigger.",
    ],
    ..COMMAND
};

const PAUSE: Command = Command {
    name: "pause",
    entry: entry!(subcommand, pause),
    summary: "Hands no more events to a key-space trigger",
    help: &[
        "PAUSE <library> <trigger>",
        "    Hand no more events to the trigger: they wait. What runs ends.",
    ],
    ..CONTROL
};

const RESUME: Command = Command {
    name: "resume",
    entry: entry!(subcommand, resume),
    summary: "Hands events to a key-space trigger again",
    complexity: "O(N) where N is the number of events that wait",
    help: &[
        "RESUME <library> <trigger>",
        "    Go on, with the events that wait first.",
    ],
    ..CONTROL
};

const CONTROL: Command = Command {
    flags: "write deny-script",
    categories: "write scripting slow",
    args: &[text("library"), text("trigger")],
    ..COMMAND
};

fn pause(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    set(app, context, arguments, true)
}

fn resume(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    set(app, context, arguments, false)
}

fn set(app: &App, context: &Context, arguments: &[&[u8]], is_paused: bool) -> Reply {
    set_paused(
        app,
        context,
        "rg.trigger",
        arguments,
        is_paused,
        |registry, library, trigger| {
            let (name, _, trigger, _) = find(registry, library, trigger)?;
            Ok((name.to_owned(), Paused::Trigger(trigger.to_owned())))
        },
    )
}

fn help(_app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    help_of(&RG_TRIGGER)
}

/// A trigger by the names of its library and its own.
///
/// # Errors
/// Which of the two there is not.
fn find<'r>(
    registry: &'r Registry,
    library: &[u8],
    trigger: &[u8],
) -> Result<(&'r str, &'r Library, &'r str, TriggerKey), String> {
    let (name, library) = find_library(registry, library)?;
    let found = std::str::from_utf8(trigger).ok();
    let found = found.and_then(|trigger| library.triggers.get_key_value(trigger));
    let (trigger, key) = found.ok_or_else(|| {
        let trigger = String::from_utf8_lossy(trigger);
        format!("ERR library '{name}' has no trigger '{trigger}'")
    })?;
    Ok((name, library, trigger, *key))
}

fn info(app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
    let [library, trigger] = arguments else {
        return wrong_arity("rg.trigger|info");
    };
    let registry = app.libraries.all();
    let (name, library, trigger, key) = match find(&registry, library, trigger) {
        Ok(found) => found,
        Err(error) => return Reply::Error(error),
    };
    let Some(view) = app.dispatcher.triggers.view(key) else {
        return Reply::Null;
    };
    let (spec, counted) = (view.spec, view.stats);
    let mut fields = vec![
        ("name", Reply::text(trigger)),
        ("library", Reply::text(name)),
        ("prefix", Reply::Bulk(spec.prefix.to_vec())),
        ("mode", Reply::text(stats::mode_name(spec.mode))),
        ("event_types", stats::event_types(&spec)),
        ("key_types", stats::key_types(&spec)),
        ("state", stats::running_or_paused(view.is_paused)),
        ("triggered", Reply::count(counted.triggered)),
        ("finished", Reply::count(counted.finished)),
        ("dropped", Reply::count(counted.dropped)),
        ("waiting", Reply::count(view.waiting)),
        ("last_error", stats::error(counted.last_error.as_deref())),
    ];
    let figures = stats::figures_of(library, CallbackKind::Trigger, trigger);
    fields.extend(stats::figures(&figures));
    let stack = stats::stack(counted.last_error.as_deref());
    fields.push(("last_error_stack", stack));
    Reply::record(fields)
}
