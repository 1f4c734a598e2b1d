//! The module's state: what there is one of, and what is done with several of them at once.

mod event_loop;
mod hooks;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use self::event_loop::EventLoop;
use crate::calls::FunctionCalls;
use crate::dispatcher::Dispatcher;
use crate::executor::{Completions, ExecutionLog, MainThreadExecutor, Pool, Shared};
use crate::library::{Libraries, LoadError, LoadRequest, Loaded, Remainder};
use crate::replication::{self, Rewrite};
use crate::server::{Context, GlobalLock, RedisLocked, Settings, v8_flags, wake_main_thread};
use gears_core::delivery::{Event, KeyRef};
use gears_v8::ports::{Executions, Registered};
use gears_v8::{Protection, V8Engine, initialize};

pub(crate) use hooks::AppHooks;

/// All there is. Used by the main thread only.
pub(crate) struct App {
    /// What is loaded.
    pub(crate) libraries: Rc<Libraries>,
    /// Which entry goes to which consumer, and which key event to which trigger.
    pub(crate) dispatcher: Rc<Dispatcher>,
    /// Calls of functions.
    pub(crate) calls: Rc<FunctionCalls>,
    /// Runs over the data set.
    pub(crate) executions: Arc<ExecutionLog>,
    /// What users have set.
    pub(crate) settings: Settings,
    /// The main thread's place in libraries.
    main_thread: Rc<MainThreadExecutor>,
    /// What is done once per event-loop iteration.
    event_loop: EventLoop,
    /// Libraries that have to go into an append-only file.
    rewrite: Rewrite,
}

static APP: RedisLocked<App> = RedisLocked::new();

impl App {
    /// Sets everything up: V8 first, then the threads that will run its code.
    ///
    /// # Errors
    /// With what the operating system does not give: stack, address space, threads.
    pub(crate) fn start(context: &Context, settings: Settings) -> Result<(), String> {
        initialize(Protection::Keys, v8_flags())?;
        let no_thread = |error: std::io::Error| format!("no threads: {error}");
        let executions = Arc::new(ExecutionLog::new(
            context.shard_id(),
            Arc::clone(&settings.executions),
        ));
        let told = Arc::clone(&executions) as Arc<dyn Executions>;
        let engine = V8Engine::new(Arc::clone(&settings.limits), told).map_err(no_thread)?;
        let pool = Pool::start(settings.threads).map_err(no_thread)?;
        let completions = Arc::new(Completions::new(Box::new(wake_main_thread)));
        let main_thread = Rc::<MainThreadExecutor>::default();
        let dispatcher = Rc::new(Dispatcher::new(
            context.state().is_primary,
            Arc::clone(&completions),
            Rc::clone(&main_thread),
        ));
        let shared = Shared {
            verbosity: Arc::clone(&settings.verbosity),
            completions,
            pool,
            lock: Arc::new(GlobalLock),
        };
        let libraries = Libraries::new(Rc::clone(&dispatcher), vec![Box::new(engine)], shared);
        let libraries = Rc::new(libraries);
        let calls = FunctionCalls::new(
            Rc::clone(&libraries),
            Rc::clone(&main_thread),
            Rc::clone(&dispatcher),
            Arc::clone(&settings.limits),
        );
        APP.set(Self {
            libraries,
            dispatcher,
            calls,
            executions,
            settings,
            main_thread,
            event_loop: EventLoop::default(),
            rewrite: Rewrite::default(),
        });
        Ok(())
    }

    /// Ends the threads, where there is nothing for them to do; false where there is.
    pub(crate) fn end() -> bool {
        if Self::get().is_none_or(|app| !app.libraries.all().is_empty()) {
            return false;
        }
        // SAFETY: the server unloads the module: nothing of it is on this thread's way here, and no
        // other thread uses it.
        let app = unsafe { APP.take() };
        if let Some(app) = app {
            app.libraries.pool().end();
        }
        true
    }

    /// The one there is; `None` before [`App::start`].
    pub(crate) fn get() -> Option<&'static Self> {
        APP.get()
    }

    /// Loads a library, or upgrades it; or runs a script. What stays is made known: replicas and
    /// append-only file hear of it, and its consumers of the streams there are.
    ///
    /// # Errors
    /// Why it was not loaded; nothing has changed then.
    pub(crate) fn load(
        &self,
        context: &Context,
        request: &LoadRequest<'_>,
    ) -> Result<Loaded, LoadError> {
        let loaded = self.libraries.load(context, request)?;
        if loaded.stays {
            replication::send_library(context, &self.libraries, &loaded.name);
            if loaded.has_new {
                self.rescan();
            }
            self.dispatcher.wake();
        }
        Ok(loaded)
    }

    /// Deletes a library, here and on replicas; false where there is none of that name.
    pub(crate) fn delete(&self, context: &Context, library: &str) -> bool {
        let deleted = self.libraries.delete(library);
        if deleted {
            replication::send_deletion(context, library);
        }
        deleted
    }

    /// Takes a registration away, here and on replicas; false where there is none such.
    pub(crate) fn unregister(
        &self,
        context: &Context,
        library: &str,
        registered: &Registered,
    ) -> bool {
        match self.libraries.unregister(library, registered) {
            Some(Remainder::Library) => {
                replication::send_library(context, &self.libraries, library);
            }
            Some(Remainder::Nothing) => replication::send_deletion(context, library),
            None => return false,
        }
        true
    }

    /// A stream is there, and perhaps was not known.
    pub(crate) fn found(&self, context: &Context, key: KeyRef<'_>) {
        self.dispatcher.on(Event::Found(key));
        self.dispatcher.place(context, key);
    }

    /// Asks for the streams that are there already.
    pub(crate) fn rescan(&self) {
        self.event_loop.rescan();
    }

    /// Has the next tick panic: a debugging aid.
    pub(crate) fn panic_in_turn(&self) {
        self.event_loop.panic();
    }

    /// How long scripts may hold the server.
    fn script_budget(&self) -> Duration {
        let budget = &self.settings.limits.locked_ms;
        Duration::from_millis(budget.load(std::sync::atomic::Ordering::Relaxed))
    }
}
