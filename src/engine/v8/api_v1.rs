//! The `redis` object, as version 1 of the API has it.
//!
//! Registering is possible while the library's top level runs, and only then: [`Loading`] in the
//! isolate's slot is the place where registrations collect, and it is gone afterwards. Nothing
//! that is live changes here; the library is swapped in when all of it is known to be good.

use crate::engine::{CallbackId, Flags, Function, Registrations, StreamConsumer};
use crate::stream::{ConsumerSpec, Mode};

use super::callback::callback;
use super::from_js::append_bytes;
use super::{options, platform, run, text};

/// The largest window: its entries are held in memory.
const WINDOW_MAX: f64 = 1_000_000.0;
/// Stream consumers of one library: each one that matches a stream costs it a little.
const CONSUMERS_MAX: usize = 1000;
/// Functions of one library.
const FUNCTIONS_MAX: usize = 10_000;
/// Characters of a name.
const NAME_MAX: usize = 1000;
/// Bytes of a prefix.
const PREFIX_MAX: usize = 64 * 1024;
/// Characters of a message to the log; the rest is cut off.
const LOG_MAX: usize = 64 * 1024;

callback!(register_function_entry => register_function);
callback!(register_stream_consumer_entry => register_stream_consumer);
callback!(log_entry => log);
callback!(v8_version_entry => v8_version);

/// What the library registered so far. Lives in the isolate's slot while it is being loaded.
#[derive(Default)]
pub(super) struct Loading {
    pub(super) registrations: Registrations,
    pub(super) callbacks: Vec<v8::Global<v8::Function>>,
}

impl Loading {
    /// Keeps a callback.
    fn keep(&mut self, callback: v8::Global<v8::Function>) -> CallbackId {
        self.callbacks.push(callback);
        CallbackId(u32::try_from(self.callbacks.len() - 1).unwrap_or(u32::MAX))
    }
}

/// Puts the `redis` object into the context that is entered. `None` where an exception is pending.
pub(super) fn install(scope: &mut v8::PinScope, config: Option<&str>) -> Option<()> {
    let redis = v8::Object::new(scope);
    let config: v8::Local<v8::Value> = match config {
        Some(config) => {
            let config = v8::String::new(scope, config)?;
            v8::json::parse(scope, config)?
        }
        None => v8::Object::new(scope).into(),
    };
    let key = text::short(scope, "config");
    redis.create_data_property(scope, key.into(), config)?;
    let functions = [
        (
            "register_function",
            v8::Function::new(scope, register_function_entry)?,
        ),
        (
            // Libraries for later releases of the original call it for their async functions.
            "register_async_function",
            v8::Function::new(scope, register_function_entry)?,
        ),
        (
            "register_stream_consumer",
            v8::Function::new(scope, register_stream_consumer_entry)?,
        ),
        ("log", v8::Function::new(scope, log_entry)?),
        ("v8_version", v8::Function::new(scope, v8_version_entry)?),
    ];
    for (name, function) in functions {
        let key = text::short(scope, name);
        function.set_name(key);
        redis.create_data_property(scope, key.into(), function.into())?;
    }
    let key = text::short(scope, "redis");
    let global = scope.get_current_context().global(scope);
    // Like the language's own globals: there, but not enumerated.
    global.define_own_property(
        scope,
        key.into(),
        redis.into(),
        v8::PropertyAttribute::DONT_ENUM,
    )?;
    Some(())
}

/// `redis.register_function(name, callback [, flags])`
fn register_function(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let function = match parse_function(scope, args) {
        Ok(function) => function,
        Err(message) => return text::throw_type_error(scope, &message),
    };
    let Ok(callback) = v8::Local::<v8::Function>::try_from(args.get(1)) else {
        return;
    };
    let callback = v8::Global::new(scope, callback);
    let Some(loading) = scope.get_slot_mut::<Loading>() else {
        return text::throw(scope, "Called 'register_function' out of context");
    };
    let registered = &loading.registrations.functions;
    if registered.len() >= FUNCTIONS_MAX {
        return text::throw(
            scope,
            &format!("A library can register at most {FUNCTIONS_MAX} functions"),
        );
    }
    if registered.iter().any(|other| other.name == function.name) {
        let message = format!("Function {} already exists", function.name);
        return text::throw(scope, &message);
    }
    let callback = loading.keep(callback);
    let function = Function {
        callback,
        ..function
    };
    loading.registrations.functions.push(function);
}

