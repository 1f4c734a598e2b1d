//! Strings of the server: its own, lent for the time of a call, and the crate's owned ones.

use std::cell::Cell;
use std::ffi::{CString, c_int};
use std::marker::PhantomData;
use std::ptr::null_mut;

use redis_module::RedisString;
use redis_module::raw::RedisModuleString;
use smallvec::SmallVec;

use super::api;
use super::redis_locked::RedisLocked;

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

/// Length in bytes of a string that is kept for another use.
const BYTES_KEPT: usize = 1024;

/// Strings of the server's that were made last, each at its place: where the same bytes come again
/// there, as names do, no other string is made.
pub(crate) struct LastStrings(RedisLocked<Cell<Vec<RedisString>>>);

impl LastStrings {
    pub(crate) const fn new() -> Self {
        Self(RedisLocked::new())
    }

    /// Gives strings with these bytes to `work`. That may come back here: it finds none then.
    pub(crate) fn with<'a, R>(
        &self,
        all: impl ExactSizeIterator<Item = &'a [u8]>,
        work: impl FnOnce(&[RedisString]) -> R,
    ) -> R {
        let mut strings = self.0.get().map(Cell::take).unwrap_or_default();
        let count = all.len();
        let mut kept = count;
        for (at, bytes) in all.enumerate() {
            match strings.get_mut(at) {
                Some(known) if known.as_slice() == bytes => {}
                Some(known) => *known = string(bytes),
                None => strings.push(string(bytes)),
            }
            if bytes.len() > BYTES_KEPT {
                kept = kept.min(at);
            }
        }
        let result = work(&strings[..count]);
        strings.truncate(kept);
        if self.0.get().is_none() {
            self.0.set(Cell::default());
        }
        if let Some(last) = self.0.get() {
            last.set(strings);
        }
        result
    }
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
    // SAFETY: and for each string in it.
    let bytes = |string: &*mut RedisModuleString| unsafe { StringRef::from_raw(*string) }.bytes();
    strings.iter().map(bytes).collect()
}

/// A text as a C string; empty where it holds a NUL.
pub(crate) fn c_text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}
