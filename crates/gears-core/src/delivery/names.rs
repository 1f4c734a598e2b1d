//! The streams that are tracked, by database and name.

use std::sync::Arc;

use hashbrown::HashMap;

use super::StreamKey;
use super::event::KeyRef;

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Names {
    databases: HashMap<i32, HashMap<Arc<[u8]>, StreamKey>>,
}

impl Names {
    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<StreamKey> {
        self.databases.get(&key.db)?.get(key.name).copied()
    }

    pub(super) fn insert(&mut self, db: i32, name: Arc<[u8]>, stream: StreamKey) {
        self.databases.entry(db).or_default().insert(name, stream);
    }

    pub(super) fn remove(&mut self, key: KeyRef<'_>) -> Option<StreamKey> {
        self.databases.get_mut(&key.db)?.remove(key.name)
    }

    /// The streams of one database, in the order in which they came into sight: what follows from
    /// the same facts is the same.
    pub(super) fn of_database(&self, db: i32) -> Vec<StreamKey> {
        let names = self.databases.get(&db);
        let mut streams: Vec<_> =
            names.map_or_else(Vec::new, |one| one.values().copied().collect());
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
