//! What happens to keys, as events of the delivery core and for triggers.
//!
//! A notification comes in the middle of a command, before it is replicated: nothing is written
//! here. What has to be done is done after the command, where the server can tell when that is,
//! and before the event loop sleeps otherwise. So it is where the server removes keys by itself: it
//! goes through its tables then, and what is called the end of a command comes before it is through.
//! What a script removed there, the server would go on with.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use redis_module::NotifyEvent;

use crate::dispatcher::KeyEvent;
use crate::library::{EventSubscriptions, KeyEvents};
use gears_core::delivery::{Event, KeyRef};
use gears_core::triggers::{KeyType, KeyValue};
use gears_v8::ports::{Credentials, Server};

use super::context::Context;
use super::execution_unit::ExecutionUnit;
use super::ffi::constants::KEY_ACCESS;
use super::ffi::notifications::{self, Notification, NotificationListener, run_after_command};
use super::ffi::redis_locked::RedisLocked;
use super::ffi::string::StringRef;
use super::ffi::user::User;
use super::hooks::{HOOKS, Hooks};
use super::main_thread::is_free_main_thread;
use super::suppress_triggers::are_suppressed;
use super::user::{NO_RIGHT, NO_USER, lacks};
use super::{key_value, streams};

/// What the module listens to: everything that can create, fill, replace or remove a key.
const CLASSES: NotifyEvent = NotifyEvent::GENERIC
    .union(NotifyEvent::STRING)
    .union(NotifyEvent::LIST)
    .union(NotifyEvent::SET)
    .union(NotifyEvent::HASH)
    .union(NotifyEvent::ZSET)
    .union(NotifyEvent::STREAM)
    .union(NotifyEvent::MODULE)
    .union(GONE);

/// Classes that tell of keys that are no more.
const GONE: NotifyEvent = NotifyEvent::EXPIRED.union(NotifyEvent::EVICTED);

/// What is between two notifications.
#[derive(Default)]
struct Between {
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

static BETWEEN: RedisLocked<Between> = RedisLocked::new();

impl KeyEvents for Context {
    // Not before there is a consumer: each notification costs every command a little, and servers
    // before 8.0 do not let a module stop listening.
    fn listen_to_keys(&self, wanted: EventSubscriptions) -> Result<(), &'static str> {
        if BETWEEN.get().is_none() {
            subscribe::<KeyListener>(self, CLASSES)?;
            BETWEEN.set(Between::default());
        }
        let Some(heard) = BETWEEN.get().map(|state| &state.heard) else {
            return Ok(());
        };
        if wanted.misses && !heard.get().misses {
            subscribe::<KeyListener>(self, NotifyEvent::MISSED)?;
            heard.set(EventSubscriptions {
                misses: true,
                ..heard.get()
            });
        }
        if wanted.nested && !heard.get().nested {
            // A server does not tell a listener of what happens while it is told of something.
            // Another listener is told.
            subscribe::<NestedKeyListener>(self, CLASSES)?;
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
    BETWEEN.get().is_some()
}

/// Whether the server is to refuse the next listener.
static REFUSES: AtomicBool = AtomicBool::new(false);

/// Has the next listener refused, which servers hardly ever do: a debugging aid.
pub(crate) fn refuse_listener() {
    REFUSES.store(true, Ordering::Relaxed);
}

fn subscribe<L: NotificationListener>(
    context: &Context,
    classes: NotifyEvent,
) -> Result<(), &'static str> {
    let refuses = REFUSES.swap(false, Ordering::Relaxed);
    if refuses || !notifications::subscribe::<L>(context, classes) {
        return Err("key-space notifications");
    }
    Ok(())
}

/// Hears of what happens while nothing else is told of.
struct KeyListener;

impl NotificationListener for KeyListener {
    fn on_notification(notification: Notification<'_>) {
        if let Some(state) = BETWEEN.get() {
            let outer = state.telling.replace(true);
            let _end = Telling(&state.telling, outer);
            tell(notification, state);
        }
    }
}

/// Hears of what happens while something else is told of.
struct NestedKeyListener;

impl NotificationListener for NestedKeyListener {
    fn on_notification(notification: Notification<'_>) {
        if let Some(state) = BETWEEN.get().filter(|state| state.telling.get()) {
            tell(notification, state);
        }
    }
}

/// Sets the flag back at its end.
struct Telling<'a>(&'a Cell<bool>, bool);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

