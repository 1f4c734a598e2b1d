//! The server's own events.

use std::ffi::c_void;

use redis_module::raw::{self, RedisModuleCtx, RedisModuleEvent};

use gears_core::delivery::Event;

use super::constants::{OK, ROLE_PRIMARY};
use super::context::Context;
use super::hooks::{HOOKS, Hooks};
use super::{api, entry, gil, guard, shutdown, snapshots};

type Callback = unsafe extern "C" fn(*mut RedisModuleCtx, RedisModuleEvent, u64, *mut c_void);

pub(super) fn subscribe(context: &Context) -> Result<(), &'static str> {
    let events: [(&str, u64, Callback); 8] = [
        (
            "event loop",
            raw::REDISMODULE_EVENT_EVENTLOOP,
            on_event_loop,
        ),
        (
            "role",
            raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED,
            on_role,
        ),
        ("flush", raw::REDISMODULE_EVENT_FLUSHDB, on_flush),
        ("loading", raw::REDISMODULE_EVENT_LOADING, on_loading),
        ("swapdb", raw::REDISMODULE_EVENT_SWAPDB, on_swap),
        ("fork", raw::REDISMODULE_EVENT_FORK_CHILD, on_fork),
        (
            "persistence",
            raw::REDISMODULE_EVENT_PERSISTENCE,
            on_persistence,
        ),
        ("shutdown", raw::REDISMODULE_EVENT_SHUTDOWN, on_shutdown),
    ];
    for (name, id, callback) in events {
        let event = RedisModuleEvent { id, dataver: 1 };
        // SAFETY: the context is live, the callback has the form the server asks for.
        let subscribed = unsafe {
            api!(RedisModule_SubscribeToServerEvent)(context.as_ptr(), event, Some(callback))
        };
        if subscribed != OK {
            return Err(name);
        }
    }
    Ok(())
}

fn with_hooks(place: &str, work: impl FnOnce(&dyn Hooks)) {
    guard::run(place, || {
        if let Some(hooks) = HOOKS.get() {
            work(hooks.as_ref());
        }
    });
}

/// Before anything is done for the event.
fn make_known(context: *mut RedisModuleCtx) {
    guard::run("the first use", || {
        snapshots::make_known(&Context::from_raw(context));
    });
}

unsafe extern "C" fn on_event_loop(
    context: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    which: u64,
    _data: *mut c_void,
) {
    if which == raw::REDISMODULE_SUBEVENT_EVENTLOOP_BEFORE_SLEEP {
        shutdown::is_not();
        entry::is_not_new();
        make_known(context);
        with_hooks("the event loop", |hooks| {
            hooks.before_sleep(&Context::from_raw(context));
        });
        gil::end_iteration();
    }
}

unsafe extern "C" fn on_role(
    _context: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    which: u64,
    _data: *mut c_void,
) {
    with_hooks("a change of role", |hooks| {
        let primary = which == ROLE_PRIMARY;
        hooks.on_event(Event::RoleChanged { primary });
        hooks.rescan();
    });
}

unsafe extern "C" fn on_flush(
    _context: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    which: u64,
    data: *mut c_void,
) {
    if which == raw::REDISMODULE_SUBEVENT_FLUSHDB_START {
        with_hooks("a flush", |hooks| {
            // SAFETY: this event comes with this structure.
            let db = unsafe { (*data.cast::<raw::RedisModuleFlushInfo>()).dbnum };
            hooks.on_event(Event::Flushed((db >= 0).then_some(db)));
        });
    }
}

unsafe extern "C" fn on_loading(
    context: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    which: u64,
    _data: *mut c_void,
) {
    make_known(context);
    with_hooks("loading", |hooks| {
        let ended = which == raw::REDISMODULE_SUBEVENT_LOADING_ENDED
            || which == raw::REDISMODULE_SUBEVENT_LOADING_FAILED;
        if !ended {
            hooks.forget_libraries();
        }
        hooks.on_event(Event::Loading(!ended));
        if ended {
            hooks.rescan();
        }
    });
}

unsafe extern "C" fn on_swap(
    _context: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    _which: u64,
    data: *mut c_void,
) {
    with_hooks("a swap of databases", |hooks| {
        // SAFETY: this event comes with this structure.
        let swap = unsafe { &*data.cast::<raw::RedisModuleSwapDbInfo>() };
        hooks.on_event(Event::Swapped(swap.dbnum_first, swap.dbnum_second));
        // A scan that is going on may have passed the one and not the other.
        hooks.rescan();
    });
}

unsafe extern "C" fn on_fork(
    context: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    which: u64,
    _data: *mut c_void,
) {
    if which == raw::REDISMODULE_SUBEVENT_FORK_CHILD_BORN {
        with_hooks("a fork", |hooks| hooks.on_fork(&Context::from_raw(context)));
    }
}

/// A save in this process may be read into it again (`DEBUG RELOAD`), or by its successor
/// (`SHUTDOWN`), without the replicas: they must know what it knows.
unsafe extern "C" fn on_persistence(
    context: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    which: u64,
    _data: *mut c_void,
) {
    if which == raw::REDISMODULE_SUBEVENT_PERSISTENCE_SYNC_RDB_START {
        with_hooks("a save", |hooks| {
            hooks.before_save(&Context::from_raw(context));
        });
    }
}

unsafe extern "C" fn on_shutdown(
    _context: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    _which: u64,
    _data: *mut c_void,
) {
    guard::run("a shutdown", shutdown::begin);
}
