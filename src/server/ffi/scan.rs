//! Going through the keys of a database.

use std::ffi::c_void;

use redis_module::raw::{RedisModuleCtx, RedisModuleKey, RedisModuleScanCursor, RedisModuleString};

use gears_core::triggers::KeyType;

use super::context::Context;
use super::key::type_of;
use super::string::StringRef;
use super::{api, guard};

/// A place in a database.
#[derive(Debug)]
pub(crate) struct ScanCursor(*mut RedisModuleScanCursor);

/// Gets the name of a key, and its type where the server gives the key along.
type OnKey<'a> = dyn FnMut(&Context, StringRef<'_>, Option<KeyType>) + 'a;

impl ScanCursor {
    /// The beginning of a database.
    pub(crate) fn new() -> Self {
        // SAFETY: no precondition.
        Self(unsafe { api!(RedisModule_ScanCursorCreate)() })
    }

    /// One step through the selected database, over some keys or none; false at the end.
    pub(crate) fn step(&self, context: &Context, mut on_key: &mut OnKey<'_>) -> bool {
        // SAFETY: the callback gets the closure back as its data, during this call only.
        let more = unsafe {
            api!(RedisModule_Scan)(
                context.as_ptr(),
                self.0,
                Some(found_key),
                (&raw mut on_key).cast(),
            )
        };
        more != 0
    }
}

impl Drop for ScanCursor {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        unsafe { api!(RedisModule_ScanCursorDestroy)(self.0) };
    }
}

unsafe extern "C" fn found_key(
    context: *mut RedisModuleCtx,
    name: *mut RedisModuleString,
    key: *mut RedisModuleKey,
    on_key: *mut c_void,
) {
    guard::run("a scan", || {
        // SAFETY: `step` gives the closure; the server gives a live name, and a key that is open or
        // null, in which case it may be opened.
        unsafe {
            let on_key = &mut *on_key.cast::<&mut OnKey<'_>>();
            let key_type = (!key.is_null()).then(|| type_of(key));
            on_key(
                &Context::from_raw(context),
                StringRef::from_raw(name),
                key_type,
            );
        }
    });
}
