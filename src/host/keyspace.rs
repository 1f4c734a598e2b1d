//! What happens to keys, as events of the delivery core.
//!
//! A notification comes in the middle of a command, before it is replicated: nothing is written
//! here. What has to be done is done after the command, where the server can tell when that is,
//! and before the event loop sleeps otherwise.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};

use crate::stream::{Event, KeyRef};

use super::constants::OK;
use super::context::{Context, bytes};
use super::{HOOKS, Hooks, RedisLocked, api, guard, streams};

/// What the module listens to: everything that can create, fill, replace or remove a key.
const CLASSES: c_int = raw::REDISMODULE_NOTIFY_GENERIC
    | raw::REDISMODULE_NOTIFY_STRING
    | raw::REDISMODULE_NOTIFY_LIST
    | raw::REDISMODULE_NOTIFY_SET
    | raw::REDISMODULE_NOTIFY_HASH
    | raw::REDISMODULE_NOTIFY_ZSET
    | raw::REDISMODULE_NOTIFY_EXPIRED
    | raw::REDISMODULE_NOTIFY_EVICTED
    | raw::REDISMODULE_NOTIFY_STREAM
    | raw::REDISMODULE_NOTIFY_MODULE;

/// Classes that tell of keys that are no more.
const GONE: c_int = raw::REDISMODULE_NOTIFY_EXPIRED | raw::REDISMODULE_NOTIFY_EVICTED;

/// What is between two notifications.
#[derive(Default)]
struct State {
    /// Where a key was that is being renamed or moved.
    from: Option<(c_int, Vec<u8>)>,
    /// Whether the end of the command is awaited already.
    job_queued: bool,
}

static STATE: RedisLocked<RefCell<State>> = RedisLocked::new();

/// Begins to listen, once. Not before there is a consumer: each notification costs every command
/// a little, and servers before 8.0 do not let a module stop listening.
///
/// # Errors
/// With the name of what the server refuses.
pub(crate) fn listen_to_keys(context: &Context) -> Result<(), &'static str> {
    if STATE.get().is_some() {
        return Ok(());
    }
    // SAFETY: the context is live, the callback has the form the server asks for.
    let subscribed = unsafe {
        api!(RedisModule_SubscribeToKeyspaceEvents)(context.as_ptr(), CLASSES, Some(on_key_event))
    };
    if subscribed != OK {
        return Err("key-space notifications");
    }
    STATE.set(RefCell::default());
    Ok(())
}

unsafe extern "C" fn on_key_event(
    context: *mut RedisModuleCtx,
    class: c_int,
    event: *const c_char,
    key: *mut RedisModuleString,
) -> c_int {
    guard::run("a key-space notification", || {
        let (Some(hooks), Some(state)) = (HOOKS.get(), STATE.get()) else {
            return;
        };
        let context = Context::from_raw(context);
        // SAFETY: the server gives a C string and a live string, for the time of the call.
        let (event, name) = unsafe { (CStr::from_ptr(event).to_bytes(), bytes(key)) };
        let place = KeyRef {
            db: context.db(),
            name,
        };
        if class & raw::REDISMODULE_NOTIFY_STREAM != 0 {
            if event == b"xadd" {
                hooks.on_event(Event::Appended(place));
            } else if event == b"xsetid" && hooks.is_tracked(place) {
                if let Some(last) = context.last_id(name) {
                    hooks.on_event(Event::Rewound { key: place, last });
                }
            } else if !streams::is_trimming() {
                hooks.on_event(Event::Found(place));
            }
        } else if class & raw::REDISMODULE_NOTIFY_GENERIC != 0 {
            on_generic(&context, hooks.as_ref(), state, event, place, key);
        } else if class & GONE != 0 {
            hooks.on_event(Event::Removed(place));
        } else if hooks.is_tracked(place) && !is_stream(&context, key) {
            // Written with another type.
            hooks.on_event(Event::Removed(place));
        }
        // On another thread nothing is run here; who holds the lock there wakes the main thread.
        if HOOKS.is_main() && hooks.has_urgent() {
            await_end_of_command(&context, state);
        }
    });
    OK
}

fn on_generic(
    context: &Context,
    hooks: &dyn Hooks,
    state: &RefCell<State>,
    event: &[u8],
    place: KeyRef<'_>,
    key: *mut RedisModuleString,
) {
    match event {
        b"del" => hooks.on_event(Event::Removed(place)),
        b"rename_from" | b"move_from" => {
            state.borrow_mut().from = Some((place.db, place.name.to_vec()));
        }
        b"rename_to" | b"move_to" => {
            let Some((db, name)) = state.borrow_mut().from.take() else {
                return;
            };
            let from = KeyRef { db, name: &name };
            if is_stream(context, key) {
                hooks.on_event(Event::Moved { from, to: place });
            } else {
                hooks.on_event(Event::Removed(from));
                hooks.on_event(Event::Removed(place));
            }
        }
        b"restore" | b"copy_to" => {
            if is_stream(context, key) {
                hooks.on_event(Event::Replaced(place));
            } else {
                hooks.on_event(Event::Removed(place));
            }
        }
        _ => {}
    }
}

fn is_stream(context: &Context, key: *mut RedisModuleString) -> bool {
    context
        .open_for_reading(key)
        .is_some_and(|key| key.is_stream())
}

/// Has [`Hooks::after_command`] called, on servers that can (7.2 and later).
fn await_end_of_command(context: &Context, state: &RefCell<State>) {
    // SAFETY: reading what the server has set once.
    let Some(add_job) = (unsafe { raw::RedisModule_AddPostNotificationJob }) else {
        return;
    };
    if state.borrow().job_queued {
        return;
    }
    // SAFETY: the context is live; the job needs no data.
    let added = unsafe { add_job(context.as_ptr(), Some(after_command), null_mut(), None) };
    state.borrow_mut().job_queued = added == OK;
}

unsafe extern "C" fn after_command(context: *mut RedisModuleCtx, _data: *mut c_void) {
    guard::run("a post-notification job", || {
        if let Some(state) = STATE.get() {
            state.borrow_mut().job_queued = false;
        }
        if let Some(hooks) = HOOKS.get() {
            hooks.after_command(&Context::from_raw(context));
        }
    });
}
