//! Snapshots of libraries. They are also taken in a forked child, so this reads nothing but plain
//! memory that the server's lock guards.

use std::collections::BTreeMap;

use gears_core::delivery::{ConsumerKey, Delivery, Mode, StreamView};
use gears_core::snapshot::{ConsumerSnapshot, LibrarySnapshot, StreamSnapshot};

use super::kept::KeptProgress;
use super::libraries::Libraries;
use super::registry::{Library, LibraryConsumer};

/// Whether a snapshot has the progress of consumers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    With,
    Without,
}

impl Libraries {
    /// A library's snapshot, or that of what is kept of it, without the progress of its consumers:
    /// replicas know that already.
    #[must_use]
    pub(crate) fn snapshot(&self, name: &str) -> Option<LibrarySnapshot> {
        let (registry, kept) = (self.all(), self.kept());
        let (library, kept) = (registry.get(name), kept.get(name));
        self.dispatcher.inspect(|delivery| {
            library
                .map(|library| of_library(name, library, delivery, Progress::Without))
                .or_else(|| Some(of_kept(name, kept?, delivery, Progress::Without)))
        })
    }

    /// Snapshots of all libraries, and of what is kept of deleted ones, with the progress of their
    /// consumers.
    #[must_use]
    pub(crate) fn snapshots(&self) -> Vec<LibrarySnapshot> {
        let (registry, kept) = (self.all(), self.kept());
        self.dispatcher.inspect(|delivery| {
            let libraries = registry
                .iter()
                .map(|(name, library)| of_library(name, library, delivery, Progress::With));
            let kept = kept
                .iter()
                .map(|(name, kept)| of_kept(name, kept, delivery, Progress::With));
            libraries.chain(kept).collect()
        })
    }
}

fn of_library(
    name: &str,
    library: &Library,
    delivery: &Delivery,
    progress: Progress,
) -> LibrarySnapshot {
    LibrarySnapshot {
        name: name.to_owned(),
        code: library.code.clone(),
        config: library.config.clone(),
        user: library.user.to_string(),
        consumers: of_consumers(&library.consumers, delivery, progress),
        unregistered: library.unregistered.clone(),
        paused: library.paused.iter().cloned().collect(),
        history: library.history.clone(),
    }
}

fn of_kept(
    name: &str,
    kept: &KeptProgress,
    delivery: &Delivery,
    progress: Progress,
) -> LibrarySnapshot {
    LibrarySnapshot {
        name: name.to_owned(),
        code: String::new(),
        config: None,
        user: kept.user.to_string(),
        consumers: of_consumers(&kept.consumers, delivery, progress),
        unregistered: Vec::new(),
        paused: Vec::new(),
        history: kept.history(),
    }
}

fn of_consumers(
    consumers: &BTreeMap<String, LibraryConsumer>,
    delivery: &Delivery,
    progress: Progress,
) -> Vec<ConsumerSnapshot> {
    let all = consumers.iter().filter_map(|(name, consumer)| {
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
            streams: match progress {
                Progress::With => of_streams(consumer.key, delivery),
                Progress::Without => Vec::new(),
            },
        })
    });
    all.collect()
}

fn of_streams(consumer: ConsumerKey, delivery: &Delivery) -> Vec<StreamSnapshot> {
    let mut streams: Vec<_> = delivery.streams_of(consumer).collect();
    // Restoring discovers them in this order: the one discovered first comes first.
    streams.reverse();
    // An unresolved start needs no checkpoint: nothing was added since the stream was found.
    streams.retain(StreamView::is_start_resolved);
    let streams = streams.into_iter().map(|stream| StreamSnapshot {
        db: stream.db,
        name: stream.name.to_vec(),
        checkpoint: stream.checkpoint(),
    });
    streams.collect()
}
