//! Libraries to what is kept of them, and back.
//!
//! A library comes back in two steps: first its consumers and their progress, which are good
//! whatever becomes of the code; then the code, as an upgrade of that. Where the code cannot be
//! loaded (another version of the engine, a limit that is lower now), the first step is what
//! stays, and nothing that is still to be processed is trimmed or forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dispatcher::Dispatcher;
use gears_core::delivery::{ConsumerSpec, Delivery, Event, KeyRef, Mode, StreamView};
use gears_core::snapshot::{ConsumerSnapshot, LibrarySnapshot, StreamSnapshot};
use gears_v8::ports::Metadata;

use super::load::{Kind, Listen, LoadRequest, Loader};
use super::prologue::Prologue;
use super::registry::{Consumer, Library, LibraryStatus, Registry};

/// What is kept of a library, the progress of its consumers included.
#[must_use]
pub(crate) fn snapshot_with_progress(
    name: &str,
    library: &Library,
    delivery: &Delivery,
) -> LibrarySnapshot {
    let mut dump = dump(name, library, delivery);
    for (consumer, dump) in library.consumers.values().zip(&mut dump.consumers) {
        let mut streams: Vec<_> = delivery.streams_of(consumer.key).collect();
        // The first discovered first, so that they are discovered in that order again.
        streams.reverse();
        // Where that is not known yet, the stream was there before, and nothing was added since.
        streams.retain(StreamView::is_start_resolved);
        let streams = streams.into_iter().map(|stream| StreamSnapshot {
            db: stream.db,
            name: stream.name.to_vec(),
            checkpoint: stream.checkpoint(),
        });
        dump.streams = streams.collect();
    }
    dump
}

/// What is kept of a library, but for the progress of its consumers.
#[must_use]
pub(crate) fn dump(name: &str, library: &Library, delivery: &Delivery) -> LibrarySnapshot {
    let consumers = library.consumers.iter().filter_map(|(name, consumer)| {
        let spec = delivery.spec(consumer.key)?;
        Some(ConsumerSnapshot {
            name: name.clone(),
            prefix: spec.prefix.to_vec(),
            window: spec.window as u64,
            trim: spec.trim,
            is_async: spec.mode == Mode::Async,
            exact: spec.exact,
            start: spec.start.into(),
            delivery_state: delivery.consumer_state_of(consumer.key),
            streams: Vec::new(),
        })
    });
    LibrarySnapshot {
        name: name.to_owned(),
        code: library.code.clone(),
        config: library.config.clone(),
        user: library.user.to_string(),
        consumers: consumers.collect(),
        unregistered: library.unregistered.clone(),
    }
}

impl Loader {
    /// Makes a library of what was kept of it, in the place of one of its name. It is there
    /// afterwards in any case: in quarantine, if it cannot be loaded.
    pub(crate) fn restore(
        &self,
        registry: &mut Registry,
        dispatcher: &Dispatcher,
        dump: &LibrarySnapshot,
        listen: &Listen<'_>,
    ) {
        let consumers = restore_consumers(registry.get(&dump.name), dispatcher, &dump.consumers);
        let library = registry
            .entry(dump.name.clone())
            .or_insert_with(|| Library {
                engine: engine_of(&dump.code),
                user: dump.user.as_str().into(),
                config: dump.config.clone(),
                code: dump.code.clone(),
                functions: BTreeMap::new(),
                consumers: BTreeMap::new(),
                triggers: BTreeMap::new(),
                unregistered: dump.unregistered.clone(),
                status: LibraryStatus::Quarantined {
                    error: "it was not loaded yet".into(),
                },
            });
        for (name, consumer) in consumers {
            let key = consumer.key;
            if let Some(before) = library.consumers.insert(name, consumer)
                && before.key != key
            {
                dispatcher.remove_consumer(before.key);
            }
        }
        let request = LoadRequest {
            code: &dump.code,
            config: dump.config.as_deref(),
            upgrade: true,
            user: &dump.user,
            kind: Kind::Restored {
                unregistered: &dump.unregistered,
            },
        };
        if let Err(error) = self.load(registry, dispatcher, &request, listen) {
            log::error!(
                "library '{}' cannot be loaded and is put into quarantine, its consumers wait: {error}",
                dump.name
            );
            quarantine(registry, dispatcher, dump, error.to_string());
        }
    }
}

/// Adds the consumers that are not there yet, without code, and sets the progress of all.
fn restore_consumers(
    old: Option<&Library>,
    dispatcher: &Dispatcher,
    dumps: &[ConsumerSnapshot],
) -> BTreeMap<String, Consumer> {
    let mut consumers = BTreeMap::new();
    for dump in dumps {
        let known = old.and_then(|old| old.consumers.get(&dump.name)).cloned();
        let known =
            known.filter(|known| *known.prefix == *dump.prefix && known.exact == dump.exact);
        let consumer = known.unwrap_or_else(|| {
            let window = usize::try_from(dump.window).unwrap_or(usize::MAX).max(1);
            let mode = if dump.is_async {
                Mode::Async
            } else {
                Mode::Sync
            };
            let spec = ConsumerSpec {
                exact: dump.exact,
                start: dump.start.into(),
                ..ConsumerSpec::new(&dump.prefix, window, dump.trim, mode)
            };
            Consumer {
                prefix: Arc::clone(&spec.prefix),
                exact: spec.exact,
                key: dispatcher.add_suspended_consumer(spec),
                metadata: Metadata::default(),
            }
        });
        dispatcher.set_consumer_state(consumer.key, &dump.delivery_state);
        for stream in &dump.streams {
            dispatcher.on(Event::Resumed {
                consumer: consumer.key,
                key: KeyRef {
                    db: stream.db,
                    name: &stream.name,
                },
                checkpoint: &stream.checkpoint,
            });
        }
        consumers.insert(dump.name.clone(), consumer);
    }
    consumers
}

/// Keeps the library that could not be loaded, in the place of what was there.
fn quarantine(
    registry: &mut Registry,
    dispatcher: &Dispatcher,
    dump: &LibrarySnapshot,
    error: String,
) {
    let Some(library) = registry.get_mut(&dump.name) else {
        return;
    };
    dispatcher.leave_isolate();
    let names = dump.consumers.iter();
    let names: Vec<&str> = names.map(|consumer| consumer.name.as_str()).collect();
    library.consumers.retain(|name, consumer| {
        let stays = names.contains(&name.as_str());
        if stays {
            dispatcher.suspend_consumer(consumer.key);
        } else {
            dispatcher.remove_consumer(consumer.key);
        }
        stays
    });
    library.engine = engine_of(&dump.code);
    library.user = dump.user.as_str().into();
    library.config.clone_from(&dump.config);
    library.code.clone_from(&dump.code);
    library.unregistered.clone_from(&dump.unregistered);
    library.functions.clear();
    for trigger in std::mem::take(&mut library.triggers).into_values() {
        dispatcher.remove_trigger(trigger);
    }
    dispatcher.remove_hooks(&dump.name);
    let before = std::mem::replace(&mut library.status, LibraryStatus::Quarantined { error });
    if let LibraryStatus::Live(executor) = before {
        dispatcher.shut_down(&executor, true);
    }
}

fn engine_of(code: &str) -> String {
    Prologue::parse(code).map_or_else(|_| String::new(), |prologue| prologue.engine.to_owned())
}