fn parse_function(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
) -> Result<Function, String> {
    let wrong = |which: &str, what: &str| {
        Err(format!(
            "{which} argument to 'register_function' must be {what}"
        ))
    };
    if !(2..=3).contains(&args.length()) {
        return Err("Wrong number of arguments to 'register_function' function".into());
    }
    let Ok(name) = v8::Local::<v8::String>::try_from(args.get(0)) else {
        return wrong("First", "a string representing the function name");
    };
    if name.length() > NAME_MAX {
        return wrong("First", &format!("at most {NAME_MAX} characters long"));
    }
    let mode = match mode_of(args.get(1)) {
        Some(mode) => mode,
        None if args.get(1).is_function() => {
            return wrong("Second", "a function, not a generator function");
        }
        None => return wrong("Second", "a function"),
    };
    let flags = match v8::Local::<v8::Array>::try_from(args.get(2)) {
        Ok(flags) => parse_flags(scope, flags)?,
        Err(_) if args.length() == 2 || args.get(2).is_undefined() => Flags::default(),
        Err(_) => return wrong("Third", "an array of functions flags"),
    };
    Ok(Function {
        name: text::to_rust(scope, name, NAME_MAX),
        flags,
        callback: CallbackId(0),
        mode,
    })
}

fn parse_flags(scope: &mut v8::PinScope, names: v8::Local<v8::Array>) -> Result<Flags, String> {
    let mut flags = Flags::default();
    for at in 0..names.length() {
        if run::is_ending(scope) {
            return Err("Failed parsing function flags".into());
        }
        let name = names
            .get_index(scope, at)
            .and_then(|name| v8::Local::<v8::String>::try_from(name).ok())
            .ok_or("Failed parsing function flags, wrong type of string value")?;
        let name = text::to_rust(scope, name, NAME_MAX);
        let known = Flags::NAMES.iter().find(|(known, _)| *known == name);
        let (_, flag) = known.ok_or_else(|| {
            format!("Failed parsing function flags, Unknown flag '{name}' was given")
        })?;
        flags |= *flag;
    }
    Ok(flags)
}

/// Where a callback runs; `None` for what is no function, or one whose body would not run.
fn mode_of(callback: v8::Local<v8::Value>) -> Option<Mode> {
    if !callback.is_function() || callback.is_generator_function() {
        None
    } else if callback.is_async_function() {
        Some(Mode::Async)
    } else {
        Some(Mode::Sync)
    }
}

/// `redis.register_stream_consumer(name, prefix, window, trim, callback [, options])`
fn register_stream_consumer(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let consumer = match parse_stream_consumer(scope, args) {
        Ok(consumer) => consumer,
        Err(message) => return text::throw_type_error(scope, &message),
    };
    let Ok(callback) = v8::Local::<v8::Function>::try_from(args.get(4)) else {
        return;
    };
    let callback = v8::Global::new(scope, callback);
    let Some(loading) = scope.get_slot_mut::<Loading>() else {
        return text::throw(scope, "Called 'register_stream_consumer' out of context");
    };
    let registered = &loading.registrations.stream_consumers;
    if registered.len() >= CONSUMERS_MAX {
        return text::throw(
            scope,
            &format!("A library can register at most {CONSUMERS_MAX} stream consumers"),
        );
    }
    if registered.iter().any(|other| other.name == consumer.name) {
        return text::throw(scope, "Stream registration already exists");
    }
    let callback = loading.keep(callback);
    let consumer = StreamConsumer {
        callback,
        ..consumer
    };
    loading.registrations.stream_consumers.push(consumer);
}

