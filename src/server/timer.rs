//! Waking the event loop at a time.

use std::ffi::{c_longlong, c_void};
use std::ptr::null_mut;

use redis_module::raw::RedisModuleCtx;

use super::context::Context;
use super::hooks::HOOKS;
use super::{api, guard};

impl Context {
    /// Has the event loop go round once more in so many milliseconds.
    pub(crate) fn wake_in(&self, milliseconds: u64) {
        let period = c_longlong::try_from(milliseconds.max(1)).unwrap_or(c_longlong::MAX);
        // SAFETY: the context is live, the callback has the form the server asks for and uses no
        // data.
        unsafe {
            api!(RedisModule_CreateTimer)(self.as_ptr(), period, Some(on_time), null_mut());
        }
    }

    /// Has so many calls made that wait, soon. Each is a unit of its own for the server: a timer
    /// makes one.
    pub(crate) fn make_calls(&self, count: usize) {
        for _ in 0..count {
            // SAFETY: as above.
            unsafe {
                api!(RedisModule_CreateTimer)(self.as_ptr(), 0, Some(on_call), null_mut());
            }
        }
    }
}

unsafe extern "C" fn on_call(context: *mut RedisModuleCtx, _data: *mut c_void) {
    guard::run("a call that waited", || {
        if let Some(hooks) = HOOKS.get() {
            hooks.make_call(&Context::from_raw(context));
        }
    });
}

/// Nothing is done here: the event-loop iteration that this began ends with a tick.
unsafe extern "C" fn on_time(_context: *mut RedisModuleCtx, _data: *mut c_void) {}
