//! What functions return, as replies.
//!
//! What a script gives may be endless (cycles), larger than it looks (the same array a thousand
//! times) and alive (getters, proxies): so depth, size and time are bounded here too.

use super::bytes::{DETACHED, Detached, append_bytes, append_text, byte_length, utf8_length};
use crate::ports::{Reply, ScriptError};
use crate::runtime::run;
use crate::runtime::text;

/// Arrays, maps and sets within each other.
const DEPTH_MAX: usize = 100;
/// Bytes that an element counts beside its own.
const ELEMENT: usize = size_of::<Reply>();
/// Bytes of a reply that are written between two checks whether the run is being ended.
const CHECK_EVERY: usize = 256 << 10;

/// What a function returned, as a reply of at most `bytes`.
///
/// # Errors
/// Where it is too deep or too large, where it cannot be sent at all, or where code of the script
/// that runs on the way (a getter, say) threw.
pub(crate) fn of_value(
    scope: &mut v8::PinScope,
    value: v8::Local<v8::Value>,
    bytes: usize,
) -> Result<Reply, ScriptError> {
    let mut writer = Writer {
        left: bytes,
        since_check: 0,
    };
    if let Some(reply) = writer.plain(scope, value) {
        // Such a value runs no code, and nothing throws.
        return reply.map_err(|problem| problem.describe(None));
    }
    if is_ok(scope, value) {
        return Ok(Reply::Simple("OK".into()));
    }
    v8::tc_scope!(let scope, scope);
    writer.value(scope, value, 0).map_err(|problem| {
        let thrown = scope.exception();
        problem.describe(thrown.map(|exception| text::describe(scope, exception)))
    })
}

/// Whether the bootstrap gave its symbol for an `OK` that a command replied.
fn is_ok(scope: &mut v8::PinScope, value: v8::Local<v8::Value>) -> bool {
    let Ok(symbol) = v8::Local::<v8::Symbol>::try_from(value) else {
        return false;
    };
    run::helpers(scope).is_some_and(|helpers| v8::Local::new(scope, &helpers.ok) == symbol)
}

enum Problem {
    Refused(&'static str),
    /// An exception is pending, or the run is being ended.
    Thrown,
}

impl Problem {
    /// What is said of it; `thrown` says what was thrown.
    fn describe(self, thrown: Option<ScriptError>) -> ScriptError {
        match self {
            Self::Refused(message) => ScriptError::new(message),
            Self::Thrown => {
                thrown.unwrap_or_else(|| ScriptError::new("the result could not be read"))
            }
        }
    }
}

type Written = Result<Reply, Problem>;

struct Writer {
    /// Bytes that the reply may still take.
    left: usize,
    /// Bytes since the last check whether the run is being ended: V8 does not look while none of
    /// its code runs.
    since_check: usize,
}

impl Writer {
    /// Takes so many bytes, and those of an element.
    fn take(&mut self, scope: &mut v8::PinScope, bytes: usize) -> Result<(), Problem> {
        let bytes = bytes.saturating_add(ELEMENT);
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or(Problem::Refused("The result is too large for a reply"))?;
        self.since_check += bytes;
        if self.since_check > CHECK_EVERY {
            self.since_check = 0;
            if run::is_ending(scope) {
                return Err(Problem::Thrown);
            }
        }
        Ok(())
    }

    /// A value of the most usual kinds, none of which runs code of the script; nothing for another.
    fn plain(&mut self, scope: &mut v8::PinScope, value: v8::Local<v8::Value>) -> Option<Written> {
        let reply = if value.is_null_or_undefined() {
            Reply::Null
        } else if value.is_int32() {
            Reply::Integer(value.int32_value(scope).unwrap_or(0).into())
        } else if let Ok(string) = v8::Local::<v8::String>::try_from(value) {
            let bytes = self
                .take(scope, 0)
                .and_then(|()| self.string(scope, string));
            return Some(bytes.map(Reply::Bulk));
        } else if let Ok(number) = v8::Local::<v8::BigInt>::try_from(value)
            && let (number, true) = number.i64_value()
        {
            Reply::Integer(number)
        } else {
            return None;
        };
        Some(self.take(scope, 0).map(|()| reply))
    }

