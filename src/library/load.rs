//! Loading and upgrading libraries.
//!
//! A library is staged as a whole before anything live is touched. If anything is wrong with it, the
//! library that it should replace stays as it was, callbacks included.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use thiserror::Error;

use crate::executor::{Callbacks, LibraryExecutor};
use gears_core::quoted;
use gears_core::snapshot::{History, Paused, Unregistered};
use gears_v8::ports::{
    CallbackId, Engine, Program, Registrations, Scheduled, ScriptError, Source, StreamConsumer,
};

use super::kept::KeptProgress;
use super::libraries::{EventSubscriptions, KeyEvents, Libraries};
use super::outline;
use super::prologue::{Prologue, PrologueError};
use super::registry::{Library, LibraryStatus, exclude};
use super::report::Report;
use super::swap::Swap;
use super::versions::{digest, history};

/// Limit of a library's code, and of its configuration, in bytes.
const CODE_MAX: usize = 16 << 20;

/// Limit of a library's name, in bytes. In a cluster nodes tell each other the names of all that they have.
const NAME_MAX: usize = 1000;

/// A library or script to be loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadRequest<'a> {
    /// The library's text.
    pub code: &'a str,
    /// Its configuration: a JSON object.
    pub config: Option<&'a str>,
    /// Whether it may replace a library of the same name.
    pub upgrade: bool,
    /// Its owner.
    pub user: &'a str,
    /// The user who loads it.
    pub caller: &'a str,
    /// Texts that are kept, its own included.
    pub versions: usize,
    /// What the text is.
    pub kind: SourceKind<'a>,
    /// Whether it is only looked at what would come of it: nothing changes.
    pub is_check: bool,
    /// Whether an error of its top level is told with its place. Others know the text without that.
    pub tells_place: bool,
}

/// What kind of text is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceKind<'a> {
    /// A library: it has to register something.
    Library,
    /// A script that is run once. If it registers something, it stays as a library.
    Script,
    /// A script that another shard runs once, and that runs a part of its run here. It never stays.
    Part,
    /// An earlier version of a library, or of a script that stayed.
    Earlier {
        /// Its number.
        version: u64,
    },
    /// A library, or a script that stayed, from its snapshot.
    Restored {
        /// Registrations to leave out.
        unregistered: &'a [Unregistered],
        /// What is paused.
        paused: &'a [Paused],
        /// What it was before.
        history: &'a History,
    },
}

/// The result of a load.
#[derive(Debug)]
pub(crate) struct LoadedSource {
    /// The name in its first line.
    pub name: String,
    /// Whether it is a library now. Scripts without registrations are not.
    pub stays: bool,
    /// What is another now, or would be; `None` for a script that does not stay.
    pub change: Option<Change>,
    /// Whether it has new consumers, which may want streams that exist already.
    pub has_new: bool,
    /// The run over the data set that a script asked for, and where to run it.
    pub scheduled: Option<(Arc<LibraryExecutor>, Scheduled)>,
}

impl LoadedSource {
    /// Of what does not stay as a library.
    fn passing(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            stays: false,
            change: None,
            has_new: false,
            scheduled: None,
        }
    }
}

/// What a load has changed.
#[derive(Debug)]
pub(crate) struct Change {
    /// Whether there was a library of that name.
    pub is_upgrade: bool,
    /// What it has now, or what is another than before: in words, for the log.
    pub description: String,
    /// The same, for the client.
    pub report: Report,
}

/// Why a library was not loaded.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    #[error("library code is too large: {0} bytes given, at most {CODE_MAX} are allowed")]
    TooLarge(usize),
    #[error(transparent)]
    Prologue(#[from] PrologueError),
    #[error("library name is too long: {0} bytes given, at most {NAME_MAX} are allowed")]
    NameTooLong(usize),
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
    #[error(
        "ERR the progress that is kept of consumer '{consumer}' is one of another prefix, or of another value of 'exact': RG.FUNCTION DEL {library} FORCE drops what is kept"
    )]
    OtherThanKept { library: String, consumer: String },
    #[error("ERR the server refuses {0}")]
    Refused(&'static str),
}

impl LoadRequest<'_> {
    fn unregistered(&self) -> &[Unregistered] {
        match self.kind {
            SourceKind::Restored { unregistered, .. } => unregistered,
            _ => &[],
        }
    }

    /// What of the new code is paused: what was, as far as it is still there.
    fn paused(&self, old: Option<&Library>, new: &Registrations) -> BTreeSet<Paused> {
        let mut paused = match self.kind {
            SourceKind::Restored { paused, .. } => paused.iter().cloned().collect(),
            _ => old.map(|old| old.paused.clone()).unwrap_or_default(),
        };
        paused.retain(|one| match one {
            Paused::Function(name) => new.functions.iter().any(|new| new.name == *name),
            Paused::Trigger(name) => new.triggers.iter().any(|new| new.name == *name),
        });
        paused
    }
}

