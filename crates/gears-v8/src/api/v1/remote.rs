//! Calls of remote functions, as scripts make them.
//!
//! The arguments are cloned while the script makes the call; its promise is settled when what came of
//! the call is back, see [`crate::program`].

use crate::api::v1::arguments::{NAME_MAX, OptionsOf, Value, bytes_of, plain_object};
use crate::api::v1::credentials;
use crate::convert::clone::{self, NotCloned};
use crate::ports::{RemoteError, RemoteErrorCode, RemotePlace};
use crate::runtime::helpers::Helpers;
use crate::runtime::run::{self, StartedRemoteCall};
use crate::runtime::text::{self, OrThrown, Thrown};

/// `call_remote(user, db, flags, resolve, reject, has_key, what the method was given)`
pub(crate) fn call_remote<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    _result: v8::ReturnValue<'s, v8::Value>,
) {
    let credentials = credentials::of_arguments(scope, args);
    let given = elements_of(scope, args.get(6));
    let parsed = parse(scope, args.get(5).is_true(), &given);
    let (place, (function, timeout_ms), rest) = match parsed {
        Ok(parsed) => parsed,
        Err(message) => return text::throw_type_error(scope, &message),
    };
    if let RemotePlace::Key(key) = &place
        && let Some(most) = run::remotes(scope).map(|remotes| remotes.max_bytes())
        && key.len() > most
    {
        return throw_not_sent(scope, &format!("the key is larger than {most} bytes"));
    }
    let arguments = match clone_arguments(scope, rest) {
        Ok(arguments) => arguments,
        Err(NotCloned::TooLarge(most)) => return throw_not_sent(scope, &clone::too_large(most)),
        Err(NotCloned::Thrown) => return,
    };
    run::begin_remote_call(
        scope,
        [args.get(3), args.get(4)],
        StartedRemoteCall {
            function,
            place,
            credentials,
            arguments,
            timeout_ms,
        },
    );
}

/// What an array of the bootstrap's own holds.
fn elements_of<'s>(scope: &mut v8::PinScope<'s, '_>, array: Value<'s>) -> Vec<Value<'s>> {
    let Ok(array) = v8::Local::<v8::Array>::try_from(array) else {
        return Vec::new();
    };
    (0..array.length())
        .filter_map(|at| array.get_index(scope, at))
        .collect()
}

/// Arguments of a function, as an array, cloned.
///
/// # Errors
/// Why they cannot be sent.
pub(crate) fn clone_arguments<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    arguments: &[Value<'s>],
) -> Result<Vec<u8>, NotCloned> {
    let most = run::remotes(scope).map_or(0, |remotes| remotes.max_bytes());
    let arguments = v8::Array::new_with_elements(scope, arguments);
    clone::write(scope, arguments.into(), most)
}

type Parsed<'a, 's> = (RemotePlace, (String, Option<u32>), &'a [Value<'s>]);

/// Where the call goes, to which function, and what that is given.
fn parse<'a, 's>(
    scope: &mut v8::PinScope<'s, '_>,
    has_key: bool,
    given: &'a [Value<'s>],
) -> Result<Parsed<'a, 's>, String> {
    let method = if has_key {
        "run_on_key"
    } else {
        "run_on_all_shards"
    };
    let (key, name, rest) = match given {
        [key, name, rest @ ..] if has_key => (Some(*key), *name, rest),
        [name, rest @ ..] if !has_key => (None, *name, rest),
        _ => return Err(format!("Wrong number of arguments to '{method}' function")),
    };
    let (place, which) = match key {
        Some(key) => {
            let key = bytes_of(scope, key).ok_or_else(|| {
                format!("First argument to '{method}' must be a string or an ArrayBuffer: the key")
            })?;
            (RemotePlace::Key(key), "Second")
        }
        None => (RemotePlace::AllShards, "First"),
    };
    let function = function_of(scope, name, method, which)?;
    Ok((place, function, rest))
}

/// The function's name, and the milliseconds it has: a string, or `{name, timeout}`.
fn function_of<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    value: Value<'s>,
    method: &'static str,
    which: &str,
) -> Result<(String, Option<u32>), String> {
    let wrong = || {
        format!(
            "{which} argument to '{method}' must be the name of a remote function, or an object with its 'name' and a 'timeout'"
        )
    };
    let name_of = |scope: &mut v8::PinScope, value: Value| {
        let name = v8::Local::<v8::String>::try_from(value).ok();
        name.filter(|name| name.length() <= NAME_MAX)
            .map(|name| text::to_rust(scope, name, NAME_MAX))
            .ok_or_else(wrong)
    };
    let Some(options) = plain_object(value).filter(|_| !value.is_string_object()) else {
        return Ok((name_of(scope, value)?, None));
    };
    let of = OptionsOf(method);
    let (mut name, mut timeout_ms) = (None, None);
    for (property, value) in of.properties(scope, options)? {
        match property.as_str() {
            "name" => name = Some(name_of(scope, value)?),
            "timeout" => timeout_ms = of.timeout("timeout", value)?,
            _ => return Err(of.unknown(&property)),
        }
    }
    Ok((name.ok_or_else(wrong)?, timeout_ms))
}

/// Makes what a script has thrown of bytes.
pub(crate) fn read_thrown<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    bytes: &[u8],
) -> Option<v8::Local<'s, v8::Value>> {
    v8::tc_scope!(let scope, scope);
    clone::read(scope, bytes).ok()
}

/// Throws what says that a call was not made.
fn throw_not_sent(scope: &mut v8::PinScope, message: &str) {
    let error = RemoteError {
        text: format!("ERR {message}"),
        code: Some(RemoteErrorCode::NotSent),
        ..RemoteError::default()
    };
    if let Some(helpers) = run::helpers(scope)
        && let Ok(error) = remote_error(scope, &helpers, "", &error, None)
    {
        scope.throw_exception(error);
    }
}

/// Adds what is not enumerated to an object; leaves it where the object takes nothing.
pub(crate) fn note(
    scope: &v8::PinScope<'_, '_>,
    object: v8::Local<v8::Object>,
    name: &str,
    value: v8::Local<v8::Value>,
) -> Result<(), Thrown> {
    let key = text::short(scope, name);
    object
        .define_own_property(scope, key.into(), value, v8::PropertyAttribute::DONT_ENUM)
        .or_thrown()
        .map(|_| ())
}

/// Why there is no result of a call.
pub(crate) fn remote_error<'s>(
    scope: &v8::PinScope<'s, '_>,
    helpers: &Helpers,
    shard: &str,
    error: &RemoteError,
    cause: Option<v8::Local<'s, v8::Value>>,
) -> Result<v8::Local<'s, v8::Value>, Thrown> {
    let text_or_nothing = |text: Option<&str>| -> v8::Local<'s, v8::Value> {
        match text.and_then(|text| v8::String::new(scope, text)) {
            Some(text) => text.into(),
            None => v8::undefined(scope).into(),
        }
    };
    let arguments = [
        text_or_nothing(Some(&error.text)),
        text_or_nothing(error.code.map(RemoteErrorCode::name)),
        v8::Boolean::new(scope, error.may_have_run).into(),
        text_or_nothing(Some(shard).filter(|shard| !shard.is_empty())),
        text_or_nothing(error.stack.as_deref()),
        cause.unwrap_or_else(|| v8::undefined(scope).into()),
    ];
    let make = v8::Local::new(scope, &helpers.make_remote_error);
    let nothing = v8::undefined(scope).into();
    make.call(scope, nothing, &arguments).or_thrown()
}