    fn value(
        &mut self,
        scope: &mut v8::PinScope,
        value: v8::Local<v8::Value>,
        depth: usize,
    ) -> Written {
        if let Some(reply) = self.plain(scope, value) {
            return reply;
        }
        self.take(scope, 0)?;
        if let Ok(number) = v8::Local::<v8::Number>::try_from(value) {
            let number = number.value();
            // Without a sign, which means nothing: there are several NaNs.
            return Ok(Reply::Double(if number.is_nan() {
                f64::NAN
            } else {
                number
            }));
        }
        if value.is_big_int() {
            return Ok(Reply::BigNumber(self.text_of(scope, value)?));
        }
        if value.is_boolean() {
            return Ok(Reply::Bool(value.is_true()));
        }
        let Ok(object) = v8::Local::<v8::Object>::try_from(value) else {
            return Err(Problem::Refused("A symbol can not be sent as a reply"));
        };
        self.object(scope, object, depth)
    }

    fn object(
        &mut self,
        scope: &mut v8::PinScope,
        object: v8::Local<v8::Object>,
        depth: usize,
    ) -> Written {
        let value: v8::Local<v8::Value> = object.into();
        if let Ok(array) = v8::Local::<v8::Array>::try_from(value) {
            return Ok(Reply::Array(self.elements(scope, array, depth)?));
        }
        if let Some(length) = byte_length(scope, value) {
            let length = length.map_err(|Detached| Problem::Refused(DETACHED))?;
            self.take(scope, length)?;
            let mut bytes = Vec::new();
            append_bytes(value, length, &mut bytes);
            return Ok(Reply::Bulk(bytes));
        }
        if value.is_string_object() {
            return self.string_object(scope, object);
        }
        if let Ok(map) = v8::Local::<v8::Map>::try_from(value) {
            let entries = map.as_array(scope);
            return Ok(Reply::Map(pairs(self.elements(scope, entries, depth)?)));
        }
        if let Ok(set) = v8::Local::<v8::Set>::try_from(value) {
            let entries = set.as_array(scope);
            return Ok(Reply::Set(self.elements(scope, entries, depth)?));
        }
        if value.is_native_error() {
            let error = text::describe(scope, value);
            self.take(scope, error.message.len())?;
            return Ok(Reply::Error(error.message));
        }
        if value.is_date() {
            let key = text::short(scope, "toISOString");
            let method = object.get(scope, key.into()).ok_or(Problem::Thrown)?;
            let method = v8::Local::<v8::Function>::try_from(method)
                .map_err(|_| Problem::Refused("A date without 'toISOString' can not be sent"))?;
            let text = method.call(scope, value, &[]).ok_or(Problem::Thrown)?;
            return Ok(Reply::text(self.text_of(scope, text)?));
        }
        if value.is_function() {
            return Err(Problem::Refused("A function can not be sent as a reply"));
        }
        if value.is_promise() {
            return Err(Problem::Refused(
                "A promise within the result can not be sent as a reply",
            ));
        }
        if value.is_number_object() || value.is_boolean_object() || value.is_big_int_object() {
            let key = text::short(scope, "valueOf");
            let method = object.get(scope, key.into()).ok_or(Problem::Thrown)?;
            if let Ok(method) = v8::Local::<v8::Function>::try_from(method) {
                let inner = method.call(scope, value, &[]).ok_or(Problem::Thrown)?;
                if inner.is_object() {
                    // It might give another such object, and that one too.
                    return Err(Problem::Refused("nesting level reached"));
                }
                return self.value(scope, inner, depth);
            }
        }
        if value.is_reg_exp() || value.is_symbol_object() {
            return Ok(Reply::text(self.text_of(scope, value)?));
        }
        self.properties(scope, object, depth)
    }

    fn elements(
        &mut self,
        scope: &mut v8::PinScope,
        array: v8::Local<v8::Array>,
        depth: usize,
    ) -> Result<Vec<Reply>, Problem> {
        check_depth(depth)?;
        let length = array.length();
        self.take(scope, (length as usize).saturating_mul(ELEMENT))?;
        let mut elements = Vec::with_capacity(length as usize);
        for at in 0..length {
            v8::scope!(let scope, &mut *scope);
            let element = array.get_index(scope, at).ok_or(Problem::Thrown)?;
            elements.push(self.value(scope, element, depth + 1)?);
        }
        Ok(elements)
    }

