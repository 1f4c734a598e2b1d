//! The module's state, and the changes that concern several rooms: a library that is loaded is also
//! replicated, and its streams are searched for.

mod cluster;
mod event_loop;
mod hooks;
mod shared_libraries;
mod slices;

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use self::event_loop::EventLoop;
use self::shared_libraries::Sharing;
use self::slices::Slices;
use crate::calls::FunctionCalls;
use crate::cluster::Cluster;
use crate::dispatcher::Dispatcher;
use crate::executor::{
    Completions, ExecutionLog, ExecutorShared, MainThreadExecutor, Pool, SlowLog,
};
use crate::library::{Libraries, LoadError, LoadRequest, LoadedSource, Remainder, SourceKind};
use crate::remote::{RemoteDesk, RemoteFunctions};
use crate::replication::{self, Rewrite};
use crate::server::{
    Context, GlobalLock, RedisLocked, Settings, audit, hold_back_scripts, own_file, python_folder,
    v8_flags, wake_main_thread, write_what_waits,
};
use gears_core::delivery::{ConsumerKey, Event, KeyRef};
use gears_core::quoted;
use gears_core::snapshot::Paused;
use gears_v8::ports::{Engine, Executions, Registered, RemoteCalls};
use gears_v8::{Protection, PythonRuntime, V8Engine, initialize};

pub(crate) use hooks::AppHooks;
pub(crate) use slices::Steps;

/// The module's state. Used by the main thread only.
pub(crate) struct App {
    /// Loads, changes and deletes libraries.
    pub(crate) libraries: Rc<Libraries>,
    /// Delivers entries and key events.
    pub(crate) dispatcher: Rc<Dispatcher>,
    /// Makes calls of functions, and keeps those that wait.
    pub(crate) calls: Rc<FunctionCalls>,
    /// Makes calls of functions of other shards, and has those of others made.
    pub(crate) remote: RemoteFunctions,
    /// Knows the runs over the data set.
    pub(crate) executions: Arc<ExecutionLog>,
    /// Keeps the calls that took long.
    pub(crate) slow_log: Arc<SlowLog>,
    /// The most memory that was seen to be taken by libraries in Python.
    pub(crate) python_peak: Cell<usize>,
    /// The other nodes, where the server is one of a cluster.
    cluster: Option<Cluster>,
    /// Has the settings.
    pub(crate) settings: Settings,
    /// Knows which isolate slot the main thread is in.
    main_thread: Rc<MainThreadExecutor>,
    /// Remembers what goes on over several event-loop iterations.
    event_loop: EventLoop,
    /// Who waits for changes of libraries on all shards.
    sharing: Sharing,
    /// What clients wait for that is done in slices.
    slices: Slices,
    /// Remembers whether libraries have to go into a new append-only file.
    rewrite: Rewrite,
}

static APP: RedisLocked<App> = RedisLocked::new();

/// The folder of Python's runtime: the one that was named, else the one beside the module.
fn python_runtime() -> PathBuf {
    python_folder().unwrap_or_else(|| {
        let module = own_file().unwrap_or_default();
        module.with_file_name("python")
    })
}

