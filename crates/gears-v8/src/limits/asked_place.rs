//! Where a run is that is to end for its time: it is asked, and has some rounds for its answer.
//!
//! V8 serves a termination before the question, so a run that is terminated at once has no place. But its thread may
//! not get to run as soon as it is asked, and one that never answers has to end all the same.

/// Rounds of the watchdog in which it may answer, before it is ended without a place.
const PATIENCE: u32 = 5;

/// What was asked last.
#[derive(Debug, Default)]
pub(super) struct AskedPlace {
    stack: Option<String>,
    rounds_left: u32,
}

impl AskedPlace {
    /// A run is asked.
    pub(super) fn ask(&mut self) {
        self.stack = None;
        self.rounds_left = PATIENCE;
    }

    /// A run ends of its own accord: there is no question, and nothing to wait for.
    pub(super) fn ask_nothing(&mut self) {
        *self = Self::default();
    }

    /// It answers.
    pub(super) fn answer(&mut self, stack: String) {
        self.stack = Some(stack);
    }

    /// Another round has passed: whether the run is to be ended now.
    pub(super) fn is_over(&mut self) -> bool {
        if self.stack.is_some() || self.rounds_left == 0 {
            return true;
        }
        self.rounds_left -= 1;
        false
    }

    /// The answer, once.
    pub(super) fn take(&mut self) -> Option<String> {
        self.stack.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds that pass before the run is ended.
    fn rounds(place: &mut AskedPlace) -> usize {
        std::iter::repeat_with(|| place.is_over())
            .take_while(|is_over| !is_over)
            .count()
    }

    #[test]
    fn a_run_that_does_not_answer_is_ended_after_five_rounds() {
        let mut place = AskedPlace::default();
        for _ in 0..2 {
            place.ask();
            assert_eq!(rounds(&mut place), 5);
            assert!(
                place.is_over(),
                "it is ended again and again until it stops"
            );
            assert_eq!(place.take(), None);
        }
    }

    #[test]
    fn a_run_that_answers_is_not_waited_for_any_longer() {
        let mut place = AskedPlace::default();
        place.ask();
        assert!(!place.is_over());
        place.answer("at f".to_owned());
        assert_eq!(rounds(&mut place), 0);
        assert_eq!(place.take().as_deref(), Some("at f"));
    }

    #[test]
    fn the_next_run_does_not_answer_with_the_place_of_the_last() {
        let mut place = AskedPlace::default();
        place.ask();
        place.answer("at f".to_owned());
        place.ask();
        assert_eq!((rounds(&mut place), place.take()), (5, None));
        place.answer("at f".to_owned());
        place.ask_nothing();
        assert_eq!((rounds(&mut place), place.take()), (0, None));
    }
}
