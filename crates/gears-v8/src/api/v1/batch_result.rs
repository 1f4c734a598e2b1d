//! What a stream consumer's callback says of the entries it was given, beside that it is done:
//! which of them failed, and of a failure, whether and when another attempt is worth it.

use crate::ports::{Outcome, Reply, ScriptError};
use gears_core::delivery::EntryId;

use crate::runtime::run;
use crate::runtime::text;

/// Entries that one call can name: as many as it can be given.
const FAILED_MAX: u32 = 10_000;
/// Characters of an ID, and of what went wrong.
const ID_MAX: usize = 64;
const ERROR_MAX: usize = 4096;
/// The longest that a callback may have a retry wait: a year.
const RETRY_AFTER_MAX: f64 = 366.0 * 24.0 * 3_600_000.0;

const REPORTED: &str = "the callback reported it as failed";

/// Reads `{failed: [ids], error}` of what a callback gave; anything else says that it is done.
pub(crate) fn of_result(scope: &mut v8::PinScope, result: v8::Local<v8::Value>) -> Outcome {
    v8::tc_scope!(let scope, scope);
    let found = failed_of(scope, result);
    if let Some(exception) = scope.exception() {
        return Outcome::Failed(text::describe(scope, exception));
    }
    match found {
        Ok(None) => Outcome::Done(Reply::Null),
        Ok(Some((failed, error))) => Outcome::Partly { failed, error },
        Err(error) => Outcome::Failed(ScriptError::new(error)),
    }
}

/// What was thrown, with what it advises.
pub(crate) fn of_error(scope: &mut v8::PinScope, thrown: v8::Local<v8::Value>) -> ScriptError {
    let mut error = text::describe(scope, thrown);
    v8::tc_scope!(let scope, scope);
    if let Ok(thrown) = v8::Local::<v8::Object>::try_from(thrown) {
        if let Some(fatal) = property(scope, thrown, "fatal") {
            error.fatal = fatal.is_true();
        }
        let after = property(scope, thrown, "retry_after");
        let after = after.and_then(|after| v8::Local::<v8::Number>::try_from(after).ok());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and at most a year"
        )]
        if let Some(ms) = after.map(|after| after.value()).filter(|ms| *ms >= 0.0) {
            error.retry_after_ms = Some(ms.min(RETRY_AFTER_MAX) as u64);
        }
    }
    error
}

type Failed = Option<(Vec<EntryId>, String)>;

/// The entries named as failed. Where an exception is pending, whatever it gives is void.
fn failed_of(scope: &mut v8::PinScope, result: v8::Local<v8::Value>) -> Result<Failed, String> {
    let Ok(result) = v8::Local::<v8::Object>::try_from(result) else {
        return Ok(None);
    };
    let Some(failed) = property(scope, result, "failed").filter(|value| !value.is_undefined())
    else {
        return Ok(None);
    };
    let Ok(failed) = v8::Local::<v8::Array>::try_from(failed) else {
        return Err("'failed' of what the callback returned must be an array of IDs".into());
    };
    if failed.length() > FAILED_MAX {
        return Err(format!(
            "'failed' of what the callback returned has more than {FAILED_MAX} IDs"
        ));
    }
    let mut ids = Vec::new();
    for at in 0..failed.length() {
        v8::scope!(let scope, &mut *scope);
        let id = failed.get_index(scope, at);
        let id = id.filter(|_| !run::is_ending(scope));
        let Some(id) = id.and_then(|id| id_of(scope, id)) else {
            return Err(format!(
                "'failed' of what the callback returned has something that is no ID at {at}"
            ));
        };
        ids.push(id);
    }
    let error = property(scope, result, "error");
    let error = error.and_then(|error| v8::Local::<v8::String>::try_from(error).ok());
    let error = error.map_or_else(
        || REPORTED.to_owned(),
        |error| text::to_rust(scope, error, ERROR_MAX),
    );
    Ok(Some((ids, error)))
}

/// An ID as text, as a record has it, or the record itself.
fn id_of(scope: &mut v8::PinScope, value: v8::Local<v8::Value>) -> Option<EntryId> {
    if let Ok(id) = v8::Local::<v8::String>::try_from(value) {
        return EntryId::parse(&text::to_rust(scope, id, ID_MAX));
    }
    if let Ok(parts) = v8::Local::<v8::Array>::try_from(value) {
        if parts.length() != 2 {
            return None;
        }
        let ms = parts.get_index(scope, 0)?;
        let seq = parts.get_index(scope, 1)?;
        return Some(EntryId::new(number_of(scope, ms)?, number_of(scope, seq)?));
    }
    let record = v8::Local::<v8::Object>::try_from(value).ok()?;
    let id = property(scope, record, "id")?;
    (id.is_array() || id.is_string()).then(|| id_of(scope, id))?
}

/// Half of an ID: a `BigInt`, as a record has it, or its digits.
fn number_of(scope: &mut v8::PinScope, value: v8::Local<v8::Value>) -> Option<u64> {
    if let Ok(digits) = v8::Local::<v8::String>::try_from(value) {
        return text::to_rust(scope, digits, ID_MAX).parse().ok();
    }
    let (number, is_exact) = v8::Local::<v8::BigInt>::try_from(value).ok()?.u64_value();
    is_exact.then_some(number)
}

/// `None` where getting it threw.
fn property<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    object: v8::Local<v8::Object>,
    name: &str,
) -> Option<v8::Local<'s, v8::Value>> {
    let name = text::short(scope, name);
    object.get(scope, name.into())
}
