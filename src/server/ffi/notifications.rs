//! Key events, and the end of the command that caused one.

use std::ffi::{CStr, c_char, c_int, c_void};

use redis_module::NotifyEvent;
use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};

use super::constants::OK;
use super::context::Context;
use super::string::StringRef;
use super::{api, guard};

/// What the server tells of a key, in the middle of a command.
#[derive(Clone, Copy)]
pub(crate) struct Notification<'a> {
    /// The context to look at the key in.
    pub(crate) context: &'a Context,
    /// Of which kind it is.
    pub(crate) class: NotifyEvent,
    /// What happened.
    pub(crate) event: &'a [u8],
    /// The key's name.
    pub(crate) key: StringRef<'a>,
}

/// What hears of key events.
pub(crate) trait NotificationListener {
    /// One of them happened.
    fn on_notification(notification: Notification<'_>);
}

/// Has the server tell `L` of such key events; false where it refuses.
pub(crate) fn subscribe<L: NotificationListener>(context: &Context, classes: NotifyEvent) -> bool {
    // SAFETY: the context is live, the callback has the form the server asks for.
    let subscribed = unsafe {
        api!(RedisModule_SubscribeToKeyspaceEvents)(
            context.as_ptr(),
            classes.bits(),
            Some(on_event::<L>),
        )
    };
    subscribed == OK
}

unsafe extern "C" fn on_event<L: NotificationListener>(
    context: *mut RedisModuleCtx,
    class: c_int,
    event: *const c_char,
    key: *mut RedisModuleString,
) -> c_int {
    guard::run("a key-space notification", || {
        let context = Context::from_raw(context);
        // SAFETY: the server gives a C string and a live string, for the time of the call.
        let (event, key) = unsafe { (CStr::from_ptr(event), StringRef::from_raw(key)) };
        L::on_notification(Notification {
            context: &context,
            class: NotifyEvent::from_bits_truncate(class),
            event: event.to_bytes(),
            key,
        });
    });
    OK
}

/// Has a function called at the end of the command whose key event this is the context of; false
/// where the server cannot (before 7.2), or does not.
pub(crate) fn run_after_command(context: &Context, work: fn(&Context)) -> bool {
    // SAFETY: reading what the server has set once.
    let Some(add_job) = (unsafe { raw::RedisModule_AddPostNotificationJob }) else {
        return false;
    };
    // SAFETY: the context is live; the job gets the function back, which nobody has to free.
    let added = unsafe { add_job(context.as_ptr(), Some(run_job), work as *mut c_void, None) };
    added == OK
}

unsafe extern "C" fn run_job(context: *mut RedisModuleCtx, work: *mut c_void) {
    // SAFETY: `run_after_command` gave a function of this form.
    let work = unsafe { std::mem::transmute::<*mut c_void, fn(&Context)>(work) };
    guard::run("a post-notification job", || {
        work(&Context::from_raw(context));
    });
}
