//! Users of the server, and what they may do.

use redis_module::raw::RedisModuleUser;

use super::api;
use super::constants::OK;
use super::context::OwnedString;

/// A user that exists and is not disabled.
pub(super) struct User(*mut RedisModuleUser);

impl User {
    /// The user of this name.
    pub(super) fn find(name: &str) -> Option<Self> {
        let name = OwnedString::new(name.as_bytes());
        // SAFETY: the name is a live string. The lock is held, as for all calls of this room.
        let user = unsafe { api!(RedisModule_GetModuleUserFromUserName)(name.as_ptr()) };
        (!user.is_null()).then_some(Self(user))
    }

    pub(super) fn as_ptr(&self) -> *const RedisModuleUser {
        self.0
    }

    /// Whether the user could run this command himself.
    pub(super) fn may_run(&self, words: &[&[u8]]) -> bool {
        let words: Vec<_> = words.iter().map(|word| OwnedString::new(word)).collect();
        let mut pointers: Vec<_> = words.iter().map(OwnedString::as_ptr).collect();
        let length = pointers.len().try_into().unwrap_or(0);
        // SAFETY: the user and the strings live until the end of this function.
        let allowed = unsafe {
            api!(RedisModule_ACLCheckCommandPermissions)(self.0, pointers.as_mut_ptr(), length)
        };
        allowed == OK
    }

    /// Whether the user has these rights on a key.
    pub(super) fn may_use(&self, key: &[u8], rights: i32) -> bool {
        let key = OwnedString::new(key);
        // SAFETY: as above.
        let allowed =
            unsafe { api!(RedisModule_ACLCheckKeyPermissions)(self.0, key.as_ptr(), rights) };
        allowed == OK
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: made by `find`, freed once; this frees the handle, not the user.
        unsafe { api!(RedisModule_FreeModuleUser)(self.0) };
    }
}
