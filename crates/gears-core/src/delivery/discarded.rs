//! What was forgotten at once, and whose memory is given back a part at a time: to free what was known
//! of a million streams takes a second.

use std::collections::VecDeque;

/// Values of a part.
const PART: usize = 2048;

/// Lists of parts; whoever takes a part drops it.
type Parts = Box<dyn Iterator<Item = ()> + Send>;

/// What is to be freed, a part at a time.
#[derive(Default)]
pub(super) struct Discarded(VecDeque<Parts>);

impl std::fmt::Debug for Discarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Discarded({})", self.0.len())
    }
}

impl Discarded {
    /// Has values freed, [`PART`] at a time.
    pub(super) fn add<T>(&mut self, values: impl IntoIterator<Item = T, IntoIter: Send + 'static>) {
        let mut values = values.into_iter();
        self.0.push_back(Box::new(std::iter::from_fn(move || {
            (values.by_ref().take(PART).count() > 0).then_some(())
        })));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Frees a part.
    pub(super) fn free_part(&mut self) {
        while let Some(parts) = self.0.front_mut() {
            if parts.next().is_some() {
                return;
            }
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn values_are_freed_a_part_at_a_time_and_in_the_end_all_of_them() {
        let value = Arc::new(());
        let mut discarded = Discarded::default();
        discarded.add(vec![Arc::clone(&value); PART]);
        discarded.add(vec![Arc::clone(&value); PART + 1]);
        let mut left = Vec::new();
        while !discarded.is_empty() {
            discarded.free_part();
            left.push(Arc::strong_count(&value) - 1);
        }
        assert_eq!(left, [PART + 1, 1, 0, 0]);
    }
}
