//! What libraries want to have called once they are live: `on_registered`.
//!
//! Called in the first tick of a primary after the library was loaded; on a replica that is when
//! it becomes one. So the hook of a library may run on every server that has it, once for each
//! time that it begins there.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gears_core::delivery::Mode;
use gears_v8::ports::{
    Arguments, Credentials, Database, Flags, Function, Hook, Registered, Reply, RunAs,
};

use super::stream_access::Streams;
use crate::executor::{FunctionCall, LibraryExecutor, MainThreadExecutor, Responder};

/// A hook of a library that is live.
#[derive(Clone)]
struct LiveHook {
    hook: Hook,
    library: Arc<str>,
    executor: Arc<LibraryExecutor>,
    user: Arc<str>,
    called: bool,
}

/// The `on_registered` hooks of live libraries, and which registrations each has to be called for.
/// Used by the main thread only.
pub(crate) struct RegisteredHooks {
    main_thread: Rc<MainThreadExecutor>,
    all: RefCell<Vec<LiveHook>>,
    /// Whether any may be there to be called: asked for in every tick.
    due: Cell<bool>,
}

impl RegisteredHooks {
    pub(super) fn new(main_thread: Rc<MainThreadExecutor>) -> Self {
        Self {
            main_thread,
            all: RefCell::default(),
            due: Cell::default(),
        }
    }

    /// Has these called, in place of those the library had before.
    pub(crate) fn set(
        &self,
        library: &Arc<str>,
        executor: &Arc<LibraryExecutor>,
        user: &Arc<str>,
        hooks: Vec<Hook>,
    ) {
        let mut all = self.all.borrow_mut();
        all.retain(|live| live.library != *library);
        self.due.set(self.due.get() || !hooks.is_empty());
        all.extend(hooks.into_iter().map(|hook| LiveHook {
            hook,
            library: Arc::clone(library),
            executor: Arc::clone(executor),
            user: Arc::clone(user),
            called: false,
        }));
    }

    /// Forgets the hooks of a library.
    pub(crate) fn remove_all(&self, library: &str) {
        let mut all = self.all.borrow_mut();
        all.retain(|live| *live.library != *library);
    }

    /// Forgets the hook of a registration that was taken away.
    pub(crate) fn remove(&self, library: &str, of: &Registered) {
        let mut all = self.all.borrow_mut();
        all.retain(|live| *live.library != *library || live.hook.of != *of);
    }

    /// All are to be called when this server is a primary next.
    pub(super) fn call_again(&self) {
        let mut all = self.all.borrow_mut();
        all.iter_mut().for_each(|live| live.called = false);
        self.due.set(!all.is_empty());
    }

    /// Whether any is to be called.
    pub(super) fn has_work(&self) -> bool {
        self.due.get()
    }

    /// The next one to be called.
    fn next(&self) -> Option<LiveHook> {
        let mut all = self.all.borrow_mut();
        let Some(live) = all.iter_mut().find(|live| !live.called) else {
            self.due.set(false);
            return None;
        };
        live.called = true;
        Some(live.clone())
    }

    /// Calls those that were not yet called.
    pub(super) fn call(&self, streams: &dyn Streams, patience: Duration) {
        if !self.has_work() {
            return;
        }
        while let Some(live) = self.next() {
            self.call_one(streams, &live, patience);
        }
    }

    fn call_one(&self, streams: &dyn Streams, live: &LiveHook, patience: Duration) {
        let (hook, executor) = (&live.hook, &live.executor);
        let name = hook.of.name();
        let log = Box::new(Log {
            what: format!("on_registered of '{name}' in library '{}'", live.library),
        });
        let credentials = Credentials {
            user: Arc::clone(&live.user),
            db: Database::Number(0),
            flags: Flags::WAITS,
        };
        if hook.mode == Mode::Async {
            executor.send_function(FunctionCall {
                callback: hook.callback,
                credentials: Arc::new(credentials),
                arguments: Arguments::default(),
                raw: false,
                timeout_ms: None,
                responder: log,
            });
            return;
        }
        let function = Function {
            name: name.to_owned(),
            flags: Flags::default(),
            callback: hook.callback,
            mode: hook.mode,
            timeout_ms: None,
            run_as: RunAs::Owner,
        };
        let mut log = Some(log);
        let mut reply = None;
        streams.act(&credentials, &mut |server| {
            let mut wait = || match log.take() {
                Some(log) => Ok(log as Box<dyn Responder>),
                None => Err(Reply::Null),
            };
            let called = self.main_thread.call_function(
                executor,
                &function,
                &[],
                server,
                patience,
                &mut wait,
            );
            reply = called.into_reply(executor);
        });
        if let (Some(log), Some(reply)) = (log, reply) {
            log.answer(reply);
        }
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
