//! The engine named `js`: one isolate and one context per library.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::limits::{isolate_limits, watchdog};
use crate::ports::{Engine, Executions, Limits, Program, Reply, ScriptError, Source};
use crate::program::V8Program;
use crate::program::debug;

/// The engine named `js`.
pub struct V8Engine {
    limits: Arc<Limits>,
    watchdog: watchdog::Watchdog,
    accounting: Arc<isolate_limits::MemoryAccounting>,
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
            accounting: isolate_limits::MemoryAccounting::new(Arc::clone(&limits)),
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
        if self.accounting.is_full() {
            return Err(ScriptError::new(
                "all memory that libraries may use together (v8-maxmemory) is taken",
            ));
        }
        let memory = self.limits.memory.load(Ordering::Relaxed);
        let timer = self.watchdog.timer(source.library);
        let isolate_limits = isolate_limits::IsolateLimits::new(timer, memory, &self.accounting);
        self.programs.lock().add(source.library, &isolate_limits);
        let executions = Arc::clone(&self.executions);
        Ok(Box::new(V8Program::compile(
            source,
            isolate_limits,
            executions,
        )?))
    }

    fn debug(&self, arguments: &[&[u8]]) -> Result<Reply, String> {
        self.programs.lock().debug(arguments)
    }
}