fn parse_stream_consumer(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
) -> Result<StreamConsumer, String> {
    let wrong = |which: &str, what: &str| {
        Err(format!(
            "{which} argument to 'register_stream_consumer' must be {what}"
        ))
    };
    if !(5..=6).contains(&args.length()) {
        return Err("Wrong number of arguments to 'register_stream_consumer' function".into());
    }
    let Ok(name) = v8::Local::<v8::String>::try_from(args.get(0)) else {
        return wrong("First", "a string representing the consumer name");
    };
    if name.length() > NAME_MAX {
        return wrong("First", &format!("at most {NAME_MAX} characters long"));
    }
    let Some(prefix) = bytes_of(scope, args.get(1)) else {
        return wrong("Second", "a String or ArrayBuffer representing the prefix");
    };
    if prefix.len() > PREFIX_MAX {
        return wrong("Second", &format!("at most {PREFIX_MAX} bytes long"));
    }
    let window = match whole_number_of(args.get(2)) {
        Some(window) if (1.0..=WINDOW_MAX).contains(&window) => window,
        Some(_) => return wrong("Third", &format!("between 1 and {WINDOW_MAX}")),
        None => return wrong("Third", "a long representing the window size"),
    };
    if !args.get(3).is_boolean() {
        return wrong("Fourth", "a boolean representing the trim option");
    }
    let mode = match mode_of(args.get(4)) {
        Some(mode) => mode,
        // Calling it would run nothing of its body, and every entry would count as processed.
        None if args.get(4).is_function() => {
            return wrong("Fifth", "a function, not a generator function");
        }
        None => return wrong("Fifth", "a function"),
    };
    let options = options::parse(scope, args.get(5))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above"
    )]
    let window = window as usize;
    let spec = ConsumerSpec {
        exact: options.exact,
        start: options.start,
        policy: options.policy,
        ..ConsumerSpec::new(&prefix, window, args.get(3).is_true(), mode)
    };
    let letters = spec.policy.as_ref().and_then(|one| one.dead_letter.clone());
    if letters.is_some_and(|letters| spec.matches(&letters)) {
        return Err("Option 'dead_letter' of 'register_stream_consumer' must not name a stream that the consumer itself would get".into());
    }
    Ok(StreamConsumer {
        name: text::to_rust(scope, name, NAME_MAX),
        spec,
        callback: CallbackId(0),
    })
}

/// A whole number, given as `Number` or `BigInt`.
pub(super) fn whole_number_of(value: v8::Local<v8::Value>) -> Option<f64> {
    if let Ok(number) = v8::Local::<v8::Number>::try_from(value) {
        return Some(number.value()).filter(|number| number.fract() == 0.0);
    }
    let (window, exact) = v8::Local::<v8::BigInt>::try_from(value).ok()?.i64_value();
    #[expect(
        clippy::cast_precision_loss,
        reason = "only small values pass the check of the range"
    )]
    exact.then_some(window as f64)
}

/// The bytes of a string, an `ArrayBuffer` or a view of one.
pub(super) fn bytes_of(scope: &mut v8::PinScope, value: v8::Local<v8::Value>) -> Option<Vec<u8>> {
    if let Ok(string) = v8::Local::<v8::String>::try_from(value) {
        return Some(string.to_rust_string_lossy(scope).into_bytes());
    }
    if !(value.is_array_buffer() || value.is_array_buffer_view()) {
        return None;
    }
    let mut bytes = Vec::new();
    append_bytes(value, &mut bytes);
    Some(bytes)
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
        name.and_then(|name| level_of(&text::to_rust(scope, name, NAME_MAX)))
    };
    let Some(level) = level else {
        let message = "Second argument to 'log' must be 'debug', 'verbose', 'notice' or 'warning'";
        return text::throw_type_error(scope, message);
    };
    log::log!(level, "{}", text::to_rust(scope, message, LOG_MAX));
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
