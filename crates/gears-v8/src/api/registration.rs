//! What a library registers while its top level runs.
//!
//! Registering is possible then, and only then: [`Loading`] in the isolate's slot is the place
//! where registrations collect, and it is gone afterwards. Nothing that is live changes here; the
//! library is swapped in when all of it is known to be good.

use std::sync::Arc;

use crate::ports::{
    CallbackId, Flags, Function, Hook, Metadata, Registered, Registrations, StreamConsumer, Trigger,
};
use gears_core::delivery::{ConsumerSpec, Mode};

use crate::api::arguments::{self, OptionsOf, Value};
use crate::api::consumer_options;
use crate::api::trigger_options;
use crate::convert::text;
use crate::runtime::callback::callback;
use crate::runtime::run;

/// The largest window: its entries are held in memory.
const WINDOW_MAX: f64 = 1_000_000.0;
/// Stream consumers of one library: each one that matches a stream costs it a little. Triggers,
/// likewise.
const CONSUMERS_MAX: usize = 1000;
/// Functions of one library.
const FUNCTIONS_MAX: usize = 10_000;
/// Characters of a name, and of a description.
const NAME_MAX: usize = 1000;
/// Bytes of a prefix.
const PREFIX_MAX: usize = 64 * 1024;

callback!(register_function_entry => register_function);
callback!(register_stream_consumer_entry => register_stream_consumer);
callback!(register_trigger_entry => register_trigger);

/// What the library registered so far. Lives in the isolate's slot while it is being loaded.
#[derive(Default)]
pub(crate) struct Loading {
    pub(crate) registrations: Registrations,
    pub(crate) callbacks: Vec<v8::Global<v8::Function>>,
    /// What the next registration says of itself, beside its options.
    pub(crate) metadata: Option<Metadata>,
    /// Whether the top level is a script to be run once.
    pub(crate) one_shot: bool,
}

impl Loading {
    /// Keeps a callback.
    pub(crate) fn keep(&mut self, callback: v8::Global<v8::Function>) -> CallbackId {
        self.callbacks.push(callback);
        CallbackId(u32::try_from(self.callbacks.len() - 1).unwrap_or(u32::MAX))
    }

    /// Takes what goes with a registration beside what it is.
    fn note(&mut self, of: Registered, extras: Kept) -> Metadata {
        if let Some((callback, mode)) = extras.on_registered {
            let callback = self.keep(callback);
            self.registrations.hooks.push(Hook { of, callback, mode });
        }
        let mut metadata = self.metadata.take().unwrap_or_default();
        metadata.description = extras.description.or(metadata.description);
        metadata
    }
}

/// Options that every kind of registration has.
#[derive(Default)]
pub(crate) struct Extras<'s> {
    description: Option<Arc<str>>,
    on_registered: Option<(v8::Local<'s, v8::Function>, Mode)>,
}

/// The same, to be kept.
struct Kept {
    description: Option<Arc<str>>,
    on_registered: Option<(v8::Global<v8::Function>, Mode)>,
}

