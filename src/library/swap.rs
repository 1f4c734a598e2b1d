//! The swap: what a staged library has registered becomes live and replaces what the old library of
//! its name had. Nothing can fail any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dispatcher::{ConsumerCode, ConsumerName, Dispatcher, TriggerCode};
use crate::executor::{CallbackTarget, LibraryExecutor};
use gears_core::triggers::TriggerKey;
use gears_v8::ports::{CallbackId, Function, KeySpaceTrigger, Registrations, StreamConsumer};

use super::registry::{Library, LibraryConsumer, LibraryStatus};

/// A library that is about to become live.
pub(super) struct Swap<'a> {
    pub(super) dispatcher: &'a Dispatcher,
    pub(super) library: Arc<str>,
    pub(super) executor: &'a Arc<LibraryExecutor>,
    pub(super) user: &'a Arc<str>,
}

/// What a library has after the swap.
pub(super) struct Live {
    pub(super) functions: BTreeMap<String, Arc<Function>>,
    pub(super) remote_functions: BTreeMap<String, Arc<Function>>,
    pub(super) stage: Option<CallbackId>,
    pub(super) consumers: BTreeMap<String, LibraryConsumer>,
    pub(super) triggers: BTreeMap<String, TriggerKey>,
}

impl Swap<'_> {
    /// Makes the new consumers, triggers and hooks live, and shuts the old code down. A consumer or
    /// trigger keeps the progress of the old one of its name, or that is `kept` of one.
    pub(super) fn run(
        &self,
        old: Option<Library>,
        kept: BTreeMap<String, LibraryConsumer>,
        new: Registrations,
    ) -> Live {
        let (mut known, mut known_triggers, status) = match old {
            Some(old) => (old.consumers, old.triggers, Some(old.status)),
            None => (kept, BTreeMap::new(), None),
        };
        let mut triggers = BTreeMap::new();
        for trigger in new.triggers {
            let known = known_triggers.remove(&trigger.name);
            triggers.insert(trigger.name.clone(), self.register_trigger(known, trigger));
        }
        for gone in known_triggers.into_values() {
            self.dispatcher.triggers.remove(gone);
        }
        let mut consumers = BTreeMap::new();
        for consumer in new.stream_consumers {
            let known = known.remove(&consumer.name);
            consumers.insert(consumer.name.clone(), self.register(known, consumer));
        }
        for gone in known.into_values() {
            self.dispatcher.consumers.remove(gone.key);
        }
        if let Some(LibraryStatus::Live(executor)) = status {
            self.dispatcher.shut_down(&executor, false);
        }
        self.dispatcher
            .hooks
            .set(&self.library, self.executor, self.user, new.hooks);
        let by_name = |functions: Vec<Function>| {
            let functions = functions.into_iter();
            functions
                .map(|function| (function.name.clone(), Arc::new(function)))
                .collect()
        };
        Live {
            functions: by_name(new.functions),
            remote_functions: by_name(new.remote_functions),
            stage: new.stage,
            consumers,
            triggers,
        }
    }

    fn register_trigger(&self, known: Option<TriggerKey>, new: KeySpaceTrigger) -> TriggerKey {
        let code = TriggerCode {
            name: ConsumerName {
                library: Arc::clone(&self.library),
                consumer: new.name.into(),
            },
            executor: self.executor,
            callback: new.callback,
            timeout_ms: new.spec.timeout_ms,
            on_fired: new.on_fired,
            user: self.user,
            metadata: new.metadata,
        };
        match known {
            Some(key) => {
                self.dispatcher.triggers.change(key, new.spec, code);
                key
            }
            None => self.dispatcher.triggers.add(new.spec, code),
        }
    }

    fn register(&self, known: Option<LibraryConsumer>, new: StreamConsumer) -> LibraryConsumer {
        let name = ConsumerName {
            library: Arc::clone(&self.library),
            consumer: new.name.into(),
        };
        let code = ConsumerCode {
            executor: self.executor,
            target: &CallbackTarget {
                callback: new.callback,
                mode: new.spec.mode,
            },
            user: self.user,
        };
        if let Some(consumer) = known {
            self.dispatcher
                .consumers
                .change(consumer.key, name, new.spec, code);
            return LibraryConsumer {
                metadata: new.metadata,
                ..consumer
            };
        }
        let prefix = Arc::clone(&new.spec.prefix);
        LibraryConsumer {
            exact: new.spec.exact,
            key: self.dispatcher.consumers.add(name, new.spec, code),
            prefix,
            metadata: new.metadata,
        }
    }
}
