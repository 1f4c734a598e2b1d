//! Lines that come again and again: the first is written at once, then at most one a second, with
//! how many there were meanwhile.
//!
//! Pure: time is a parameter.

use std::time::{Duration, Instant};

use log::Level;

/// The time between two lines of the same text from the same place.
const PAUSE: Duration = Duration::from_secs(1);
/// Texts that are known at a time.
const KNOWN: usize = 64;

/// Which line of code logs something.
pub(super) type Origin = (Option<&'static str>, Option<u32>);

/// The lines that were written lately.
#[derive(Debug)]
pub(super) struct Throttle {
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    origin: Origin,
    level: Level,
    text: String,
    written: Instant,
    /// How often it came since, and was not written.
    more: u64,
}

/// A line to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) text: String,
}

impl Known {
    /// What is to be said of those that were not written; nothing where there are none.
    fn take_line(&mut self) -> Option<Line> {
        let more = std::mem::take(&mut self.more);
        (more > 0).then(|| Line {
            level: self.level,
            text: format!("{} ({more} more)", self.text),
        })
    }
}

impl Throttle {
    /// Nothing was written yet.
    pub(super) const fn new() -> Self {
        Self { known: Vec::new() }
    }

    /// A line is to be logged; gives those that are to be written now.
    pub(super) fn admit(
        &mut self,
        origin: Origin,
        level: Level,
        text: String,
        now: Instant,
    ) -> Vec<Line> {
        let is_it = |one: &&mut Known| one.origin == origin && one.text == text;
        if let Some(known) = self.known.iter_mut().find(is_it) {
            known.more += 1;
            if now.duration_since(known.written) < PAUSE {
                return Vec::new();
            }
            known.written = now;
            return known.take_line().into_iter().collect();
        }
        let mut lines = Vec::new();
        if self.known.len() >= KNOWN {
            let oldest = self.known.iter().enumerate();
            let oldest = oldest.min_by_key(|(_, one)| one.written);
            if let Some((place, _)) = oldest {
                lines.extend(self.known.swap_remove(place).take_line());
            }
        }
        lines.push(Line {
            level,
            text: text.clone(),
        });
        self.known.push(Known {
            origin,
            level,
            text,
            written: now,
            more: 0,
        });
        lines
    }

    /// The lines that have waited long enough, and of which no other one came.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Line> {
        let mut lines = Vec::new();
        self.known.retain_mut(|one| {
            if now.duration_since(one.written) < PAUSE {
                return true;
            }
            one.written = now;
            let line = one.take_line();
            let had_more = line.is_some();
            lines.extend(line);
            had_more
        });
        lines
    }

    /// Forgets all; gives what was still to be said.
    pub(super) fn forget(&mut self) -> Vec<Line> {
        let all = std::mem::take(&mut self.known);
        all.into_iter()
            .filter_map(|mut one| one.take_line())
            .collect()
    }

    /// Whether something is still to be said, or to be forgotten.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Origin = (Some("here.rs"), Some(1));

    fn texts(lines: Vec<Line>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn the_first_is_written_at_once_and_the_others_once_a_second_with_their_number() {
        let (mut throttle, start) = (Throttle::new(), Instant::now());
        let mut at = |ms| {
            let now = start + Duration::from_millis(ms);
            texts(throttle.admit(HERE, Level::Warn, "a".into(), now))
        };
        assert_eq!(at(0), ["a"]);
        assert_eq!(at(1), Vec::<String>::new());
        assert_eq!(at(999), Vec::<String>::new());
        assert_eq!(at(1000), ["a (3 more)"]);
        assert_eq!(at(1500), Vec::<String>::new());
        assert_eq!(at(2000), ["a (2 more)"]);
    }

    #[test]
    fn what_no_other_one_follows_is_told_when_it_is_due_and_then_forgotten() {
        let (mut throttle, start) = (Throttle::new(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        for ms in 0..5 {
            throttle.admit(HERE, Level::Error, "a".into(), after(ms));
        }
        assert_eq!(throttle.due(after(900)), []);
        let line = Line {
            level: Level::Error,
            text: "a (4 more)".into(),
        };
        assert_eq!(throttle.due(after(1000)), [line]);
        // Another one right behind that has to wait again.
        assert_eq!(
            throttle.admit(HERE, Level::Error, "a".into(), after(1500)),
            []
        );
        assert_eq!(texts(throttle.due(after(2000))), ["a (1 more)"]);
        assert_eq!(throttle.due(after(3000)), []);
        assert!(throttle.is_empty());
    }

    #[test]
    fn other_texts_and_other_places_are_other_lines() {
        let (mut throttle, now) = (Throttle::new(), Instant::now());
        let there = (Some("there.rs"), Some(1));
        assert_eq!(
            texts(throttle.admit(HERE, Level::Warn, "a".into(), now)),
            ["a"]
        );
        assert_eq!(
            texts(throttle.admit(HERE, Level::Warn, "b".into(), now)),
            ["b"]
        );
        assert_eq!(
            texts(throttle.admit(there, Level::Warn, "a".into(), now)),
            ["a"]
        );
    }

    #[test]
    fn nothing_is_lost_where_there_is_no_room_for_more_texts() {
        let (mut throttle, now) = (Throttle::new(), Instant::now());
        let mut written = 0;
        let mut told = 0;
        let mut count = |lines: Vec<Line>| {
            for line in lines {
                match line.text.split_once(" (") {
                    Some((_, more)) => {
                        told += more.trim_end_matches(" more)").parse::<u64>().unwrap_or(0);
                    }
                    None => written += 1,
                }
            }
        };
        for text in 0..3 * KNOWN {
            for _ in 0..3 {
                count(throttle.admit(HERE, Level::Warn, text.to_string(), now));
            }
        }
        assert!(throttle.known.len() <= KNOWN);
        count(throttle.forget());
        assert_eq!((written, told), (3 * KNOWN, 6 * KNOWN as u64));
        assert!(throttle.is_empty());
    }
}
