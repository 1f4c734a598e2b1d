//! `redis.register_function`.

use crate::api::v1::arguments::{ArgumentsOf, NAME_MAX, plain_object};
use crate::api::v1::function_options::{self, FunctionOptions};
use crate::api::v1::loading::Loading;
use crate::ports::{CallbackId, Flags, Function};
use crate::runtime::run;
use crate::runtime::text;

/// Functions of one library.
const FUNCTIONS_MAX: usize = 10_000;

const OF: ArgumentsOf = ArgumentsOf("register_function");

/// `redis.register_function(name, callback [, flags or options])`
pub(crate) fn register_function(
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
    let callback = loading.keep(&function.name, callback);
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
    if !(2..=3).contains(&args.length()) {
        return Err("Wrong number of arguments to 'register_function' function".into());
    }
    let name = OF.name(scope, args.get(0), "function")?;
    let mode = OF.mode("Second", args.get(1))?;
    let third = args.get(2);
    let options = if third.is_undefined() {
        FunctionOptions::default()
    } else if let Ok(flags) = v8::Local::<v8::Array>::try_from(third) {
        FunctionOptions {
            flags: parse_flags(scope, flags)?,
            ..FunctionOptions::default()
        }
    } else if let Some(object) = plain_object(third) {
        function_options::parse(scope, object)?
    } else {
        return Err(OF.wrong("Third", "an array of functions flags"));
    };
    Ok(Function {
        name,
        flags: options.flags,
        callback: CallbackId(0),
        mode,
        timeout_ms: options.timeout_ms,
        run_as: options.run_as,
    })
}

/// Flags by what scripts call them.
pub(crate) fn parse_flags(
    scope: &mut v8::PinScope,
    names: v8::Local<v8::Array>,
) -> Result<Flags, String> {
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
