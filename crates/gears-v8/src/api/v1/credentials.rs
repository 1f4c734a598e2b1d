//! Credentials as values of JavaScript: what an async client keeps.

use crate::ports::{Credentials, Database, Flags};
use crate::runtime::text::{self, OrThrown, Thrown};

/// Credentials as an object of its parts.
pub(crate) fn object<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    credentials: &Credentials,
) -> Result<v8::Local<'s, v8::Object>, Thrown> {
    let object = v8::Object::new(scope);
    for (name, value) in parts(scope, credentials) {
        let key = text::short(scope, name);
        object
            .create_data_property(scope, key.into(), value)
            .or_thrown()?;
    }
    Ok(object)
}

/// Credentials as the values its client keeps.
pub(crate) fn parts<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    credentials: &Credentials,
) -> [(&'static str, v8::Local<'s, v8::Value>); 3] {
    [
        ("user", text::short(scope, &credentials.user).into()),
        (
            "db",
            v8::Integer::new(scope, credentials.db.packed()).into(),
        ),
        (
            "flags",
            v8::Integer::new_from_unsigned(scope, credentials.flags.bits()).into(),
        ),
    ]
}

/// The credentials that the first three arguments are.
pub(crate) fn of_arguments<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
) -> Credentials {
    Credentials {
        user: args.get(0).to_rust_string_lossy(scope).into(),
        db: Database::of_packed(args.get(1).int32_value(scope).unwrap_or(0)),
        flags: Flags::from_bits_truncate(args.get(2).uint32_value(scope).unwrap_or(0)),
    }
}
