//! Calling commands of the server.

use std::ffi::CStr;

use redis_module::RedisString;
use redis_module::raw::{RedisModuleCallReply, RedisModuleString};
use smallvec::SmallVec;

use super::api;
use super::constants::REPLY_ERROR;
use super::context::Context;

/// How a command is called, in the server's letters. The last one is `v`: the arguments come as one
/// list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallOptions(&'static CStr);

impl CallOptions {
    /// To be made as a constant: then the compiler looks at the letters.
    ///
    /// # Panics
    /// Where the letters say that something else follows than one list.
    pub(crate) const fn new(letters: &'static CStr) -> Self {
        let mut rest = letters.to_bytes();
        while let [letter, behind @ ..] = rest {
            let is_option = matches!(letter, b'A'..=b'Z' | b'0' | b'3' | b'!');
            assert!(
                is_option != behind.is_empty() && (is_option || *letter == b'v'),
                "one list of arguments, at the end"
            );
            rest = behind;
        }
        assert!(!letters.is_empty(), "one list of arguments");
        Self(letters)
    }

    /// Effects are replicated.
    pub(crate) const REPLICATED: Self = Self::new(c"!v");
}

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
    pub(crate) fn call(
        &self,
        command: &CStr,
        options: CallOptions,
        arguments: &[RedisString],
    ) -> Option<CallReply> {
        let pointers: SmallVec<[*mut RedisModuleString; 16]> =
            arguments.iter().map(|argument| argument.inner).collect();
        // SAFETY: the context is live; the options say that a list with its length follows, whose
        // strings live until this function ends.
        let reply = unsafe {
            api!(RedisModule_Call)(
                self.as_ptr(),
                command.as_ptr(),
                options.0.as_ptr(),
                pointers.as_ptr(),
                pointers.len(),
            )
        };
        (!reply.is_null()).then(|| CallReply(reply))
    }
}
