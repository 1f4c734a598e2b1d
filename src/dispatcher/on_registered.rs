//! What libraries want to have called once they are live: `on_registered`.
//!
//! Called in the first tick of a primary after the library was loaded; on a replica that is when
//! it becomes one. So the hook of a library may run on every server that has it, once for each
//! time that it begins there.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use gears_core::delivery::Mode;
use gears_v8::ports::{Credentials, Database, Flags, Function, Hook, Registered, Reply, Words};

use super::streams::Streams;
use super::tick::Dispatcher;
use crate::executor::LibraryExecutor;
use crate::executor::{FunctionCall, Responder};

/// A hook of a library that is live.
struct Bound {
    hook: Hook,
    library: Arc<str>,
    executor: Arc<LibraryExecutor>,
    user: Arc<str>,
    called: bool,
}

/// See the module's description. Used by the main thread only.
#[derive(Default)]
pub(crate) struct RegisteredHooks {
    all: RefCell<Vec<Bound>>,
    /// Whether any may be there to be called: asked for in every tick.
    due: Cell<bool>,
}

impl RegisteredHooks {
    /// All are to be called when this server is a primary next.
    pub(crate) fn call_again(&self) {
        let mut all = self.all.borrow_mut();
        all.iter_mut().for_each(|one| one.called = false);
        self.due.set(!all.is_empty());
    }

    /// Whether any is to be called.
    pub(crate) fn has_work(&self) -> bool {
        self.due.get()
    }

    /// The next one to be called.
    fn next(&self) -> Option<(Hook, Arc<LibraryExecutor>, Credentials, Arc<str>)> {
        let mut all = self.all.borrow_mut();
        let Some(one) = all.iter_mut().find(|one| !one.called) else {
            self.due.set(false);
            return None;
        };
        one.called = true;
        let credentials = Credentials {
            user: Arc::clone(&one.user),
            db: Database::Number(0),
            flags: Flags::WAITS,
        };
        let executor = Arc::clone(&one.executor);
        Some((
            one.hook.clone(),
            executor,
            credentials,
            Arc::clone(&one.library),
        ))
    }
}

/// Nobody waits for what a hook gives; what it throws is told in the log.
struct Log {
    what: String,
}

impl Responder for Log {
    fn answer(self: Box<Self>, reply: Reply) {
        if let Reply::Error(error) = reply {
            log::warn!("{} failed: {error}", self.what);
        }
    }

    fn is_gone(&self) -> bool {
        false
    }
}

impl Dispatcher {
    /// Has these called, in place of those the library had before.
    pub(crate) fn set_hooks(
        &self,
        library: &Arc<str>,
        executor: &Arc<LibraryExecutor>,
        user: &Arc<str>,
        registered_hooks: Vec<Hook>,
    ) {
        let mut all = self.registered_hooks.all.borrow_mut();
        all.retain(|one| one.library != *library);
        self.registered_hooks
            .due
            .set(self.registered_hooks.due.get() || !registered_hooks.is_empty());
        all.extend(registered_hooks.into_iter().map(|hook| Bound {
            hook,
            library: Arc::clone(library),
            executor: Arc::clone(executor),
            user: Arc::clone(user),
            called: false,
        }));
    }

    /// Forgets the hooks of a library.
    pub(crate) fn remove_hooks(&self, library: &str) {
        let mut all = self.registered_hooks.all.borrow_mut();
        all.retain(|one| *one.library != *library);
    }

    /// Forgets the hook of a registration that was taken away.
    pub(crate) fn remove_hook(&self, library: &str, of: &Registered) {
        let mut all = self.registered_hooks.all.borrow_mut();
        all.retain(|one| *one.library != *library || one.hook.of != *of);
    }

    /// Calls those that were not yet called.
    pub(crate) fn call_hooks(&self, streams: &dyn Streams, patience: Duration) {
        if !self.registered_hooks.has_work() {
            return;
        }
        while let Some((hook, executor, credentials, library)) = self.registered_hooks.next() {
            let what = format!(
                "on_registered of '{}' in library '{library}'",
                hook.of.name()
            );
            let log = Box::new(Log { what });
            let function = Function {
                name: hook.of.name().to_owned(),
                flags: Flags::default(),
                callback: hook.callback,
                mode: hook.mode,
            };
            if hook.mode == Mode::Async {
                executor.send_function(FunctionCall {
                    callback: hook.callback,
                    credentials: Arc::new(credentials),
                    arguments: Words::default(),
                    raw: false,
                    responder: log,
                });
                continue;
            }
            let mut log = Some(log);
            let mut reply = None;
            streams.act(&credentials, &mut |server| {
                let mut wait = || match log.take() {
                    Some(log) => Ok(log as Box<dyn Responder>),
                    None => Err(Reply::Null),
                };
                let called =
                    self.call_function(&executor, &function, &[], server, patience, &mut wait);
                reply = called.into_reply(&executor);
            });
            if let (Some(log), Some(reply)) = (log, reply) {
                log.answer(reply);
            }
        }
    }
}
