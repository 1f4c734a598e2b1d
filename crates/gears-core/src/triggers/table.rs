//! The triggers there are, and which of them an event concerns.

use std::sync::Arc;

use slotmap::SlotMap;
use smallvec::SmallVec;

use crate::delivery::{Mode, PrefixIndex};

use super::TriggerKey;

/// The name of the event of a read that found nothing.
const MISS: &[u8] = b"keymiss";

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// It is not there.
    Empty,
    /// A string.
    String,
    /// A list.
    List,
    /// A hash.
    Hash,
    /// A set.
    Set,
    /// A sorted set.
    SortedSet,
    /// A stream.
    Stream,
    /// A value of a module's own type.
    Module,
}

impl KeyType {
    /// All of them, with what scripts call them.
    pub const NAMES: [(&'static str, Self); 8] = [
        ("empty", Self::Empty),
        ("string", Self::String),
        ("list", Self::List),
        ("hash", Self::Hash),
        ("set", Self::Set),
        ("zset", Self::SortedSet),
        ("stream", Self::Stream),
        ("module", Self::Module),
    ];

    /// What scripts call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, kind)| *kind == self);
        found.map_or("module", |(name, _)| name)
    }
}

/// What a trigger asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerSpec {
    /// Keys that start with it are watched.
    pub prefix: Arc<[u8]>,
    /// Whether only the key of just that name is.
    pub exact: bool,
    /// The only events that count, whatever their case; `None` for all.
    pub event_types: Option<Arc<[Box<str>]>>,
    /// The only types of keys that count; `None` for all.
    pub key_types: Option<Arc<[KeyType]>>,
    /// Whether reads that find nothing count where no event types are given.
    pub misses: bool,
    /// Where the callback runs.
    pub mode: Mode,
    /// Whether it is given the key's type and value.
    pub read_value: bool,
    /// Milliseconds after which a call whose promise is not settled has failed.
    pub timeout_ms: Option<u32>,
}

impl TriggerSpec {
    /// One that asks for all events of keys with that prefix.
    #[must_use]
    pub fn new(prefix: &[u8], mode: Mode) -> Self {
        Self {
            prefix: prefix.into(),
            exact: false,
            event_types: None,
            key_types: None,
            misses: true,
            mode,
            read_value: false,
            timeout_ms: None,
        }
    }

    /// Whether it wants to hear of reads that found nothing.
    #[must_use]
    pub fn wants_misses(&self) -> bool {
        self.wants_event(MISS)
    }

    fn wants_event(&self, event: &[u8]) -> bool {
        match &self.event_types {
            None => self.misses || event != MISS,
            Some(wanted) => {
                let mut wanted = wanted.iter();
                wanted.any(|one| one.as_bytes().eq_ignore_ascii_case(event))
            }
        }
    }
}

struct Trigger {
    spec: TriggerSpec,
    /// Place in the order of registration.
    order: u64,
}

/// All triggers, by the keys they watch.
#[derive(Default)]
pub struct Triggers {
    all: SlotMap<TriggerKey, Trigger>,
    index: PrefixIndex<TriggerKey>,
    registered: u64,
}

impl Triggers {
    /// Adds a trigger, behind those that are there.
    pub fn add(&mut self, spec: TriggerSpec) -> TriggerKey {
        self.registered += 1;
        let (prefix, exact) = (Arc::clone(&spec.prefix), spec.exact);
        let order = self.registered;
        let key = self.all.insert(Trigger { spec, order });
        self.index.insert(&prefix, exact, key);
        key
    }

    /// Changes what a trigger asks for. It keeps its place in the order.
    pub fn change(&mut self, key: TriggerKey, spec: TriggerSpec) {
        if let Some(trigger) = self.all.get_mut(key) {
            let old = std::mem::replace(&mut trigger.spec, spec);
            self.index.remove(&old.prefix, old.exact, key);
            let new = &trigger.spec;
            self.index.insert(&new.prefix, new.exact, key);
        }
    }

    /// Removes a trigger.
    pub fn remove(&mut self, key: TriggerKey) {
        if let Some(Trigger { spec, .. }) = self.all.remove(key) {
            self.index.remove(&spec.prefix, spec.exact, key);
        }
    }

