//! Messages that wait until the server has written what led to them to its append-only file.
//!
//! A client's reply leaves the server after that file was written, and so does what a node tells another: that it has
//! a library, or what a function gave that has written. Otherwise a crash could take back what others know.
//!
//! The server writes the file between two ticks. So what was told before a tick ends may go when the next one begins.

/// What is held back.
pub(super) struct Outbox<T> {
    fresh: Vec<T>,
    sealed: Vec<T>,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self {
            fresh: Vec::new(),
            sealed: Vec::new(),
        }
    }
}

impl<T> Outbox<T> {
    /// Holds a message back.
    pub(super) fn push(&mut self, message: T) {
        self.fresh.push(message);
    }

    /// A tick ends, and the file is written after it; whether something waits for that.
    pub(super) fn end_tick(&mut self) -> bool {
        self.sealed.append(&mut self.fresh);
        !self.sealed.is_empty()
    }

    /// A tick begins: what may go now, in order. Where nothing `holds` messages back any more, that is all.
    pub(super) fn begin_tick(&mut self, holds: bool) -> Vec<T> {
        if !holds {
            self.end_tick();
        }
        std::mem::take(&mut self.sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_in_a_tick_or_before_it_goes_with_the_next() {
        let mut outbox = Outbox::default();
        outbox.push("of a command");
        assert!(
            outbox.begin_tick(true).is_empty(),
            "nothing was written since"
        );
        outbox.push("of the tick");
        assert!(outbox.end_tick());
        outbox.push("of the next command");
        assert_eq!(outbox.begin_tick(true), ["of a command", "of the tick"]);
        assert!(outbox.end_tick());
        assert_eq!(outbox.begin_tick(true), ["of the next command"]);
        assert!(!outbox.end_tick());
    }

    #[test]
    fn all_goes_in_order_once_there_is_no_such_file() {
        let mut outbox = Outbox::default();
        outbox.push(1);
        outbox.end_tick();
        outbox.push(2);
        assert_eq!(outbox.begin_tick(false), [1, 2]);
        assert!(!outbox.end_tick());
    }
}
