//! The V8 engine: one isolate and one context per library.
//!
//! ```text
//! platform   V8 for the whole process, once, before any thread that runs JavaScript
//! program    an isolate with its context: compile, evaluate, enter
//! session    calling callbacks while the isolate is entered
//! api_v1     the `redis` object, as API version 1 has it
//! bootstrap  the JavaScript side of a call: builds the record object
//! callback   functions that scripts call: no panic leaves them
//! guards     built-ins that would end the process throw instead
//! watchdog   ends code that runs too long or takes too much memory
//! memory     array buffers, counted and bounded per library
//! text       strings and exceptions, from V8 and to it
//! ```
//!
//! Lock order: the Redis lock outside, the isolate inside. Nothing in here asks for the former.

mod api_v1;
mod bootstrap;
mod callback;
mod guards;
mod memory;
mod platform;
mod program;
mod session;
mod text;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use platform::{Protection, initialize};
use program::V8Program;

use super::{Engine, Limits, Program, ScriptError, Source};

/// The engine named `js`.
#[derive(Debug)]
pub struct V8Engine {
    limits: Arc<Limits>,
    watchdog: watchdog::Watchdog,
}

impl V8Engine {
    /// An engine. V8 must be initialised; its watchdog thread starts here.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub fn new(limits: Arc<Limits>) -> std::io::Result<Self> {
        let watchdog = watchdog::Watchdog::start(Arc::clone(&limits))?;
        Ok(Self { limits, watchdog })
    }
}

impl Engine for V8Engine {
    fn name(&self) -> &'static str {
        "js"
    }

    fn compile(&self, source: &Source<'_>) -> Result<Box<dyn Program>, ScriptError> {
        let memory = self.limits.memory.load(Ordering::Relaxed);
        let program = V8Program::compile(source, memory, &self.watchdog)?;
        Ok(Box::new(program))
    }
}