    /// What a trigger asks for.
    #[must_use]
    pub fn spec(&self, key: TriggerKey) -> Option<&TriggerSpec> {
        self.all.get(key).map(|trigger| &trigger.spec)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether any of them wants to hear of reads that found nothing.
    #[must_use]
    pub fn want_misses(&self) -> bool {
        self.all.values().any(|one| one.spec.wants_misses())
    }

    /// The triggers that an event of a key concerns, in the order of their registration. What the
    /// key holds is only asked for where it matters, and once.
    pub fn concerned(
        &self,
        event: &[u8],
        key: &[u8],
        type_of_key: impl FnOnce() -> KeyType,
    ) -> SmallVec<[TriggerKey; 2]> {
        let mut type_of_key = Some(type_of_key);
        let mut found_type = None;
        let mut found: SmallVec<[(u64, TriggerKey); 2]> = SmallVec::new();
        for one in self.index.matching(key) {
            let Some(Trigger { spec, order }) = self.all.get(one) else {
                continue;
            };
            if !spec.wants_event(event) {
                continue;
            }
            if let Some(wanted) = &spec.key_types {
                if let Some(find) = type_of_key.take() {
                    found_type = Some(find());
                }
                if !found_type.is_some_and(|found| wanted.contains(&found)) {
                    continue;
                }
            }
            found.push((*order, one));
        }
        found.sort_unstable_by_key(|(order, _)| *order);
        found.into_iter().map(|(_, one)| one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(words: &[&str]) -> Arc<[Box<str>]> {
        words.iter().map(|word| Box::from(*word)).collect()
    }

    fn found(triggers: &Triggers, event: &str, key: &str, kind: KeyType) -> Vec<TriggerKey> {
        let found = triggers.concerned(event.as_bytes(), key.as_bytes(), || kind);
        found.into_vec()
    }

    #[test]
    fn event_types_count_whatever_their_case() {
        let mut triggers = Triggers::default();
        let lists = triggers.add(TriggerSpec {
            event_types: Some(words(&["LPush", "rpush"])),
            ..TriggerSpec::new(b"", Mode::Sync)
        });
        for event in ["lpush", "RPUSH"] {
            assert_eq!(found(&triggers, event, "a", KeyType::List), [lists]);
        }
        assert!(found(&triggers, "lpop", "a", KeyType::List).is_empty());
    }

    #[test]
    fn the_type_of_a_key_is_only_asked_for_where_it_matters() {
        let mut triggers = Triggers::default();
        let all = triggers.add(TriggerSpec::new(b"", Mode::Sync));
        let of_lists = TriggerSpec {
            key_types: Some([KeyType::List].into()),
            event_types: Some(words(&["lpush"])),
            ..TriggerSpec::new(b"", Mode::Sync)
        };
        let lists = triggers.add(of_lists);
        let asked = |event: &[u8], kind| {
            let mut asked = false;
            let found = triggers.concerned(event, b"a", || {
                asked = true;
                kind
            });
            (found.into_vec(), asked)
        };
        assert_eq!(asked(b"set", KeyType::String), (vec![all], false));
        assert_eq!(asked(b"lpush", KeyType::List), (vec![all, lists], true));
        assert_eq!(asked(b"lpush", KeyType::Empty), (vec![all], true));
    }

    #[test]
    fn misses_come_only_to_who_asked_for_them_by_name_or_for_everything() {
        let mut triggers = Triggers::default();
        let everything = triggers.add(TriggerSpec::new(b"", Mode::Sync));
        triggers.add(TriggerSpec {
            misses: false,
            ..TriggerSpec::new(b"", Mode::Sync)
        });
        let by_name = triggers.add(TriggerSpec {
            misses: false,
            event_types: Some(words(&["keymiss"])),
            ..TriggerSpec::new(b"", Mode::Sync)
        });
        let concerned = found(&triggers, "keymiss", "a", KeyType::Empty);
        assert_eq!(concerned, [everything, by_name]);
        triggers.remove(everything);
        assert!(triggers.want_misses());
        triggers.remove(by_name);
        assert!(!triggers.want_misses());
    }

    #[test]
    fn a_changed_trigger_keeps_its_place_in_the_order() {
        let mut triggers = Triggers::default();
        let first = triggers.add(TriggerSpec::new(b"a", Mode::Sync));
        let second = triggers.add(TriggerSpec::new(b"", Mode::Async));
        triggers.change(first, TriggerSpec::new(b"b", Mode::Async));
        assert_eq!(found(&triggers, "set", "a", KeyType::String), [second]);
        assert_eq!(
            found(&triggers, "set", "b", KeyType::String),
            [first, second]
        );
    }

    proptest! {
        #[test]
        fn an_event_concerns_those_that_a_walk_over_all_triggers_finds(
            specs in prop::collection::vec(
                (
                    prop::collection::vec(0u8..3, 0..3),
                    any::<bool>(),
                    prop::option::of(prop::sample::subsequence(vec!["set", "del", "keymiss"], 0..3)),
                    prop::option::of(prop::sample::subsequence(vec![KeyType::Empty, KeyType::String], 0..2)),
                    any::<bool>(),
                ),
                0..12,
            ),
            event in prop::sample::select(vec!["set", "del", "keymiss", "SET"]),
            key in prop::collection::vec(0u8..3, 0..4),
            kind in prop::sample::select(vec![KeyType::Empty, KeyType::String]),
        ) {
            let mut triggers = Triggers::default();
            let mut expected = Vec::new();
            for (prefix, exact, events, types, misses) in specs {
                let matches = if exact { key == prefix } else { key.starts_with(&prefix) };
                let event_counts = match &events {
                    Some(events) => events.contains(&event.to_lowercase().as_str()),
                    None => misses || event != "keymiss",
                };
                let type_counts = types.as_ref().is_none_or(|types| types.contains(&kind));
                let one = triggers.add(TriggerSpec {
                    exact,
                    event_types: events.map(|events| words(&events)),
                    key_types: types.map(Into::into),
                    misses,
                    ..TriggerSpec::new(&prefix, Mode::Sync)
                });
                if matches && event_counts && type_counts {
                    expected.push(one);
                }
            }
            let found = triggers.concerned(event.as_bytes(), &key, || kind);
            prop_assert_eq!(found.into_vec(), expected);
        }
    }
}