impl App {
    /// Sets everything up: V8 first, then the threads that will run its code.
    ///
    /// # Errors
    /// What the operating system refuses: stack, address space, threads.
    pub(crate) fn start(context: &Context, settings: Settings) -> Result<(), String> {
        initialize(Protection::Keys, v8_flags())?;
        let no_thread = |error: std::io::Error| format!("no threads: {error}");
        let executions = Arc::new(ExecutionLog::new(
            context.shard_id(),
            Arc::clone(&settings.kept_runs),
        ));
        let told = Arc::clone(&executions) as Arc<dyn Executions>;
        let completions = Arc::new(Completions::new(Box::new(wake_main_thread)));
        let desk = RemoteDesk::new(
            Arc::clone(&settings.remote_bytes),
            Arc::clone(&settings.execution_bytes),
            context.is_in_cluster(),
            Arc::clone(&completions),
        );
        let desk = Arc::new(desk);
        let remotes = Arc::clone(&desk) as Arc<dyn RemoteCalls>;
        let engine =
            V8Engine::new(Arc::clone(&settings.limits), told, remotes).map_err(no_thread)?;
        let python = engine.python(PythonRuntime::new(python_runtime()));
        let pool = Pool::start(settings.threads).map_err(no_thread)?;
        let main_thread = Rc::<MainThreadExecutor>::default();
        let dispatcher = Rc::new(Dispatcher::new(
            context.state().is_primary,
            Arc::clone(&completions),
            Rc::clone(&main_thread),
        ));
        let slow_log = SlowLog::new(Arc::clone(&settings.slow_log));
        let shared = ExecutorShared {
            verbosity: Arc::clone(&settings.verbosity),
            completions: Arc::clone(&completions),
            pool,
            lock: Arc::new(GlobalLock { completions }),
            slow_log: Arc::clone(&slow_log),
        };
        let engines: Vec<Box<dyn Engine>> = vec![Box::new(engine), Box::new(python)];
        let libraries = Rc::new(Libraries::new(Rc::clone(&dispatcher), engines, shared));
        let calls = FunctionCalls::new(
            Rc::clone(&libraries),
            Rc::clone(&main_thread),
            Rc::clone(&dispatcher),
            Arc::clone(&settings.limits),
        );
        let remote = RemoteFunctions::new(
            context,
            desk,
            Rc::clone(&libraries),
            Arc::clone(&executions),
        );
        APP.set(Self {
            remote,
            libraries,
            dispatcher,
            calls,
            executions,
            slow_log,
            python_peak: Cell::default(),
            cluster: context.is_in_cluster().then(Cluster::new),
            settings,
            main_thread,
            event_loop: EventLoop::default(),
            sharing: Sharing::default(),
            slices: Slices::default(),
            rewrite: Rewrite::default(),
        });
        Ok(())
    }

    /// Ends the threads; false if libraries are loaded.
    pub(crate) fn end() -> bool {
        if Self::get().is_none_or(|app| !app.libraries.is_empty()) {
            return false;
        }
        // SAFETY: the server is unloading the module. No code that uses the state is on this
        // thread's stack, and no other thread uses it.
        let app = unsafe { APP.take() };
        if let Some(app) = app {
            app.libraries.pool().end();
        }
        true
    }

