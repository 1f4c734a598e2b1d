//! Loading, upgrading and deleting libraries.
//!
//! A library is staged as a whole before anything live is touched, so that whatever is wrong
//! with it leaves the one it should replace as it was, callbacks included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use thiserror::Error;

use crate::dispatcher::{Code, ConsumerName, Dispatcher, TriggerCode};

use crate::executor::{LibraryExecutor, Shared, Target};
use gears_core::snapshot::Unregistered;
use gears_core::triggers::TriggerKey;
use gears_v8::ports::{
    Engine, Program, Registrations, Scheduled, ScriptError, Source, StreamConsumer, Trigger,
};

use super::prologue::{Prologue, PrologueError};
use super::registry::{Consumer, Library, LibraryStatus, Registry, exclude};

/// Bytes of code, and of configuration, that a library may have.
const CODE_MAX: usize = 16 << 20;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadRequest<'a> {
    /// The library's text.
    pub code: &'a str,
    /// Its configuration: a JSON object.
    pub config: Option<&'a str>,
    /// Whether it may replace a library of the same name.
    pub upgrade: bool,
    /// Who asks.
    pub user: &'a str,
    /// What the text is.
    pub kind: Kind<'a>,
}

/// What a text that is loaded is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// A library: it has to register something.
    Library,
    /// A script that is run once. If it registers something, it stays as a library.
    Script,
    /// A library, or a script that stayed, which is loaded once more.
    Restored {
        /// What it does not register again.
        unregistered: &'a [Unregistered],
    },
}

/// What came of a text that was loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Whether it is there as a library.
    pub stays: bool,
    /// Whether streams that are there already may have got a new consumer.
    pub has_new: bool,
    /// What a script asked to have run, and where.
    pub scheduled: Option<(Arc<LibraryExecutor>, Scheduled)>,
}

/// Why a library was not loaded.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    #[error("library code is too large: {0} bytes given, at most {CODE_MAX} are allowed")]
    TooLarge(usize),
    #[error(transparent)]
    Prologue(#[from] PrologueError),
    #[error("configuration must be a valid json, '{text}', {error}.")]
    ConfigSyntax {
        text: String,
        error: serde_json::Error,
    },
    #[error("configuration is too large: {0} bytes given, at most {CODE_MAX} are allowed")]
    ConfigTooLarge(usize),
    #[error("configuration must be a valid json object")]
    ConfigNoObject,
    #[error("Unknown backend {0}")]
    UnknownEngine(String),
    #[error("Failed library compilation Failed compiling code, {0}")]
    Compilation(String),
    #[error("Library {0} already exists")]
    Exists(String),
    #[error("Failed loading library, Failed evaluating module: {0}")]
    Evaluation(String),
    #[error("No function nor registrations was registered")]
    Nothing,
    #[error(
        "Can not upgrade an existing consumer with different prefix, consumer: '{consumer}', old_prefix: {old}, new_prefix: {new}."
    )]
    OtherPrefix {
        consumer: String,
        old: String,
        new: String,
    },
    #[error(
        "Can not upgrade an existing consumer with another value of 'exact', consumer: '{consumer}'."
    )]
    OtherExact { consumer: String },
    #[error("ERR the server refuses {0}")]
    Refused(&'static str),
}

impl LoadRequest<'_> {
    fn unregistered(&self) -> &[Unregistered] {
        match self.kind {
            Kind::Restored { unregistered } => unregistered,
            Kind::Library | Kind::Script => &[],
        }
    }
}

/// Begins to listen to what becomes of keys, as far as registrations need that.
pub(crate) type Listen<'a> = dyn Fn(&Registrations) -> Result<(), &'static str> + 'a;

/// What loading needs of the rest of the module.
pub(crate) struct Loader {
    /// The engines there are.
    pub engines: Vec<Box<dyn Engine>>,
    /// What the libraries' executors share.
    pub shared: Shared,
}

/// A library that is known to be good, and not live yet.
struct Staged {
    program: Box<dyn Program>,
    registrations: Registrations,
}

