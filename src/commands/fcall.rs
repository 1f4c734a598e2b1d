//! `RG.FCALL library function numkeys [key ...] [arg ...]`, and `RG.FCALLASYNC`, which is the same.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::app::App;
use crate::engine::{Flags, Function, Reply, Server, Words};
use crate::exec::{Caller, FunctionCall, Runner};
use crate::host::{BlockedClient, Context, Unit, key_count};
use crate::library::Standing;
use crate::stream::Mode;

const CANNOT_WAIT: &str = "Can not block client for background execution, Blocking is not allow inside multi/exec, Lua, or within another module (RM_Call).";

/// `None` where the client waits for the answer.
pub(super) fn run(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    match prepare(app, context, arguments) {
        Ok(prepared) => call(app, context, &prepared),
        Err(error) => Some(Reply::Error(error)),
    }
}

/// A call that may be made.
struct Prepared<'a, 'b> {
    runner: Arc<Runner>,
    function: Arc<Function>,
    arguments: &'a [&'b [u8]],
}

fn prepare<'a, 'b>(
    app: &App,
    context: &Context,
    arguments: &'a [&'b [u8]],
) -> Result<Prepared<'a, 'b>, String> {
    let [library, function, count, arguments @ ..] = arguments else {
        return Err("ERR wrong number of arguments for 'rg.fcall' command".into());
    };
    let text =
        |bytes| std::str::from_utf8(bytes).map_err(|_| "Couldn't parse as UTF-8 string".to_owned());
    let (library, function) = (text(library)?, text(function)?);
    let key_count = key_count(count)?;
    let registry = app.registry.borrow();
    let library = registry
        .get(library)
        .ok_or_else(|| format!("Unknown library {library}"))?;
    let runner = match &library.standing {
        Standing::Live(runner) => Arc::clone(runner),
        Standing::Quarantined { error } => {
            return Err(format!("Err the library is in quarantine: {error}"));
        }
    };
    let function = library
        .functions
        .get(function)
        .ok_or_else(|| format!("Unknown function {function}"))?;
    let flags = function.flags;
    let state = context.state();
    if !flags.contains(Flags::NO_WRITES) {
        if !state.is_primary {
            return Err("Err can not run a function that might perform writes on a replica".into());
        }
        if !flags.contains(Flags::ALLOW_OOM) && state.is_out_of_memory {
            return Err("OOM can not run the function when out of memory".into());
        }
    }
    if arguments.len() < key_count {
        let given = arguments.len();
        return Err(format!(
            "Not enough arguments was given, expected at least {key_count} arguments, got {given} arguments."
        ));
    }
    Ok(Prepared {
        runner,
        function: Arc::clone(function),
        arguments,
    })
}

fn call(app: &App, context: &Context, prepared: &Prepared<'_, '_>) -> Option<Reply> {
    let Prepared {
        runner,
        function,
        arguments,
    } = prepared;
    let unit = Unit::of_command(context, function.flags);
    let wait = || {
        let runner = Arc::clone(runner);
        let on_gone = Box::new(move || runner.note_caller_gone());
        match BlockedClient::new(context, on_gone) {
            Ok(client) => Ok(Box::new(client) as Box<dyn Caller>),
            Err(refused) => Err(Reply::Error(refused.text(CANNOT_WAIT))),
        }
    };
    if function.mode == Mode::Sync {
        let patience = app.settings.limits.locked_ms.load(Ordering::Relaxed);
        let patience = Duration::from_millis(patience);
        return app
            .driver
            .call_function(runner, function, arguments, &unit, patience, &mut || wait());
    }
    let Some(grant) = unit.grant() else {
        return Some(Reply::error("Failed authenticating client"));
    };
    match wait() {
        Ok(caller) => {
            runner.send_function(FunctionCall {
                callback: function.callback,
                grant: Arc::new(grant),
                arguments: Words::of(arguments.iter().copied()),
                raw: function.flags.contains(Flags::RAW_ARGUMENTS),
                caller,
            });
            None
        }
        Err(refused) => Some(refused),
    }
}
