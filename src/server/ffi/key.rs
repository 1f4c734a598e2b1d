//! Keys that are open.

use std::ffi::{c_int, c_long, c_void};
use std::sync::OnceLock;

use redis_module::raw::{self, RedisModuleKey, RedisModuleString};

use gears_core::triggers::KeyType;

use super::constants::{OPEN_UNEXPIRED, READ_QUIETLY, READ_UNNOTICED, WRITE};
use super::context::Context;
use super::string::{StringRef, owned};
use super::{api, guard};

/// A key that is open.
pub(crate) struct OpenKey(*mut RedisModuleKey);

/// How keys are opened: without counting as a use of them, nor as a miss. Servers before 7.2 can
/// the latter only for a key that is opened for writing; that alone changes nothing of it, see
/// [`MODULE_OPTIONS`](super::constants::MODULE_OPTIONS).
fn reading_modes() -> c_int {
    static MODES: OnceLock<c_int> = OnceLock::new();
    *MODES.get_or_init(|| {
        // SAFETY: reading what the server has set once; the function takes no arguments.
        match unsafe { raw::RedisModule_GetOpenKeyModesAll } {
            // SAFETY: as above.
            Some(all) => READ_QUIETLY | (unsafe { all() } & READ_UNNOTICED),
            None => READ_QUIETLY | WRITE,
        }
    })
}

impl Context {
    /// Opens a key of the selected database without counting as a use of it; `None` where it does
    /// not exist. A key found expired is deleted, with the events that belong to it.
    pub(crate) fn open_key(&self, name: StringRef<'_>) -> Option<OpenKey> {
        self.open(name, reading_modes())
    }

    /// The database that a key of a key event lies in, by the key itself. Opened for writing it can
    /// be asked where there is none, too; nothing comes of that, see [`reading_modes`]. What
    /// expired is left to the server.
    pub(crate) fn db_of_key(&self, name: StringRef<'_>) -> Option<c_int> {
        let key = self.open(name, reading_modes() | WRITE | OPEN_UNEXPIRED)?;
        // SAFETY: the key is open.
        Some(unsafe { api!(RedisModule_GetDbIdFromModuleKey)(key.0) })
    }

    fn open(&self, name: StringRef<'_>, modes: c_int) -> Option<OpenKey> {
        // SAFETY: the context is live, and so is the name, of which the server keeps a reference.
        let key = unsafe { api!(RedisModule_OpenKey)(self.as_ptr(), name.as_ptr(), modes) };
        (!key.is_null()).then(|| OpenKey(key))
    }
}

/// What a key holds that is open.
///
/// # Safety
/// The key is open, or null.
pub(super) unsafe fn type_of(key: *mut RedisModuleKey) -> KeyType {
    // SAFETY: the caller vouches for the key.
    let kind = unsafe { api!(RedisModule_KeyType)(key) };
    match isize::try_from(kind).unwrap_or(-1) {
        raw::REDISMODULE_KEYTYPE_EMPTY => KeyType::Empty,
        raw::REDISMODULE_KEYTYPE_STRING => KeyType::String,
        raw::REDISMODULE_KEYTYPE_LIST => KeyType::List,
        raw::REDISMODULE_KEYTYPE_HASH => KeyType::Hash,
        raw::REDISMODULE_KEYTYPE_SET => KeyType::Set,
        raw::REDISMODULE_KEYTYPE_ZSET => KeyType::SortedSet,
        raw::REDISMODULE_KEYTYPE_STREAM => KeyType::Stream,
        _ => KeyType::Module,
    }
}

impl OpenKey {
    pub(super) fn as_ptr(&self) -> *mut RedisModuleKey {
        self.0
    }

    /// What it holds.
    pub(crate) fn key_type(&self) -> KeyType {
        // SAFETY: the key is open.
        unsafe { type_of(self.0) }
    }

    /// How many elements or entries it holds.
    pub(crate) fn length(&self) -> usize {
        // SAFETY: the key is open.
        unsafe { api!(RedisModule_ValueLength)(self.0) }
    }

