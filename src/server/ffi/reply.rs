//! Sending replies.

use std::ffi::{CStr, CString, c_int, c_long};

use gears_v8::ports::Reply;

use super::api;
use super::context::Context;

/// Sends a reply to the client that waits for it. The server translates for RESP2 clients.
pub(crate) fn send(reply: &Reply, context: &Context) {
    let ctx = context.as_ptr();
    // SAFETY: the context is live; every pointer is valid for the call it is given to.
    unsafe {
        match reply {
            Reply::Simple(text) if &**text == "OK" => {
                api!(RedisModule_ReplyWithSimpleString)(ctx, c"OK".as_ptr());
            }
            Reply::Simple(text) => {
                api!(RedisModule_ReplyWithSimpleString)(ctx, one_line(text).as_ptr());
            }
            Reply::Error(text) => {
                api!(RedisModule_ReplyWithError)(ctx, one_line(text).as_ptr());
            }
            Reply::Bulk(bytes) => {
                api!(RedisModule_ReplyWithStringBuffer)(ctx, bytes.as_ptr().cast(), bytes.len());
            }
            Reply::Integer(number) => {
                api!(RedisModule_ReplyWithLongLong)(ctx, *number);
            }
            Reply::Double(number) => {
                api!(RedisModule_ReplyWithDouble)(ctx, *number);
            }
            Reply::Bool(value) => {
                api!(RedisModule_ReplyWithBool)(ctx, c_int::from(*value));
            }
            Reply::BigNumber(digits) => {
                api!(RedisModule_ReplyWithBigNumber)(ctx, digits.as_ptr().cast(), digits.len());
            }
            Reply::Verbatim { format, text } => {
                let ending = [format[0], format[1], format[2], 0];
                let format = CStr::from_bytes_with_nul(&ending).unwrap_or(c"txt");
                api!(RedisModule_ReplyWithVerbatimStringType)(
                    ctx,
                    text.as_ptr().cast(),
                    text.len(),
                    format.as_ptr(),
                );
            }
            Reply::Null => {
                api!(RedisModule_ReplyWithNull)(ctx);
            }
            Reply::Array(items) => {
                api!(RedisModule_ReplyWithArray)(ctx, length(items.len()));
                for item in items {
                    send(item, context);
                }
            }
            Reply::Set(items) => {
                api!(RedisModule_ReplyWithSet)(ctx, length(items.len()));
                for item in items {
                    send(item, context);
                }
            }
            Reply::Map(pairs) => {
                api!(RedisModule_ReplyWithMap)(ctx, length(pairs.len()));
                for (key, value) in pairs {
                    send(key, context);
                    send(value, context);
                }
            }
        }
    }
}

/// A text as the protocol wants it where it counts no bytes: without control characters.
fn one_line(text: &str) -> CString {
    let text: String = text
        .chars()
        .map(|one| if one.is_control() { ' ' } else { one })
        .collect();
    CString::new(text).unwrap_or_default()
}

pub(super) fn length(items: usize) -> c_long {
    c_long::try_from(items).unwrap_or(c_long::MAX)
}
