//! What happens to keys, as events of the delivery core and for triggers.
//!
//! A notification comes in the middle of a command, before it is replicated: nothing is written
//! here. What has to be done is done after the command, where the server can tell when that is,
//! and before the event loop sleeps otherwise.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};

use crate::dispatcher::KeyEvent;
use crate::library::{EventSubscriptions, KeyEvents};
use gears_core::delivery::{Event, KeyRef};
use gears_core::triggers::{KeyType, KeyValue};
use gears_v8::ports::{Credentials, Server};

use super::constants::{KEY_ACCESS, OK};
use super::context::{Context, bytes};
use super::execution_unit::ExecutionUnit;
use super::hooks::{HOOKS, Hooks};
use super::main_thread::is_free_main_thread;
use super::suppress_triggers::is_quiet;
use super::user::{NO_RIGHT, NO_USER, User, lacks};
use super::{RedisLocked, api, guard, key_value, streams};

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
    /// What was asked for beyond the rest.
    heard: Cell<EventSubscriptions>,
    /// Whether an event is being told of.
    telling: Cell<bool>,

    /// Where a key was that is being renamed or moved.
    from: RefCell<Option<(c_int, Vec<u8>)>>,
    /// Whether the event before was of fields of a hash that expired.
    after_fields: Cell<bool>,
    /// Whether the end of the command is awaited already.
    job_queued: Cell<bool>,
}

static STATE: RedisLocked<State> = RedisLocked::new();

impl KeyEvents for Context {
    // Not before there is a consumer: each notification costs every command a little, and servers
    // before 8.0 do not let a module stop listening.
    fn listen_to_keys(&self, wanted: EventSubscriptions) -> Result<(), &'static str> {
        if STATE.get().is_none() {
            subscribe(self, CLASSES, on_key_event)?;
            STATE.set(State::default());
        }
        let Some(heard) = STATE.get().map(|state| &state.heard) else {
            return Ok(());
        };
        if wanted.misses && !heard.get().misses {
            subscribe(self, raw::REDISMODULE_NOTIFY_KEY_MISS, on_key_event)?;
            heard.set(EventSubscriptions {
                misses: true,
                ..heard.get()
            });
        }
        if wanted.nested && !heard.get().nested {
            // A server does not tell a listener of what happens while it is told of something.
            // Another listener is told.
            subscribe(self, CLASSES, on_nested_key_event)?;
            heard.set(EventSubscriptions {
                nested: true,
                ..heard.get()
            });
        }
        Ok(())
    }
}

/// Whether the server tells of keys.
pub(super) fn listens() -> bool {
    STATE.get().is_some()
}

type Listener = unsafe extern "C" fn(
    *mut RedisModuleCtx,
    c_int,
    *const c_char,
    *mut RedisModuleString,
) -> c_int;

/// Whether the server is to refuse the next listener.
static REFUSES: AtomicBool = AtomicBool::new(false);

/// Has the next listener refused, which servers hardly ever do: a debugging aid.
pub(crate) fn refuse_listener() {
    REFUSES.store(true, Ordering::Relaxed);
}

fn subscribe(context: &Context, classes: c_int, listener: Listener) -> Result<(), &'static str> {
    if REFUSES.swap(false, Ordering::Relaxed) {
        return Err("key-space notifications");
    }
    // SAFETY: the context is live, the callback has the form the server asks for.
    let subscribed = unsafe {
        api!(RedisModule_SubscribeToKeyspaceEvents)(context.as_ptr(), classes, Some(listener))
    };
    if subscribed == OK {
        Ok(())
    } else {
        Err("key-space notifications")
    }
}

unsafe extern "C" fn on_key_event(
    context: *mut RedisModuleCtx,
    class: c_int,
    event: *const c_char,
    key: *mut RedisModuleString,
) -> c_int {
    guard::run("a key-space notification", || {
        let Some(state) = STATE.get() else {
            return;
        };
        let outer = state.telling.replace(true);
        let _end = Telling(&state.telling, outer);
        // SAFETY: the server gives a C string and a live string, for the time of the call.
        tell(context, class, unsafe { CStr::from_ptr(event) }, key, state);
    });
    OK
}

unsafe extern "C" fn on_nested_key_event(
    context: *mut RedisModuleCtx,
    class: c_int,
    event: *const c_char,
    key: *mut RedisModuleString,
) -> c_int {
    guard::run("a key-space notification", || {
        if let Some(state) = STATE.get().filter(|state| state.telling.get()) {
            // SAFETY: as above.
            tell(context, class, unsafe { CStr::from_ptr(event) }, key, state);
        }
    });
    OK
}