impl Loader {
    /// Loads a library, or upgrades it; or runs a script. It is the last thing that may fail to
    /// `listen` for it.
    ///
    /// # Errors
    /// See [`LoadError`]; nothing has changed then.
    pub(crate) fn load(
        &self,
        registry: &mut Registry,
        dispatcher: &Dispatcher,
        request: &LoadRequest<'_>,
        listen: &Listen<'_>,
    ) -> Result<Loaded, LoadError> {
        if request.code.len() > CODE_MAX {
            return Err(LoadError::TooLarge(request.code.len()));
        }
        check_config(request.config)?;
        let prologue = Prologue::parse(request.code)?;
        let engine = self
            .engines
            .iter()
            .find(|engine| engine.name() == prologue.engine)
            .ok_or_else(|| LoadError::UnknownEngine(prologue.engine.to_owned()))?;
        let old = registry.get(prologue.name);
        // V8 lets a thread enter one isolate at a time.
        dispatcher.leave_isolate();
        let mut staged = self.stage(engine.as_ref(), prologue.name, request, old)?;
        listen(&staged.registrations).map_err(LoadError::Refused)?;

        let executor = LibraryExecutor::new(prologue.name, staged.program, self.shared.clone());
        let scheduled = staged.registrations.scheduled.take();
        let scheduled = scheduled.filter(|_| request.kind == Kind::Script);
        let scheduled = scheduled.map(|scheduled| (Arc::clone(&executor), scheduled));
        if request.kind == Kind::Script && staged.registrations.is_empty() {
            return Ok(Loaded {
                stays: false,
                has_new: false,
                scheduled,
            });
        }
        let old = registry.remove(prologue.name);
        let has_new = staged.registrations.stream_consumers.iter().any(|new| {
            old.as_ref()
                .is_none_or(|old| !old.consumers.contains_key(&new.name))
        });
        let user: Arc<str> = request.user.into();
        let swap = Swap {
            dispatcher,
            library: prologue.name.into(),
            executor: &executor,
            user: &user,
        };
        let Registrations {
            functions,
            stream_consumers,
            triggers,
            hooks,
            scheduled: _,
        } = staged.registrations;
        let Live {
            consumers,
            triggers,
        } = swap.run(old, stream_consumers, triggers);
        dispatcher.set_hooks(&swap.library, &executor, &user, hooks);
        let functions = functions.into_iter();
        registry.insert(
            prologue.name.to_owned(),
            Library {
                engine: engine.name().to_owned(),
                user,
                config: request.config.map(str::to_owned),
                code: request.code.to_owned(),
                functions: functions
                    .map(|function| (function.name.clone(), Arc::new(function)))
                    .collect(),
                consumers,
                triggers,
                unregistered: request.unregistered().to_vec(),
                status: LibraryStatus::Live(executor),
            },
        );
        Ok(Loaded {
            stays: true,
            has_new,
            scheduled,
        })
    }

    fn stage(
        &self,
        engine: &dyn Engine,
        name: &str,
        request: &LoadRequest<'_>,
        old: Option<&Library>,
    ) -> Result<Staged, LoadError> {
        let source = Source {
            library: name,
            code: request.code,
            config: request.config,
            one_shot: request.kind != Kind::Library,
            restored: matches!(request.kind, Kind::Restored { .. }),
        };
        let text = |error: ScriptError| error.text(self.shared.verbosity.load(Ordering::Relaxed));
        let mut program = engine
            .compile(&source)
            .map_err(|error| LoadError::Compilation(text(error)))?;
        if old.is_some() && !request.upgrade {
            return Err(LoadError::Exists(name.to_owned()));
        }
        let mut registrations = program
            .evaluate()
            .map_err(|error| LoadError::Evaluation(text(error)))?;
        if registrations.is_empty() && request.kind == Kind::Library {
            return Err(LoadError::Nothing);
        }
        for gone in request.unregistered() {
            exclude(gone, &mut registrations);
        }
        if let Some(old) = old {
            for new in &registrations.stream_consumers {
                check_prefix(old, new)?;
            }
        }
        Ok(Staged {
            program,
            registrations,
        })
    }
}

/// Deletes a library with its consumers' progress; false where there is none of that name.
pub(crate) fn delete(registry: &mut Registry, dispatcher: &Dispatcher, name: &str) -> bool {
    let Some(library) = registry.remove(name) else {
        return false;
    };
    dispatcher.leave_isolate();
    for consumer in library.consumers.into_values() {
        dispatcher.remove_consumer(consumer.key);
    }
    for trigger in library.triggers.into_values() {
        dispatcher.remove_trigger(trigger);
    }
    dispatcher.remove_hooks(name);
    if let LibraryStatus::Live(executor) = library.status {
        dispatcher.shut_down(&executor, true);
    }
    true
}

