//! Which database is where: SWAPDB exchanges what two numbers stand for.
//!
//! Code that acts on a key, or on a stream's entries, acts where these are, however long ago it was
//! told of them. So it is told a database by the number that it had at the start, its *home*, and
//! that is looked up when the server's lock is held.

use std::cell::RefCell;

use gears_v8::ports::Database;

/// Which number each database has now that had another when the server started.
/// Used under the server's lock only.
#[derive(Default)]
pub(crate) struct DatabaseHandles {
    /// The numbers of the databases that had these places as their numbers, as far as they differ.
    numbers: RefCell<Vec<i32>>,
}

impl DatabaseHandles {
    /// The database of this number.
    pub(crate) fn of(&self, number: i32) -> Database {
        let numbers = self.numbers.borrow();
        let home = numbers.iter().position(|one| *one == number);
        let home = home.and_then(|home| i32::try_from(home).ok());
        Database::Home(home.unwrap_or(number))
    }

    /// The number that a database has now.
    pub(crate) fn number(&self, home: i32) -> i32 {
        let numbers = self.numbers.borrow();
        let at = usize::try_from(home).ok();
        at.and_then(|at| numbers.get(at)).copied().unwrap_or(home)
    }

    /// Two databases changed places.
    pub(crate) fn swap(&self, a: i32, b: i32) {
        let mut numbers = self.numbers.borrow_mut();
        while numbers.len() <= usize::try_from(a.max(b)).unwrap_or(0) {
            let next = i32::try_from(numbers.len()).unwrap_or(i32::MAX);
            numbers.push(next);
        }
        for number in numbers.iter_mut() {
            *number = match *number {
                one if one == a => b,
                one if one == b => a,
                one => one,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_found_wherever_it_was_put() {
        let database_handles = DatabaseHandles::default();
        let of: Vec<_> = (0..4).map(|number| database_handles.of(number)).collect();
        database_handles.swap(0, 2);
        database_handles.swap(2, 3);
        database_handles.swap(1, 1);
        let numbers = |of: &[Database]| -> Vec<_> {
            let number = |db: &Database| match *db {
                Database::Home(home) => database_handles.number(home),
                Database::Number(number) => number,
            };
            of.iter().map(number).collect()
        };
        assert_eq!(numbers(&of), [3, 1, 0, 2]);
        let again: Vec<_> = (0..9).map(|number| database_handles.of(number)).collect();
        assert_eq!(numbers(&again), (0..9).collect::<Vec<_>>());
    }

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
