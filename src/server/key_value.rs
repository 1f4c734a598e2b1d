//! What a key holds, read in the middle of a command: without a mark on it, and without a command
//! where the API has another way.

use std::ffi::{c_long, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw::{self, RedisModuleKey, RedisModuleString};

use gears_core::triggers::{KeyType, KeyValue};

use super::api;
use super::context::{Context, OpenKey, OwnedString, bytes};

/// The key's type.
pub(super) fn type_of(context: &Context, name: *mut RedisModuleString) -> KeyType {
    context
        .open_for_reading(name)
        .map_or(KeyType::Empty, |key| key.kind())
}

/// The key's type and value; `None` where the value has more bytes than `most`.
pub(super) fn value_of(
    context: &Context,
    name: *mut RedisModuleString,
    most: usize,
) -> Option<KeyValue> {
    let Some(key) = context.open_for_reading(name) else {
        return Some(KeyValue::new(KeyType::Empty));
    };
    let mut into = Filling {
        value: KeyValue::new(key.kind()),
        most,
        failed: false,
    };
    match into.value.kind {
        KeyType::String => {
            drop(key);
            // The API's own way would change how the server keeps the string.
            context.call_for_string(c"GET", name, &mut |text| into.push(text));
        }
        KeyType::List => read_list(&key, &mut into),
        KeyType::Hash | KeyType::Set => scan(&key, &mut into),
        KeyType::SortedSet => read_sorted_set(&key, &mut into),
        KeyType::Empty | KeyType::Stream | KeyType::Module => {}
    }
    (!into.failed).then_some(into.value)
}

/// A value that is being read.
struct Filling {
    value: KeyValue,
    most: usize,
    failed: bool,
}

impl Filling {
    fn push(&mut self, part: &[u8]) {
        if self.value.packed().len().saturating_add(part.len()) > self.most {
            self.failed = true;
        }
        if !self.failed {
            self.value.push(part);
        }
    }

    /// Adds a string of the server's that is ours to free.
    fn push_owned(&mut self, part: *mut RedisModuleString) {
        if part.is_null() {
            return;
        }
        let part = OwnedString::from_raw(part);
        // SAFETY: the string lives until the end of this function.
        self.push(unsafe { bytes(part.as_ptr()) });
    }
}

impl OpenKey {
    fn kind(&self) -> KeyType {
        // SAFETY: the key is open.
        let kind = unsafe { api!(RedisModule_KeyType)(self.as_ptr()) };
        match isize::try_from(kind).unwrap_or(-1) {
            raw::REDISMODULE_KEYTYPE_EMPTY => KeyType::Empty,
            raw::REDISMODULE_KEYTYPE_STRING => KeyType::String,
            raw::REDISMODULE_KEYTYPE_LIST => KeyType::List,
            raw::REDISMODULE_KEYTYPE_HASH => KeyType::Hash,
            raw::REDISMODULE_KEYTYPE_SET => KeyType::Set,
            raw::REDISMODULE_KEYTYPE_ZSET => KeyType::SortedSet,
            raw::REDISMODULE_KEYTYPE_STREAM => KeyType::Stream,
            _ => KeyType::Module,
        }
    }
}

fn read_list(key: &OpenKey, into: &mut Filling) {
    // SAFETY: the key is open and holds a list.
    let length = unsafe { api!(RedisModule_ValueLength)(key.as_ptr()) };
    for at in 0..c_long::try_from(length).unwrap_or(c_long::MAX) {
        if into.failed {
            return;
        }
        // SAFETY: as above; the element is ours to free.
        into.push_owned(unsafe { api!(RedisModule_ListGet)(key.as_ptr(), at) });
    }
}

fn read_sorted_set(key: &OpenKey, into: &mut Filling) {
    let key = key.as_ptr();
    // SAFETY: the key is open and holds a sorted set; each element is ours to free; the iteration
    // is ended before the key is closed.
    unsafe {
        api!(RedisModule_ZsetFirstInScoreRange)(key, f64::NEG_INFINITY, f64::INFINITY, 0, 0);
        while api!(RedisModule_ZsetRangeEndReached)(key) == 0 && !into.failed {
            let mut score = 0.0;
            let member = api!(RedisModule_ZsetRangeCurrentElement)(key, &raw mut score);
            into.push_owned(member);
            into.push(text_of(score).as_bytes());
            api!(RedisModule_ZsetRangeNext)(key);
        }
        api!(RedisModule_ZsetRangeStop)(key);
    }
}

/// A score as scripts read it.
fn text_of(score: f64) -> String {
    if score.is_infinite() {
        let sign = if score < 0.0 { "-" } else { "" };
        return format!("{sign}Infinity");
    }
    score.to_string()
}

fn scan(key: &OpenKey, into: &mut Filling) {
    // SAFETY: the key is open and holds a hash or a set; the callback has the form the server
    // asks for, and gets what lives until this function ends. The cursor is ours to free.
    unsafe {
        let cursor = api!(RedisModule_ScanCursorCreate)();
        loop {
            let more = api!(RedisModule_ScanKey)(
                key.as_ptr(),
                cursor,
                Some(on_element),
                std::ptr::from_mut(into).cast(),
            );
            if more == 0 || into.failed {
                break;
            }
        }
        api!(RedisModule_ScanCursorDestroy)(cursor);
    }
}

unsafe extern "C" fn on_element(
    _key: *mut RedisModuleKey,
    field: *mut RedisModuleString,
    value: *mut RedisModuleString,
    into: *mut c_void,
) {
    // SAFETY: `scan` gives that, and waits.
    let into = unsafe { &mut *into.cast::<Filling>() };
    let pushed = catch_unwind(AssertUnwindSafe(|| {
        for part in [field, value] {
            if !part.is_null() {
                // SAFETY: the server's strings live for the time of the call.
                into.push(unsafe { bytes(part) });
            }
        }
    }));
    if pushed.is_err() {
        into.failed = true;
    }
}

impl Context {
    /// Runs a reading command on a key, and gives the string it replies to `read`.
    fn call_for_string(
        &self,
        command: &std::ffi::CStr,
        key: *mut RedisModuleString,
        read: &mut dyn FnMut(&[u8]),
    ) {
        // SAFETY: the format names what follows: a string of the server's. The bytes are used
        // before the reply is freed.
        unsafe {
            let reply =
                api!(RedisModule_Call)(self.as_ptr(), command.as_ptr(), c"!s".as_ptr(), key);
            if reply.is_null() {
                return;
            }
            let mut length = 0;
            let text = api!(RedisModule_CallReplyStringPtr)(reply, &raw mut length);
            if !text.is_null() {
                read(std::slice::from_raw_parts(text.cast(), length));
            }
            api!(RedisModule_FreeCallReply)(reply);
        }
    }
}
