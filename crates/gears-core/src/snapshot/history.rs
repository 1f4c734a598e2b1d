//! What a library was before: the version it is at, and the texts that are kept to go back to.

use serde::{Deserialize, Serialize};

/// Bytes of the earlier texts of one library that are kept altogether.
const BYTES_MAX: usize = 4 << 20;

/// When and by whom a library was loaded, and what it was before that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The number of its text: 1 for the first, and one more for each other text.
    pub version: u64,
    /// When it was loaded last, in Unix milliseconds; 0 if that was by a release that noted no time.
    pub loaded_ms: u64,
    /// The user who did; empty if that was by such a release.
    pub loaded_by: String,
    /// Its earlier texts that are kept, the oldest first.
    pub earlier: Vec<EarlierVersion>,
}

/// A text that a library had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierVersion {
    /// Its number.
    pub version: u64,
    /// When it was loaded last.
    pub loaded_ms: u64,
    /// The user who did.
    pub loaded_by: String,
    /// The library's owner then.
    pub user: String,
    /// The text.
    pub code: String,
}

/// That of a library which an earlier release kept.
impl Default for History {
    fn default() -> Self {
        Self::first(0, "")
    }
}

impl History {
    /// That of a library which is loaded for the first time.
    #[must_use]
    pub fn first(loaded_ms: u64, loaded_by: &str) -> Self {
        Self {
            version: 1,
            loaded_ms,
            loaded_by: loaded_by.to_owned(),
            earlier: Vec::new(),
        }
    }

    /// That of the library once its text, which was `code` of the owner `user`, gives way to
    /// another. At most `most` texts are kept, the one that comes included.
    #[must_use]
    pub fn then(
        &self,
        (code, user): (&str, &str),
        loaded_ms: u64,
        loaded_by: &str,
        most: usize,
    ) -> Self {
        let mut earlier = self.earlier.clone();
        earlier.push(EarlierVersion {
            version: self.version,
            loaded_ms: self.loaded_ms,
            loaded_by: self.loaded_by.clone(),
            user: user.to_owned(),
            code: code.to_owned(),
        });
        let mut bytes = 0;
        let newest = earlier.iter().rev().take(most.saturating_sub(1));
        let fitting = newest.take_while(|one| {
            bytes += one.code.len();
            bytes <= BYTES_MAX
        });
        let gone = earlier.len() - fitting.count();
        earlier.drain(..gone);
        Self {
            version: self.version.saturating_add(1),
            loaded_ms,
            loaded_by: loaded_by.to_owned(),
            earlier,
        }
    }

    /// That of the library once the same text is loaded again.
    #[must_use]
    pub fn again(&self, loaded_ms: u64, loaded_by: &str) -> Self {
        Self {
            loaded_ms,
            loaded_by: loaded_by.to_owned(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(history: &History) -> Vec<u64> {
        history.earlier.iter().map(|one| one.version).collect()
    }

    #[test]
    fn the_last_texts_are_kept_and_each_knows_who_loaded_it_when() {
        let mut history = History::first(10, "anna");
        for (code, ms) in [("a", 20), ("b", 30), ("c", 40)] {
            history = history.then((code, "owner"), ms, "bert", 3);
        }
        assert_eq!((history.version, history.loaded_ms), (4, 40));
        assert_eq!(versions(&history), [2, 3]);
        let expected = EarlierVersion {
            version: 3,
            loaded_ms: 30,
            loaded_by: "bert".into(),
            user: "owner".into(),
            code: "c".into(),
        };
        assert_eq!(history.earlier[1], expected);
        let alone = history.then(("d", "owner"), 50, "bert", 1);
        assert_eq!((alone.version, versions(&alone)), (5, vec![]));
    }

    #[test]
    fn the_same_text_stays_the_same_version() {
        let history = History::first(10, "anna").then(("a", "anna"), 20, "anna", 5);
        let again = history.again(30, "bert");
        assert_eq!((again.version, again.loaded_ms), (2, 30));
        assert_eq!((&*again.loaded_by, versions(&again)), ("bert", vec![1]));
    }

    #[test]
    fn earlier_texts_take_no_more_than_so_many_bytes() {
        let half = "x".repeat(BYTES_MAX / 2);
        let mut history = History::first(0, "");
        for code in ["a", &half, &half] {
            history = history.then((code, ""), 0, "", 100);
        }
        assert_eq!(versions(&history), [2, 3]);
        let large = "x".repeat(BYTES_MAX + 1);
        let history = history.then((&large, ""), 0, "", 100);
        assert_eq!(versions(&history), [] as [u64; 0]);
    }
}
