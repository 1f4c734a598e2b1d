//! What scripts call through their clients: commands, background parts, the server's lock.
//!
//! The classes around these functions are in the bootstrap, which sees to it that a client is
//! used only while its call lasts.

use crate::api::v1::credentials;
use crate::api::v1::lock::{self, NOT_LOCKED};
use crate::api::v1::remote;
use crate::ports::CallbackId;
use crate::ports::resp::Reader;

use crate::convert::argument::{NotAnArgument, push_argument};
use crate::convert::bytes::DETACHED;
use crate::convert::to_js::{Maker, StringForm};
use crate::runtime::callback::callback;
use crate::runtime::continuation;
use crate::runtime::run;
use crate::runtime::text::{self, OrThrown, Thrown};

callback!(call_entry => call);
callback!(call_raw_entry => call_raw);
callback!(call_either_entry => call_either);
callback!(may_block_entry => may_block);
callback!(credentials_entry => credentials_of_run);
callback!(begin_entry => begin);
callback!(lock_entry => lock::lock);
callback!(is_async_function_entry => is_async_function);
callback!(current_entry => current);
callback!(set_current_entry => set_current);
callback!(callback_at_hand_entry => callback_at_hand);
callback!(place_at_hand_entry => place_at_hand);
callback!(call_remote_entry => remote::call_remote);

/// Bytes of a reply that become at most as many bytes of heap as one of the library's limit.
const REPLY_SHARE: usize = 2;

/// The reply that the bootstrap makes the value of.
const OK: &[u8] = b"+OK\r\n";

/// Bytes of a command's arguments that are taken between two checks whether the run is being ended.
const CHECK_EVERY: usize = 256 << 10;

/// `is_async_function(value)`
pub(crate) fn async_function_test<'s>(
    scope: &mut v8::PinScope<'s, '_>,
) -> Result<v8::Local<'s, v8::Function>, Thrown> {
    v8::Function::new(scope, is_async_function_entry).or_thrown()
}

/// The functions and what the bootstrap calls them.
pub(crate) fn functions<'s>(
    scope: &mut v8::PinScope<'s, '_>,
) -> Result<[(&'static str, v8::Local<'s, v8::Function>); 13], Thrown> {
    Ok([
        ("call", v8::Function::new(scope, call_entry).or_thrown()?),
        (
            "call_raw",
            v8::Function::new(scope, call_raw_entry).or_thrown()?,
        ),
        (
            "call_either",
            v8::Function::new(scope, call_either_entry).or_thrown()?,
        ),
        (
            "may_block",
            v8::Function::new(scope, may_block_entry).or_thrown()?,
        ),
        (
            "credentials",
            v8::Function::new(scope, credentials_entry).or_thrown()?,
        ),
        ("begin", v8::Function::new(scope, begin_entry).or_thrown()?),
        ("lock", v8::Function::new(scope, lock_entry).or_thrown()?),
        (
            "is_async_function",
            v8::Function::new(scope, is_async_function_entry).or_thrown()?,
        ),
        (
            "current",
            v8::Function::new(scope, current_entry).or_thrown()?,
        ),
        (
            "set_current",
            v8::Function::new(scope, set_current_entry).or_thrown()?,
        ),
        (
            "callback_at_hand",
            v8::Function::new(scope, callback_at_hand_entry).or_thrown()?,
        ),
        (
            "place_at_hand",
            v8::Function::new(scope, place_at_hand_entry).or_thrown()?,
        ),
        (
            "call_remote",
            v8::Function::new(scope, call_remote_entry).or_thrown()?,
        ),
    ])
}

// --- commands ------------------------------------------------------------------------------------

/// `call(name, ...arguments)`: the symbol `ok` stands for the reply `+OK`.
fn call<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    result: v8::ReturnValue<'s, v8::Value>,
) {
    run_command(scope, args, result, StringForm::Text);
}

/// `call_raw(name, ...arguments)`
fn call_raw<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    result: v8::ReturnValue<'s, v8::Value>,
) {
    run_command(scope, args, result, StringForm::Raw);
}

/// `call_either(name, ...arguments)`: strings that are not UTF-8 are given as bytes.
fn call_either<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    result: v8::ReturnValue<'s, v8::Value>,
) {
    run_command(scope, args, result, StringForm::Either);
}