fn tell(notification: Notification<'_>, state: &Between) {
    let Some(hooks) = HOOKS.get() else {
        return;
    };
    let Notification {
        context,
        class,
        event,
        key,
    } = notification;
    let name = key.bytes();
    let place = KeyRef {
        db: context.db_of_event(key),
        name,
    };
    let is_gone = class.intersects(GONE);
    let of_fields = event == b"hexpired";
    // A hash whose last field expired is deleted on the way.
    let in_removal =
        state.after_fields.replace(of_fields) && event == b"del" || of_fields || is_gone;
    if class.contains(NotifyEvent::STREAM) {
        if event == b"xadd" {
            hooks.on_event(Event::Appended(place));
        } else if event == b"xsetid" && hooks.is_tracked(place) {
            if let Some(last) = context.last_id(name) {
                hooks.on_event(Event::Rewound { key: place, last });
            }
        } else if !streams::is_trimming() {
            hooks.on_event(Event::Found(place));
        }
        hooks.place(context, place);
    } else if class.contains(NotifyEvent::GENERIC) {
        on_generic(context, hooks.as_ref(), state, event, place, key);
    } else if is_gone {
        hooks.on_event(Event::Removed(place));
    } else if !class.contains(NotifyEvent::MISSED)
        && hooks.is_tracked(place)
        && !is_stream(context, key)
    {
        // Written with another type.
        hooks.on_event(Event::Removed(place));
    }
    // That a key expires is the server's doing, also where a script's command finds it out.
    if hooks.has_triggers() && (is_gone || !are_suppressed()) {
        hooks.on_key_event(&Happened {
            context,
            event,
            place,
            key,
            is_gone: is_gone
                || class.contains(NotifyEvent::MISSED)
                || matches!(event, b"del" | b"rename_from" | b"move_from"),
            in_removal,
        });
    }
    if is_free_main_thread() {
        if in_removal {
            // It may come from no command, with no event-loop iteration behind it.
            hooks.wake();
        } else if hooks.has_urgent() && !is_lost(context, event, place) {
            await_end_of_command(context, state);
        }
    }
}

/// Whether a key goes with a slot that this server has lost. The server goes through such keys as through those
/// that expire.
fn is_lost(context: &Context, event: &[u8], place: KeyRef<'_>) -> bool {
    event == b"del" && !context.has_slot_of(place.name)
}

/// What happened to a key, for triggers.
struct Happened<'a> {
    context: &'a Context,
    event: &'a [u8],
    place: KeyRef<'a>,
    /// The key's name.
    key: StringRef<'a>,
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

    fn is_of_this_server(&self) -> bool {
        // Who removes a key has had it; and in the middle of that no command may be run.
        self.is_gone || self.context.has_slot_of(self.place.name)
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
    state: &Between,
    event: &[u8],
    place: KeyRef<'_>,
    key: StringRef<'_>,
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

fn is_stream(context: &Context, key: StringRef<'_>) -> bool {
    context
        .open_for_reading(key)
        .is_some_and(|key| key.key_type() == KeyType::Stream)
}

/// Has [`Hooks::after_command`] called, on servers that can (7.2 and later).
fn await_end_of_command(context: &Context, state: &Between) {
    if !state.job_queued.get() {
        state
            .job_queued
            .set(run_after_command(context, after_command));
    }
}

fn after_command(context: &Context) {
    if let Some(state) = BETWEEN.get() {
        state.job_queued.set(false);
    }
    if let Some(hooks) = HOOKS.get() {
        hooks.after_command(context);
    }
}
