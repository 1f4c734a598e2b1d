//! Sync callbacks of consumers, on the main thread: who could not be called, how deep they are
//! nested, and whether they wrote.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use gears_core::delivery::{EntryId, KeyRef, SubscriptionKey};
use gears_v8::ports::Server;

use super::bindings::ConsumerBinding;
use super::nesting::Nesting;
use super::stream_access::Streams;
use crate::executor::{EnteredLibrary, MainThreadExecutor};

/// Sync callbacks on the main thread: whose library was busy, how deep they are nested,
/// whether they wrote.
/// Used by the main thread only.
pub(super) struct SyncCalls {
    main_thread: Rc<MainThreadExecutor>,
    pub(super) nesting: Nesting,
    /// Subscriptions whose library was busy: for the next tick.
    stalled: RefCell<Vec<SubscriptionKey>>,
    /// Whether callbacks ran commands since progress was committed.
    acted: Cell<bool>,
}

impl SyncCalls {
    pub(super) fn new(main_thread: Rc<MainThreadExecutor>) -> Self {
        Self {
            main_thread,
            nesting: Nesting::default(),
            stalled: RefCell::default(),
            acted: Cell::default(),
        }
    }

    /// Runs `work` in a consumer's library, in its owner's name. Where that is busy for longer than
    /// `patience`, the subscription stalls, and the result is false.
    pub(super) fn run(
        &self,
        streams: &dyn Streams,
        sub: SubscriptionKey,
        binding: &ConsumerBinding,
        patience: Duration,
        mut work: impl FnMut(&EnteredLibrary<'_>, &dyn Server),
    ) -> bool {
        let acted = self
            .main_thread
            .with(&binding.executor, patience, |library| {
                streams.act(&binding.credentials, &mut |server| work(library, server))
            });
        self.nesting.pause();
        let Some(acted) = acted else {
            self.stall(sub);
            return false;
        };
        self.acted.set(self.acted.get() || acted);
        true
    }

    /// The callback of this entry is about to run.
    pub(super) fn begin(&self, key: KeyRef<'_>, id: EntryId) {
        self.nesting.begin(key, id);
    }

    /// Has a subscription wait for the next tick.
    pub(super) fn stall(&self, sub: SubscriptionKey) {
        self.stalled.borrow_mut().push(sub);
    }

    /// Takes those that waited for this tick.
    pub(super) fn take_stalled(&self) -> Vec<SubscriptionKey> {
        self.stalled.take()
    }

    /// Nothing is dispatched any more in this tick. `is_done`: there is nothing to dispatch.
    pub(super) fn end_tick(&self, is_done: bool) {
        // What a busy library has not done yet is as deep in the next tick.
        if is_done && self.stalled.borrow().is_empty() {
            self.nesting.end();
        }
    }

    /// Whether callbacks ran commands since progress was committed.
    pub(super) fn have_acted(&self) -> bool {
        self.acted.get()
    }

    /// Progress is about to be committed.
    pub(super) fn note_commit(&self) {
        self.acted.set(false);
    }
}
