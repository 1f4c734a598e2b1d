//! Replies: built as a value, sent at the end. So a command that fails half-way has sent nothing.

use std::ffi::{CString, c_long};

use super::Context;
use super::api;

/// What a command answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// `+OK` and the like.
    Simple(&'static str),
    /// An error: the text as it is, on one line.
    Error(String),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// An integer.
    Integer(i64),
    /// A double; a bulk string for RESP2 clients.
    Double(f64),
    /// Nothing.
    Null,
    /// An array.
    Array(Vec<Reply>),
    /// A map; a flat array for RESP2 clients.
    Map(Vec<(&'static str, Reply)>),
}

impl Reply {
    /// An error.
    #[expect(clippy::needless_pass_by_value, reason = "errors are given away")]
    pub(crate) fn error(text: impl ToString) -> Self {
        Self::Error(text.to_string())
    }

    /// A bulk string of a text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Bulk(text.into().into_bytes())
    }

    /// An integer, cut off at the largest one there is.
    pub(crate) fn count(number: impl TryInto<i64>) -> Self {
        Self::Integer(number.try_into().unwrap_or(i64::MAX))
    }

    /// Sends it to the client that waits for it.
    pub(crate) fn send(&self, context: &Context) {
        let ctx = context.as_ptr();
        // SAFETY: the context is live; every pointer is valid for the call it is given to.
        unsafe {
            match self {
                Self::Simple(text) => {
                    let text = CString::new(*text).unwrap_or_default();
                    api!(RedisModule_ReplyWithSimpleString)(ctx, text.as_ptr());
                }
                Self::Error(text) => {
                    let text: String = text
                        .chars()
                        .map(|one| if one.is_control() { ' ' } else { one })
                        .collect();
                    let text = CString::new(text).unwrap_or_default();
                    api!(RedisModule_ReplyWithError)(ctx, text.as_ptr());
                }
                Self::Bulk(bytes) => {
                    api!(RedisModule_ReplyWithStringBuffer)(
                        ctx,
                        bytes.as_ptr().cast(),
                        bytes.len(),
                    );
                }
                Self::Integer(number) => {
                    api!(RedisModule_ReplyWithLongLong)(ctx, *number);
                }
                Self::Double(number) => {
                    api!(RedisModule_ReplyWithDouble)(ctx, *number);
                }
                Self::Null => {
                    api!(RedisModule_ReplyWithNull)(ctx);
                }
                Self::Array(items) => {
                    api!(RedisModule_ReplyWithArray)(ctx, length(items.len()));
                    for item in items {
                        item.send(context);
                    }
                }
                Self::Map(fields) => {
                    // The server makes a flat array of it for RESP2 clients.
                    api!(RedisModule_ReplyWithMap)(ctx, length(fields.len()));
                    for (name, value) in fields {
                        api!(RedisModule_ReplyWithStringBuffer)(
                            ctx,
                            name.as_ptr().cast(),
                            name.len(),
                        );
                        value.send(context);
                    }
                }
            }
        }
    }
}

fn length(items: usize) -> c_long {
    c_long::try_from(items).unwrap_or(c_long::MAX)
}
