//! Calling commands of the server.

use std::ffi::{CStr, c_char};

use redis_module::raw::{RedisModuleCallReply, RedisModuleString};

use super::api;
use super::constants::REPLY_ERROR;
use super::context::Context;
use super::string::string;

/// How a command is called: the format of the call by the number of its arguments. The last one is
/// for any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallOptions(&'static Formats);

/// By the number of arguments; behind them, those of a lent string and what follows it.
type Formats = [&'static CStr; LENT + BUFFERS_MAX];

/// The place of the format of one lent string.
const LENT: usize = BUFFERS_MAX + 2;

/// Arguments that the server takes as bytes, one by one, and makes its strings of: that costs it
/// less than a list of strings that are ours.
const BUFFERS_MAX: usize = 4;

impl CallOptions {
    /// See [`call_options`].
    pub(crate) const fn new(formats: &'static Formats) -> Self {
        let mut rest = formats[0].to_bytes();
        while let [letter, behind @ ..] = rest {
            assert!(
                matches!(letter, b'A'..=b'Z' | b'0' | b'3' | b'!'),
                "options alone: what follows is added"
            );
            rest = behind;
        }
        Self(formats)
    }

    /// Effects are replicated.
    pub(crate) const REPLICATED: Self = call_options!("!");
}

/// A text that ends with NUL.
pub(crate) const fn c_literal(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("a text with one NUL, at its end"),
    }
}

/// [`CallOptions`] of the server's letters, as a constant.
macro_rules! call_options {
    ($letters:literal) => {{
        use $crate::server::ffi::call::{CallOptions, c_literal};
        const OPTIONS: CallOptions = CallOptions::new(&[
            c_literal(concat!($letters, "\0")),
            c_literal(concat!($letters, "b\0")),
            c_literal(concat!($letters, "bb\0")),
            c_literal(concat!($letters, "bbb\0")),
            c_literal(concat!($letters, "bbbb\0")),
            c_literal(concat!($letters, "v\0")),
            c_literal(concat!($letters, "s\0")),
            c_literal(concat!($letters, "sb\0")),
            c_literal(concat!($letters, "sbb\0")),
            c_literal(concat!($letters, "sbbb\0")),
        ]);
        OPTIONS
    }};
}
pub(crate) use call_options;

/// A reply of the server.
pub(crate) struct CallReply(*mut RedisModuleCallReply);

impl CallReply {
    /// Its bytes in the protocol, if it has any.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        let mut length = 0;
        // SAFETY: the reply is live, and so are its bytes until it is freed.
        unsafe {
            let start = api!(RedisModule_CallReplyProto)(self.0, &raw mut length);
            (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast(), length))
        }
    }

    /// Whether it is an error.
    pub(crate) fn is_error(&self) -> bool {
        // SAFETY: the reply is live.
        unsafe { api!(RedisModule_CallReplyType)(self.0) == REPLY_ERROR }
    }

    /// What it says, if it is a string or an error.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        // SAFETY: the reply is live for as long as it is borrowed.
        unsafe { text_of(self.0) }
    }

    /// What the elements of a list say; nothing where they are no texts, or the reply no list.
    pub(crate) fn texts(&self) -> Vec<String> {
        // SAFETY: the reply is live, and each element is as long as it.
        unsafe {
            let length = api!(RedisModule_CallReplyLength)(self.0);
            let text = |at| {
                let element = api!(RedisModule_CallReplyArrayElement)(self.0, at);
                if element.is_null() {
                    return String::new();
                }
                String::from_utf8_lossy(text_of(element).unwrap_or_default()).into_owned()
            };
            (0..length).map(text).collect()
        }
    }
}

/// # Safety
/// `reply` must be a live reply, and stay so for the lifetime of the result.
unsafe fn text_of<'a>(reply: *mut RedisModuleCallReply) -> Option<&'a [u8]> {
    let mut length = 0;
    // SAFETY: the caller vouches for the reply; where it is no text, there is no start.
    unsafe {
        let start = api!(RedisModule_CallReplyStringPtr)(reply, &raw mut length);
        (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast(), length))
    }
}

