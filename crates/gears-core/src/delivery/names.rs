//! The streams that are tracked, by database and name.
//!
//! The names themselves are with the streams: here is only where to look. Each database has many small
//! tables: when one grows, it goes through all that it has.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::StreamKey;
use super::databases::Databases;
use super::event::KeyRef;
use super::tracked::{TrackedStream, TrackedStreams};

/// Tables of one database, a power of two.
const TABLES: usize = 256;

/// The streams of one database.
#[derive(Debug)]
struct Database {
    tables: Box<[HashTable<StreamKey>]>,
    len: usize,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            tables: (0..TABLES).map(|_| HashTable::new()).collect(),
            len: 0,
        }
    }
}

impl Database {
    /// Where in `tables` a name is. A table itself goes by the first and the last bits.
    fn at(hash: u64) -> usize {
        (hash >> 32) as usize & (TABLES - 1)
    }
}

/// The keys of the tracked streams, by database and name.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By the homes of the databases.
    databases: HashMap<i32, Database>,
    /// Where the databases are.
    places: Databases,
    hasher: DefaultHashBuilder,
    /// Bytes of all names.
    bytes: usize,
}

impl Names {
    pub(super) fn get(&self, key: KeyRef<'_>, streams: &TrackedStreams) -> Option<StreamKey> {
        let database = self.databases.get(&self.places.home(key.db))?;
        let hash = self.hasher.hash_one(key.name);
        let names = &database.tables[Database::at(hash)];
        let found = names.find(hash, |one| *streams[*one].name == *key.name);
        found.copied()
    }

    /// Lists a stream, whose database and name must not be those of one that is listed.
    pub(super) fn insert(&mut self, stream: StreamKey, streams: &TrackedStreams) {
        let TrackedStream { home, name, .. } = &streams[stream];
        let hasher = &self.hasher;
        let database = self.databases.entry(*home).or_default();
        let hash = hasher.hash_one(&**name);
        database.tables[Database::at(hash)]
            .insert_unique(hash, stream, |one| hasher.hash_one(&*streams[*one].name));
        database.len += 1;
        self.bytes += name.len();
    }

    /// Takes a stream out of the list that had this name in this database.
    pub(super) fn remove(&mut self, home: i32, name: &[u8], stream: StreamKey) {
        let hash = self.hasher.hash_one(name);
        if let Some(database) = self.databases.get_mut(&home)
            && let Ok(found) =
                database.tables[Database::at(hash)].find_entry(hash, |one| *one == stream)
        {
            found.remove();
            database.len -= 1;
            self.bytes -= name.len();
            if database.len == 0 {
                self.databases.remove(&home);
            }
        }
    }

    /// Bytes of all names.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The streams of one database, in the order in which they came into sight: what follows from
    /// the same facts is the same.
    pub(super) fn of_database(&self, db: i32) -> Vec<StreamKey> {
        let database = self.databases.get(&self.places.home(db));
        let tables = database.into_iter().flat_map(|one| &one.tables);
        let mut streams: Vec<_> = tables.flatten().copied().collect();
        streams.sort_unstable();
        streams
    }

    /// Whether all streams are in this database.
    pub(super) fn are_all_in(&self, db: i32) -> bool {
        let home = self.places.home(db);
        self.databases.keys().all(|one| *one == home)
    }

    /// Forgets all streams.
    pub(super) fn clear(&mut self) {
        self.databases.clear();
        self.bytes = 0;
    }

    // --- where the databases are ----------------------------------------------------------------

    /// The home of the database that has this number now.
    pub(super) fn home(&self, db: i32) -> i32 {
        self.places.home(db)
    }

    /// The number that a database has now.
    pub(super) fn db(&self, home: i32) -> i32 {
        self.places.number(home)
    }

    /// Two databases changed places.
    pub(super) fn swap(&mut self, a: i32, b: i32) {
        self.places.swap(a, b);
    }
}