/// A library that was evaluated and checked, and is not live yet.
struct Staged {
    program: Box<dyn Program>,
    registrations: Registrations,
}

impl Libraries {
    /// Loads a library, or upgrades it; or runs a script.
    ///
    /// # Errors
    /// See [`LoadError`]; nothing has changed then.
    pub(crate) fn load(
        &self,
        key_events: &dyn KeyEvents,
        request: &LoadRequest<'_>,
    ) -> Result<LoadedSource, LoadError> {
        self.load_parsed(key_events, Prologue::parse(request.code), request)
    }

    /// Loads a script of another shard, to run parts of its run; it changes nothing here. Gives what runs them.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub(crate) fn load_part(
        &self,
        request: &LoadRequest<'_>,
    ) -> Result<Option<(Arc<LibraryExecutor>, CallbackId)>, LoadError> {
        check_sizes(request)?;
        let prologue = Prologue::parse(request.code)?;
        let name = prologue.name;
        let engine = self
            .engine(prologue.engine)
            .ok_or_else(|| LoadError::UnknownEngine(prologue.engine.to_owned()))?;
        self.dispatcher.leave_isolate();
        let own_text = prologue.own_text(request.code);
        let staged = self.staged(engine, name, own_text, request, None)?;
        let Some(stage) = staged.registrations.stage else {
            return Ok(None);
        };
        let callbacks = Callbacks::default();
        let executor = LibraryExecutor::new(name, staged.program, callbacks, self.shared.clone());
        Ok(Some((executor, stage)))
    }

    /// Loads a library, upgrades it, or runs a script, whose first line is parsed.
    pub(super) fn load_parsed(
        &self,
        key_events: &dyn KeyEvents,
        prologue: Result<Prologue<'_>, PrologueError>,
        request: &LoadRequest<'_>,
    ) -> Result<LoadedSource, LoadError> {
        check_sizes(request)?;
        let prologue = prologue?;
        let name = prologue.name;
        check_name(name, request)?;
        let engine = self
            .engine(prologue.engine)
            .ok_or_else(|| LoadError::UnknownEngine(prologue.engine.to_owned()))?;
        let mut registry = self.change();
        // Evaluating enters the new isolate, and V8 lets a thread be in one isolate at a time.
        self.dispatcher.leave_isolate();
        let own_text = prologue.own_text(request.code);
        let mut staged = self.staged(engine, name, own_text, request, registry.get(name))?;
        let (replaced, registrations) = (registry.get(name), &staged.registrations);
        if let Some(kept) = self.kept().get(name) {
            check_kept(name, kept, registrations)?;
        }
        let history = history(request, replaced);
        let digest = digest(request.code);
        let change = Change {
            is_upgrade: replaced.is_some(),
            description: outline::describe(replaced, engine, request, registrations),
            report: Report::of(
                (name, engine.name()),
                replaced,
                request,
                registrations,
                (&self.dispatcher, self.kept().get(name)),
                (&history, &digest),
            ),
        };
        if request.is_check {
            return Ok(LoadedSource {
                change: Some(change),
                ..LoadedSource::passing(name)
            });
        }
        self.listen(key_events, &staged.registrations)
            .map_err(LoadError::Refused)?;

        let replaced = registry.get(name).and_then(Library::executor);
        let callbacks = Callbacks::of(
            name,
            &staged.registrations,
            replaced.map(|replaced| replaced.callbacks()),
            &self.shared.slow_log,
        );
        let executor = LibraryExecutor::new(name, staged.program, callbacks, self.shared.clone());
        let scheduled = staged.registrations.scheduled.take();
        let scheduled = scheduled.filter(|_| request.kind == SourceKind::Script);
        let scheduled = scheduled.map(|scheduled| (Arc::clone(&executor), scheduled));
        if request.kind == SourceKind::Script && staged.registrations.is_empty() {
            return Ok(LoadedSource {
                scheduled,
                ..LoadedSource::passing(name)
            });
        }
        let old = registry.remove(name);
        let has_new = staged.registrations.stream_consumers.iter().any(|new| {
            old.as_ref()
                .is_none_or(|old| !old.consumers.contains_key(&new.name))
        });
        let user: Arc<str> = request.user.into();
        let swap = Swap {
            dispatcher: &self.dispatcher,
            library: name.into(),
            executor: &executor,
            user: &user,
        };
        let paused = request.paused(old.as_ref(), &staged.registrations);
        let kept = self.take_kept(name);
        let live = swap.run(old, kept, staged.registrations);
        for (trigger, key) in &live.triggers {
            let is_paused = paused.contains(&Paused::Trigger(trigger.clone()));
            self.dispatcher.triggers.set_paused(*key, is_paused);
        }
        registry.insert(
            name.to_owned(),
            Library {
                engine: engine.name().to_owned(),
                user,
                config: request.config.map(str::to_owned),
                code: request.code.to_owned(),
                functions: live.functions,
                remote_functions: live.remote_functions,
                stage: live.stage,
                consumers: live.consumers,
                triggers: live.triggers,
                unregistered: request.unregistered().to_vec(),
                paused,
                history,
                digest,
                status: LibraryStatus::Live(executor),
            },
        );
        Ok(LoadedSource {
            name: name.to_owned(),
            stays: true,
            change: Some(change),
            has_new,
            scheduled,
        })
    }

    /// Subscribes to the key events that registrations want, before these are live.
    fn listen(
        &self,
        key_events: &dyn KeyEvents,
        registered: &Registrations,
    ) -> Result<(), &'static str> {
        let triggers = &registered.triggers;
        if registered.stream_consumers.is_empty() && triggers.is_empty() {
            return Ok(());
        }
        let live = self.event_subscriptions();
        key_events.listen_to_keys(EventSubscriptions {
            misses: live.misses || triggers.iter().any(|one| one.spec.wants_misses()),
            nested: live.nested || triggers.iter().any(|one| one.on_fired.is_some()),
        })
    }

    fn staged(
        &self,
        engine: &dyn Engine,
        name: &str,
        code: &str,
        request: &LoadRequest<'_>,
        old: Option<&Library>,
    ) -> Result<Staged, LoadError> {
        let source = Source {
            library: name,
            code,
            config: request.config,
            one_shot: request.kind != SourceKind::Library,
            restored: matches!(request.kind, SourceKind::Restored { .. }),
        };
        let text = |error: ScriptError| error.text(self.shared.verbosity.load(Ordering::Relaxed));
        let mut program = engine
            .compile(&source)
            .map_err(|error| LoadError::Compilation(text(error)))?;
        if old.is_some() && !request.upgrade {
            return Err(LoadError::Exists(name.to_owned()));
        }
        let began = Instant::now();
        let evaluated = program.evaluate();
        let stack = evaluated.as_ref().err();
        let stack = stack.and_then(|error| error.stack.as_deref());
        let slow_log = &self.shared.slow_log;
        slow_log.note_load(name, began.elapsed(), stack);
        let mut registrations = evaluated.map_err(|error| {
            let place = error.place().map(|place| format!(" {place}"));
            let place = place.unwrap_or_default();
            if !request.tells_place {
                let name = quoted(name.as_bytes());
                log::warn!("library {name} was not loaded: {error}{place}");
            }
            let is_told = request.tells_place && self.shared.verbosity.load(Ordering::Relaxed) < 2;
            let place = if is_told { &*place } else { "" };
            LoadError::Evaluation(text(error) + place)
        })?;
        let has_to_register = matches!(
            request.kind,
            SourceKind::Library | SourceKind::Earlier { .. }
        );
        if registrations.is_empty() && has_to_register {
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

fn check_name(name: &str, request: &LoadRequest<'_>) -> Result<(), LoadError> {
    // What was loaded before there was a limit stays.
    let is_new = !matches!(request.kind, SourceKind::Restored { .. });
    if is_new && name.len() > NAME_MAX {
        return Err(LoadError::NameTooLong(name.len()));
    }
    Ok(())
}

fn check_sizes(request: &LoadRequest<'_>) -> Result<(), LoadError> {
    if request.code.len() > CODE_MAX {
        return Err(LoadError::TooLarge(request.code.len()));
    }
    check_config(request.config)
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

/// Whether the consumers of a deleted library can go on as those of the new one.
fn check_kept(library: &str, kept: &KeptProgress, new: &Registrations) -> Result<(), LoadError> {
    let is_other = |new: &&StreamConsumer| {
        let old = kept.consumers.get(&new.name);
        old.is_some_and(|old| *old.prefix != *new.spec.prefix || old.exact != new.spec.exact)
    };
    match new.stream_consumers.iter().find(is_other) {
        Some(other) => Err(LoadError::OtherThanKept {
            library: library.to_owned(),
            consumer: other.name.clone(),
        }),
        None => Ok(()),
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
