//! What V8 carries over every `await`: in whose name the code at hand acts, and which callback it
//! belongs to.
//!
//! V8 calls it continuation-preserved embedder data. There is one per isolate. An `await` keeps it
//! for what comes behind, a microtask sets it and clears it at its end; but it is no part of what
//! V8 keeps aside for a thread that gives up the isolate: who does so takes it along, and leaves
//! none behind. So code never acts with a client that other code was given.
//!
//! It is an internalized string or a small number, never an object. V8 visits this root once for the thread that is
//! in the isolate, and once more for each that has given it up. The scavenger takes an object for
//! one still to be moved whenever it lies in the young generation: at the second visit it moves the
//! copy that it has just made, and what was updated before refers to a place that is no object any
//! more. Internalized strings lie in the old generation, which the scavenger leaves alone; the
//! other collector visits a root as often as it likes. A small number, which stands for a callback
//! that acts with the client of its run, is no place in the heap at all.

use crate::ports::{CallbackId, Credentials, Database, Flags};

/// What is between the parts of credentials; the user's name comes last, and may hold it.
const BETWEEN: char = ' ';
/// What stands for no callback.
const NO_CALLBACK: &str = "-";

/// Credentials, and the callback that acts with them, as data to be carried; `undefined` where there
/// is no memory for it.
pub(crate) fn data_of<'s>(
    scope: &v8::PinScope<'s, '_>,
    credentials: &Credentials,
    callback: Option<CallbackId>,
) -> v8::Local<'s, v8::Value> {
    let text = write(credentials, callback);
    match v8::String::new_from_utf8(scope, text.as_bytes(), v8::NewStringType::Internalized) {
        Some(data) => data.into(),
        None => v8::undefined(scope).into(),
    }
}

/// The credentials that are carried; `None` where there are none.
pub(crate) fn credentials(scope: &mut v8::PinScope) -> Option<Credentials> {
    let data = scope.get_continuation_preserved_embedder_data();
    let text = v8::Local::<v8::String>::try_from(data).ok()?;
    read(&text.to_rust_string_lossy(scope)).map(|(credentials, _)| credentials)
}

/// A callback that acts with the client of its run, as data to be carried.
pub(crate) fn data_of_callback<'s>(
    scope: &v8::PinScope<'s, '_, ()>,
    callback: CallbackId,
) -> v8::Local<'s, v8::Value> {
    v8::Integer::new_from_unsigned(scope, callback.0).into()
}

/// The callback that the code at hand belongs to; `None` where that is not known.
pub(crate) fn callback(scope: &mut v8::PinScope) -> Option<CallbackId> {
    let data = scope.get_continuation_preserved_embedder_data();
    if let Ok(number) = v8::Local::<v8::Uint32>::try_from(data) {
        return Some(CallbackId(number.value()));
    }
    let text = v8::Local::<v8::String>::try_from(data).ok()?;
    read(&text.to_rust_string_lossy(scope))?.1
}

/// Carries nothing from now on.
pub(crate) fn clear(scope: &mut v8::PinScope) {
    let nothing = v8::undefined(scope).into();
    scope.set_continuation_preserved_embedder_data(nothing);
}

fn write(credentials: &Credentials, callback: Option<CallbackId>) -> String {
    let callback = callback.map(|id| id.0.to_string());
    format!(
        "{}{BETWEEN}{}{BETWEEN}{}{BETWEEN}{}",
        credentials.db.packed(),
        credentials.flags.bits(),
        callback.as_deref().unwrap_or(NO_CALLBACK),
        credentials.user
    )
}

fn read(text: &str) -> Option<(Credentials, Option<CallbackId>)> {
    let mut parts = text.splitn(4, BETWEEN);
    let db = Database::of_packed(parts.next()?.parse().ok()?);
    let flags = Flags::from_bits_truncate(parts.next()?.parse().ok()?);
    let callback = parts.next()?.parse().ok().map(CallbackId);
    let user = parts.next()?.into();
    Some((Credentials { user, db, flags }, callback))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_as_they_were_written_whatever_the_user_is_called() {
        for user in ["default", "", "a b  c", "0 1 x", "\u{fc}ser \u{1f600}"] {
            let credentials = Credentials {
                user: user.into(),
                db: Database::Home(7),
                flags: Flags::NO_WRITES | Flags::RAW_ARGUMENTS,
            };
            for callback in [None, Some(CallbackId(0)), Some(CallbackId(u32::MAX))] {
                let text = write(&credentials, callback);
                assert_eq!(read(&text), Some((credentials.clone(), callback)));
            }
        }
    }
}
