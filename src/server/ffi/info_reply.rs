//! What the module adds to the reply of INFO.

use std::ffi::c_int;

use redis_module::raw::RedisModuleInfoCtx;

use super::constants::OK;
use super::context::Context;
use super::string::c_text;
use super::{api, guard};

/// What writes sections of INFO.
pub(crate) trait InfoSource {
    /// Writes them.
    fn write(reply: &InfoReply);
}

/// A reply of INFO that is being written. Names with a NUL are written as empty.
pub(crate) struct InfoReply(*mut RedisModuleInfoCtx);

impl InfoReply {
    /// Begins a section; false where nobody wants it.
    pub(crate) fn section(&self, name: &str) -> bool {
        let name = c_text(name);
        // SAFETY: the server's object lives as long as the call; the texts are copied.
        unsafe { api!(RedisModule_InfoAddSection)(self.0, name.as_ptr()) == OK }
    }

    /// Writes a number.
    pub(crate) fn number(&self, name: &str, number: u64) {
        let name = c_text(name);
        // SAFETY: as above.
        unsafe { api!(RedisModule_InfoAddFieldULongLong)(self.0, name.as_ptr(), number) };
    }

    /// Writes several texts in one field.
    pub(crate) fn texts(&self, name: &str, texts: &[(&str, String)]) {
        let name = c_text(name);
        // SAFETY: as above.
        unsafe { api!(RedisModule_InfoBeginDictField)(self.0, name.as_ptr()) };
        for (name, text) in texts {
            let (name, text) = (c_text(name), c_text(text));
            // SAFETY: as above.
            unsafe {
                api!(RedisModule_InfoAddFieldCString)(self.0, name.as_ptr(), text.as_ptr());
            };
        }
        // SAFETY: as above.
        unsafe { api!(RedisModule_InfoEndDictField)(self.0) };
    }

    /// Writes several numbers in one field.
    pub(crate) fn numbers(&self, name: &str, numbers: &[(&str, u64)]) {
        let name = c_text(name);
        // SAFETY: as above.
        unsafe { api!(RedisModule_InfoBeginDictField)(self.0, name.as_ptr()) };
        for (name, number) in numbers {
            self.number(name, *number);
        }
        // SAFETY: as above.
        unsafe { api!(RedisModule_InfoEndDictField)(self.0) };
    }
}

/// Has the server ask `S` for sections of INFO; false where it refuses.
pub(crate) fn register<S: InfoSource>(context: &Context) -> bool {
    // SAFETY: the context is live, the callback has the form the server asks for.
    unsafe { api!(RedisModule_RegisterInfoFunc)(context.as_ptr(), Some(write::<S>)) == OK }
}

unsafe extern "C" fn write<S: InfoSource>(info: *mut RedisModuleInfoCtx, for_crash_report: c_int) {
    // In a crash report the process is broken: nothing of ours is touched.
    if for_crash_report == 0 {
        guard::run("INFO", || S::write(&InfoReply(info)));
    }
}
