//! Which database is where: `SWAPDB` exchanges what two numbers stand for.
//!
//! What lies in a database stays there. So it is known by the number that its database had at the start,
//! its *home*: then a swap changes two numbers, however much is in the two.

/// The number that each database has now, and the one that it had at the start, its home.
#[derive(Debug, Default)]
pub struct Databases {
    /// The numbers of the databases by their homes, as far as they were ever swapped.
    numbers: Vec<i32>,
}

impl Databases {
    /// The home of the database that has this number now.
    #[must_use]
    #[inline]
    pub fn home(&self, number: i32) -> i32 {
        let home = self.numbers.iter().position(|one| *one == number);
        let home = home.and_then(|home| i32::try_from(home).ok());
        home.unwrap_or(number)
    }

    /// The number that a database has now.
    #[must_use]
    #[inline]
    pub fn number(&self, home: i32) -> i32 {
        let at = usize::try_from(home).ok();
        let number = at.and_then(|at| self.numbers.get(at));
        number.copied().unwrap_or(home)
    }

    /// Two databases changed places.
    pub fn swap(&mut self, a: i32, b: i32) {
        while self.numbers.len() <= usize::try_from(a.max(b)).unwrap_or(0) {
            let next = i32::try_from(self.numbers.len()).unwrap_or(i32::MAX);
            self.numbers.push(next);
        }
        for number in &mut self.numbers {
            *number = swapped(*number, a, b);
        }
    }
}

/// The number that a database has after two changed places.
pub(super) fn swapped(db: i32, a: i32, b: i32) -> i32 {
    match db {
        db if db == a => b,
        db if db == b => a,
        db => db,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_found_wherever_it_was_put() {
        let mut databases = Databases::default();
        let homes: Vec<_> = (0..4).map(|number| databases.home(number)).collect();
        databases.swap(0, 2);
        databases.swap(2, 3);
        databases.swap(1, 1);
        let numbers: Vec<_> = homes.iter().map(|home| databases.number(*home)).collect();
        assert_eq!(numbers, [3, 1, 0, 2]);
        let there_and_back = (0..9).map(|number| databases.number(databases.home(number)));
        assert_eq!(
            there_and_back.collect::<Vec<_>>(),
            (0..9).collect::<Vec<_>>()
        );
    }
}