    /// The state; `None` before [`App::start`].
    pub(crate) fn get() -> Option<&'static Self> {
        APP.get()
    }

    /// Loads a library, or upgrades it; or runs a script. What stays as a library is sent to
    /// replicas and append-only file, and its new consumers get the streams that exist already.
    ///
    /// # Errors
    /// Why it was not loaded; nothing has changed then.
    pub(crate) fn load(
        &self,
        context: &Context,
        request: &LoadRequest<'_>,
    ) -> Result<LoadedSource, LoadError> {
        // Who loads other code is told at once what is wrong with that, too.
        write_what_waits();
        let load = || self.libraries.load(context, request);
        let loaded = if request.is_check {
            // The load that follows logs the same.
            hold_back_scripts(load)
        } else {
            load()
        }?;
        if let Some(change) = loaded.change.as_ref().filter(|_| loaded.stays) {
            let is_upgrade = change.is_upgrade;
            let (name, change) = (quoted(loaded.name.as_bytes()), &change.description);
            if let SourceKind::Earlier { version } = request.kind {
                let details = format_args!("library {name} to version {version}: {change}");
                audit(context, "ROLLBACK", details);
            } else {
                let what = if is_upgrade { "UPGRADE" } else { "LOAD" };
                audit(context, what, format_args!("library {name}: {change}"));
            }
        }
        if loaded.stays {
            replication::send_library(context, &self.libraries, &loaded.name);
            self.say_library(context, &loaded.name);
            if loaded.has_new {
                self.rescan();
            }
            self.dispatcher.wake();
        }
        Ok(loaded)
    }

    /// Deletes a library, or what is kept of one, here and on replicas; false if there is neither.
    pub(crate) fn delete(&self, context: &Context, library: &str) -> bool {
        let is_kept = self.libraries.kept().contains_key(library);
        let deleted = self.libraries.delete(library);
        if deleted {
            write_what_waits();
            replication::send_deletion(context, library);
            self.say_library(context, library);
            let library = quoted(library.as_bytes());
            let what = if is_kept { "what was kept of " } else { "" };
            audit(context, "DEL", format_args!("{what}library {library}"));
        }
        deleted
    }

    /// Deletes a library but for how far its consumers are, here and on replicas.
    ///
    /// # Errors
    /// Why that is not kept; nothing has changed then.
    pub(crate) fn keep_progress(&self, context: &Context, library: &str) -> Result<(), String> {
        let user = context.user();
        let user = user.as_deref().unwrap_or("default");
        self.libraries.room_to_keep(library)?;
        let is_kept = self.delete_but_keep(context, library, user);
        let name = quoted(library.as_bytes());
        if is_kept {
            let details = format_args!("library {name}, its consumers' progress is kept");
            audit(context, "DEL", details);
        } else {
            audit(context, "DEL", format_args!("library {name}"));
        }
        Ok(())
    }

    /// The same, without a word in the log, and however much is kept; whether there was any progress to keep.
    fn delete_but_keep(&self, context: &Context, library: &str, user: &str) -> bool {
        let keep = || self.libraries.delete_but_keep(library, user);
        let is_kept = self.change_consumers(context, keep);
        write_what_waits();
        if is_kept {
            replication::send_library(context, &self.libraries, library);
        } else {
            replication::send_deletion(context, library);
        }
        is_kept
    }

    /// Pauses a function or trigger, or has it go on, here and on replicas; false if there is none of
    /// that name.
    pub(crate) fn set_paused(
        &self,
        context: &Context,
        library: &str,
        what: &Paused,
        is_paused: bool,
    ) -> bool {
        if !self.libraries.set_paused(library, what, is_paused) {
            return false;
        }
        replication::send_pause(context, library, what, is_paused);
        let (kind, name) = match what {
            Paused::Function(name) => ("function", name),
            Paused::Trigger(name) => ("trigger", name),
        };
        let name = quoted(format!("{library}/{name}").as_bytes());
        let word = if is_paused { "PAUSE" } else { "RESUME" };
        audit(context, word, format_args!("{kind} {name}"));
        self.dispatcher.wake();
        true
    }

    /// Takes a registration away, here and on replicas; false if there is no such registration.
    pub(crate) fn unregister(
        &self,
        context: &Context,
        library: &str,
        registered: &Registered,
    ) -> bool {
        let rest = match self.libraries.unregister(library, registered) {
            Some(Remainder::Library) => {
                replication::send_library(context, &self.libraries, library);
                ""
            }
            Some(Remainder::Nothing) => {
                replication::send_deletion(context, library);
                ", and with it the library"
            }
            None => return false,
        };
        self.say_library(context, library);
        let (what, name) = match registered {
            Registered::Consumer(name) => ("consumer", name),
            Registered::Trigger(name) => ("trigger", name),
        };
        let name = quoted(format!("{library}/{name}").as_bytes());
        audit(context, "UNREGISTER", format_args!("{what} {name}{rest}"));
        true
    }

    /// Runs a command's `work` that changes consumers, and commits what changed.
    pub(crate) fn change_consumers<R>(&self, context: &Context, work: impl FnOnce() -> R) -> R {
        self.dispatcher.catch_up();
        let done = work();
        let db = context.db();
        self.dispatcher.commit(context);
        // The client's database, which exists.
        context.select(db);
        self.dispatcher.wake();
        done
    }

    /// Tells the core of a stream that may be new to it.
    pub(crate) fn found(&self, context: &Context, key: KeyRef<'_>) {
        self.dispatcher.on(Event::Found(key));
        self.dispatcher.place(context, key);
    }

    /// Whether a consumer knows a stream. One that nobody has told of yet is told of here.
    pub(crate) fn knows(&self, context: &Context, consumer: ConsumerKey, key: KeyRef<'_>) -> bool {
        let knows = || {
            self.dispatcher
                .inspect(|delivery| delivery.knows(consumer, key))
        };
        if knows() {
            return true;
        }
        if context.is_stream(key.name) {
            self.found(context, key);
        }
        knows()
    }

    /// Has all streams searched for, from the beginning.
    pub(crate) fn rescan(&self) {
        self.event_loop.rescan();
    }

    /// Has the next tick panic: a debugging aid.
    pub(crate) fn panic_in_turn(&self) {
        self.event_loop.panic();
    }

    /// How long scripts may hold up one event-loop iteration.
    fn script_budget(&self) -> Duration {
        let budget = &self.settings.limits.locked_ms;
        Duration::from_millis(budget.load(std::sync::atomic::Ordering::Relaxed))
    }
}
