//! Users of the server, and what they may do.

use redis_module::raw::RedisModuleUser;

use super::api;
use super::constants::OK;
use super::context::{OwnedString, bytes};

/// What is said of a user who lacks a right on a key.
pub(super) fn lacks(user: &str, key: &[u8], what: &str) -> String {
    let key = std::str::from_utf8(key).unwrap_or("[binary data]");
    format!("User '{user}' has no permissions on key '{key}', {what}")
}

/// What is said where there is no such user.
pub(super) const NO_USER: &str = "User does not exists or disabled.";
/// What is said where the user may not use the key.
pub(super) const NO_RIGHT: &str = "User does not have permissions on key.";

/// A user that exists.
pub(super) struct User(*mut RedisModuleUser);

impl User {
    /// The user of this name, unless it is disabled.
    pub(super) fn find_enabled(name: &str) -> Option<Self> {
        Self::find(name).filter(Self::is_enabled)
    }

    /// The user of this name.
    pub(super) fn find(name: &str) -> Option<Self> {
        let name = OwnedString::new(name.as_bytes());
        // SAFETY: the name is a live string. The lock is held, as for all calls of this room.
        let user = unsafe { api!(RedisModule_GetModuleUserFromUserName)(name.as_ptr()) };
        // Not made before it is known to be one: dropping frees it.
        (!user.is_null()).then(|| Self(user))
    }

    /// Whether the user may log in. The server has no other way to ask than its description,
    /// which begins with that.
    fn is_enabled(&self) -> bool {
        // SAFETY: the user is live; the text is ours to free.
        let text = unsafe { api!(RedisModule_GetModuleUserACLString)(self.0) };
        if text.is_null() {
            return true;
        }
        let text = OwnedString::from_raw(text);
        // SAFETY: the text lives until the end of this function.
        let words = unsafe { bytes(text.as_ptr()) };
        words
            .split(u8::is_ascii_whitespace)
            .next()
            .is_none_or(|first| first != b"off")
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

/// Whether that user may run one of these commands, which are the same under several names, now.
///
/// # Errors
/// With why not.
pub(crate) fn may_call(user: &str, names: &[&[u8]], arguments: &[&[u8]]) -> Result<(), String> {
    let found = User::find_enabled(user).ok_or_else(|| format!("ERR {NO_USER}"))?;
    let may_run = |name: &&[u8]| {
        let words: Vec<&[u8]> = std::iter::once(*name)
            .chain(arguments.iter().copied())
            .collect();
        found.may_run(&words)
    };
    if names.iter().any(may_run) {
        return Ok(());
    }
    Err(format!(
        "NOPERM User '{user}' has no permissions to run the call any more"
    ))
}

/// Whether that user administers the server. Servers do not tell a user's categories: who may
/// change users, which is of `@admin` on all of them, may become any of them anyway.
pub(crate) fn is_admin(user: &str) -> bool {
    let words: [&[u8]; 3] = [b"ACL", b"SETUSER", b"default"];
    User::find(user).is_some_and(|user| user.may_run(&words))
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: made by `find`, freed once; this frees the handle, not the user.
        unsafe { api!(RedisModule_FreeModuleUser)(self.0) };
    }
}
