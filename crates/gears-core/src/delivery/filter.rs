//! Which entries a consumer wants, told by their fields: decided before any script runs.
//!
//! Of fields with the same name the first counts.

use super::record::Record;

/// What an entry's fields must be like. All of it must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Conditions by the name of the field.
    pub fields: Vec<(Vec<u8>, Condition)>,
}

/// What one field must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Its value is this one.
    Equals(Vec<u8>),
    /// Its value begins like this.
    Prefix(Vec<u8>),
    /// It is there, or it is not.
    Exists(bool),
    /// One of these holds.
    Any(Vec<Condition>),
    /// This does not hold.
    Not(Box<Condition>),
}

impl Filter {
    /// Whether the consumer wants the entry.
    #[must_use]
    pub fn matches(&self, record: Record<'_>) -> bool {
        let mut fields = self.fields.iter();
        fields.all(|(name, condition)| condition.holds(record.value(name)))
    }
}

impl Condition {
    fn holds(&self, value: Option<&[u8]>) -> bool {
        match self {
            Self::Equals(wanted) => value == Some(wanted),
            Self::Prefix(wanted) => value.is_some_and(|value| value.starts_with(wanted)),
            Self::Exists(wanted) => value.is_some() == *wanted,
            Self::Any(conditions) => conditions.iter().any(|one| one.holds(value)),
            Self::Not(condition) => !condition.holds(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::EntryId;
    use super::super::record::RecordBatch;
    use super::*;

    fn holds(condition: &Condition, parts: &[&[u8]]) -> bool {
        let mut batch = RecordBatch::default();
        batch.begin(EntryId::new(1, 1));
        for part in parts {
            batch.push(part);
        }
        let fields = vec![(b"f".to_vec(), condition.clone())];
        Filter { fields }.matches(batch.get(0))
    }

    #[test]
    fn each_condition_holds_for_what_it_names_and_for_nothing_else() {
        use Condition::{Any, Equals, Exists, Not, Prefix};
        let a = || Equals(b"a".to_vec());
        let cases: [(Condition, [bool; 3]); 6] = [
            (a(), [true, false, false]),
            (Prefix(b"a".to_vec()), [true, true, false]),
            (Exists(true), [true, true, false]),
            (Exists(false), [false, false, true]),
            (Any(vec![Exists(false), a()]), [true, false, true]),
            (Not(Box::new(a())), [false, true, true]),
        ];
        for (condition, expected) in cases {
            let found = [
                holds(&condition, &[b"x", b"1", b"f", b"a"]),
                holds(&condition, &[b"f", b"ab"]),
                holds(&condition, &[b"x", b"f"]),
            ];
            assert_eq!(found, expected, "{condition:?}");
        }
    }

    #[test]
    fn the_first_field_of_a_name_counts() {
        let condition = Condition::Equals(b"a".to_vec());
        assert!(holds(&condition, &[b"f", b"a", b"f", b"b"]));
        assert!(!holds(&condition, &[b"f", b"b", b"f", b"a"]));
    }
}
