//! A library is made from its snapshot.
//!
//! A library comes back in two steps: first its consumers and their progress, which are good
//! whatever becomes of the code; then the code, as an upgrade of that. Where the code cannot be
//! loaded (another version of the engine, a limit that is lower now), the first step is what
//! stays, and nothing that is still to be processed is trimmed or forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dispatcher::{ConsumerName, Dispatcher};
use gears_core::delivery::{ConsumerSpec, Event, KeyRef, Mode};
use gears_core::snapshot::{ConsumerSnapshot, LibrarySnapshot};
use gears_v8::ports::Metadata;

use super::libraries::{EventSubscriptions, KeyEvents, Libraries};
use super::load::{LoadRequest, SourceKind};
use super::prologue::Prologue;
use super::registry::{Library, LibraryConsumer, LibraryStatus};
use super::versions::digest;

impl Libraries {
    /// Makes a library from its snapshot, and replaces the one of its name. The library exists
    /// afterwards in any case: in quarantine if it cannot be loaded. Of a library that was deleted
    /// its progress is kept.
    pub(crate) fn restore(&self, key_events: &dyn KeyEvents, kept: &LibrarySnapshot) {
        if kept.is_progress_alone() {
            self.restore_progress(kept);
        } else {
            self.restore_library(key_events, kept);
        }
        // Consumers without code follow key events too.
        let has_consumers = |library: &Library| !library.consumers.is_empty();
        let waits = self.all().get(&kept.name).is_some_and(has_consumers)
            || self.kept().contains_key(&kept.name);
        if waits && let Err(refused) = key_events.listen_to_keys(self.event_subscriptions()) {
            log::error!("the server refuses {refused}");
        }
    }

    fn restore_library(&self, key_events: &dyn KeyEvents, kept: &LibrarySnapshot) {
        let prologue = Prologue::parse(&kept.code);
        let engine = prologue.as_ref().map_or("", |prologue| prologue.engine);
        self.restore_consumers(engine, kept);
        let request = LoadRequest {
            code: &kept.code,
            config: kept.config.as_deref(),
            upgrade: true,
            user: &kept.user,
            caller: &kept.history.loaded_by,
            versions: usize::MAX,
            kind: SourceKind::Restored {
                unregistered: &kept.unregistered,
                paused: &kept.paused,
                history: &kept.history,
            },
            is_check: false,
            tells_place: false,
        };
        if let Err(error) = self.load_parsed(key_events, prologue.clone(), &request) {
            log::error!(
                "library '{}' cannot be loaded and is put into quarantine, its consumers wait: {error}",
                kept.name
            );
            self.quarantine(engine, kept, error.to_string());
        }
    }

    /// The key events that live triggers want.
    pub(super) fn event_subscriptions(&self) -> EventSubscriptions {
        EventSubscriptions {
            misses: self.dispatcher.triggers.want_misses(),
            nested: self.dispatcher.triggers.has_pre_hooks(),
        }
    }

    /// The first step: the consumers exist with their progress; new ones have no code.
    fn restore_consumers(&self, engine: &str, kept: &LibrarySnapshot) {
        let mut registry = self.change();
        let known = registry.get(&kept.name).map(|library| &library.consumers);
        // Those of a deleted library come back with it.
        let back = self.take_kept(&kept.name);
        let consumers = restore_consumers(
            &kept.name,
            known.or(Some(&back)),
            &self.dispatcher,
            &kept.consumers,
        );
        let library = registry
            .entry(kept.name.clone())
            .or_insert_with(|| Library {
                engine: engine.to_owned(),
                user: kept.user.as_str().into(),
                config: kept.config.clone(),
                code: kept.code.clone(),
                functions: BTreeMap::new(),
                remote_functions: BTreeMap::new(),
                stage: None,
                consumers: back,
                triggers: BTreeMap::new(),
                unregistered: kept.unregistered.clone(),
                paused: kept.paused.iter().cloned().collect(),
                history: kept.history.clone(),
                digest: digest(&kept.code),
                status: LibraryStatus::Quarantined {
                    error: "it was not loaded yet".into(),
                },
            });
        for (name, consumer) in consumers {
            let key = consumer.key;
            if let Some(before) = library.consumers.insert(name, consumer)
                && before.key != key
            {
                self.dispatcher.consumers.remove(before.key);
            }
        }
    }

    /// The second step failed: keeps the snapshot in the place of the library of its name.
    fn quarantine(&self, engine: &str, kept: &LibrarySnapshot, error: String) {
        let mut registry = self.change();
        let Some(library) = registry.get_mut(&kept.name) else {
            return;
        };
        let dispatcher = &self.dispatcher;
        dispatcher.leave_isolate();
        let names = kept.consumers.iter();
        let names: Vec<&str> = names.map(|consumer| consumer.name.as_str()).collect();
        library.consumers.retain(|name, consumer| {
            let stays = names.contains(&name.as_str());
            if stays {
                dispatcher.consumers.suspend(consumer.key);
            } else {
                dispatcher.consumers.remove(consumer.key);
            }
            stays
        });
        engine.clone_into(&mut library.engine);
        library.user = kept.user.as_str().into();
        library.config.clone_from(&kept.config);
        library.code.clone_from(&kept.code);
        library.unregistered.clone_from(&kept.unregistered);
        library.paused = kept.paused.iter().cloned().collect();
        library.history.clone_from(&kept.history);
        library.digest = digest(&kept.code);
        library.functions.clear();
        for trigger in std::mem::take(&mut library.triggers).into_values() {
            dispatcher.triggers.remove(trigger);
        }
        dispatcher.hooks.remove_all(&kept.name);
        let before = std::mem::replace(&mut library.status, LibraryStatus::Quarantined { error });
        if let LibraryStatus::Live(executor) = before {
            dispatcher.shut_down(&executor, true);
        }
    }
}

/// Adds the consumers that do not exist yet, without code, and sets the progress of all.
pub(super) fn restore_consumers(
    library: &str,
    old: Option<&BTreeMap<String, LibraryConsumer>>,
    dispatcher: &Dispatcher,
    snapshots: &[ConsumerSnapshot],
) -> BTreeMap<String, LibraryConsumer> {
    let mut consumers = BTreeMap::new();
    for snapshot in snapshots {
        let known = old.and_then(|old| old.get(&snapshot.name)).cloned();
        let known = known
            .filter(|known| *known.prefix == *snapshot.prefix && known.exact == snapshot.exact);
        let consumer = known.unwrap_or_else(|| {
            let window = usize::try_from(snapshot.window)
                .unwrap_or(usize::MAX)
                .max(1);
            let mode = if snapshot.is_async {
                Mode::Async
            } else {
                Mode::Sync
            };
            let spec = ConsumerSpec {
                exact: snapshot.exact,
                start: snapshot.start.into(),
                ..ConsumerSpec::new(&snapshot.prefix, window, snapshot.trim, mode)
            };
            let name = ConsumerName {
                library: library.into(),
                consumer: snapshot.name.as_str().into(),
            };
            LibraryConsumer {
                prefix: Arc::clone(&spec.prefix),
                exact: spec.exact,
                key: dispatcher.consumers.add_suspended(name, spec),
                metadata: Metadata::default(),
            }
        });
        dispatcher
            .consumers
            .set_state(consumer.key, &snapshot.delivery_state);
        for stream in &snapshot.streams {
            dispatcher.on(Event::Resumed {
                consumer: consumer.key,
                key: KeyRef {
                    db: stream.db,
                    name: &stream.name,
                },
                checkpoint: &stream.checkpoint,
            });
        }
        consumers.insert(snapshot.name.clone(), consumer);
    }
    consumers
}
