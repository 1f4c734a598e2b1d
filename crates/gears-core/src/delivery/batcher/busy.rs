//! Which groups have batches in flight.

use hashbrown::HashMap;

/// The groups of the batches that are in flight, each with how many of these it has.
#[derive(Debug, Default)]
pub(super) struct Busy {
    batches: HashMap<u64, usize>,
    /// Batches that wait there for others of their group: those of each group but its first.
    behind: usize,
}

impl Busy {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn contains(&self, group: u64) -> bool {
        self.batches.contains_key(&group)
    }

    /// How many batches wait for others of their group.
    pub(super) fn behind(&self) -> usize {
        self.behind
    }

    /// A batch of these groups is in flight, each of them named once.
    pub(super) fn hold(&mut self, groups: &[u64]) {
        for group in groups {
            let count = self.batches.entry(*group).or_insert(0);
            self.behind += usize::from(*count > 0);
            *count += 1;
        }
    }

    /// It is not any more; whether a group is free for that.
    pub(super) fn release(&mut self, groups: &[u64]) -> bool {
        let mut is_free = false;
        for group in groups {
            if let Some(count) = self.batches.get_mut(group) {
                *count -= 1;
                if *count == 0 {
                    self.batches.remove(group);
                    is_free = true;
                } else {
                    self.behind -= 1;
                }
            }
        }
        is_free
    }
}
