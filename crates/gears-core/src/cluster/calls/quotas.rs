//! How many calls each library has, so that one that makes ever more of them, such as a function that calls itself,
//! leaves room for those of the others.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The calls of each library, of so many altogether at most. A library may have as many as there is room left: one
/// alone half of them, the next a quarter, and one that has none yet finds room as long as there is any.
#[derive(Debug)]
pub(super) struct LibraryQuotas {
    most: usize,
    all: usize,
    of: BTreeMap<Arc<str>, usize>,
}

impl LibraryQuotas {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            all: 0,
            of: BTreeMap::new(),
        }
    }

    /// One more of a library; gives its name, to be handed back with it. `None` where the library has its share.
    pub(super) fn take(&mut self, library: &str) -> Option<Arc<str>> {
        let left = self.most.saturating_sub(self.all);
        let known = self.of.get_key_value(library);
        let (name, count) = known.map_or_else(
            || (Arc::from(library), 0),
            |(name, count)| (Arc::clone(name), *count),
        );
        if count >= left {
            return None;
        }
        self.all += 1;
        self.of.insert(Arc::clone(&name), count + 1);
        Some(name)
    }

    /// One less.
    pub(super) fn give_back(&mut self, library: &str) {
        let Some(count) = self.of.get_mut(library) else {
            return;
        };
        *count -= 1;
        self.all -= 1;
        if *count == 0 {
            self.of.remove(library);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_library_alone_has_half_the_next_a_quarter_and_a_new_one_finds_room() {
        let mut quotas = LibraryQuotas::new(16);
        let mut fill = |library| std::iter::from_fn(|| quotas.take(library)).count();
        assert_eq!([fill("a"), fill("b"), fill("c"), fill("d")], [8, 4, 2, 1]);
        assert_eq!([fill("a"), fill("e"), fill("f")], [0, 1, 0]);
        quotas.give_back("a");
        assert_eq!(quotas.take("a"), None);
        assert!(quotas.take("f").is_some());
    }

    proptest! {
        #[test]
        fn there_are_never_more_than_so_many_and_in_the_end_nothing_is_kept(
            most in 0_usize..20, steps in prop::collection::vec((0_u8..5, any::<bool>()), 0..100),
        ) {
            let mut quotas = LibraryQuotas::new(most);
            let mut held = Vec::new();
            for (library, takes) in steps {
                if takes {
                    let library = library.to_string();
                    let has_none = !held.iter().any(|one: &Arc<str>| **one == *library);
                    let has_room = held.len() < most;
                    let taken = quotas.take(&library);
                    prop_assert!(taken.is_some() || !(has_none && has_room));
                    held.extend(taken);
                } else if let Some(one) = held.pop() {
                    quotas.give_back(&one);
                }
                prop_assert!(held.len() <= most);
                prop_assert_eq!(quotas.all, held.len());
            }
            for one in held {
                quotas.give_back(&one);
            }
            prop_assert!(quotas.all == 0 && quotas.of.is_empty());
        }
    }
}