impl Drop for CallReply {
    fn drop(&mut self) {
        // SAFETY: it is ours, and freed once.
        unsafe { api!(RedisModule_FreeCallReply)(self.0) };
    }
}

impl Context {
    /// Calls a command; nothing where the server refuses to, and does not say so in a reply.
    ///
    /// The first argument, mostly a key, goes to the server as the string that it lent for the command
    /// that is run, if it is one of these: it makes none of the bytes. Others do not, since the server
    /// keeps a value that is a string of somebody else's as it is, and not as a number.
    pub(crate) fn call(
        &self,
        command: &CStr,
        options: CallOptions,
        arguments: &[&[u8]],
    ) -> Option<CallReply> {
        let (context, command) = (self.as_ptr(), command.as_ptr());
        if let [first, rest @ ..] = arguments
            && rest.len() < BUFFERS_MAX
            && let Some(first) = self.strings().find(first)
        {
            let format = options.0[LENT + rest.len()];
            return self.call_with_lent(command, format, first, rest);
        }
        let format = options.0[arguments.len().min(BUFFERS_MAX + 1)].as_ptr();
        // SAFETY: the context is live; the format says how many pairs of a start and a length
        // follow, of bytes that live until this function ends.
        let reply = unsafe {
            let call = api!(RedisModule_Call);
            match *arguments {
                [] => call(context, command, format),
                [a] => call(context, command, format, a.as_ptr(), a.len()),
                [a, b] => call(
                    context,
                    command,
                    format,
                    a.as_ptr(),
                    a.len(),
                    b.as_ptr(),
                    b.len(),
                ),
                [a, b, c] => call(
                    context,
                    command,
                    format,
                    a.as_ptr(),
                    a.len(),
                    b.as_ptr(),
                    b.len(),
                    c.as_ptr(),
                    c.len(),
                ),
                [a, b, c, d] => call(
                    context,
                    command,
                    format,
                    a.as_ptr(),
                    a.len(),
                    b.as_ptr(),
                    b.len(),
                    c.as_ptr(),
                    c.len(),
                    d.as_ptr(),
                    d.len(),
                ),
                _ => {
                    let strings: Vec<_> = arguments.iter().map(|bytes| string(bytes)).collect();
                    let list: Vec<_> = strings.iter().map(|string| string.inner).collect();
                    call(context, command, format, list.as_ptr(), list.len())
                }
            }
        };
        (!reply.is_null()).then(|| CallReply(reply))
    }

    /// The same with a string that the server lent, and fewer than [`BUFFERS_MAX`] others behind it.
    fn call_with_lent(
        &self,
        command: *const c_char,
        format: &CStr,
        first: *mut RedisModuleString,
        rest: &[&[u8]],
    ) -> Option<CallReply> {
        let (context, format) = (self.as_ptr(), format.as_ptr());
        // SAFETY: as in `call`; the string is live, and the server keeps it for itself where it has
        // to.
        let reply = unsafe {
            let call = api!(RedisModule_Call);
            match *rest {
                [] => call(context, command, format, first),
                [a] => call(context, command, format, first, a.as_ptr(), a.len()),
                [a, b] => call(
                    context,
                    command,
                    format,
                    first,
                    a.as_ptr(),
                    a.len(),
                    b.as_ptr(),
                    b.len(),
                ),
                [a, b, c] => call(
                    context,
                    command,
                    format,
                    first,
                    a.as_ptr(),
                    a.len(),
                    b.as_ptr(),
                    b.len(),
                    c.as_ptr(),
                    c.len(),
                ),
                _ => return None,
            }
        };
        (!reply.is_null()).then(|| CallReply(reply))
    }
}
