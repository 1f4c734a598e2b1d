//! Bytes of what has come back for programs that have not taken it: of all programs together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many there are.
#[derive(Debug, Default)]
pub struct HeldBytes(AtomicUsize);

impl HeldBytes {
    /// How many there are now.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bytes that are held as long as this lives.
#[derive(Debug)]
pub struct Held {
    of: Arc<HeldBytes>,
    bytes: usize,
}

impl Held {
    /// None yet.
    #[must_use]
    pub fn of(all: &Arc<HeldBytes>) -> Self {
        Self {
            of: Arc::clone(all),
            bytes: 0,
        }
    }

    /// Holds more.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.of.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        let all = Arc::default();
        let (mut one, mut other) = (Held::of(&all), Held::of(&all));
        one.add(3);
        one.add(4);
        other.add(5);
        assert_eq!(all.get(), 12);
        drop(one);
        assert_eq!(all.get(), 5);
        drop(other);
        assert_eq!(all.get(), 0);
    }
}
