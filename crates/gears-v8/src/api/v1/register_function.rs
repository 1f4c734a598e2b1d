//! `redis.register_function`.

use crate::api::v1::arguments::{ArgumentsOf, plain_object};
use crate::api::v1::function_options::{self, FunctionOptions, parse_flags};
use crate::api::v1::loading::Loading;
use crate::ports::{CallbackId, Function, Registrations};
use crate::runtime::text;

const OF: ArgumentsOf = ArgumentsOf("register_function");
const KIND: Kind = Kind {
    of: OF,
    one: "Function",
    many: "functions",
    most: 10_000,
    registered: |registrations| &mut registrations.functions,
};

/// `redis.register_function(name, callback [, flags or options])`
pub(crate) fn register_function(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let function = parse_function(scope, args);
    keep(scope, args, function, &KIND);
}

/// Functions that are called in one way: each of a library's has a name of its own.
pub(crate) struct Kind {
    /// What registers them.
    pub(crate) of: ArgumentsOf,
    /// What one of them is called, at the begin of a sentence.
    pub(crate) one: &'static str,
    /// What several are called.
    pub(crate) many: &'static str,
    /// How many a library may have.
    pub(crate) most: usize,
    /// Where they are kept.
    pub(crate) registered: fn(&mut Registrations) -> &mut Vec<Function>,
}

/// Adds a function, with the callback that is the second argument, to those of its kind.
pub(crate) fn keep(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    function: Result<Function, String>,
    kind: &Kind,
) {
    let function = match function {
        Ok(function) => function,
        Err(message) => return text::throw_type_error(scope, &message),
    };
    let Ok(callback) = v8::Local::<v8::Function>::try_from(args.get(1)) else {
        return;
    };
    let callback = v8::Global::new(scope, callback);
    let Some(loading) = scope.get_slot_mut::<Loading>() else {
        return text::throw(scope, &format!("Called '{}' out of context", kind.of.0));
    };
    let registered = (kind.registered)(&mut loading.registrations);
    if registered.len() >= kind.most {
        let message = format!("A library can register at most {} {}", kind.most, kind.many);
        return text::throw(scope, &message);
    }
    if registered.iter().any(|other| other.name == function.name) {
        let message = format!("{} {} already exists", kind.one, function.name);
        return text::throw(scope, &message);
    }
    let callback = loading.keep(&function.name, callback);
    (kind.registered)(&mut loading.registrations).push(Function {
        callback,
        ..function
    });
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
