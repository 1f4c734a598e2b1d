//! The server's events, passed on to the rooms that they concern.

use std::sync::atomic::Ordering;

use super::App;
use crate::cluster::Cluster;
use crate::dispatcher::{EventLimits, KeyEvent};
use crate::executor::MainThreadExecutor;
use crate::server::{Context, Hooks, InfoSection};
use crate::stats;
use gears_core::cluster::libraries::Ledger;
use gears_core::cluster::{NodeId, Whereabouts};
use gears_core::delivery::{Delivery, EntryId, Event, KeyRef};
use gears_core::snapshot::LibrarySnapshot;

/// Leaves the isolate slot that the main thread may be in, when dropped.
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
            if let Event::Swapped(..) = event {
                app.event_loop.swapped();
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

    fn own_key(&self) -> Option<[u8; 2]> {
        App::get().and_then(App::cluster).and_then(Cluster::own_key)
    }

    fn whereabouts(&self, slot: u16) -> Whereabouts {
        let cluster = App::get().and_then(App::cluster);
        cluster.map_or(Whereabouts::Unknown, |cluster| cluster.whereabouts(slot))
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

    fn leave_isolate(&self) {
        Self::with(|app| app.main_thread.leave());
    }

    fn info(&self) -> Vec<InfoSection> {
        let Some(app) = App::get() else {
            return Vec::new();
        };
        let limit = &app.settings.limits.total_memory;
        let limit = limit.load(Ordering::Relaxed);
        let nodes = app.cluster().and_then(Cluster::view);
        stats::sections(
            &app.libraries,
            &app.dispatcher,
            &app.calls,
            limit,
            nodes.as_ref(),
            &app.remote.figures(),
        )
    }

    fn after_command(&self, context: &Context) {
        Self::with(|app| app.urgent_tick(context));
    }

    fn make_call(&self, context: &Context) {
        Self::with(|app| app.calls.make_one(context));
    }

    fn on_bus_message(&self, from: NodeId, bytes: &[u8]) {
        Self::with(|app| {
            if let Some(cluster) = app.cluster() {
                cluster.on_bus_message(from, bytes);
            }
        });
    }

    fn before_sleep(&self, context: &Context) {
        Self::with(|app| {
            // Also after a panic: workers would wait forever for the main thread to leave.
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
        let libraries = snapshots.iter().map(LibrarySnapshot::encode);
        // Behind the libraries, since what it says is said of these.
        let ledger = App::get().and_then(|app| app.libraries.ledger());
        libraries
            .chain(ledger.map(|ledger| ledger.encode()))
            .collect()
    }

    fn restore(&self, context: &Context, bytes: &[u8]) -> Result<(), String> {
        let app = App::get().ok_or("the module is not ready")?;
        if Ledger::is(bytes) {
            let ledger = Ledger::decode(bytes);
            let ledger = ledger.map_err(|error| format!("the cluster's ledger {error}"))?;
            app.libraries.take_ledger(ledger);
            return Ok(());
        }
        let kept =
            LibrarySnapshot::decode(bytes).map_err(|error| format!("one of them {error}"))?;
        app.libraries.restore(context, &kept);
        Ok(())
    }

    fn on_loaded(&self, context: &Context) {
        Self::with(|app| {
            // A primary leaves out what has expired since the dump was written, and tells nobody.
            // The next stream of that name is another one: its entries may be below the position.
            if app.dispatcher.inspect(Delivery::is_active) {
                for (db, name) in app.dispatcher.inspect(Delivery::tracked) {
                    if !(context.select(db) && context.is_stream(&name)) {
                        app.dispatcher
                            .on(Event::Removed(KeyRef { db, name: &name }));
                    }
                }
            }
        });
    }

    fn forget_libraries(&self) {
        Self::with(|app| {
            app.libraries.delete_all();
            app.forget_shared();
        });
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
