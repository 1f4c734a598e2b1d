//! The server's own events.

use std::ffi::{c_int, c_void};

use redis_module::raw::{self, RedisModuleCtx, RedisModuleEvent};

use super::constants::{OK, ROLE_PRIMARY};
use super::context::Context;
use super::{api, guard};

/// What the server tells of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ServerEvent {
    /// The event loop is about to sleep.
    BeforeSleep,
    /// The server has another role.
    RoleChanged {
        /// Whether it is a primary now.
        primary: bool,
    },
    /// A database is about to be emptied; all of them for `None`.
    Flush(Option<c_int>),
    /// Another data set is about to be loaded.
    LoadingBegins,
    /// It is loaded, or failed to be.
    LoadingEnds,
    /// These databases have changed their numbers.
    Swapped(c_int, c_int),
    /// A child was forked.
    Forked,
    /// This process is about to save the data set itself.
    BeforeSave,
    /// The server is about to end.
    Shutdown,
}

/// What hears of the server's events, on the main thread.
pub(crate) trait ServerEventListener {
    /// One of them happened.
    fn on_server_event(context: &Context, event: ServerEvent);
}

/// The events, with what they are called in messages.
const EVENTS: [(&str, u64); 8] = [
    ("event loop", raw::REDISMODULE_EVENT_EVENTLOOP),
    ("role", raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED),
    ("flush", raw::REDISMODULE_EVENT_FLUSHDB),
    ("loading", raw::REDISMODULE_EVENT_LOADING),
    ("swapdb", raw::REDISMODULE_EVENT_SWAPDB),
    ("fork", raw::REDISMODULE_EVENT_FORK_CHILD),
    ("persistence", raw::REDISMODULE_EVENT_PERSISTENCE),
    ("shutdown", raw::REDISMODULE_EVENT_SHUTDOWN),
];

/// Has the server tell `L` of its events.
///
/// # Errors
/// With the name of what the server refuses.
pub(crate) fn subscribe<L: ServerEventListener>(context: &Context) -> Result<(), &'static str> {
    for (name, id) in EVENTS {
        let event = RedisModuleEvent { id, dataver: 1 };
        // SAFETY: the context is live, the callback has the form the server asks for.
        let subscribed = unsafe {
            api!(RedisModule_SubscribeToServerEvent)(context.as_ptr(), event, Some(on_event::<L>))
        };
        if subscribed != OK {
            return Err(name);
        }
    }
    Ok(())
}

unsafe extern "C" fn on_event<L: ServerEventListener>(
    context: *mut RedisModuleCtx,
    event: RedisModuleEvent,
    which: u64,
    data: *mut c_void,
) {
    // SAFETY: the server gives what comes with its event.
    if let Some(event) = unsafe { decode(event.id, which, data) } {
        guard::run("an event of the server", || {
            L::on_server_event(&Context::from_raw(context), event);
        });
    }
}

/// # Safety
/// `data` must be what comes with the event `id`.
unsafe fn decode(id: u64, which: u64, data: *mut c_void) -> Option<ServerEvent> {
    match (id, which) {
        (raw::REDISMODULE_EVENT_EVENTLOOP, raw::REDISMODULE_SUBEVENT_EVENTLOOP_BEFORE_SLEEP) => {
            Some(ServerEvent::BeforeSleep)
        }
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, role) => Some(ServerEvent::RoleChanged {
            primary: role == ROLE_PRIMARY,
        }),
        (raw::REDISMODULE_EVENT_FLUSHDB, raw::REDISMODULE_SUBEVENT_FLUSHDB_START) => {
            // SAFETY: this event comes with this structure.
            let db = unsafe { (*data.cast::<raw::RedisModuleFlushInfo>()).dbnum };
            Some(ServerEvent::Flush((db >= 0).then_some(db)))
        }
        (
            raw::REDISMODULE_EVENT_LOADING,
            raw::REDISMODULE_SUBEVENT_LOADING_ENDED | raw::REDISMODULE_SUBEVENT_LOADING_FAILED,
        ) => Some(ServerEvent::LoadingEnds),
        (raw::REDISMODULE_EVENT_LOADING, _) => Some(ServerEvent::LoadingBegins),
        (raw::REDISMODULE_EVENT_SWAPDB, _) => {
            // SAFETY: this event comes with this structure.
            let swap = unsafe { &*data.cast::<raw::RedisModuleSwapDbInfo>() };
            Some(ServerEvent::Swapped(swap.dbnum_first, swap.dbnum_second))
        }
        (raw::REDISMODULE_EVENT_FORK_CHILD, raw::REDISMODULE_SUBEVENT_FORK_CHILD_BORN) => {
            Some(ServerEvent::Forked)
        }
        (
            raw::REDISMODULE_EVENT_PERSISTENCE,
            raw::REDISMODULE_SUBEVENT_PERSISTENCE_SYNC_RDB_START,
        ) => Some(ServerEvent::BeforeSave),
        (raw::REDISMODULE_EVENT_SHUTDOWN, _) => Some(ServerEvent::Shutdown),
        _ => None,
    }
}
