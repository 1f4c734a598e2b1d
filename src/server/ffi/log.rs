//! Lines of the server's log.

use std::ffi::CStr;

use super::api;
use super::context::detached;

/// Writes a line; from any thread. Nothing while the module is not loaded.
pub(crate) fn write_line(level: &CStr, line: &CStr) {
    let context = detached();
    if context.is_null() {
        return;
    }
    // SAFETY: logging with this context is allowed from any thread; the format takes one C string.
    unsafe { api!(RedisModule_Log)(context, level.as_ptr(), c"%s".as_ptr(), line.as_ptr()) };
}
