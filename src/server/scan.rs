//! Finding the streams that are there already, over all databases, in slices.
//!
//! One scan serves all that wait for one: who asks while a scan is going on gets another behind
//! it, once.

use std::time::Instant;

use gears_core::delivery::KeyRef;
use gears_core::triggers::KeyType;

use super::context::Context;
use super::ffi::scan::ScanCursor;

/// Steps between two looks at the clock; each visits a bucket of the key space.
const STEPS: usize = 32;

/// A scan over all keys of all databases, in steps, for the streams among them.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    wanted: bool,
    going_on: Option<Position>,
}

#[derive(Debug)]
struct Position {
    db: i32,
    cursor: ScanCursor,
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
                    cursor: ScanCursor::new(),
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
                && (0..STEPS).all(|_| step(context, &position.cursor, &mut names));
            for name in names.drain(..) {
                found(KeyRef { db, name: &name });
            }
            if !more {
                position.db += 1;
                position.cursor = ScanCursor::new();
            }
            if Instant::now() >= end {
                break;
            }
        }
        self.is_pending()
    }
}

/// One step; false at the end. Adds the names of the streams it came by.
fn step(context: &Context, cursor: &ScanCursor, names: &mut Vec<Vec<u8>>) -> bool {
    cursor.step(context, &mut |context, name, key_type| {
        let key_type = key_type.or_else(|| Some(context.open_for_reading(name)?.key_type()));
        if key_type == Some(KeyType::Stream) {
            names.push(name.bytes().to_vec());
        }
    })
}
