//! Users of the server.

use redis_module::raw::RedisModuleUser;

use super::api;
use super::constants::OK;
use super::context::Context;
use super::string::{LastStrings, owned, string};

/// The name of the user that was looked for last: consumers mostly have one owner.
static LAST_NAME: LastStrings = LastStrings::new();

/// A user that exists.
pub(crate) struct User(*mut RedisModuleUser);

impl User {
    /// The user of this name, unless it is disabled.
    pub(crate) fn find_enabled(name: &str) -> Option<Self> {
        Self::find(name).filter(Self::is_enabled)
    }

    /// The user of this name. The server's lock is held, as for all calls of this folder.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let user = LAST_NAME.with([name.as_bytes()].into_iter(), |names| {
            let name = names.first()?;
            // SAFETY: the name is a live string.
            Some(unsafe { api!(RedisModule_GetModuleUserFromUserName)(name.inner) })
        });
        // Not made before it is known to be one: dropping frees it.
        user.filter(|user| !user.is_null()).map(Self)
    }

    /// Whether the user may log in. The server has no other way to ask than its description,
    /// which begins with that.
    fn is_enabled(&self) -> bool {
        // SAFETY: the user is live; the text is ours to free.
        let text = unsafe { owned(api!(RedisModule_GetModuleUserACLString)(self.0)) };
        text.is_none_or(|text| {
            let mut words = text.as_slice().split(u8::is_ascii_whitespace);
            words.next().is_none_or(|first| first != b"off")
        })
    }

    /// Whether the user could run this command himself.
    pub(crate) fn may_run(&self, arguments: &[&[u8]]) -> bool {
        let arguments: Vec<_> = arguments.iter().map(|argument| string(argument)).collect();
        let mut pointers: Vec<_> = arguments.iter().map(|argument| argument.inner).collect();
        let length = pointers.len().try_into().unwrap_or(0);
        // SAFETY: the user and the strings live until the end of this function.
        let allowed = unsafe {
            api!(RedisModule_ACLCheckCommandPermissions)(self.0, pointers.as_mut_ptr(), length)
        };
        allowed == OK
    }

    /// Whether the user has these rights on a key.
    pub(crate) fn may_use(&self, key: &[u8], rights: i32) -> bool {
        let key = string(key);
        // SAFETY: as above.
        let allowed =
            unsafe { api!(RedisModule_ACLCheckKeyPermissions)(self.0, key.inner, rights) };
        allowed == OK
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: made by `find`, freed once; this frees the handle, not the user.
        unsafe { api!(RedisModule_FreeModuleUser)(self.0) };
    }
}

/// Commands of a context are run in a user's name while this lives.
pub(crate) struct ActingUser<'a>(&'a Context);

impl<'a> ActingUser<'a> {
    /// From now on.
    pub(crate) fn begin(context: &'a Context, user: &'a User) -> Self {
        // SAFETY: context and user are live, and stay so until this ends.
        unsafe { api!(RedisModule_SetContextUser)(context.as_ptr(), user.0) };
        Self(context)
    }
}

impl Drop for ActingUser<'_> {
    fn drop(&mut self) {
        // SAFETY: no user is the server's own word for none.
        unsafe { api!(RedisModule_SetContextUser)(self.0.as_ptr(), std::ptr::null()) };
    }
}
