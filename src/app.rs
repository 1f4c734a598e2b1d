//! The module's state, and what ties the server's events to it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::commands::waiting_calls;
use crate::dispatcher::{Dispatcher, EventLimits, KeyEvent, TickLimits};
use crate::executor::{
    Completions, ExecutionLog, LibraryExecutor, MainThreadExecutor, Pool, Shared, WaitingCalls,
};
use crate::library::{Libraries, Library, LoadError, LoadRequest, Loaded, Remainder};
use crate::replication::{self, Rewrite};
use crate::server::{
    Context, GlobalLock, Hooks, RedisLocked, Scan, Section, Settings, is_paused, v8_flags,
    wake_main_thread,
};
use crate::stats;
use gears_core::delivery::{Delivery, EntryId, Event, KeyRef};
use gears_core::snapshot::LibrarySnapshot;
use gears_v8::ports::{Executions, Registered};
use gears_v8::{Protection, V8Engine, initialize};

/// Time in which a tick of the event loop works on what is not urgent. Other clients wait that
/// long at most; and a backlog moves on once per tick, so shorter slices would waste more of it.
const SLICE: Duration = Duration::from_millis(2);

/// All there is. Used by the main thread only.
pub(crate) struct App {
    /// The libraries.
    pub(crate) libraries: Libraries,
    /// The main thread's place in libraries.
    pub(crate) main_thread: Rc<MainThreadExecutor>,
    /// The delivery core at work.
    pub(crate) dispatcher: Rc<Dispatcher>,
    /// Calls of functions whose libraries are busy.
    pub(crate) waiting: WaitingCalls,
    scan: RefCell<Scan>,
    /// Runs over the data set.
    pub(crate) executions: Arc<ExecutionLog>,
    /// What users have set.
    pub(crate) settings: Settings,
    /// When workers were last looked after.
    looked_after: Cell<Instant>,
    /// Libraries that have to go into an append-only file.
    rewrite: Rewrite,
    /// When a timer wakes the event loop, in the dispatcher's time.
    wakes_at: Cell<Option<u64>>,
    /// Whether the next tick is to panic: a debugging aid.
    panics: Cell<bool>,
}

