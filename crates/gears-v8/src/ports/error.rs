//! What scripts throw.

use std::fmt;
use std::sync::Arc;

use super::RemoteErrorCode;

/// What a script threw, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The exception as a string.
    pub message: String,
    /// Where it came from, one frame a line, where the exception says so; without the message.
    pub stack: Option<String>,
    /// Milliseconds to wait before another attempt, where it says so.
    pub retry_after_ms: Option<u64>,
    /// Whether it says that another attempt is not worth it.
    pub fatal: bool,
    /// The exception itself, cloned, where it goes to another isolate.
    pub thrown: Option<Arc<[u8]>>,
    /// What the other isolate is told besides, where that is not the exception itself.
    pub remote_code: Option<RemoteErrorCode>,
}

impl ScriptError {
    /// The topmost frame of its stack: `at f (lib:3:1)`, or `at lib:3:1`.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        let frame = self.stack.as_deref()?.lines().next()?.trim();
        (!frame.is_empty()).then_some(frame)
    }

    /// An error without a stack.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            stack: None,
            retry_after_ms: None,
            fatal: false,
            thrown: None,
            remote_code: None,
        }
    }

    /// The message; with `verbosity` 2 the stack, on one line.
    #[must_use]
    pub fn text(&self, verbosity: u8) -> String {
        match &self.stack {
            Some(stack) if verbosity >= 2 && !stack.is_empty() => {
                format!("{}|{}", self.message, stack.replace('\n', "|"))
            }
            _ => self.message.clone(),
        }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ScriptError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_shows_on_one_line_and_only_when_asked_for() {
        let error = ScriptError {
            stack: Some("    at f (lib:3:1)\n    at g (lib:5:1)".into()),
            ..ScriptError::new("Error: no")
        };
        assert_eq!(error.text(1), "Error: no");
        assert_eq!(
            error.text(2),
            "Error: no|    at f (lib:3:1)|    at g (lib:5:1)"
        );
        assert_eq!(ScriptError::new("x").text(2), "x");
    }
}
