//! What a script engine offers to the rest of the module, without a word of any engine's own types.
//!
//! An [`Engine`] turns a library's source into a [`Program`]; a program is *entered* to run its
//! callbacks. Entering takes the program's lock, so several calls in one [`Session`] cost less
//! than as many sessions.

mod record;
pub mod v8;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize};

pub use record::{Record, RecordBatch};

use crate::stream::Mode;

/// Turns source text into programs.
pub trait Engine: Send + Sync {
    /// The name a library's first line asks for.
    fn name(&self) -> &'static str;

    /// Compiles a library.
    ///
    /// # Errors
    /// What the compiler says.
    fn compile(&self, source: &Source<'_>) -> Result<Box<dyn Program>, ScriptError>;
}

/// Bounds for every library. May be changed at any time; the heap's bound holds for libraries
/// loaded after that.
#[derive(Debug)]
pub struct Limits {
    /// Milliseconds that JavaScript may run without a break.
    pub run_ms: AtomicU64,
    /// Bytes of heap, and of array buffers, that a library may use.
    pub memory: AtomicUsize,
}

/// A library before it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The library's name.
    pub library: &'a str,
    /// Its whole text, first line included.
    pub code: &'a str,
    /// The text of its configuration: a JSON object.
    pub config: Option<&'a str>,
}

/// A compiled library. Used by one thread at a time, whichever.
pub trait Program: Send {
    /// Runs the library's top level once, and says what it registered.
    ///
    /// # Errors
    /// What the script threw, or why it was ended.
    fn evaluate(&mut self) -> Result<Registrations, ScriptError>;

    /// Takes the program's lock for as long as `work` runs.
    fn enter(&mut self, work: &mut dyn FnMut(&mut dyn Session));
}

/// A program that is entered.
pub trait Session {
    /// Calls a callback with one record. Where it answers [`Outcome::Pending`], `token` will come
    /// up in [`Session::take_settled`], once.
    fn call(&mut self, call: &Call<'_>) -> Outcome;

    /// Moves what was settled since the last time into `settled`.
    fn take_settled(&mut self, settled: &mut Vec<Settled>);
}

/// One call of a stream consumer's callback.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which callback.
    pub callback: CallbackId,
    /// Name of the stream: any bytes.
    pub stream: &'a [u8],
    /// The entry.
    pub record: Record<'a>,
    /// What a pending outcome will be known by.
    pub token: u64,
}

/// How a call ended.
#[derive(Debug)]
pub enum Outcome {
    /// The callback is done with the entry.
    Done,
    /// It threw, or its promise was rejected.
    Failed(ScriptError),
    /// It gave a promise that is not settled yet.
    Pending,
    /// It was ended for its use of time or memory. Whatever the program had pending is void.
    Killed(ScriptError),
}

/// A promise that was pending and is settled now.
#[derive(Debug)]
pub struct Settled {
    /// The token of its call.
    pub token: u64,
    /// How it was settled.
    pub result: Result<(), ScriptError>,
}

/// Names a callback within its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackId(pub u32);

/// What a library's top level registered.
#[derive(Debug, Default)]
pub struct Registrations {
    /// Stream consumers, in the order of their registration; their names differ.
    pub stream_consumers: Vec<StreamConsumer>,
}

impl Registrations {
    /// Whether nothing was registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stream_consumers.is_empty()
    }
}

/// A stream consumer as its library registered it.
#[derive(Clone, Debug)]
pub struct StreamConsumer {
    /// Its name, unique in the library.
    pub name: String,
    /// The prefix of the keys it wants: any bytes.
    pub prefix: Vec<u8>,
    /// Entries of one stream that may be with the callback at once; at least 1.
    pub window: usize,
    /// Whether its streams are trimmed.
    pub trim: bool,
    /// What to call.
    pub callback: CallbackId,
    /// Where to call it.
    pub mode: Mode,
}

/// What a script threw, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The exception as a string.
    pub message: String,
    /// Where it came from, one frame a line, where the exception says so.
    pub stack: Option<String>,
}

impl ScriptError {
    /// An error without a stack.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            stack: None,
        }
    }

    /// The message; with `verbosity` 2 the stack, on one line.
    #[must_use]
    pub fn text(&self, verbosity: u8) -> String {
        match &self.stack {
            Some(stack) if verbosity >= 2 => stack.replace('\n', "|"),
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
            message: "Error: no".into(),
            stack: Some("Error: no\n    at f (lib:3:1)".into()),
        };
        assert_eq!(error.text(1), "Error: no");
        assert_eq!(error.text(2), "Error: no|    at f (lib:3:1)");
        assert_eq!(ScriptError::new("x").text(2), "x");
    }
}