/// How often workers are looked after: whether one is stuck, and whether a promise waits for the
/// engine's own tasks.
const LOOK_AFTER: Duration = Duration::from_millis(50);

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
        APP.set(Self {
            libraries: Libraries::new(Rc::clone(&dispatcher), vec![Box::new(engine)], shared),
            main_thread,
            dispatcher,
            waiting: WaitingCalls::default(),
            scan: RefCell::default(),
            executions,
            settings,
            looked_after: Cell::new(Instant::now()),
            rewrite: Rewrite::default(),
            wakes_at: Cell::new(None),
            panics: Cell::new(false),
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

    /// Asks for the streams that are there already.
    pub(crate) fn rescan(&self) {
        self.scan.borrow_mut().request();
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

    /// How long scripts may hold the server.
    fn script_budget(&self) -> Duration {
        let budget = &self.settings.limits.locked_ms;
        Duration::from_millis(budget.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn limits(&self, only_urgent: bool) -> TickLimits {
        TickLimits {
            only_urgent,
            budget: if only_urgent { Duration::ZERO } else { SLICE },
            script_budget: self.script_budget(),
        }
    }

    fn info(&self) -> Vec<Section> {
        let limit = &self.settings.limits.total_memory;
        let limit = limit.load(std::sync::atomic::Ordering::Relaxed);
        stats::sections(&self.libraries, &self.dispatcher, &self.waiting, limit)
    }

    fn is_active(&self) -> bool {
        self.dispatcher.inspect(Delivery::is_active) && !is_paused()
    }

    fn look_after_workers(&self) {
        let now = Instant::now();
        if now.duration_since(self.looked_after.get()) < LOOK_AFTER {
            return;
        }
        self.looked_after.set(now);
        self.libraries.pool().relieve();
        self.dispatcher.reclaim_unfinished();
        self.libraries
            .all()
            .values()
            .filter_map(Library::executor)
            .for_each(LibraryExecutor::pump);
        self.executions
            .scripts()
            .iter()
            .for_each(LibraryExecutor::pump);
    }

    /// Has the next tick panic.
    pub(crate) fn panic_in_turn(&self) {
        self.panics.set(true);
    }

    fn tick(&self, context: &Context) {
        assert!(!self.panics.take(), "a panic was asked for");
        self.settings.refresh();
        self.look_after_workers();
        if !is_paused() {
            self.rewrite.complete(context, &self.libraries);
        }
        self.deliver(context);
        waiting_calls::look_after(self, context);
    }

    fn deliver(&self, context: &Context) {
        if !self.is_active() {
            self.dispatcher.catch_up();
            self.dispatcher.triggers.go_on_with_left();
            return;
        }
        let scanning = self.scan.borrow().is_pending();
        if scanning {
            // A scan takes half a slice; what it finds takes the rest.
            let end = Instant::now() + SLICE / 2;
            let mut scan = self.scan.borrow_mut();
            let found = |key: KeyRef<'_>| self.found(context, key);
            if scan.advance(context, end, found) {
                self.dispatcher.wake();
            }
        }
        self.dispatcher.tick(context, self.limits(false));
        self.set_timer(context);
    }

    /// A stream is there, and perhaps was not known.
    pub(crate) fn found(&self, context: &Context, key: KeyRef<'_>) {
        self.dispatcher.on(Event::Found(key));
        self.dispatcher.place(context, key);
    }

    /// Has the event loop go round again when something is due.
    fn set_timer(&self, context: &Context) {
        let now = self.dispatcher.time();
        let armed = self.wakes_at.get().filter(|at| *at > now);
        let wanted = self.dispatcher.next_time();
        if let Some(at) = wanted
            && armed.is_none_or(|armed| at < armed)
        {
            context.wake_in(at.saturating_sub(now));
            self.wakes_at.set(wanted);
        } else {
            self.wakes_at.set(armed);
        }
    }
}

/// Leaves the isolate slot where the main thread may be at its end.
struct Left<'a>(&'a MainThreadExecutor);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The hooks of the one [`App`].
pub(crate) struct AppHooks;

impl AppHooks {
    fn with(work: impl FnOnce(&App)) {
        if let Some(app) = App::get() {
            work(app);
        }
    }
}

impl Hooks for AppHooks {
    fn on_event(&self, event: Event<'_>) {
        Self::with(|app| {
            if let Event::Swapped(..) = event
                && app.scan.borrow().is_pending()
            {
                // What is to come may be where it was already.
                app.scan.borrow_mut().request();
            }
            app.dispatcher.on(event);
        });
    }

    fn place(&self, context: &Context, key: KeyRef<'_>) {
        Self::with(|app| app.dispatcher.place(context, key));
    }

    fn database_of(&self, home: i32) -> i32 {
        App::get().map_or(home, |app| app.dispatcher.database_of(home))
    }

    fn is_tracked(&self, key: KeyRef<'_>) -> bool {
        App::get().is_some_and(|app| app.dispatcher.inspect(|delivery| delivery.is_tracked(key)))
    }

    fn has_triggers(&self) -> bool {
        App::get().is_some_and(|app| !app.dispatcher.triggers.is_empty())
    }

    fn on_key_event(&self, happened: &dyn KeyEvent) {
        Self::with(|app| {
            let limits = EventLimits {
                bounds: app.settings.trigger_bounds(),
                patience: app.script_budget(),
            };
            app.dispatcher.triggers.on_key_event(happened, limits);
        });
    }

    fn wake(&self) {
        Self::with(|app| {
            if app.dispatcher.has_work() {
                app.dispatcher.wake();
            }
        });
    }

    fn has_urgent(&self) -> bool {
        App::get().is_some_and(|app| app.dispatcher.has_urgent())
    }

    fn on_added(&self, key: KeyRef<'_>, id: EntryId) {
        Self::with(|app| app.dispatcher.note_added(key, id));
    }

    fn refuses_append(&self, key: KeyRef<'_>) -> Option<String> {
        App::get().and_then(|app| app.dispatcher.refuses_append(key))
    }

    fn after_background(&self) {
        // What was written may be what a client waits for, and what was published is still to be
        // sent: the server sees to both before it sleeps.
        Self::with(|app| app.dispatcher.wake());
    }

    fn leave_isolate(&self) {
        Self::with(|app| app.main_thread.leave());
    }

    fn info(&self) -> Vec<Section> {
        App::get().map(App::info).unwrap_or_default()
    }

    fn after_command(&self, context: &Context) {
        Self::with(|app| {
            if app.is_active() {
                app.dispatcher.tick(context, app.limits(true));
            }
        });
    }

    fn make_call(&self, context: &Context) {
        Self::with(|app| waiting_calls::make_one(app, context));
    }

    fn before_sleep(&self, context: &Context) {
        Self::with(|app| {
            // Also where something panics: workers would wait for the main thread to leave for
            // ever.
            let _left = Left(&app.main_thread);
            app.tick(context);
        });
    }

    fn rescan(&self) {
        Self::with(App::rescan);
    }

    fn dump(&self) -> Vec<Vec<u8>> {
        let snapshots = App::get().map(|app| app.libraries.snapshots());
        let snapshots = snapshots.unwrap_or_default();
        snapshots.iter().map(LibrarySnapshot::encode).collect()
    }

    fn restore(&self, context: &Context, bytes: &[u8]) -> Result<(), String> {
        let app = App::get().ok_or("the module is not ready")?;
        let kept =
            LibrarySnapshot::decode(bytes).map_err(|error| format!("one of them {error}"))?;
        app.libraries.restore(context, &kept);
        Ok(())
    }

    fn forget_libraries(&self) {
        Self::with(|app| app.libraries.delete_all());
    }

    fn before_save(&self, context: &Context) {
        Self::with(|app| {
            if app.is_active() {
                app.dispatcher.commit(context);
            }
        });
    }

    fn on_fork(&self, context: &Context) {
        if context.is_rewriting_as_commands() {
            Self::with(|app| app.rewrite.begin());
        }
    }
}