fn run_command<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
    form: StringForm,
) {
    if args.length() == 0 {
        return text::throw_type_error(scope, "Wrong number of arguments to 'call' function");
    }
    let name = args.get(0);
    let literal = v8::Local::<v8::String>::try_from(name).ok();
    if literal.is_none() && !name.is_string_object() {
        return text::throw_type_error(scope, "First argument to 'command' must be a string");
    }
    let Some(mut call_context) = run::take_call_context(scope) else {
        return text::throw(scope, NOT_LOCKED);
    };
    let memory = call_context.isolate_limits().memory;
    let is_known = literal.is_some_and(|name| call_context.push_known_name(scope, name));
    let mut checked_at = 0;
    for at in i32::from(is_known)..args.length() {
        let message = match push_argument(scope, &mut call_context.arguments, args.get(at), memory)
        {
            Ok(()) => {
                // V8 does not look at the time while none of its code runs.
                if call_context.arguments.bytes() - checked_at > CHECK_EVERY {
                    checked_at = call_context.arguments.bytes();
                    if call_context.isolate_limits().timer.is_ending() {
                        return;
                    }
                }
                continue;
            }
            Err(NotAnArgument::Thrown) => return,
            Err(NotAnArgument::Detached) => DETACHED,
            Err(NotAnArgument::Type) => {
                "Bad argument was given to 'call', argument must be either String or ArrayBuffer, or a number, a boolean or a view of an ArrayBuffer"
            }
            Err(NotAnArgument::Memory) => "The command does not fit into the library's memory",
            Err(NotAnArgument::Size) => {
                "Bad argument was given to 'call', it is larger than 512 MB"
            }
        };
        return text::throw_type_error(scope, message);
    }
    if call_context.isolate_limits().timer.is_ending() {
        return;
    }
    if let Some(name) = literal.filter(|_| !is_known) {
        run::keep_command_name(scope, name, &call_context.arguments);
    }
    let called = call_context
        .server()
        .call(&call_context.arguments, &mut |reply| {
            if reply.len() > memory / REPLY_SHARE {
                let message = "The reply does not fit into the library's memory";
                return text::throw(scope, message);
            }
            if form == StringForm::Text && reply == OK {
                let ok = v8::Local::new(scope, &call_context.helpers().ok);
                return result.set(ok.into());
            }
            let mut maker = Maker {
                helpers: call_context.helpers(),
                form,
                reader: Reader::new(reply),
            };
            if let Ok(value) = maker.value(scope, 0) {
                result.set(value);
            }
        });
    run::return_arguments(scope, call_context.arguments);
    if called.is_err() {
        text::throw(scope, NOT_LOCKED);
    }
}

/// `may_block()`
fn may_block(
    scope: &mut v8::PinScope,
    _args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    let may = run::use_server(scope, |_, server| server.may_block());
    result.set_bool(may.unwrap_or(false));
}

// --- background parts --------------------------------------------------------------------------------

/// `credentials()`: what a background part of this run acts with.
fn credentials_of_run<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    _args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    let credentials = run::use_server(scope, |_, server| server.credentials()).flatten();
    let Some(credentials) = credentials else {
        return text::throw(scope, "Called 'run_on_background' out of context");
    };
    if let Ok(object) = credentials::object(scope, &credentials) {
        result.set(object.into());
    }
}

/// `begin(task)`: has a function called later, on a worker.
fn begin(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    if let Ok(task) = v8::Local::<v8::Function>::try_from(args.get(0)) {
        let task = v8::Global::new(scope, task);
        run::begin_task(scope, task);
    }
}

/// `is_async_function(value)`
fn is_async_function(
    _scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    let value = args.get(0);
    result.set_bool(value.is_async_function() && !value.is_generator_function());
}

/// `current()`: whose client the code at hand was given, as `credentials()` tells it; undefined
/// where it was given none. V8 keeps it over every `await`.
fn current<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    _args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    if let Some(credentials) = continuation::credentials(scope)
        && let Ok(object) = credentials::object(scope, &credentials)
    {
        result.set(object.into());
    }
}

/// `callback_at_hand()`: the number of the callback that the code at hand belongs to; undefined where
/// that is not known.
fn callback_at_hand(
    scope: &mut v8::PinScope,
    _args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    if let Some(callback) = continuation::callback(scope) {
        result.set_uint32(callback.0);
    }
}

/// `place_at_hand()`: the library and the callback that the code at hand belongs to, as a part of a
/// key's name; undefined where the callback is not known. No two of them have the same.
fn place_at_hand(
    scope: &mut v8::PinScope,
    _args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    let place = run::with_place(scope, |library, callback| {
        let library = library.replace('%', "%25").replace(':', "%3A");
        (!callback.is_empty()).then(|| format!("{library}:{callback}"))
    });
    if let Some(place) = place
        .flatten()
        .and_then(|place| v8::String::new(scope, &place))
    {
        result.set(place.into());
    }
}

/// `set_current(user, db, flags, callback)`
fn set_current<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    _result: v8::ReturnValue<'s, v8::Value>,
) {
    let credentials = credentials::of_arguments(scope, args);
    let callback = v8::Local::<v8::Uint32>::try_from(args.get(3)).ok();
    let callback = callback.map(|number| CallbackId(number.value()));
    let data = continuation::data_of(scope, &credentials, callback);
    scope.set_continuation_preserved_embedder_data(data);
}
