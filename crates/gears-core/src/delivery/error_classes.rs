//! What went wrong how often, by class: errors differ in their details, and there are too many to keep.

use std::collections::BTreeMap;

use super::error_text;

/// Classes that are told apart. Which come first are.
const CLASSES: usize = 16;
/// Bytes of a class.
const CLASS_MAX: usize = 64;
/// What all others are counted as.
const OTHER: &str = "other";

/// Errors that were counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorClasses {
    counts: BTreeMap<Box<str>, u64>,
    others: u64,
}

impl ErrorClasses {
    pub(super) const NONE: Self = Self {
        counts: BTreeMap::new(),
        others: 0,
    };

    /// Counts an error.
    pub(super) fn note(&mut self, error: &str) {
        let class = class_of(error_text::message(error));
        if let Some(count) = self.counts.get_mut(class) {
            *count += 1;
        } else if self.counts.len() < CLASSES && class != OTHER {
            self.counts.insert(class.into(), 1);
        } else {
            self.others += 1;
        }
    }

    /// Each class with its count, by name; all that are told apart no more come last, as `other`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let counts = self.counts.iter();
        let others = (self.others > 0).then_some((OTHER, self.others));
        counts
            .map(|(class, count)| (&**class, *count))
            .chain(others)
    }
}

/// What is said of an owner who may not have a stream has this behind the owner's name.
const NO_PERMISSION: &str = "' has no permissions on key '";

/// The class of an error: the code it begins with, as the server's errors do; else what stands before
/// its first colon, such as `TypeError`; else its first line.
fn class_of(error: &str) -> &str {
    let word = error.split([' ', ':', '\n']).next().unwrap_or_default();
    let is_code = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    let class = if is_code {
        word
    } else if error.starts_with("User '") && error.contains(NO_PERMISSION) {
        // It has no code, and names the key: each stream would be a class of its own.
        "NOPERM"
    } else {
        error.split([':', '\n']).next().unwrap_or_default().trim()
    };
    let ends = |length: &usize| class.is_char_boundary(*length);
    let length = (0..=CLASS_MAX.min(class.len())).rev().find(ends);
    &class[..length.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_the_code_or_what_stands_before_the_colon() {
        for (error, class) in [
            ("TypeError: x is not a function\n    at lib:3", "TypeError"),
            ("NOPERM User 'a' has no permissions: none", "NOPERM"),
            ("ERR wrong number of arguments", "ERR"),
            (
                "User 'a' has no permissions on key 's:1', User may not run XREAD.",
                "NOPERM",
            ),
            (
                "the callback reported it as failed",
                "the callback reported it as failed",
            ),
            ("two lines\nof text", "two lines"),
            ("A thing: none", "A thing"),
            ("", ""),
        ] {
            assert_eq!(class_of(error), class);
        }
        assert_eq!(class_of(&"ü".repeat(100)).len(), CLASS_MAX);
    }

    #[test]
    fn classes_are_bounded_and_no_error_is_lost() {
        let mut classes = ErrorClasses::default();
        for number in 0..100 {
            classes.note(&format!("error {}: x", number % 50));
        }
        classes.note("other: x");
        let counted: Vec<_> = classes.iter().collect();
        assert_eq!(counted.len(), CLASSES + 1);
        assert_eq!(counted.iter().map(|(_, count)| count).sum::<u64>(), 101);
        assert_eq!(counted[0], ("error 0", 2));
        assert_eq!(counted[CLASSES], (OTHER, 101 - 2 * CLASSES as u64));
    }
}
