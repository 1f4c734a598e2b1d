//! The `redis` object, as version 1 of the API has it.
//!
//! Registering is possible while the library's top level runs, and only then: [`Loading`] in the
//! isolate's slot is the place where registrations collect, and it is gone afterwards. Nothing
//! that is live changes here; the library is swapped in when all of it is known to be good.

use crate::engine::{CallbackId, Registrations, StreamConsumer};
use crate::stream::Mode;

use super::callback::callback;
use super::{platform, text};

/// The largest window: its entries are held in memory.
const WINDOW_MAX: f64 = 1_000_000.0;
/// Stream consumers of one library: each one that matches a stream costs it a little.
const CONSUMERS_MAX: usize = 1000;
/// Characters of a consumer's name.
const NAME_MAX: usize = 1000;
/// Bytes of a prefix.
const PREFIX_MAX: usize = 64 * 1024;
/// Characters of a message to the log; the rest is cut off.
const LOG_MAX: usize = 64 * 1024;
callback!(register_stream_consumer_entry => register_stream_consumer);
callback!(log_entry => log);
callback!(v8_version_entry => v8_version);

/// What the library registered so far. Lives in the isolate's slot while it is being loaded.
#[derive(Default)]
pub(super) struct Loading {
    pub(super) registrations: Registrations,
    pub(super) callbacks: Vec<v8::Global<v8::Function>>,
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

/// `redis.register_stream_consumer(name, prefix, window, trim, callback)`
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
    let registered = &mut loading.registrations.stream_consumers;
    if registered.len() >= CONSUMERS_MAX {
        return text::throw(
            scope,
            &format!("A library can register at most {CONSUMERS_MAX} stream consumers"),
        );
    }
    if registered.iter().any(|other| other.name == consumer.name) {
        return text::throw(scope, "Stream registration already exists");
    }
    let id = u32::try_from(loading.callbacks.len()).map(CallbackId);
    if let Ok(callback_id) = id {
        registered.push(StreamConsumer {
            callback: callback_id,
            ..consumer
        });
        loading.callbacks.push(callback);
    }
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
    if args.length() != 5 {
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
    let window = match window_of(args.get(2)) {
        Some(window) if (1.0..=WINDOW_MAX).contains(&window) => window,
        Some(_) => return wrong("Third", &format!("between 1 and {WINDOW_MAX}")),
        None => return wrong("Third", "a long representing the window size"),
    };
    if !args.get(3).is_boolean() {
        return wrong("Fourth", "a boolean representing the trim option");
    }
    if !args.get(4).is_function() {
        return wrong("Fifth", "a function");
    }
    if args.get(4).is_generator_function() {
        // Calling it would run nothing of its body, and every entry would count as processed.
        return wrong("Fifth", "a function, not a generator function");
    }
    Ok(StreamConsumer {
        name: text::to_rust(scope, name, NAME_MAX),
        prefix,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked above"
        )]
        window: window as usize,
        trim: args.get(3).is_true(),
        callback: CallbackId(0),
        mode: if args.get(4).is_async_function() {
            Mode::Async
        } else {
            Mode::Sync
        },
    })
}

/// A whole number, given as `Number` or `BigInt`.
fn window_of(value: v8::Local<v8::Value>) -> Option<f64> {
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
fn bytes_of(scope: &mut v8::PinScope, value: v8::Local<v8::Value>) -> Option<Vec<u8>> {
    if let Ok(string) = v8::Local::<v8::String>::try_from(value) {
        return Some(string.to_rust_string_lossy(scope).into_bytes());
    }
    if let Ok(view) = v8::Local::<v8::ArrayBufferView>::try_from(value) {
        let mut bytes = vec![0; view.byte_length()];
        let copied = view.copy_contents(&mut bytes);
        bytes.truncate(copied);
        return Some(bytes);
    }
    let buffer = v8::Local::<v8::ArrayBuffer>::try_from(value).ok()?;
    let mut bytes = vec![0; buffer.byte_length()];
    if let Some(data) = buffer.data() {
        // SAFETY: `data` points to `byte_length` bytes, which no other thread writes while the
        // isolate is locked here; the vector is as long and does not overlap them.
        unsafe {
            std::ptr::copy_nonoverlapping(data.cast().as_ptr(), bytes.as_mut_ptr(), bytes.len());
        }
    }
    Some(bytes)
}

/// `redis.log(message)`
fn log(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    if args.length() != 1 {
        return text::throw_type_error(scope, "Wrong number of arguments to 'log' function");
    }
    let Ok(message) = v8::Local::<v8::String>::try_from(args.get(0)) else {
        return text::throw_type_error(scope, "First argument to 'log' must be a string message");
    };
    log::info!("{}", text::to_rust(scope, message, LOG_MAX));
}

/// `redis.v8_version()`
fn v8_version(
    scope: &mut v8::PinScope,
    _args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    result.set(text::short(scope, platform::version()).into());
}
