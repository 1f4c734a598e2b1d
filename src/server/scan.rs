//! Finding the streams that are there already, over all databases, in slices.
//!
//! One scan serves all that wait for one: who asks while a scan is going on gets another behind
//! it, once.

use std::ffi::c_void;
use std::time::Instant;

use redis_module::raw::{RedisModuleCtx, RedisModuleKey, RedisModuleScanCursor, RedisModuleString};

use gears_core::delivery::KeyRef;

use super::api;
use super::constants::KEY_TYPE_STREAM;
use super::context::{Context, bytes};

/// Steps between two looks at the clock; each visits a bucket of the key space.
const STEPS: usize = 32;

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    wanted: bool,
    going_on: Option<Position>,
}

#[derive(Debug)]
struct Position {
    db: i32,
    cursor: Cursor,
}

impl Scan {
    /// Asks for a scan of everything from now on.
    pub(crate) fn request(&mut self) {
        self.wanted = true;
    }

    /// Whether there is something to do.
    pub(crate) fn is_pending(&self) -> bool {
        self.wanted || self.going_on.is_some()
    }

    /// Goes on until `end`; tells of each stream. False when everything is done.
    pub(crate) fn advance(
        &mut self,
        context: &Context,
        end: Instant,
        mut found: impl FnMut(KeyRef<'_>),
    ) -> bool {
        let mut names = Vec::new();
        while self.is_pending() {
            if self.going_on.is_none() {
                self.wanted = false;
                self.going_on = Some(Position {
                    db: 0,
                    cursor: Cursor::new(),
                });
            }
            let Some(position) = &mut self.going_on else {
                break;
            };
            let db = position.db;
            if !context.select(db) {
                // There is no such database: that was the last one.
                self.going_on = None;
                continue;
            }
            let more = context.key_count() > 0
                && (0..STEPS).all(|_| position.cursor.step(context, &mut names));
            for name in names.drain(..) {
                found(KeyRef { db, name: &name });
            }
            if !more {
                position.db += 1;
                position.cursor = Cursor::new();
            }
            if Instant::now() >= end {
                break;
            }
        }
        self.is_pending()
    }
}

#[derive(Debug)]
struct Cursor(*mut RedisModuleScanCursor);

impl Cursor {
    fn new() -> Self {
        // SAFETY: no precondition.
        Self(unsafe { api!(RedisModule_ScanCursorCreate)() })
    }

    /// One step; false at the end. Adds the names of the streams it came by.
    fn step(&mut self, context: &Context, names: &mut Vec<Vec<u8>>) -> bool {
        // SAFETY: the callback gets the vector back as its data, during this call only.
        let more = unsafe {
            api!(RedisModule_Scan)(
                context.as_ptr(),
                self.0,
                Some(note_stream),
                std::ptr::from_mut(names).cast(),
            )
        };
        more != 0
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        unsafe { api!(RedisModule_ScanCursorDestroy)(self.0) };
    }
}

unsafe extern "C" fn note_stream(
    context: *mut RedisModuleCtx,
    name: *mut RedisModuleString,
    key: *mut RedisModuleKey,
    data: *mut c_void,
) {
    super::guard::run("a scan", || {
        // SAFETY: `step` gives the vector; the server gives a live name, and a key that is open or
        // null, in which case it may be opened.
        unsafe {
            let names = &mut *data.cast::<Vec<Vec<u8>>>();
            let is_stream = if key.is_null() {
                Context::from_raw(context)
                    .open_for_reading(name)
                    .is_some_and(|key| key.is_stream())
            } else {
                let kind = api!(RedisModule_KeyType)(key);
                kind == KEY_TYPE_STREAM
            };
            if is_stream {
                names.push(bytes(name).to_vec());
            }
        }
    });
}
