//! The `redis` object, as version 1 of the API has it.
//!
//! ```text
//! registration              the functions by which a library registers
//! register_function, register_remote_function, register_stream_consumer, register_trigger
//!                           each of them: its arguments, and what is refused
//! function_options          what a function asks for beyond flags
//! consumer_options          what a stream consumer asks for beyond a prefix and a window
//! trigger_options           what a key-space trigger asks for
//! arguments                 reading what scripts give to these
//! loading                   where what is registered collects
//! batch_result              what a stream consumer's callback says of its entries
//! client                    what scripts call through their clients: commands, background parts
//! lock                      `block`
//! remote                    calls of remote functions
//! credentials               what async clients keep
//! ```

pub(crate) mod arguments;
pub(crate) mod batch_result;
pub(crate) mod client;
mod consumer_options;
pub(crate) mod credentials;
mod function_options;
pub(crate) mod loading;
mod lock;
mod register_function;
mod register_remote_function;
mod register_stream_consumer;
mod register_trigger;
pub(crate) mod registration;
pub(crate) mod remote;
mod trigger_options;

use crate::ports::SCRIPT_LOG;
use crate::runtime::callback::callback;
use crate::runtime::platform;
use crate::runtime::run;
use crate::runtime::text::{self, OrThrown, Thrown};

/// Characters of the name of a level.
const LEVEL_MAX: usize = 1000;
/// Characters of a message to the log; the rest is cut off.
const LOG_MAX: usize = 64 * 1024;

callback!(log_entry => log);
callback!(v8_version_entry => v8_version);

/// Puts the `redis` object into the context that is entered.
pub(crate) fn install(scope: &mut v8::PinScope, config: Option<&str>) -> Result<(), Thrown> {
    let redis = v8::Object::new(scope);
    let config: v8::Local<v8::Value> = match config {
        Some(config) => {
            let config = v8::String::new(scope, config).or_thrown()?;
            v8::json::parse(scope, config).or_thrown()?
        }
        None => v8::Object::new(scope).into(),
    };
    let key = text::short(scope, "config");
    redis
        .create_data_property(scope, key.into(), config)
        .or_thrown()?;
    let own = [
        ("log", v8::Function::new(scope, log_entry).or_thrown()?),
        (
            "v8_version",
            v8::Function::new(scope, v8_version_entry).or_thrown()?,
        ),
    ];
    let functions = registration::functions(scope)?.into_iter().chain(own);
    for (name, function) in functions {
        let key = text::short(scope, name);
        function.set_name(key);
        redis
            .create_data_property(scope, key.into(), function.into())
            .or_thrown()?;
    }
    let key = text::short(scope, "redis");
    let global = scope.get_current_context().global(scope);
    // Like the language's own globals: there, but not enumerated.
    global
        .define_own_property(
            scope,
            key.into(),
            redis.into(),
            v8::PropertyAttribute::DONT_ENUM,
        )
        .or_thrown()?;
    Ok(())
}

/// `redis.log(message [, level])`
fn log(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    if !(1..=2).contains(&args.length()) {
        return text::throw_type_error(scope, "Wrong number of arguments to 'log' function");
    }
    let Ok(message) = v8::Local::<v8::String>::try_from(args.get(0)) else {
        return text::throw_type_error(scope, "First argument to 'log' must be a string message");
    };
    let level = args.get(1);
    let level = if level.is_undefined() {
        Some(log::Level::Info)
    } else {
        let name = v8::Local::<v8::String>::try_from(level).ok();
        name.and_then(|name| level_of(&text::to_rust(scope, name, LEVEL_MAX)))
    };
    let Some(level) = level else {
        let message = "Second argument to 'log' must be 'debug', 'verbose', 'notice' or 'warning'";
        return text::throw_type_error(scope, message);
    };
    let message = text::to_rust(scope, message, LOG_MAX);
    run::with_place(scope, |library, callback| {
        let place = match callback {
            "" => format!("{SCRIPT_LOG}{library}"),
            callback => format!("{SCRIPT_LOG}{library}/{callback}"),
        };
        log::log!(target: &place, level, "{message}");
    });
}

/// The server's levels, as the module's log knows them.
fn level_of(name: &str) -> Option<log::Level> {
    Some(match name {
        "debug" => log::Level::Trace,
        "verbose" => log::Level::Debug,
        "notice" => log::Level::Info,
        "warning" => log::Level::Warn,
        _ => return None,
    })
}

/// `redis.v8_version()`
fn v8_version(
    scope: &mut v8::PinScope,
    _args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    result.set(text::short(scope, platform::version()).into());
}
