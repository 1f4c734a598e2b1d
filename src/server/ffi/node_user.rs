//! The user of connections of other nodes.
//!
//! Servers let a client that is not logged in send only short commands, and take few answers at once. So a
//! node is logged in, as a user of this module who may run nothing but what needs no login.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::raw::RedisModuleUser;

use super::api;
use super::constants::OK;
use super::context::Context;

/// As CLIENT LIST shows it. No user of the server's own is meant, whatever they are called.
const NAME: &std::ffi::CStr = c"redisgears-node";

/// Made once, and kept: connections refer to it.
static USER: AtomicPtr<RedisModuleUser> = AtomicPtr::new(null_mut());

fn user() -> *mut RedisModuleUser {
    let known = USER.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    // SAFETY: the name is copied; the new user is live, and has no rights. The server's lock is held.
    let made = unsafe {
        let made = api!(RedisModule_CreateModuleUser)(NAME.as_ptr());
        api!(RedisModule_SetModuleUserACL)(made, c"on".as_ptr());
        made
    };
    USER.store(made, Ordering::Release);
    made
}

impl Context {
    /// Logs the command's client in as a node; false where the server refuses.
    pub(crate) fn log_in_as_node(&self) -> bool {
        // SAFETY: context and user are live; nobody wants to hear of the client's next login.
        let done = unsafe {
            api!(RedisModule_AuthenticateClientWithUser)(
                self.as_ptr(),
                user(),
                None,
                null_mut(),
                null_mut(),
            )
        };
        done == OK
    }
}
