//! Strings of the server: its own, lent for the time of a call, and the crate's owned ones.

use std::ffi::{CString, c_int};
use std::marker::PhantomData;
use std::ptr::null_mut;

use redis_module::RedisString;
use redis_module::raw::RedisModuleString;
use smallvec::SmallVec;

use super::api;

/// A string that the server lends.
#[derive(Clone, Copy)]
pub(crate) struct StringRef<'a> {
    raw: *mut RedisModuleString,
    lender: PhantomData<&'a RedisString>,
}

impl<'a> StringRef<'a> {
    /// # Safety
    /// `raw` must be a live string, and stay so for `'a`.
    pub(super) unsafe fn from_raw(raw: *mut RedisModuleString) -> Self {
        Self {
            raw,
            lender: PhantomData,
        }
    }

    pub(super) fn as_ptr(self) -> *mut RedisModuleString {
        self.raw
    }

    /// What it holds.
    pub(crate) fn bytes(self) -> &'a [u8] {
        let mut length = 0;
        // SAFETY: the string is live; the server gives so many bytes of it.
        unsafe {
            let start = api!(RedisModule_StringPtrLen)(self.raw, &raw mut length);
            std::slice::from_raw_parts(start.cast(), length)
        }
    }
}

impl<'a> From<&'a RedisString> for StringRef<'a> {
    fn from(string: &'a RedisString) -> Self {
        Self {
            raw: string.inner,
            lender: PhantomData,
        }
    }
}

/// A string of the server's with these bytes, managed by no context.
pub(crate) fn string(bytes: &[u8]) -> RedisString {
    RedisString::create_from_slice(null_mut(), bytes)
}

/// Takes over a string that the server made for us; none for null.
pub(super) fn owned(raw: *mut RedisModuleString) -> Option<RedisString> {
    (!raw.is_null()).then(|| RedisString::from_redis_module_string(null_mut(), raw))
}

/// The arguments of a command.
///
/// # Safety
/// `argv` must point to `argc` strings that stay alive while the result is used.
pub(crate) unsafe fn arguments<'a>(
    argv: *mut *mut RedisModuleString,
    argc: c_int,
) -> SmallVec<[&'a [u8]; 16]> {
    let argc = usize::try_from(argc).unwrap_or(0);
    if argc == 0 {
        return SmallVec::new();
    }
    // SAFETY: the caller vouches for the list.
    let strings = unsafe { std::slice::from_raw_parts(argv, argc) };
    let mut arguments = SmallVec::with_capacity(argc);
    for string in strings {
        // SAFETY: and for each string in it.
        arguments.push(unsafe { StringRef::from_raw(*string) }.bytes());
    }
    arguments
}

/// A text as a C string; empty where it holds a NUL.
pub(crate) fn c_text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}
