//! Which database is where: SWAPDB exchanges what two numbers stand for.
//!
//! Code that acts on a key, or on a stream's entries, acts where these are, however long ago it was
//! told of them. So it is told a database by the number that it had at the start, its *home*, and
//! that is looked up when the server's lock is held.

use std::cell::RefCell;

use gears_core::delivery::Databases;
use gears_v8::ports::Database;

/// Which database is where. Used under the server's lock only.
#[derive(Default)]
pub(crate) struct DatabaseHandles(RefCell<Databases>);

impl DatabaseHandles {
    /// The database of this number.
    pub(crate) fn of(&self, number: i32) -> Database {
        Database::Home(self.0.borrow().home(number))
    }

    /// The number that a database has now.
    pub(crate) fn number(&self, home: i32) -> i32 {
        self.0.borrow().number(home)
    }

    /// Two databases changed places.
    pub(crate) fn swap(&self, a: i32, b: i32) {
        self.0.borrow_mut().swap(a, b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_told_as_one_number_and_back() {
        for db in [0, 1, 15].map(Database::Number) {
            assert_eq!(Database::of_packed(db.packed()), db);
        }
        for db in [0, 1, 15].map(Database::Home) {
            assert_eq!(Database::of_packed(db.packed()), db);
        }
    }
}
