//! Getting the main thread out of its sleep, from any thread.

use std::ffi::c_void;
use std::ptr::null_mut;

use super::api;

/// Makes the event loop come round once more. What is to be done is done before it sleeps again.
pub(crate) fn wake_main_thread() {
    // SAFETY: the server allows this from any thread; the callback needs no data.
    unsafe { api!(RedisModule_EventLoopAddOneShot)(Some(come_round), null_mut()) };
}

unsafe extern "C" fn come_round(_data: *mut c_void) {}