    fn properties(
        &mut self,
        scope: &mut v8::PinScope,
        object: v8::Local<v8::Object>,
        depth: usize,
    ) -> Written {
        check_depth(depth)?;
        let names = v8::GetPropertyNamesArgs {
            mode: v8::KeyCollectionMode::OwnOnly,
            key_conversion: v8::KeyConversionMode::ConvertToString,
            ..v8::GetPropertyNamesArgs::default()
        };
        let names = object
            .get_own_property_names(scope, names)
            .ok_or(Problem::Thrown)?;
        let mut fields = Vec::new();
        for at in 0..names.length() {
            v8::scope!(let scope, &mut *scope);
            let name = names.get_index(scope, at).ok_or(Problem::Thrown)?;
            let value = object.get(scope, name).ok_or(Problem::Thrown)?;
            self.take(scope, 0)?;
            let name = Reply::text(self.text_of(scope, name)?);
            fields.push((name, self.value(scope, value, depth + 1)?));
        }
        Ok(Reply::Map(fields))
    }

    /// A string object says what kind of reply it was; one that says nothing is a bulk string.
    fn string_object(
        &mut self,
        scope: &mut v8::PinScope,
        object: v8::Local<v8::Object>,
    ) -> Written {
        let text = self.text_of(scope, object.into())?;
        let helpers = run::helpers(scope).ok_or(Problem::Thrown)?;
        let key = v8::Local::new(scope, &helpers.reply_type);
        let kind = self.tag_of(scope, object, key)?;
        Ok(match kind.as_deref() {
            Some("status") => Reply::Simple(text.into()),
            Some("big_number") if is_big_number(&text) => Reply::BigNumber(text),
            Some("verbatim") => {
                let key = text::short(scope, "__format");
                let format = self.tag_of(scope, object, key)?;
                let format = format
                    .and_then(|format| format.into_bytes().try_into().ok())
                    .unwrap_or(*b"txt");
                Reply::Verbatim {
                    format,
                    text: text.into_bytes(),
                }
            }
            _ => Reply::text(text),
        })
    }

    fn tag_of(
        &mut self,
        scope: &mut v8::PinScope,
        object: v8::Local<v8::Object>,
        key: v8::Local<v8::String>,
    ) -> Result<Option<String>, Problem> {
        let tag = object.get(scope, key.into()).ok_or(Problem::Thrown)?;
        if tag.is_string() {
            self.text_of(scope, tag).map(Some)
        } else {
            Ok(None)
        }
    }

    fn text_of(
        &mut self,
        scope: &mut v8::PinScope,
        value: v8::Local<v8::Value>,
    ) -> Result<String, Problem> {
        let string = value.to_string(scope).ok_or(Problem::Thrown)?;
        self.take(scope, utf8_length(scope, string))?;
        Ok(string.to_rust_string_lossy(scope))
    }

    fn string(
        &mut self,
        scope: &mut v8::PinScope,
        string: v8::Local<v8::String>,
    ) -> Result<Vec<u8>, Problem> {
        self.take(scope, utf8_length(scope, string))?;
        let mut bytes = Vec::new();
        append_text(scope, string, &mut bytes);
        Ok(bytes)
    }
}

fn check_depth(depth: usize) -> Result<(), Problem> {
    if depth < DEPTH_MAX {
        Ok(())
    } else {
        Err(Problem::Refused("nesting level reached"))
    }
}

fn is_big_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// Keys and values alternating, as pairs.
fn pairs(items: Vec<Reply>) -> Vec<(Reply, Reply)> {
    let mut items = items.into_iter();
    std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_numbers_are_digits_and_nothing_else() {
        for good in ["0", "-12", "99999999999999999999"] {
            assert!(is_big_number(good), "{good}");
        }
        for bad in ["", "-", "1.5", "+1", "1\r\n"] {
            assert!(!is_big_number(bad), "{bad}");
        }
    }
}
