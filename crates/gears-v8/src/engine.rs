//! The engines named `js` and `py`: one isolate and one context per library.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::api::python::PythonRuntime;
use crate::limits::{isolate_limits, watchdog};
use crate::ports::{Engine, Executions, Limits, Program, RemoteCalls, Reply, ScriptError, Source};
use crate::program::debug;
use crate::program::{Language, V8Program};
use crate::runtime::run::Outside;

/// An engine for libraries in one language.
pub struct V8Engine {
    language: Language,
    common: Arc<Common>,
}

/// What the engines of all languages have in common.
struct Common {
    limits: Arc<Limits>,
    watchdog: watchdog::Watchdog,
    accounting: Arc<isolate_limits::MemoryAccounting>,
    outside: Outside,
    /// All programs there were, for debugging.
    programs: Mutex<debug::Tracked>,
}

impl V8Engine {
    /// The engine named `js`. V8 must be initialised; its watchdog thread starts here.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub fn new(
        limits: Arc<Limits>,
        executions: Arc<dyn Executions>,
        remotes: Arc<dyn RemoteCalls>,
    ) -> std::io::Result<Self> {
        let common = Arc::new(Common {
            outside: Outside {
                executions,
                remotes,
            },
            watchdog: watchdog::Watchdog::start(Arc::clone(&limits))?,
            accounting: isolate_limits::MemoryAccounting::new(Arc::clone(&limits)),
            limits,
            programs: Mutex::default(),
        });
        Ok(Self {
            language: Language::JavaScript,
            common,
        })
    }

    /// The engine named `py` beside it, under the same limits. Its runtime is needed when there is a
    /// library for it.
    #[must_use]
    pub fn python(&self, runtime: Arc<PythonRuntime>) -> Self {
        Self {
            language: Language::Python(runtime),
            common: Arc::clone(&self.common),
        }
    }
}

impl Engine for V8Engine {
    fn name(&self) -> &'static str {
        match self.language {
            Language::JavaScript => "js",
            Language::Python(_) => "py",
        }
    }

    fn compile(&self, source: &Source<'_>) -> Result<Box<dyn Program>, ScriptError> {
        let common = &self.common;
        if common.accounting.is_full() {
            return Err(ScriptError::new(
                "all memory that libraries may use together (v8-maxmemory) is taken",
            ));
        }
        if let Language::Python(runtime) = &self.language {
            runtime.check().map_err(ScriptError::new)?;
        }
        let memory = common.limits.memory.load(Ordering::Relaxed);
        let timer = common.watchdog.timer(source.library);
        let isolate_limits = isolate_limits::IsolateLimits::new(timer, memory, &common.accounting);
        common.programs.lock().add(source.library, &isolate_limits);
        let outside = common.outside.clone();
        Ok(Box::new(V8Program::compile(
            source,
            &self.language,
            isolate_limits,
            outside,
        )?))
    }

    fn has_module(&self, name: &str) -> bool {
        match &self.language {
            Language::JavaScript => false,
            Language::Python(runtime) => runtime.has_module(name),
        }
    }

    fn debug(&self, arguments: &[&[u8]]) -> Result<Reply, String> {
        self.common.programs.lock().debug(arguments)
    }
}