    /// Gives the elements of a list to `each`, until that says that it is enough.
    pub(crate) fn list_elements(&self, each: &mut dyn FnMut(&[u8]) -> bool) {
        // SAFETY: the key is open; of what is no list there is no length, or no element.
        let length = unsafe { api!(RedisModule_ValueLength)(self.0) };
        for at in 0..c_long::try_from(length).unwrap_or(c_long::MAX) {
            // SAFETY: as above; the element is ours to free.
            let element = unsafe { owned(api!(RedisModule_ListGet)(self.0, at)) };
            if element.is_some_and(|element| !each(element.as_slice())) {
                return;
            }
        }
    }

    /// Gives the members of a sorted set to `each` with their scores, lowest first, until that says
    /// that it is enough.
    pub(crate) fn sorted_members(&self, each: &mut dyn FnMut(&[u8], f64) -> bool) {
        let key = SortedRange::begin(self);
        // SAFETY: the range is started; each member is ours to free.
        unsafe {
            while api!(RedisModule_ZsetRangeEndReached)(key.0.0) == 0 {
                let mut score = 0.0;
                let member = owned(api!(RedisModule_ZsetRangeCurrentElement)(
                    key.0.0,
                    &raw mut score,
                ));
                if member.is_some_and(|member| !each(member.as_slice(), score)) {
                    return;
                }
                api!(RedisModule_ZsetRangeNext)(key.0.0);
            }
        }
    }

    /// Gives the fields and values of a hash, or the members of a set, to `each`, until that says
    /// that it is enough. False where `each` panicked.
    pub(crate) fn scan(&self, each: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut scanned = Scanned {
            each,
            wants_more: true,
            panicked: false,
        };
        // SAFETY: the key is open; the callback has the form the server asks for, and gets what
        // lives until this function ends. The cursor is ours to free.
        unsafe {
            let cursor = api!(RedisModule_ScanCursorCreate)();
            while scanned.wants_more
                && api!(RedisModule_ScanKey)(
                    self.0,
                    cursor,
                    Some(on_element),
                    (&raw mut scanned).cast(),
                ) != 0
            {}
            api!(RedisModule_ScanCursorDestroy)(cursor);
        }
        !scanned.panicked
    }
}

impl Drop for OpenKey {
    fn drop(&mut self) {
        // SAFETY: opened by `Context::open`, closed once.
        unsafe { api!(RedisModule_CloseKey)(self.0) };
    }
}

/// The members of a sorted set, stopped at its end.
struct SortedRange<'a>(&'a OpenKey);

impl<'a> SortedRange<'a> {
    fn begin(key: &'a OpenKey) -> Self {
        let (all, most) = (f64::NEG_INFINITY, f64::INFINITY);
        // SAFETY: the key is open; what is no sorted set has a range that is at its end.
        unsafe { api!(RedisModule_ZsetFirstInScoreRange)(key.0, all, most, 0, 0) };
        Self(key)
    }
}

impl Drop for SortedRange<'_> {
    fn drop(&mut self) {
        // SAFETY: the key is open.
        unsafe { api!(RedisModule_ZsetRangeStop)(self.0.0) };
    }
}

/// What [`OpenKey::scan`] gives the server.
struct Scanned<'a> {
    each: &'a mut dyn FnMut(&[u8]) -> bool,
    wants_more: bool,
    panicked: bool,
}

unsafe extern "C" fn on_element(
    _key: *mut RedisModuleKey,
    field: *mut RedisModuleString,
    value: *mut RedisModuleString,
    scanned: *mut c_void,
) {
    // SAFETY: `OpenKey::scan` gives that, and waits.
    let scanned = unsafe { &mut *scanned.cast::<Scanned<'_>>() };
    let mut ended = false;
    guard::run("a scan of a key", || {
        for part in [field, value] {
            if scanned.wants_more && !part.is_null() {
                // SAFETY: the server's strings live for the time of the call.
                let part = unsafe { StringRef::from_raw(part) };
                scanned.wants_more = (scanned.each)(part.bytes());
            }
        }
        ended = true;
    });
    if !ended {
        scanned.wants_more = false;
        scanned.panicked = true;
    }
}
