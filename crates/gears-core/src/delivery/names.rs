//! The streams that are tracked, by database and name.
//!
//! The names themselves are with the streams: here is only where to look.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::StreamKey;
use super::event::KeyRef;
use super::tracked::{TrackedStream, TrackedStreams};

/// The keys of the tracked streams, by database and name.
#[derive(Debug, Default)]
pub(super) struct Names {
    databases: HashMap<i32, HashTable<StreamKey>>,
    hasher: DefaultHashBuilder,
    /// Bytes of all names.
    bytes: usize,
}

impl Names {
    pub(super) fn get(&self, key: KeyRef<'_>, streams: &TrackedStreams) -> Option<StreamKey> {
        let names = self.databases.get(&key.db)?;
        let hash = self.hasher.hash_one(key.name);
        let found = names.find(hash, |one| *streams[*one].name == *key.name);
        found.copied()
    }

    /// Lists a stream, whose database and name must not be those of one that is listed.
    pub(super) fn insert(&mut self, stream: StreamKey, streams: &TrackedStreams) {
        let TrackedStream { db, name, .. } = &streams[stream];
        let hasher = &self.hasher;
        let names = self.databases.entry(*db).or_default();
        names.insert_unique(hasher.hash_one(&**name), stream, |one| {
            hasher.hash_one(&*streams[*one].name)
        });
        self.bytes += name.len();
    }

    /// Takes a stream out of the list that had this name.
    pub(super) fn remove(&mut self, key: KeyRef<'_>, stream: StreamKey) {
        let hash = self.hasher.hash_one(key.name);
        if let Some(names) = self.databases.get_mut(&key.db)
            && let Ok(found) = names.find_entry(hash, |one| *one == stream)
        {
            found.remove();
            self.bytes -= key.name.len();
            if names.is_empty() {
                self.databases.remove(&key.db);
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
        let names = self.databases.get(&db);
        let mut streams: Vec<_> = names.map_or_else(Vec::new, |one| one.iter().copied().collect());
        streams.sort_unstable();
        streams
    }

    /// Exchanges two databases.
    pub(super) fn swap(&mut self, a: i32, b: i32) {
        let of_a = self.databases.remove(&a).unwrap_or_default();
        let of_b = self.databases.remove(&b).unwrap_or_default();
        self.databases.insert(a, of_b);
        self.databases.insert(b, of_a);
    }
}

/// Where a database is after two changed places.
pub(super) fn swapped(db: i32, a: i32, b: i32) -> i32 {
    match db {
        db if db == a => b,
        db if db == b => a,
        db => db,
    }
}
