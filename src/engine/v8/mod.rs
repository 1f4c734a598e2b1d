//! The V8 engine: one isolate and one context per library.
//!
//! ```text
//! platform   V8 for the whole process, once, before any thread that runs JavaScript
//! program    an isolate with its context: compile, evaluate, enter
//! session    calling callbacks while the isolate is entered
//! notify     the same for triggers
//! outcome    what comes of a call, at once or by its promise
//! run        what a run has around it: bounds, the server, what comes of it
//! api_v1     the `redis` object, as API version 1 has it
//! registering  what a library registers while it is loaded
//! options    what a stream consumer asks for beyond a prefix and a window
//! trigger_options  what a key-space trigger asks for
//! given      reading what scripts give to these
//! gears      GearsBuilder, for libraries that use it
//! verdict    what a stream consumer's callback says of its entries
//! client     what scripts call through their clients
//! continuation  in whose name code acts, over every `await`
//! unlocked   giving up the isolate in the middle of a script
//! bootstrap  the JavaScript side: records, clients
//! to_js      replies of the server as values, from_js the other way
//! callback   functions that scripts call: no panic leaves them
//! guards     built-ins that would end the process throw instead
//! watchdog   ends code that runs too long or takes too much memory
//! memory     what a library may take, and what all may
//! text       strings and exceptions, from V8 and to it
//! debug      RG.FUNCTION DEBUG js
//! ```
//!
//! Lock order: the Redis lock outside, the isolate inside. Nothing in here asks for the former.

mod api_v1;
mod bootstrap;
mod callback;
mod client;
mod continuation;
mod debug;
mod from_js;
mod gears;
mod given;
mod guards;
mod memory;
mod notify;
mod options;
mod outcome;
mod platform;
mod program;
mod registering;
mod run;
mod session;
mod text;
mod to_js;
mod trigger_options;
mod unlocked;
mod verdict;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

pub use platform::{Protection, initialize};
use program::V8Program;

use super::{Engine, Executions, Limits, Program, Reply, ScriptError, Source};

/// The engine named `js`.
pub struct V8Engine {
    limits: Arc<Limits>,
    watchdog: watchdog::Watchdog,
    ledger: Arc<memory::Ledger>,
    executions: Arc<dyn Executions>,
    /// All programs there were, for debugging.
    programs: Mutex<debug::Tracked>,
}

impl V8Engine {
    /// An engine. V8 must be initialised; its watchdog thread starts here.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub fn new(limits: Arc<Limits>, executions: Arc<dyn Executions>) -> std::io::Result<Self> {
        Ok(Self {
            executions,
            watchdog: watchdog::Watchdog::start(Arc::clone(&limits))?,
            ledger: memory::Ledger::new(Arc::clone(&limits)),
            limits,
            programs: Mutex::default(),
        })
    }
}

impl Engine for V8Engine {
    fn name(&self) -> &'static str {
        "js"
    }

    fn compile(&self, source: &Source<'_>) -> Result<Box<dyn Program>, ScriptError> {
        if self.ledger.is_full() {
            return Err(ScriptError::new(
                "all memory that libraries may use together (v8-maxmemory) is taken",
            ));
        }
        let memory = self.limits.memory.load(Ordering::Relaxed);
        let watch = self.watchdog.watch(source.library);
        let bounds = memory::Bounds::new(watch, memory, &self.ledger);
        self.programs.lock().add(source.library, &bounds);
        let executions = Arc::clone(&self.executions);
        Ok(Box::new(V8Program::compile(source, bounds, executions)?))
    }

    fn debug(&self, arguments: &[&[u8]]) -> Result<Reply, String> {
        self.programs.lock().debug(arguments)
    }
}