impl<'s> Extras<'s> {
    /// Reads an option; false where it is none of these.
    pub(crate) fn read(
        &mut self,
        scope: &mut v8::PinScope<'s, '_>,
        of: OptionsOf,
        name: &str,
        value: Value<'s>,
    ) -> Result<bool, String> {
        match name {
            "description" => {
                self.description = Some(of.text(scope, name, value, NAME_MAX)?.into());
            }
            "on_registered" => self.on_registered = Some(of.function(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn keep(self, scope: &mut v8::PinScope) -> Kept {
        Kept {
            description: self.description,
            on_registered: self
                .on_registered
                .map(|(callback, mode)| (v8::Global::new(scope, callback), mode)),
        }
    }
}

/// The functions by which a library registers, and what scripts call them.
pub(crate) fn functions<'s>(
    scope: &mut v8::PinScope<'s, '_>,
) -> Option<[(&'static str, v8::Local<'s, v8::Function>); 4]> {
    Some([
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
        (
            "register_notifications_consumer",
            v8::Function::new(scope, register_trigger_entry)?,
        ),
    ])
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
    let mode = match arguments::mode_of(args.get(1)) {
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

/// `redis.register_stream_consumer(name, prefix, window, trim, callback [, options])`
fn register_stream_consumer<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    _result: v8::ReturnValue<'s, v8::Value>,
) {
    let (consumer, extras) = match parse_stream_consumer(scope, args) {
        Ok(parsed) => parsed,
        Err(message) => return text::throw_type_error(scope, &message),
    };
    let Ok(callback) = v8::Local::<v8::Function>::try_from(args.get(4)) else {
        return;
    };
    let callback = v8::Global::new(scope, callback);
    let extras = extras.keep(scope);
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
    let metadata = loading.note(Registered::Consumer(consumer.name.clone()), extras);
    let consumer = StreamConsumer {
        callback,
        metadata,
        ..consumer
    };
    loading.registrations.stream_consumers.push(consumer);
}

fn parse_stream_consumer<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
) -> Result<(StreamConsumer, Extras<'s>), String> {
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
    let Some(prefix) = arguments::bytes_of(scope, args.get(1)) else {
        return wrong("Second", "a String or ArrayBuffer representing the prefix");
    };
    if prefix.len() > PREFIX_MAX {
        return wrong("Second", &format!("at most {PREFIX_MAX} bytes long"));
    }
    let window = match arguments::whole_number_of(args.get(2)) {
        Some(window) if (1.0..=WINDOW_MAX).contains(&window) => window,
        Some(_) => return wrong("Third", &format!("between 1 and {WINDOW_MAX}")),
        None => return wrong("Third", "a long representing the window size"),
    };
    if !args.get(3).is_boolean() {
        return wrong("Fourth", "a boolean representing the trim option");
    }
    let mode = match arguments::mode_of(args.get(4)) {
        Some(mode) => mode,
        // Calling it would run nothing of its body, and every entry would count as processed.
        None if args.get(4).is_function() => {
            return wrong("Fifth", "a function, not a generator function");
        }
        None => return wrong("Fifth", "a function"),
    };
    let options = consumer_options::parse(scope, args.get(5))?;
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
    let consumer = StreamConsumer {
        name: text::to_rust(scope, name, NAME_MAX),
        spec,
        callback: CallbackId(0),
        metadata: Metadata::default(),
    };
    Ok((consumer, options.extras))
}

/// `redis.register_notifications_consumer(name, prefix, callback [, options])`
fn register_trigger<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    _result: v8::ReturnValue<'s, v8::Value>,
) {
    let (trigger, options) = match parse_trigger(scope, args) {
        Ok(parsed) => parsed,
        Err(message) => return text::throw_type_error(scope, &message),
    };
    let Ok(callback) = v8::Local::<v8::Function>::try_from(args.get(2)) else {
        return;
    };
    let callback = v8::Global::new(scope, callback);
    let on_fired = options
        .on_fired
        .map(|function| v8::Global::new(scope, function));
    let extras = options.extras.keep(scope);
    let Some(loading) = scope.get_slot_mut::<Loading>() else {
        return text::throw(
            scope,
            "Called 'register_notifications_consumer' out of context",
        );
    };
    let registered = &loading.registrations.triggers;
    if registered.len() >= CONSUMERS_MAX {
        return text::throw(
            scope,
            &format!("A library can register at most {CONSUMERS_MAX} notification consumers"),
        );
    }
    if registered.iter().any(|other| other.name == trigger.name) {
        return text::throw(scope, "Notification consumer already exists");
    }
    let callback = loading.keep(callback);
    let on_fired = on_fired.map(|function| loading.keep(function));
    let metadata = loading.note(Registered::Trigger(trigger.name.clone()), extras);
    let mut trigger = Trigger {
        callback,
        on_fired,
        metadata,
        ..trigger
    };
    // Libraries for the original's first version did not hear of misses.
    trigger.spec.misses = trigger.metadata.mode.is_none();
    loading.registrations.triggers.push(trigger);
}

fn parse_trigger<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
) -> Result<(Trigger, trigger_options::TriggerOptions<'s>), String> {
    let wrong = |which: &str, what: &str| {
        Err(format!(
            "{which} argument to 'register_notifications_consumer' must be {what}"
        ))
    };
    if !(3..=4).contains(&args.length()) {
        return Err(
            "Wrong number of arguments to 'register_notifications_consumer' function".into(),
        );
    }
    let Ok(name) = v8::Local::<v8::String>::try_from(args.get(0)) else {
        return wrong("First", "a string representing the consumer name");
    };
    if name.length() > NAME_MAX {
        return wrong("First", &format!("at most {NAME_MAX} characters long"));
    }
    let Some(prefix) = arguments::bytes_of(scope, args.get(1)) else {
        return wrong("Second", "a string or ArrayBuffer representing the prefix");
    };
    if prefix.len() > PREFIX_MAX {
        return wrong("Second", &format!("at most {PREFIX_MAX} bytes long"));
    }
    let mode = match arguments::mode_of(args.get(2)) {
        Some(mode) => mode,
        None if args.get(2).is_function() => {
            return wrong("Third", "a function, not a generator function");
        }
        None => return wrong("Third", "a function"),
    };
    let options = trigger_options::parse(scope, args.get(3), &prefix, mode)?;
    let trigger = Trigger {
        name: text::to_rust(scope, name, NAME_MAX),
        spec: options.spec.clone(),
        callback: CallbackId(0),
        on_fired: None,
        metadata: Metadata::default(),
    };
    Ok((trigger, options))
}