fn check_config(config: Option<&str>) -> Result<(), LoadError> {
    let Some(text) = config else {
        return Ok(());
    };
    if text.len() > CODE_MAX {
        return Err(LoadError::ConfigTooLarge(text.len()));
    }
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| LoadError::ConfigSyntax {
            text: text.chars().take(1000).collect(),
            error,
        })?;
    if value.is_object() {
        Ok(())
    } else {
        Err(LoadError::ConfigNoObject)
    }
}

fn check_prefix(old: &Library, new: &StreamConsumer) -> Result<(), LoadError> {
    match old.consumers.get(&new.name) {
        Some(consumer) if *consumer.prefix != *new.spec.prefix => Err(LoadError::OtherPrefix {
            consumer: new.name.clone(),
            old: String::from_utf8_lossy(&consumer.prefix).into_owned(),
            new: String::from_utf8_lossy(&new.spec.prefix).into_owned(),
        }),
        Some(consumer) if consumer.exact != new.spec.exact => Err(LoadError::OtherExact {
            consumer: new.name.clone(),
        }),
        _ => Ok(()),
    }
}

/// A library that is about to take the place of an old one of its name, if there is one.
struct Swap<'a> {
    dispatcher: &'a Dispatcher,
    library: Arc<str>,
    executor: &'a Arc<LibraryExecutor>,
    user: &'a Arc<str>,
}

/// What a library has that is live.
struct Live {
    consumers: BTreeMap<String, Consumer>,
    triggers: BTreeMap<String, TriggerKey>,
}

impl Swap<'_> {
    /// Makes the new consumers and triggers live, those of the same name with what the old ones
    /// have done so far.
    fn run(
        &self,
        old: Option<Library>,
        registered: Vec<StreamConsumer>,
        registered_triggers: Vec<Trigger>,
    ) -> Live {
        let (mut known, mut known_triggers, status) = match old {
            Some(old) => (old.consumers, old.triggers, Some(old.status)),
            None => (BTreeMap::new(), BTreeMap::new(), None),
        };
        let mut triggers = BTreeMap::new();
        for new in registered_triggers {
            let known = known_triggers.remove(&new.name);
            triggers.insert(new.name.clone(), self.register_trigger(known, new));
        }
        for gone in known_triggers.into_values() {
            self.dispatcher.remove_trigger(gone);
        }
        let mut consumers = BTreeMap::new();
        for new in registered {
            let known = known.remove(&new.name);
            consumers.insert(new.name.clone(), self.register(known, new));
        }
        for gone in known.into_values() {
            self.dispatcher.remove_consumer(gone.key);
        }
        if let Some(LibraryStatus::Live(executor)) = status {
            self.dispatcher.shut_down(&executor, false);
        }
        Live {
            consumers,
            triggers,
        }
    }

    fn register_trigger(&self, known: Option<TriggerKey>, new: Trigger) -> TriggerKey {
        let code = TriggerCode {
            name: ConsumerName {
                library: Arc::clone(&self.library),
                consumer: new.name.into(),
            },
            executor: self.executor,
            callback: new.callback,
            on_fired: new.on_fired,
            user: self.user,
            metadata: new.metadata,
        };
        match known {
            Some(key) => {
                self.dispatcher.change_trigger(key, new.spec, code);
                key
            }
            None => self.dispatcher.add_trigger(new.spec, code),
        }
    }

    fn register(&self, known: Option<Consumer>, new: StreamConsumer) -> Consumer {
        let name = ConsumerName {
            library: Arc::clone(&self.library),
            consumer: new.name.into(),
        };
        let code = Code {
            executor: self.executor,
            target: &Target {
                callback: new.callback,
                mode: new.spec.mode,
            },
            user: self.user,
        };
        if let Some(consumer) = known {
            self.dispatcher
                .change_consumer(consumer.key, name, new.spec, code);
            return Consumer {
                metadata: new.metadata,
                ..consumer
            };
        }
        let prefix = Arc::clone(&new.spec.prefix);
        Consumer {
            exact: new.spec.exact,
            key: self.dispatcher.add_consumer(name, new.spec, code),
            prefix,
            metadata: new.metadata,
        }
    }
}
