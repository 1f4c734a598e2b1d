//! Replies of the server, as values of JavaScript.

use smallvec::SmallVec;

use crate::ports::resp::{DEPTH_MAX, Reader, RespItem};

use crate::runtime::helpers::{Helpers, filled_buffer};
use crate::runtime::run;
use crate::runtime::text::{self, OrThrown, Thrown};

/// Elements that are made at once; more are set one by one, with handles freed in between.
const ELEMENTS_AT_ONCE: usize = 4096;

/// As what strings are passed to a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StringForm {
    /// As text.
    Text,
    /// As bytes.
    Raw,
    /// As text, and as bytes what is none.
    Either,
}

/// What making a value needs.
pub(crate) struct Maker<'a, 'r> {
    pub(crate) helpers: &'a Helpers,
    pub(crate) form: StringForm,
    pub(crate) reader: Reader<'r>,
}

impl Maker<'_, '_> {
    /// The next value. What throws is an error the server replied, and bytes that are no text.
    pub(crate) fn value<'s>(
        &mut self,
        scope: &mut v8::PinScope<'s, '_>,
        depth: usize,
    ) -> Result<v8::Local<'s, v8::Value>, Thrown> {
        let Some(item) = self.reader.next().filter(|_| depth <= DEPTH_MAX) else {
            return Err(text::thrown(
                scope,
                "The reply of the server could not be read",
            ));
        };
        Ok(match item {
            RespItem::Integer(number @ 0..=1) => {
                v8::Local::new(scope, &self.helpers.small[usize::from(number == 1)]).into()
            }
            RespItem::Integer(number) => v8::BigInt::new_from_i64(scope, number).into(),
            RespItem::Bulk(bytes) => self.string(scope, bytes)?,
            RespItem::Null => v8::null(scope).into(),
            RespItem::Double(number) => v8::Number::new(scope, number).into(),
            RespItem::Bool(value) => v8::Boolean::new(scope, value).into(),
            RespItem::Simple(bytes) => {
                let value = self.string(scope, bytes)?;
                let status = v8::Local::new(scope, &self.helpers.status);
                self.tagged(scope, value, status, None)?
            }
            RespItem::BigNumber(digits) => {
                let value = string(scope, digits)?;
                let kind = text::short(scope, "big_number");
                self.tagged(scope, value, kind, None)?
            }
            RespItem::Verbatim { format, text } => {
                let value = self.string(scope, text)?;
                let kind = text::short(scope, "verbatim");
                self.tagged(scope, value, kind, Some(format))?
            }
            RespItem::Error(message) => {
                return Err(throw_redis_error(scope, self.helpers, message));
            }
            RespItem::Array(items) => self.array(scope, items, depth)?.into(),
            RespItem::Set(items) => self.set(scope, items, depth)?.into(),
            RespItem::Map(pairs) => self.map(scope, pairs, depth)?.into(),
        })
    }

    fn string<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        bytes: &[u8],
    ) -> Result<v8::Local<'s, v8::Value>, Thrown> {
        match self.form {
            StringForm::Text => string(scope, bytes),
            StringForm::Either if std::str::from_utf8(bytes).is_ok() => string(scope, bytes),
            StringForm::Raw | StringForm::Either => {
                let allocate = v8::Local::new(scope, &self.helpers.allocate);
                filled_buffer(scope, allocate, bytes)
            }
        }
    }

    fn tagged<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        value: v8::Local<v8::Value>,
        kind: v8::Local<v8::String>,
        format: Option<&[u8]>,
    ) -> Result<v8::Local<'s, v8::Value>, Thrown> {
        let tag = v8::Local::new(scope, &self.helpers.tag);
        let nothing: v8::Local<v8::Value> = v8::undefined(scope).into();
        let format = match format {
            Some(format) => string(scope, format)?,
            None => nothing,
        };
        tag.call(scope, nothing, &[value, kind.into(), format])
            .or_thrown()
    }

    fn array<'s>(
        &mut self,
        scope: &mut v8::PinScope<'s, '_>,
        items: usize,
        depth: usize,
    ) -> Result<v8::Local<'s, v8::Array>, Thrown> {
        if items <= ELEMENTS_AT_ONCE {
            let mut elements: SmallVec<[v8::Local<v8::Value>; 16]> = SmallVec::new();
            for _ in 0..items {
                elements.push(self.value(scope, depth + 1)?);
            }
            return Ok(v8::Array::new_with_elements(scope, &elements));
        }
        // With elements of its own from the beginning: setting them asks no prototype.
        let nothing: v8::Local<v8::Value> = v8::undefined(scope).into();
        let array = v8::Array::new_with_elements(scope, &vec![nothing; items]);
        for at in 0..u32::try_from(items).ok().or_thrown()? {
            check_time(scope, at)?;
            v8::scope!(let scope, &mut *scope);
            let element = self.value(scope, depth + 1)?;
            // Fails where the library's memory is out and the run is being ended.
            array.set_index(scope, at, element).or_thrown()?;
        }
        Ok(array)
    }

    fn set<'s>(
        &mut self,
        scope: &mut v8::PinScope<'s, '_>,
        items: usize,
        depth: usize,
    ) -> Result<v8::Local<'s, v8::Set>, Thrown> {
        let set = v8::Set::new(scope);
        for at in 0..u32::try_from(items).ok().or_thrown()? {
            check_time(scope, at)?;
            v8::scope!(let scope, &mut *scope);
            let element = self.value(scope, depth + 1)?;
            set.add(scope, element).or_thrown()?;
        }
        Ok(set)
    }

    fn map<'s>(
        &mut self,
        scope: &mut v8::PinScope<'s, '_>,
        pairs: usize,
        depth: usize,
    ) -> Result<v8::Local<'s, v8::Object>, Thrown> {
        let object = v8::Object::new(scope);
        for at in 0..u32::try_from(pairs).ok().or_thrown()? {
            check_time(scope, at)?;
            v8::scope!(let scope, &mut *scope);
            let name = match self.reader.next().or_thrown()? {
                RespItem::Bulk(bytes)
                    if self.form == StringForm::Either && std::str::from_utf8(bytes).is_err() =>
                {
                    // Such a name has no place in an object.
                    self.value(scope, depth + 1)?;
                    continue;
                }
                RespItem::Bulk(bytes) | RespItem::Simple(bytes) => self.name(scope, bytes)?,
                RespItem::Integer(number) => text::short(scope, &number.to_string()),
                RespItem::Double(number) => text::short(scope, &number.to_string()),
                RespItem::Bool(value) => text::short(scope, if value { "true" } else { "false" }),
                _ => {
                    return Err(text::thrown(
                        scope,
                        "A map with such a key cannot be an object",
                    ));
                }
            };
            let value = self.value(scope, depth + 1)?;
            object
                .create_data_property(scope, name.into(), value)
                .or_thrown()?;
        }
        Ok(object)
    }

    fn name<'s>(
        &self,
        scope: &mut v8::PinScope<'s, '_>,
        bytes: &[u8],
    ) -> Result<v8::Local<'s, v8::String>, Thrown> {
        let name = text::from_bytes(scope, bytes, v8::NewStringType::Internalized);
        if name.is_none() && !scope.is_execution_terminating() {
            let message = match self.form {
                StringForm::Text | StringForm::Either => "Could not decode value as string",
                StringForm::Raw => "Binary map key is not supported",
            };
            text::throw(scope, message);
        }
        name.or_thrown()
    }
}

/// Looks now and then whether the run is being ended: V8 does not while none of its code runs.
fn check_time(scope: &mut v8::PinScope, at: u32) -> Result<(), Thrown> {
    let is_due = at % 1024 == 1023;
    (!is_due || !run::is_ending(scope))
        .then_some(())
        .or_thrown()
}

/// Bytes as text.
fn string<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    bytes: &[u8],
) -> Result<v8::Local<'s, v8::Value>, Thrown> {
    let string = text::from_bytes(scope, bytes, v8::NewStringType::Normal);
    if string.is_none() && !scope.is_execution_terminating() {
        text::throw(scope, "Could not decode value as string");
    }
    string.map(Into::into).or_thrown()
}

/// Throws what the server replied.
pub(crate) fn throw_redis_error(
    scope: &mut v8::PinScope,
    helpers: &Helpers,
    message: &[u8],
) -> Thrown {
    let make = v8::Local::new(scope, &helpers.make_error);
    let nothing = v8::undefined(scope).into();
    let message = text::short(scope, &String::from_utf8_lossy(message)).into();
    if let Some(error) = make.call(scope, nothing, &[message]) {
        scope.throw_exception(error);
    }
    Thrown
}