/// Sets the flag back at its end.
struct Telling<'a>(&'a Cell<bool>, bool);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// `key` is a live string of the server's.
fn tell(
    context: *mut RedisModuleCtx,
    class: c_int,
    event: &CStr,
    key: *mut RedisModuleString,
    state: &State,
) {
    let Some(hooks) = HOOKS.get() else {
        return;
    };
    let context = Context::from_raw(context);
    // SAFETY: the string lives for the time of the call.
    let (event, name) = (event.to_bytes(), unsafe { bytes(key) });
    let place = KeyRef {
        db: context.db_of_event(key),
        name,
    };
    let of_fields = event == b"hexpired";
    // A hash whose last field expired is deleted on the way.
    let in_removal =
        state.after_fields.replace(of_fields) && event == b"del" || of_fields || class & GONE != 0;
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
        hooks.place(&context, place);
    } else if class & raw::REDISMODULE_NOTIFY_GENERIC != 0 {
        on_generic(&context, hooks.as_ref(), state, event, place, key);
    } else if class & GONE != 0 {
        hooks.on_event(Event::Removed(place));
    } else if class & raw::REDISMODULE_NOTIFY_KEY_MISS == 0
        && hooks.is_tracked(place)
        && !is_stream(&context, key)
    {
        // Written with another type.
        hooks.on_event(Event::Removed(place));
    }
    // That a key expires is the server's doing, also where a script's command finds it out.
    if hooks.has_triggers() && (class & GONE != 0 || !is_quiet()) {
        hooks.on_key_event(&Happened {
            context: &context,
            event,
            place,
            key,
            is_gone: class & (GONE | raw::REDISMODULE_NOTIFY_KEY_MISS) != 0
                || matches!(event, b"del" | b"rename_from" | b"move_from"),
            in_removal,
        });
    }
    if is_free_main_thread() {
        if hooks.has_urgent() {
            await_end_of_command(&context, state);
        }
        if class & GONE != 0 {
            // It may come from no command, with no event-loop iteration behind it.
            hooks.wake();
        }
    }
}

/// What happened to a key, for triggers.
struct Happened<'a> {
    context: &'a Context,
    event: &'a [u8],
    place: KeyRef<'a>,
    /// The key's name.
    key: *mut RedisModuleString,
    /// Whether the event says that the key is no more. Then it need not be looked for: servers
    /// before 7.2 tell others of that as of a miss.
    is_gone: bool,
    /// Whether the server is in the middle of removing keys by itself.
    in_removal: bool,
}

impl KeyEvent for Happened<'_> {
    fn event(&self) -> &[u8] {
        self.event
    }

    fn key(&self) -> KeyRef<'_> {
        self.place
    }

    fn key_type(&self) -> KeyType {
        if self.is_gone {
            return KeyType::Empty;
        }
        key_value::type_of(self.context, self.key)
    }

    fn value(&self, most: usize) -> Option<KeyValue> {
        if self.is_gone {
            return Some(KeyValue::new(KeyType::Empty));
        }
        key_value::value_of(self.context, self.key, most)
    }

    fn is_enabled(&self, user: &str) -> Result<(), String> {
        match User::find_enabled(user) {
            Some(_) => Ok(()),
            None => Err(lacks(user, self.place.name, NO_USER)),
        }
    }

    fn may_read(&self, user: &str) -> Result<(), String> {
        match User::find(user) {
            Some(found) if found.may_use(self.place.name, KEY_ACCESS) => Ok(()),
            _ => Err(lacks(user, self.place.name, NO_RIGHT)),
        }
    }

    fn is_on_main_thread(&self) -> bool {
        is_free_main_thread()
    }

    fn run_pre_hook(&self, credentials: &Credentials, work: &mut dyn FnMut(&dyn Server)) {
        work(&ExecutionUnit::of_looker(credentials, self.in_removal));
    }
}

fn on_generic(
    context: &Context,
    hooks: &dyn Hooks,
    state: &State,
    event: &[u8],
    place: KeyRef<'_>,
    key: *mut RedisModuleString,
) {
    match event {
        b"del" => hooks.on_event(Event::Removed(place)),
        b"rename_from" | b"move_from" => {
            *state.from.borrow_mut() = Some((place.db, place.name.to_vec()));
        }
        b"rename_to" | b"move_to" => {
            let Some((db, name)) = state.from.borrow_mut().take() else {
                return;
            };
            let from = KeyRef { db, name: &name };
            if is_stream(context, key) {
                hooks.on_event(Event::Moved { from, to: place });
                hooks.place(context, place);
            } else {
                hooks.on_event(Event::Removed(from));
                hooks.on_event(Event::Removed(place));
            }
        }
        b"restore" | b"copy_to" => {
            if is_stream(context, key) {
                hooks.on_event(Event::Replaced(place));
                hooks.place(context, place);
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
fn await_end_of_command(context: &Context, state: &State) {
    // SAFETY: reading what the server has set once.
    let Some(add_job) = (unsafe { raw::RedisModule_AddPostNotificationJob }) else {
        return;
    };
    if state.job_queued.get() {
        return;
    }
    // SAFETY: the context is live; the job needs no data.
    let added = unsafe { add_job(context.as_ptr(), Some(after_command), null_mut(), None) };
    state.job_queued.set(added == OK);
}

unsafe extern "C" fn after_command(context: *mut RedisModuleCtx, _data: *mut c_void) {
    guard::run("a post-notification job", || {
        if let Some(state) = STATE.get() {
            state.job_queued.set(false);
        }
        if let Some(hooks) = HOOKS.get() {
            hooks.after_command(&Context::from_raw(context));
        }
    });
}
