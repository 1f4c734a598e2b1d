//! Which code each consumer has, and in whose name it acts.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use slotmap::SecondaryMap;

use gears_core::delivery::{ConsumerKey, ConsumerSpec};
use gears_v8::ports::{Credentials, Database, Flags};

use super::stream_access::ConsumerName;
use crate::executor::CallbackTarget;
use crate::executor::LibraryExecutor;

/// A consumer's code, and in whose name it acts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConsumerCode<'a> {
    /// The library's executor.
    pub executor: &'a Arc<LibraryExecutor>,
    /// The callback there.
    pub target: &'a CallbackTarget,
    /// The library's owner.
    pub user: &'a Arc<str>,
}

/// Where a consumer's callback is.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerBinding {
    pub(crate) name: ConsumerName,
    pub(crate) executor: Arc<LibraryExecutor>,
    pub(crate) target: CallbackTarget,
    /// In whose name it acts, in the database its streams were in last.
    pub(crate) credentials: Arc<Credentials>,
    /// Whether its streams are trimmed.
    pub(crate) trims: bool,
    /// Whether the callback gets entries as an array.
    pub(crate) as_batch: bool,
    /// Milliseconds that its promise has.
    pub(crate) timeout_ms: Option<u32>,
}

impl ConsumerBinding {
    pub(crate) fn new(name: ConsumerName, code: ConsumerCode<'_>, spec: &ConsumerSpec) -> Self {
        let policy = spec.policy.as_ref();
        Self {
            name,
            executor: Arc::clone(code.executor),
            target: code.target.clone(),
            credentials: Arc::new(Credentials {
                user: Arc::clone(code.user),
                db: Database::Home(0),
                flags: Flags::WAITS,
            }),
            trims: spec.trim,
            as_batch: policy.is_some_and(|policy| policy.batch.is_some()),
            timeout_ms: policy.and_then(|policy| policy.timeout_ms),
        }
    }
}

/// What consumers are called, which code each has, and in whose name it acts.
/// Used by the main thread only.
#[derive(Default)]
pub(crate) struct Bindings {
    /// Those that have code.
    bound: RefCell<SecondaryMap<ConsumerKey, Rc<ConsumerBinding>>>,
    /// Of all of them: what is changed of one without code is written down too.
    names: RefCell<SecondaryMap<ConsumerKey, ConsumerName>>,
}

impl Bindings {
    /// A consumer is called so.
    pub(crate) fn note_name(&self, consumer: ConsumerKey, name: ConsumerName) {
        self.names.borrow_mut().insert(consumer, name);
    }

    pub(crate) fn insert(&self, consumer: ConsumerKey, binding: ConsumerBinding) {
        self.note_name(consumer, binding.name.clone());
        self.bound.borrow_mut().insert(consumer, Rc::new(binding));
    }

    /// A consumer has no code any more.
    pub(crate) fn unbind(&self, consumer: ConsumerKey) {
        self.bound.borrow_mut().remove(consumer);
    }

    /// A consumer is no more.
    pub(crate) fn remove(&self, consumer: ConsumerKey) {
        self.unbind(consumer);
        self.names.borrow_mut().remove(consumer);
    }

    /// Where a consumer's code runs.
    pub(crate) fn executor(&self, consumer: ConsumerKey) -> Option<Arc<LibraryExecutor>> {
        let bindings = self.bound.borrow();
        bindings
            .get(consumer)
            .map(|binding| Arc::clone(&binding.executor))
    }

    /// What a consumer is called.
    pub(crate) fn name(&self, consumer: ConsumerKey) -> Option<ConsumerName> {
        self.names.borrow().get(consumer).cloned()
    }

    /// Visits all consumers with what they are called.
    pub(crate) fn for_each_name(&self, mut visit: impl FnMut(ConsumerKey, &ConsumerName)) {
        for (consumer, name) in self.names.borrow().iter() {
            visit(consumer, name);
        }
    }

    /// Where a consumer's callback is, and what it acts with in this database.
    pub(crate) fn get(&self, consumer: ConsumerKey, db: Database) -> Option<Rc<ConsumerBinding>> {
        let mut bindings = self.bound.borrow_mut();
        let binding = bindings.get_mut(consumer)?;
        if binding.credentials.db != db {
            let mut credentials = (*binding.credentials).clone();
            credentials.db = db;
            Rc::make_mut(binding).credentials = Arc::new(credentials);
        }
        Some(Rc::clone(binding))
    }
}
