//! What the server says of itself.

use std::ffi::{CStr, c_int};
use std::ptr::{null, null_mut};

use redis_module::raw::{self, RedisModuleServerInfoData};

use super::api;

/// A section of INFO. Made without a context, it is ours to free.
pub(crate) struct ServerInfo(*mut RedisModuleServerInfoData);

impl ServerInfo {
    /// `None` where the server gives none.
    pub(crate) fn read(section: &CStr) -> Option<Self> {
        // SAFETY: the text is a C string.
        let info = unsafe { api!(RedisModule_GetServerInfo)(null_mut(), section.as_ptr()) };
        (!info.is_null()).then(|| Self(info))
    }

    /// A field's text.
    pub(crate) fn text(&self, field: &CStr) -> Option<String> {
        // SAFETY: the section is live, and what points into it is copied.
        unsafe {
            let text = raw::RedisModule_ServerInfoGetFieldC
                .map_or(null(), |get| get(self.0, field.as_ptr()));
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }

    /// A field's number; 0 where it is none.
    pub(crate) fn number(&self, field: &CStr) -> i64 {
        let mut failed = 0;
        // SAFETY: the section is live.
        unsafe {
            api!(RedisModule_ServerInfoGetFieldSigned)(self.0, field.as_ptr(), &raw mut failed)
        }
    }
}

impl Drop for ServerInfo {
    fn drop(&mut self) {
        // SAFETY: it is ours, and freed once.
        unsafe { api!(RedisModule_FreeServerInfo)(null_mut(), self.0) };
    }
}

/// The release of the server, in one number: major, minor and patch, a byte each; 0 where it does
/// not say.
pub(crate) fn server_version() -> c_int {
    // SAFETY: reading what the server has set once; the function takes no arguments.
    unsafe { raw::RedisModule_GetServerVersion.map_or(0, |version| version()) }
}
