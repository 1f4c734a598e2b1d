//! Reading what scripts give to the functions of `redis`: names, bytes, numbers, functions,
//! options. What is wrong is named, with the option and the function it was given to.

use gears_core::delivery::Mode;

use crate::convert::bytes::{append_bytes, byte_length};
use crate::runtime::run;
use crate::runtime::text;

/// Properties that one object of options may have.
pub(crate) const PROPERTIES_MAX: usize = 1000;
/// Characters of the name of what is registered, and of a description.
pub(crate) const NAME_MAX: usize = 1000;
/// Bytes of a prefix, and of the name of a field or stream.
pub(crate) const BYTES_MAX: usize = 64 * 1024;
/// The longest time that a promise can be given: a day, in milliseconds.
const TIMEOUT_MAX: f64 = 24.0 * 3_600_000.0;
/// Characters of a short string.
const SHORT_MAX: usize = 100;

pub(crate) type Object<'s> = v8::Local<'s, v8::Object>;
pub(crate) type Value<'s> = v8::Local<'s, v8::Value>;

/// Arguments of this function of `redis`.
#[derive(Clone, Copy)]
pub(crate) struct ArgumentsOf(pub(crate) &'static str);

impl ArgumentsOf {
    /// What is said of a wrong one; `which`: "First", and so on.
    pub(crate) fn wrong(self, which: &str, what: &str) -> String {
        format!("{which} argument to '{}' must be {what}", self.0)
    }

    /// The first argument: the name of what is registered.
    pub(crate) fn name(
        self,
        scope: &mut v8::PinScope,
        value: Value,
        of: &str,
    ) -> Result<String, String> {
        let Ok(name) = v8::Local::<v8::String>::try_from(value) else {
            return Err(self.wrong("First", &format!("a string representing the {of} name")));
        };
        if name.length() > NAME_MAX {
            let what = format!("at most {NAME_MAX} characters long");
            return Err(self.wrong("First", &what));
        }
        Ok(text::to_rust(scope, name, NAME_MAX))
    }

    /// The second argument of those that want keys.
    pub(crate) fn prefix(
        self,
        scope: &mut v8::PinScope,
        value: Value,
        text: &str,
    ) -> Result<Vec<u8>, String> {
        let Some(prefix) = bytes_of(scope, value) else {
            let what = format!("{text} or ArrayBuffer representing the prefix");
            return Err(self.wrong("Second", &what));
        };
        if prefix.len() > BYTES_MAX {
            return Err(self.wrong("Second", &format!("at most {BYTES_MAX} bytes long")));
        }
        Ok(prefix)
    }

    /// Where a callback runs. To call a generator function would run nothing of its body, and every
    /// entry would count as processed.
    pub(crate) fn mode(self, which: &str, callback: Value) -> Result<Mode, String> {
        mode_of(callback).ok_or_else(|| {
            let what = if callback.is_function() {
                "a function, not a generator function"
            } else {
                "a function"
            };
            self.wrong(which, what)
        })
    }
}

/// Options of this function of `redis`.
#[derive(Clone, Copy)]
pub(crate) struct OptionsOf(pub(crate) &'static str);

impl OptionsOf {
    pub(crate) fn wrong(self, name: &str, what: &str) -> String {
        format!("Option '{name}' of '{}' must be {what}", self.0)
    }

    pub(crate) fn unknown(self, name: &str) -> String {
        format!("Unknown option '{name}' of '{}'", self.0)
    }

    /// The properties of an object, but for those that are undefined.
    pub(crate) fn properties<'s>(
        self,
        scope: &mut v8::PinScope<'s, '_>,
        object: Object,
    ) -> Result<Vec<(String, Value<'s>)>, String> {
        let failed = || format!("The options of '{}' cannot be read", self.0);
        let names = object
            .get_own_property_names(scope, v8::GetPropertyNamesArgs::default())
            .ok_or_else(failed)?;
        let mut found = Vec::new();
        for at in 0..names.length() {
            if found.len() >= PROPERTIES_MAX || run::is_ending(scope) {
                return Err(failed());
            }
            let name = names.get_index(scope, at).ok_or_else(failed)?;
            let value = object.get(scope, name).ok_or_else(failed)?;
            let name = name.to_string(scope).ok_or_else(failed)?;
            if !value.is_undefined() {
                found.push((text::to_rust(scope, name, BYTES_MAX), value));
            }
        }
        Ok(found)
    }

    pub(crate) fn boolean(self, name: &str, value: Value) -> Result<bool, String> {
        if value.is_boolean() {
            Ok(value.is_true())
        } else {
            Err(self.wrong(name, "a boolean"))
        }
    }

    /// A whole number in a range.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is one of small numbers"
    )]
    pub(crate) fn whole(
        self,
        name: &str,
        value: Value,
        (least, most): (f64, f64),
        unit: &str,
    ) -> Result<usize, String> {
        whole_number_of(value)
            .filter(|number| (least..=most).contains(number))
            .map(|number| number as usize)
            .ok_or_else(|| {
                self.wrong(
                    name,
                    &format!("a whole number between {least} and {most}{unit}"),
                )
            })
    }

    /// Milliseconds that the promise of a callback has.
    pub(crate) fn timeout(self, name: &str, value: Value) -> Result<Option<u32>, String> {
        let most = self.whole(name, value, (1.0, TIMEOUT_MAX), ", in milliseconds")?;
        Ok(u32::try_from(most).ok())
    }

    /// A list of short strings, not empty.
    pub(crate) fn strings(
        self,
        scope: &mut v8::PinScope,
        name: &str,
        value: Value,
    ) -> Result<Vec<String>, String> {
        let wrong = || self.wrong(name, &format!("an array of 1 to {PROPERTIES_MAX} strings"));
        let list = v8::Local::<v8::Array>::try_from(value).map_err(|_| wrong())?;
        let length = list.length();
        if length == 0 || length as usize > PROPERTIES_MAX {
            return Err(wrong());
        }
        let mut strings = Vec::new();
        for at in 0..length {
            let one = list.get_index(scope, at).ok_or_else(wrong)?;
            strings.push(short_string(scope, one).ok_or_else(wrong)?);
        }
        Ok(strings)
    }

    /// A text of at most so many characters.
    pub(crate) fn text(
        self,
        scope: &mut v8::PinScope,
        name: &str,
        value: Value,
        most: usize,
    ) -> Result<String, String> {
        v8::Local::<v8::String>::try_from(value)
            .ok()
            .filter(|text| text.length() <= most)
            .map(|value| text::to_rust(scope, value, most))
            .ok_or_else(|| self.wrong(name, &format!("a string of at most {most} characters")))
    }

    /// A function, and where it runs.
    pub(crate) fn function<'s>(
        self,
        name: &str,
        value: Value<'s>,
    ) -> Result<(v8::Local<'s, v8::Function>, Mode), String> {
        match (mode_of(value), v8::Local::<v8::Function>::try_from(value)) {
            (Some(mode), Ok(function)) => Ok((function, mode)),
            _ => Err(self.wrong(name, "a function")),
        }
    }
}

