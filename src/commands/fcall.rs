//! `RG.FCALL library function numkeys [key ...] [arg ...]`, and `RG.FCALLASYNC`, which is the same.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::app::App;
use crate::executor::{Called, FunctionCall, LibraryExecutor, Responder, WaitingCall};
use crate::library::LibraryStatus;
use crate::server::{
    Arg, ArgKind, BlockedClient, Command, Context, ExecutionUnit, Keys, key_count,
    keyed_command_entry, may_call,
};
use gears_core::delivery::Mode;
use gears_v8::ports::{Credentials, Flags, Function, Reply, Server, Words};

use super::{COMMAND, text, waiting_calls, waiting_command};

keyed_command_entry!(entry, KEY_COUNT, waiting_command, run);

pub(super) static COMMANDS: [Command; 2] = [
    Command {
        name: "rg.fcall",
        summary: "Calls a function of a library",
        ..CALL
    },
    Command {
        name: "rg.fcallasync",
        summary: "Calls a function of a library whose result may take a while",
        ..CALL
    },
];

/// The word of the command that tells how many keys follow.
const KEY_COUNT: i32 = 3;

const CALL: Command = Command {
    entry: Some(entry),
    flags: "may-replicate deny-script no-mandatory-keys getkeys-api",
    categories: "write scripting slow",
    complexity: "Depends on the function",
    arity: -4,
    keys: Keys::Counted(KEY_COUNT),
    args: &[
        text("library"),
        text("function"),
        Arg {
            kind: ArgKind::Number,
            ..text("numkeys")
        },
        Arg {
            kind: ArgKind::Key,
            optional: true,
            multiple: true,
            ..text("key")
        },
        Arg {
            optional: true,
            multiple: true,
            ..text("arg")
        },
    ],
    ..COMMAND
};

const CANNOT_WAIT: &str = "Can not block client for background execution, Blocking is not allow inside multi/exec, Lua, or within another module (RM_Call).";

/// How long the server waits for a worker that is on the library's isolate slot, which mostly is at
/// something short: the client would wait longer if it were sent to wait.
const PATIENCE: Duration = Duration::from_millis(2);

/// The names of the command.
const NAMES: [&[u8]; 2] = [b"rg.fcall", b"rg.fcallasync"];

/// `None` where the client waits for the answer.
fn run(app: &App, context: &Context, arguments: &[&[u8]]) -> Option<Reply> {
    match prepare(app, context, arguments) {
        Ok(prepared) => call(app, context, &prepared, arguments),
        Err(error) => Some(Reply::Error(error)),
    }
}

/// A call that may be made.
struct Prepared<'a, 'b> {
    library: &'b str,
    executor: Arc<LibraryExecutor>,
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
    let (name, function) = (text(library)?, text(function)?);
    let key_count = key_count(count)?;
    let registry = app.libraries.all();
    let library = registry
        .get(name)
        .ok_or_else(|| format!("Unknown library {name}"))?;
    let executor = match &library.status {
        LibraryStatus::Live(executor) => Arc::clone(executor),
        LibraryStatus::Quarantined { error } => {
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
        library: name,
        executor,
        function: Arc::clone(function),
        arguments,
    })
}

fn call(
    app: &App,
    context: &Context,
    prepared: &Prepared<'_, '_>,
    words: &[&[u8]],
) -> Option<Reply> {
    let Prepared {
        library,
        executor,
        function,
        arguments,
    } = prepared;
    let unit = ExecutionUnit::of_command(context, function.flags);
    let wait = || {
        let executor = Arc::clone(executor);
        let on_gone = Box::new(move || executor.note_responder_gone());
        match BlockedClient::new(context, on_gone) {
            Ok(client) => Ok(Box::new(client) as Box<dyn Responder>),
            Err(refused) => Err(Reply::Error(refused.text(CANNOT_WAIT))),
        }
    };
    if function.mode == Mode::Sync {
        let longest = app.settings.limits.locked_ms.load(Ordering::Relaxed);
        let longest = Duration::from_millis(longest);
        let try_now = |patience| {
            let mut wait = || wait();
            app.main_thread
                .call_function(executor, function, arguments, &unit, patience, &mut wait)
        };
        // Nobody overtakes those who wait, but who cannot wait himself.
        let is_late = app.waiting.wait_for(library) && context.may_wait().is_ok();
        if !is_late {
            let called = try_now(PATIENCE.min(longest));
            if !matches!(called, Called::Busy) {
                return called.into_reply(executor);
            }
        }
        if context.may_wait().is_ok()
            && let Some(credentials) = unit.credentials()
        {
            return waiting_calls::enqueue(app, context, executor, library, words, credentials)
                .err();
        }
        return try_now(longest).into_reply(executor);
    }
    let Some(credentials) = unit.credentials() else {
        return Some(Reply::error("Failed authenticating client"));
    };
    match wait() {
        Ok(responder) => {
            executor.send_function(FunctionCall {
                callback: function.callback,
                credentials: Arc::new(credentials),
                arguments: Words::of(arguments.iter().copied()),
                raw: function.flags.contains(Flags::RAW_ARGUMENTS),
                responder,
            });
            None
        }
        Err(refused) => Some(refused),
    }
}

/// Makes a call that waited, as if it came now; gives it back where its library is still busy.
pub(super) fn call_again(app: &App, context: &Context, call: WaitingCall) -> Option<WaitingCall> {
    if call.responder.is_gone() {
        return None;
    }
    let words: Vec<_> = call.words.iter().collect();
    let prepared = may_call(&call.credentials.user, &NAMES, &words)
        .and_then(|()| prepare(app, context, &words));
    let Prepared {
        executor,
        function,
        arguments,
        ..
    } = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            call.responder.answer(Reply::Error(error));
            return None;
        }
    };
    let credentials = Credentials {
        flags: function.flags,
        ..call.credentials.clone()
    };
    if function.mode == Mode::Async {
        let _ = call.begun.set(Arc::clone(&executor));
        executor.send_function(FunctionCall {
            callback: function.callback,
            credentials: Arc::new(credentials),
            arguments: Words::of(arguments.iter().copied()),
            raw: function.flags.contains(Flags::RAW_ARGUMENTS),
            responder: call.responder,
        });
        return None;
    }
    let unit = ExecutionUnit::of_credentials(&credentials);
    let responder = RefCell::new(Some(call.responder));
    let mut wait = || {
        let _ = call.begun.set(Arc::clone(&executor));
        let responder = responder.borrow_mut().take();
        responder.ok_or_else(|| Reply::error("Err the caller waits already"))
    };
    let called = app
        .main_thread
        .call_function(&executor, &function, arguments, &unit, PATIENCE, &mut wait);
    let responder = responder.into_inner();
    match (called, responder) {
        (Called::Busy, Some(responder)) => Some(WaitingCall { responder, ..call }),
        (Called::Answered(reply), Some(responder)) => {
            responder.answer(reply);
            None
        }
        _ => None,
    }
}
