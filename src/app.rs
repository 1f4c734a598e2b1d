//! The module's state, and what ties the server's events to it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::v8::{Protection, V8Engine, initialize};
use crate::exec::{Driver, Pool, Reports, TurnLimits};
use crate::host::{Context, Hooks, RedisLocked, Scan, Settings, is_paused, wake_main_thread};
use crate::library::{Loader, Registry};
use crate::stream::{Delivery, Event, KeyRef};

/// Time in which a turn of the event loop works on what is not urgent. Other clients wait that
/// long at most; and a backlog moves on once per turn, so shorter slices would waste more of it.
const SLICE: Duration = Duration::from_millis(2);

/// All there is. Used by the main thread only.
pub(crate) struct App {
    /// The libraries.
    pub(crate) registry: RefCell<Registry>,
    /// How libraries are loaded.
    pub(crate) loader: Loader,
    /// The delivery core at work.
    pub(crate) driver: Driver,
    scan: RefCell<Scan>,
    settings: Settings,
}

static APP: RedisLocked<App> = RedisLocked::new();

impl App {
    /// Sets everything up: V8 first, then the threads that will run its code.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub(crate) fn start(context: &Context, settings: Settings) -> std::io::Result<()> {
        initialize(Protection::Keys);
        let engine = V8Engine::new(Arc::clone(&settings.limits))?;
        let pool = Pool::start(settings.threads)?;
        let reports = Arc::new(Reports::new(Box::new(wake_main_thread)));
        APP.set(Self {
            registry: RefCell::default(),
            loader: Loader {
                engines: vec![Box::new(engine)],
                verbosity: Arc::clone(&settings.verbosity),
                reports: Arc::clone(&reports),
                pool,
            },
            driver: Driver::new(context.is_primary(), reports),
            scan: RefCell::default(),
            settings,
        });
        Ok(())
    }

    /// The one there is; `None` before [`App::start`].
    pub(crate) fn get() -> Option<&'static Self> {
        APP.get()
    }

    /// Asks for the streams that are there already.
    pub(crate) fn rescan(&self) {
        self.scan.borrow_mut().request();
    }

    fn limits(&self, only_urgent: bool) -> TurnLimits {
        let hold = self
            .settings
            .limits
            .run_ms
            .load(std::sync::atomic::Ordering::Relaxed);
        TurnLimits {
            only_urgent,
            budget: if only_urgent { Duration::ZERO } else { SLICE },
            hold: Duration::from_millis(hold),
        }
    }

    fn is_active(&self) -> bool {
        self.driver.inspect(Delivery::is_active) && !is_paused()
    }

    fn turn(&self, context: &Context) {
        self.settings.refresh();
        if !self.is_active() {
            self.driver.catch_up();
            return;
        }
        let scanning = self.scan.borrow().is_pending();
        if scanning {
            // A scan takes half a slice; what it finds takes the rest.
            let end = Instant::now() + SLICE / 2;
            let mut scan = self.scan.borrow_mut();
            if scan.advance(context, end, |event| self.driver.on(event)) {
                self.driver.wake();
            }
        }
        self.driver.turn(context, self.limits(false));
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
        Self::with(|app| app.driver.on(event));
    }

    fn is_tracked(&self, key: KeyRef<'_>) -> bool {
        App::get().is_some_and(|app| app.driver.inspect(|delivery| delivery.is_tracked(key)))
    }

    fn has_urgent(&self) -> bool {
        App::get().is_some_and(|app| app.driver.has_urgent())
    }

    fn after_command(&self, context: &Context) {
        Self::with(|app| {
            if app.is_active() {
                app.driver.turn(context, app.limits(true));
            }
        });
    }

    fn before_sleep(&self, context: &Context) {
        Self::with(|app| app.turn(context));
    }

    fn rescan(&self) {
        Self::with(App::rescan);
    }
}
