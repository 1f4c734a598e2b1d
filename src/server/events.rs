//! The server's own events: its event loop, its role, flushes, loading.

use gears_core::delivery::Event;

use super::context::Context;
use super::ffi::events::{ServerEvent, ServerEventListener};
use super::ffi::guard;
use super::hooks::{HOOKS, Hooks};
use super::{entry, gil, log, shutdown, snapshots};

/// Has the module hear of them.
///
/// # Errors
/// With the name of what the server refuses.
pub(super) fn subscribe(context: &Context) -> Result<(), &'static str> {
    super::ffi::events::subscribe::<ServerEvents>(context)
}

struct ServerEvents;

impl ServerEventListener for ServerEvents {
    fn on_server_event(context: &Context, event: ServerEvent) {
        match event {
            ServerEvent::BeforeSleep => {
                before_sleep(context);
                return;
            }
            ServerEvent::LoadingBegins | ServerEvent::LoadingEnds => make_known(context),
            ServerEvent::Shutdown => {
                log::write_what_waits();
                shutdown::begin();
            }
            _ => {}
        }
        if let Some(hooks) = HOOKS.get() {
            tell(hooks.as_ref(), context, event);
        }
    }
}

/// Before anything is done for the event, and whether or not it works.
fn make_known(context: &Context) {
    guard::run("the first use", || snapshots::make_known(context));
}

/// Workers get the lock again, whatever happens in the tick.
fn before_sleep(context: &Context) {
    shutdown::is_not();
    entry::is_not_new();
    make_known(context);
    guard::run("the event loop", || {
        if let Some(hooks) = HOOKS.get() {
            hooks.before_sleep(context);
        }
    });
    gil::end_iteration();
}

fn tell(hooks: &dyn Hooks, context: &Context, event: ServerEvent) {
    match event {
        ServerEvent::RoleChanged { primary } => {
            hooks.on_event(Event::RoleChanged { primary });
            hooks.rescan();
        }
        ServerEvent::Flush(db) => hooks.on_event(Event::Flushed(db)),
        ServerEvent::LoadingBegins => {
            hooks.forget_libraries();
            hooks.on_event(Event::Loading(true));
        }
        ServerEvent::LoadingEnds => {
            hooks.on_event(Event::Loading(false));
            hooks.on_loaded(context);
            hooks.rescan();
        }
        ServerEvent::Swapped(first, second) => {
            hooks.on_event(Event::Swapped(first, second));
        }
        ServerEvent::Forked => hooks.on_fork(context),
        // It may be read into this process again (`DEBUG RELOAD`), or by its successor
        // (`SHUTDOWN`), without the replicas: they must know what it knows.
        ServerEvent::BeforeSave => hooks.before_save(context),
        ServerEvent::BeforeSleep | ServerEvent::Shutdown => {}
    }
}
