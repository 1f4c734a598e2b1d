//! Text, from V8 and to it: strings, exceptions, scripts.

use crate::ports::ScriptError;

/// Characters of an exception's text that are kept.
const MESSAGE_MAX: usize = 4096;
/// Characters of an exception's stack that are kept.
const STACK_MAX: usize = 16 * 1024;

/// Bytes as a string; `None` where they are not UTF-8, or too many for V8.
pub(crate) fn from_bytes<'s>(
    scope: &v8::PinScope<'s, '_, ()>,
    bytes: &[u8],
    kind: v8::NewStringType,
) -> Option<v8::Local<'s, v8::String>> {
    if bytes.is_ascii() {
        v8::String::new_from_one_byte(scope, bytes, kind)
    } else if std::str::from_utf8(bytes).is_ok() {
        v8::String::new_from_utf8(scope, bytes, kind)
    } else {
        None
    }
}

/// Bytes as a one-byte string, each a character.
pub(crate) fn one_byte<'s>(
    scope: &v8::PinScope<'s, '_, ()>,
    bytes: &[u8],
) -> Option<v8::Local<'s, v8::Value>> {
    v8::String::new_from_one_byte(scope, bytes, v8::NewStringType::Normal).map(Into::into)
}

/// A field or a value as text; null where it is not UTF-8.
pub(crate) fn part<'s>(scope: &v8::PinScope<'s, '_, ()>, bytes: &[u8]) -> v8::Local<'s, v8::Value> {
    match from_bytes(scope, bytes, v8::NewStringType::Normal) {
        Some(text) => text.into(),
        None => v8::null(scope).into(),
    }
}

/// A short text of our own as a string.
pub(crate) fn short<'s>(scope: &v8::PinScope<'s, '_, ()>, text: &str) -> v8::Local<'s, v8::String> {
    v8::String::new(scope, text).unwrap_or_else(|| v8::String::empty(scope))
}

/// The text of a string, cut off after `max` UTF-16 units: scripts may make strings of 500 MB.
pub(crate) fn to_rust(scope: &v8::Isolate, text: v8::Local<v8::String>, max: usize) -> String {
    if text.length() <= max {
        return text.to_rust_string_lossy(scope);
    }
    let mut units = vec![0u16; max];
    text.write_v2(scope, 0, &mut units, v8::WriteFlags::empty());
    String::from_utf16_lossy(&units) + "..."
}

/// What was thrown, as text. Runs the script's own code (`toString`, getters), so it belongs
/// inside a watched run.
pub(crate) fn describe(scope: &mut v8::PinScope, thrown: v8::Local<v8::Value>) -> ScriptError {
    v8::tc_scope!(let scope, scope);
    let text = if thrown.is_symbol() {
        thrown.to_detail_string(scope)
    } else {
        thrown.to_string(scope)
    };
    let message = match text {
        Some(text) => to_rust(scope, text, MESSAGE_MAX),
        None => "an exception that has no text".to_owned(),
    };
    scope.reset();
    ScriptError {
        message,
        stack: stack_of(scope, thrown),
        ..ScriptError::new("")
    }
}

fn stack_of(scope: &mut v8::PinScope, thrown: v8::Local<v8::Value>) -> Option<String> {
    v8::tc_scope!(let scope, scope);
    if !thrown.is_native_error() {
        return None;
    }
    let error = v8::Local::<v8::Object>::try_from(thrown).ok()?;
    let key = short(scope, "stack");
    let stack = error.get(scope, key.into())?;
    let stack = v8::Local::<v8::String>::try_from(stack).ok()?;
    let stack = to_rust(scope, stack, STACK_MAX);
    // The message comes first, and is known. The module's own JavaScript is nobody's business.
    let frames = stack
        .lines()
        .filter(|line| line.starts_with("    at ") && !line.contains("<redisgears>:"));
    Some(frames.collect::<Vec<_>>().join("\n"))
}

/// An exception is pending in V8, or the run is being ended. Who is given this returns to V8, or
/// takes the exception.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Thrown;

/// V8 gives nothing where it has thrown.
pub(crate) trait OrThrown<T> {
    /// What there is.
    fn or_thrown(self) -> Result<T, Thrown>;
}

impl<T> OrThrown<T> for Option<T> {
    fn or_thrown(self) -> Result<T, Thrown> {
        self.ok_or(Thrown)
    }
}

/// Throws an `Error` into the script that is running, and says so.
pub(crate) fn thrown(scope: &v8::PinScope, message: &str) -> Thrown {
    throw(scope, message);
    Thrown
}

/// Throws an `Error` into the script that is running.
pub(crate) fn throw(scope: &v8::PinScope, message: &str) {
    let message = short(scope, message);
    let error = v8::Exception::error(scope, message);
    scope.throw_exception(error);
}

/// Throws a `TypeError` into the script that is running.
pub(crate) fn throw_type_error(scope: &v8::PinScope, message: &str) {
    let message = short(scope, message);
    let error = v8::Exception::type_error(scope, message);
    scope.throw_exception(error);
}

/// Where a script is from; `name` is what stacks call it.
pub(crate) fn origin<'s>(
    scope: &v8::PinScope<'s, '_>,
    name: &str,
) -> Result<v8::ScriptOrigin<'s>, Thrown> {
    let name = v8::String::new(scope, name).or_thrown()?;
    Ok(v8::ScriptOrigin::new(
        scope,
        name.into(),
        0,
        0,
        false,
        0,
        None,
        false,
        false,
        false,
        None,
    ))
}

/// Compiles a script; `name` is what stacks call it.
pub(crate) fn compile<'s>(
    scope: &v8::PinScope<'s, '_>,
    name: &str,
    source: v8::Local<v8::String>,
) -> Result<v8::Local<'s, v8::Script>, Thrown> {
    let origin = origin(scope, name)?;
    v8::Script::compile(scope, source, Some(&origin)).or_thrown()
}
