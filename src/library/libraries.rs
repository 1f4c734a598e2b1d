//! The service that every change of libraries goes through.

use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;

use crate::dispatcher::Dispatcher;
use crate::executor::{ExecutorShared, LibraryExecutor, Pool};
use gears_core::delivery::ConsumerKey;
use gears_core::snapshot::{Paused, Unregistered};
use gears_v8::ports::{CallbackId, Engine, Function, Registered};

use super::callees::{Callee, Callees};
use super::kept::KeptLibraries;
use super::registry::{LibraryStatus, Registry};
use super::shared::Shared;

/// What libraries need of the server.
pub(crate) trait KeyEvents {
    /// Subscribes to key events, unless that was done before.
    ///
    /// # Errors
    /// The name of what the server refuses.
    fn listen_to_keys(&self, wanted: EventSubscriptions) -> Result<(), &'static str>;
}

/// Key events beyond those that every consumer and trigger needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventSubscriptions {
    /// Key misses.
    pub(crate) misses: bool,
    /// Events during an event: pre-hooks read keys then, and what they read may expire.
    pub(crate) nested: bool,
}

/// The libraries, and what loading one needs. Used by the main thread only.
pub(crate) struct Libraries {
    registry: RefCell<Registry>,
    /// What is kept of deleted libraries.
    pub(super) kept: RefCell<KeptLibraries>,
    /// Functions that were called last.
    callees: Callees,
    pub(super) dispatcher: Rc<Dispatcher>,
    pub(super) engines: Vec<Box<dyn Engine>>,
    /// What the libraries' executors share.
    pub(super) shared: ExecutorShared,
    /// What is known of the libraries of the cluster.
    pub(super) of_cluster: RefCell<Shared>,
}

/// What is left of a library after a registration was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remainder {
    /// The library without it.
    Library,
    /// Nothing: the library had only this registration, and was deleted.
    Nothing,
}

impl Libraries {
    /// No libraries yet. `engines` are the engines that libraries may name.
    #[must_use]
    pub(crate) fn new(
        dispatcher: Rc<Dispatcher>,
        engines: Vec<Box<dyn Engine>>,
        shared: ExecutorShared,
    ) -> Self {
        Self {
            registry: RefCell::default(),
            kept: RefCell::default(),
            callees: Callees::default(),
            dispatcher,
            engines,
            shared,
            of_cluster: RefCell::default(),
        }
    }

    /// All libraries. Drop the result before anything is changed.
    pub(crate) fn all(&self) -> Ref<'_, Registry> {
        self.registry.borrow()
    }

    /// All libraries, to be changed: what is known of their functions is not true any more.
    pub(super) fn change(&self) -> RefMut<'_, Registry> {
        self.callees.forget();
        self.registry.borrow_mut()
    }

    /// A function that may be called, by the names of its library and its own.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn callee(&self, library: &[u8], function: &[u8]) -> Result<Rc<Callee>, String> {
        self.callees.find(library, function, &self.registry)
    }

    /// The executor of the library of that name; none for an unknown or quarantined library.
    #[must_use]
    pub(crate) fn executor(&self, library: &str) -> Option<Arc<LibraryExecutor>> {
        let registry = self.registry.borrow();
        registry.get(library)?.executor().map(Arc::clone)
    }

    /// A remote function, and where its library runs; none where there is none, or its library does
    /// not run.
    #[must_use]
    pub(crate) fn remote_function(
        &self,
        library: &str,
        function: &str,
    ) -> Option<(Arc<LibraryExecutor>, Arc<Function>)> {
        let registry = self.registry.borrow();
        let library = registry.get(library)?;
        let function = library.remote_functions.get(function)?;
        Some((Arc::clone(library.executor()?), Arc::clone(function)))
    }

    /// What runs stages of executions of `GearsBuilder` for a library, and where; none where the library does not run,
    /// or does not use that.
    #[must_use]
    pub(crate) fn stage(&self, library: &str) -> Option<(Arc<LibraryExecutor>, CallbackId)> {
        let registry = self.registry.borrow();
        let library = registry.get(library)?;
        Some((Arc::clone(library.executor()?), library.stage?))
    }

    /// A consumer's key, by the names of its library, which may be deleted, and its own.
    #[must_use]
    pub(crate) fn consumer(&self, library: &[u8], consumer: &[u8]) -> Option<ConsumerKey> {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let (library, consumer) = (text(library)?, text(consumer)?);
        let (registry, kept) = (self.registry.borrow(), self.kept());
        let consumers = match registry.get(library) {
            Some(library) => &library.consumers,
            None => &kept.get(library)?.consumers,
        };
        Some(consumers.get(consumer)?.key)
    }

    /// Whether there is no library, and nothing kept of one.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.registry.borrow().is_empty() && self.kept().is_empty()
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

    /// Deletes a library with its consumers' progress, or what is kept of one; false if there is
    /// neither.
    pub(crate) fn delete(&self, name: &str) -> bool {
        let Some(library) = self.change().remove(name) else {
            return self.drop_progress(name);
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

    /// Deletes all libraries, before another data set is loaded.
    pub(crate) fn delete_all(&self) {
        let names: Vec<_> = {
            let (registry, kept) = (self.registry.borrow(), self.kept());
            registry.keys().chain(kept.keys()).cloned().collect()
        };
        for name in names {
            self.delete(&name);
        }
    }

    /// Pauses a function or trigger, or has it go on; false if there is none of that name, but for a
    /// library in quarantine, of which nobody knows what it has.
    pub(crate) fn set_paused(&self, name: &str, what: &Paused, is_paused: bool) -> bool {
        let mut registry = self.change();
        let Some(library) = registry.get_mut(name) else {
            return false;
        };
        let exists = match what {
            Paused::Function(function) => library.functions.contains_key(function),
            Paused::Trigger(trigger) => {
                let key = library.triggers.get(trigger);
                if let Some(key) = key {
                    self.dispatcher.triggers.set_paused(*key, is_paused);
                }
                key.is_some()
            }
        };
        if !exists && library.executor().is_some() {
            return false;
        }
        if is_paused {
            library.paused.insert(what.clone());
        } else {
            library.paused.remove(what);
        }
        true
    }

    /// Takes a registration away from its library, until the library is upgraded; deletes the library
    /// if nothing is left. `None` if there is no such registration.
    pub(crate) fn unregister(&self, name: &str, registered: &Registered) -> Option<Remainder> {
        let is_empty = {
            let mut registry = self.change();
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
                    library.paused.remove(&Paused::Trigger(trigger.clone()));
                    let gone = Unregistered::Trigger(trigger.clone());
                    library.unregistered.push(gone);
                }
            }
            // Nobody knows what a quarantined library would register.
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
