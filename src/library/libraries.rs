//! The libraries there are. Every change of them goes through here.

use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::dispatcher::Dispatcher;
use crate::executor::{LibraryExecutor, Pool, Shared};
use gears_core::delivery::ConsumerKey;
use gears_core::snapshot::Unregistered;
use gears_v8::ports::{Engine, Registered};

use super::registry::{LibraryStatus, Registry};

/// What libraries need of the server.
pub(crate) trait KeyEvents {
    /// Begins to listen to what becomes of keys, as far as that is not done already.
    ///
    /// # Errors
    /// With the name of what the server refuses.
    fn listen_to_keys(&self, wanted: EventSubscriptions) -> Result<(), &'static str>;
}

/// What is listened to, beyond what every consumer and trigger needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventSubscriptions {
    /// Reads that find nothing.
    pub(crate) misses: bool,
    /// What happens while an event is told of: scripts look at it then, and what they read may
    /// expire.
    pub(crate) nested: bool,
}

/// The libraries, and all that loading one takes. Used by the main thread only.
pub(crate) struct Libraries {
    pub(super) registry: RefCell<Registry>,
    pub(super) dispatcher: Rc<Dispatcher>,
    pub(super) engines: Vec<Box<dyn Engine>>,
    /// What the libraries' executors share.
    pub(super) shared: Shared,
}

/// What came of taking a registration away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remainder {
    /// The library is there without it.
    Library,
    /// It was all that the library had, which is gone too.
    Nothing,
}

impl Libraries {
    /// No libraries, to be written for one of these engines.
    #[must_use]
    pub(crate) fn new(
        dispatcher: Rc<Dispatcher>,
        engines: Vec<Box<dyn Engine>>,
        shared: Shared,
    ) -> Self {
        Self {
            registry: RefCell::default(),
            dispatcher,
            engines,
            shared,
        }
    }

    /// All libraries, to be looked at. Nothing is changed meanwhile.
    pub(crate) fn all(&self) -> Ref<'_, Registry> {
        self.registry.borrow()
    }

    /// Where a library runs, if there is one of that name and it does.
    #[must_use]
    pub(crate) fn executor(&self, library: &str) -> Option<Arc<LibraryExecutor>> {
        let registry = self.registry.borrow();
        registry.get(library)?.executor().map(Arc::clone)
    }

    /// A consumer by its names.
    #[must_use]
    pub(crate) fn consumer(&self, library: &[u8], consumer: &[u8]) -> Option<ConsumerKey> {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let registry = self.registry.borrow();
        let library = registry.get(text(library)?)?;
        Some(library.consumers.get(text(consumer)?)?.key)
    }

    /// The engine of that name.
    #[must_use]
    pub(crate) fn engine(&self, name: &str) -> Option<&dyn Engine> {
        let mut engines = self.engines.iter();
        let found = engines.find(|engine| engine.name() == name);
        found.map(AsRef::as_ref)
    }

    /// The workers of all libraries.
    #[must_use]
    pub(crate) fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// Deletes a library with its consumers' progress; false where there is none of that name.
    pub(crate) fn delete(&self, name: &str) -> bool {
        let Some(library) = self.registry.borrow_mut().remove(name) else {
            return false;
        };
        self.dispatcher.leave_isolate();
        for consumer in library.consumers.into_values() {
            self.dispatcher.consumers.remove(consumer.key);
        }
        for trigger in library.triggers.into_values() {
            self.dispatcher.triggers.remove(trigger);
        }
        self.dispatcher.hooks.remove_all(name);
        if let LibraryStatus::Live(executor) = library.status {
            self.dispatcher.shut_down(&executor, true);
        }
        true
    }

    /// Deletes all libraries: another data set is about to be loaded.
    pub(crate) fn delete_all(&self) {
        let names: Vec<_> = self.registry.borrow().keys().cloned().collect();
        for name in names {
            self.delete(&name);
        }
    }

    /// Takes a registration away from its library, until that is upgraded; and the library, where it
    /// has nothing else. What is left; `None` where there is no such registration.
    pub(crate) fn unregister(&self, name: &str, registered: &Registered) -> Option<Remainder> {
        let is_empty = {
            let mut registry = self.registry.borrow_mut();
            let library = registry.get_mut(name)?;
            match registered {
                Registered::Consumer(consumer) => {
                    let gone = library.consumers.remove(consumer)?;
                    self.dispatcher.hooks.remove(name, registered);
                    self.dispatcher.consumers.remove(gone.key);
                    let gone = Unregistered::Consumer(consumer.clone());
                    library.unregistered.push(gone);
                }
                Registered::Trigger(trigger) => {
                    let gone = library.triggers.remove(trigger)?;
                    self.dispatcher.hooks.remove(name, registered);
                    self.dispatcher.triggers.remove(gone);
                    let gone = Unregistered::Trigger(trigger.clone());
                    library.unregistered.push(gone);
                }
            }
            // What else one in quarantine would register is not known.
            library.executor().is_some()
                && library.consumers.is_empty()
                && library.triggers.is_empty()
                && library.functions.is_empty()
        };
        if is_empty {
            self.delete(name);
            return Some(Remainder::Nothing);
        }
        Some(Remainder::Library)
    }
}