/// An object that is no array, function or proxy; nor a set or map, whose contents are no properties.
pub(crate) fn plain_object(value: Value<'_>) -> Option<Object<'_>> {
    let holds_no_properties = value.is_set() || value.is_map();
    if value.is_array() || value.is_function() || value.is_proxy() || holds_no_properties {
        return None;
    }
    v8::Local::<v8::Object>::try_from(value).ok()
}

/// A string that is not long.
pub(crate) fn short_string(scope: &mut v8::PinScope, value: Value) -> Option<String> {
    let string = v8::Local::<v8::String>::try_from(value).ok()?;
    Some(text::to_rust(scope, string, SHORT_MAX))
}

/// Where a callback runs; `None` for what is no function, or one whose body would not run.
pub(crate) fn mode_of(callback: Value) -> Option<Mode> {
    if !callback.is_function() || callback.is_generator_function() {
        None
    } else if callback.is_async_function() {
        Some(Mode::Async)
    } else {
        Some(Mode::Sync)
    }
}

/// A whole number, given as `Number` or `BigInt`.
pub(crate) fn whole_number_of(value: Value) -> Option<f64> {
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

/// The bytes of a string, an `ArrayBuffer` or a view of one; `None` of anything else, and of one
/// that was detached: it looks empty, which would mean every key.
pub(crate) fn bytes_of(scope: &mut v8::PinScope, value: Value) -> Option<Vec<u8>> {
    if let Ok(string) = v8::Local::<v8::String>::try_from(value) {
        return Some(string.to_rust_string_lossy(scope).into_bytes());
    }
    if !(value.is_array_buffer() || value.is_array_buffer_view()) {
        return None;
    }
    let length = byte_length(scope, value)?.ok()?;
    let mut bytes = Vec::new();
    append_bytes(value, length, &mut bytes);
    Some(bytes)
}
