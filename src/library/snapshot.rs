//! Snapshots of libraries. They are also taken in a forked child, so this reads nothing but plain
//! memory that the server's lock guards.

use gears_core::delivery::{Delivery, Mode, StreamView};
use gears_core::snapshot::{ConsumerSnapshot, LibrarySnapshot, StreamSnapshot};

use super::libraries::Libraries;
use super::registry::Library;

impl Libraries {
    /// A library's snapshot without the progress of its consumers: replicas know that already.
    #[must_use]
    pub(crate) fn snapshot(&self, name: &str) -> Option<LibrarySnapshot> {
        let registry = self.all();
        let library = registry.get(name)?;
        let of_library = |delivery: &Delivery| snapshot(name, library, delivery);
        Some(self.dispatcher.inspect(of_library))
    }

    /// Snapshots of all libraries, with the progress of their consumers.
    #[must_use]
    pub(crate) fn snapshots(&self) -> Vec<LibrarySnapshot> {
        let registry = self.all();
        self.dispatcher.inspect(|delivery| {
            let of_library = |(name, library): (&String, &Library)| {
                snapshot_with_progress(name, library, delivery)
            };
            registry.iter().map(of_library).collect()
        })
    }
}

fn snapshot_with_progress(name: &str, library: &Library, delivery: &Delivery) -> LibrarySnapshot {
    let mut kept = snapshot(name, library, delivery);
    for (consumer, snapshot) in library.consumers.values().zip(&mut kept.consumers) {
        let mut streams: Vec<_> = delivery.streams_of(consumer.key).collect();
        // Restoring discovers them in this order: the one discovered first comes first.
        streams.reverse();
        // An unresolved start needs no checkpoint: nothing was added since the stream was found.
        streams.retain(StreamView::is_start_resolved);
        let streams = streams.into_iter().map(|stream| StreamSnapshot {
            db: stream.db,
            name: stream.name.to_vec(),
            checkpoint: stream.checkpoint(),
        });
        snapshot.streams = streams.collect();
    }
    kept
}

fn snapshot(name: &str, library: &Library, delivery: &Delivery) -> LibrarySnapshot {
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
        paused: library.paused.iter().cloned().collect(),
        history: library.history.clone(),
    }
}
