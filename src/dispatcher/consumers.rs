//! The consumers that there are, from the main thread's side: which code each has, whether its
//! owner may have a stream, and what the core has to say to who keeps their prefetch queues.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gears_core::delivery::{
    ConsumerKey, ConsumerSpec, ControlMessage, Delivery, DeliveryState, EntryId, Event,
    SubscriptionKey,
};

use super::authorizations::Authorizations;
use super::bindings::{Bindings, ConsumerBinding, ConsumerCode};
use super::blocked_log::BlockedLog;
use super::database_handles::DatabaseHandles;
use super::delivery_core::DeliveryCore;
use super::failure_log::FailureLog;
use super::stalls::Stalls;
use super::stream_access::{ConsumerName, Streams};
use crate::executor::{Completions, LibraryExecutor};

/// The consumers of live libraries: registered in the core, bound to code.
/// Used by the main thread only.
pub(crate) struct Consumers {
    core: Rc<DeliveryCore>,
    completions: Arc<Completions>,
    database_handles: Rc<DatabaseHandles>,
    bindings: Bindings,
    authorizations: Authorizations,
    stalls: Stalls,
    blocked_log: BlockedLog,
    failure_log: FailureLog,
    /// Whether there was ever one with options: to them alone it matters when an entry was added.
    have_policies: Cell<bool>,
}

impl Consumers {
    pub(super) fn new(
        core: Rc<DeliveryCore>,
        completions: Arc<Completions>,
        database_handles: Rc<DatabaseHandles>,
    ) -> Self {
        Self {
            core,
            completions,
            database_handles,
            bindings: Bindings::default(),
            authorizations: Authorizations::default(),
            stalls: Stalls::default(),
            blocked_log: BlockedLog::default(),
            failure_log: FailureLog::default(),
            have_policies: Cell::default(),
        }
    }

    /// Adds a consumer with its code.
    pub(crate) fn add(
        &self,
        name: ConsumerName,
        spec: ConsumerSpec,
        code: ConsumerCode<'_>,
    ) -> ConsumerKey {
        let binding = ConsumerBinding::new(name, code, &spec);
        self.note_policy(&spec);
        let key = self.core.update(|delivery| delivery.add_consumer(spec));
        self.bind(key, binding);
        key
    }

    /// Adds a consumer that waits for its code.
    pub(crate) fn add_suspended(&self, name: ConsumerName, spec: ConsumerSpec) -> ConsumerKey {
        self.note_policy(&spec);
        let key = self.core.update(|delivery| {
            let key = delivery.add_consumer(spec);
            delivery.suspend_consumer(key);
            key
        });
        self.bindings.note_name(key, name);
        key
    }

    /// Takes a consumer's code away: it waits for other code.
    pub(crate) fn suspend(&self, key: ConsumerKey) {
        self.core.update(|delivery| delivery.suspend_consumer(key));
        self.send_control_messages();
        self.bindings.unbind(key);
    }

    /// Gives a consumer new code and owner, and all it asks for but the keys that it wants.
    pub(crate) fn change(
        &self,
        key: ConsumerKey,
        name: ConsumerName,
        spec: ConsumerSpec,
        code: ConsumerCode<'_>,
    ) {
        let binding = ConsumerBinding::new(name, code, &spec);
        self.note_policy(&spec);
        self.core
            .update(|delivery| delivery.change_consumer(key, spec));
        // The recalls are for the code that has the entries.
        self.send_control_messages();
        self.bind(key, binding);
    }

    /// Removes a consumer with its progress.
    pub(crate) fn remove(&self, key: ConsumerKey) {
        self.core.update(|delivery| delivery.remove_consumer(key));
        // What was read ahead is removed from the task queue of the code that has it.
        self.send_control_messages();
        self.bindings.remove(key);
    }

    /// Sets why nothing is dispatched of any stream of a consumer, as it was committed.
    pub(crate) fn set_state(&self, consumer: ConsumerKey, delivery_state: &DeliveryState) {
        self.core.set_time();
        self.core
            .update(|delivery| delivery.set_consumer_state(consumer, delivery_state));
    }

    fn note_policy(&self, spec: &ConsumerSpec) {
        self.have_policies
            .set(self.have_policies.get() || spec.policy.is_some());
    }

    /// Whether any consumer has, or had, options.
    pub(super) fn have_policies(&self) -> bool {
        self.have_policies.get()
    }

    fn bind(&self, key: ConsumerKey, binding: ConsumerBinding) {
        // Another owner may have other rights.
        self.authorizations.forget();
        self.bindings.insert(key, binding);
    }

    /// What a consumer is called.
    pub(super) fn name(&self, consumer: ConsumerKey) -> Option<ConsumerName> {
        self.bindings.name(consumer)
    }

    /// What a consumer's callback needs for streams of this database.
    pub(super) fn binding(&self, consumer: ConsumerKey, db: i32) -> Option<Rc<ConsumerBinding>> {
        self.bindings.get(consumer, self.database_handles.of(db))
    }

    /// Whether the owner may have the stream; see [`Authorizations::check`].
    pub(super) fn authorize(
        &self,
        streams: &dyn Streams,
        sub: SubscriptionKey,
        binding: &ConsumerBinding,
        stream: &[u8],
    ) -> bool {
        self.authorizations.check(
            (&self.core, &self.blocked_log),
            streams,
            sub,
            binding,
            stream,
        )
    }

    /// Has those tried again whose owner had no right some time ago.
    pub(super) fn retry_refused(&self) {
        if self.authorizations.retry(&self.core, &self.blocked_log) {
            self.completions.wake();
        }
    }

    /// Notes whose callbacks have not settled for long; see [`Stalls::look`].
    pub(super) fn note_stalled<'a>(
        &self,
        executors: impl Iterator<Item = &'a Arc<LibraryExecutor>>,
        after: Option<Duration>,
    ) {
        let told = (&*self.core, &self.bindings, &self.blocked_log);
        self.stalls.look(told, executors, after);
    }

    /// Says in the log which callbacks have failed.
    pub(super) fn log_failures(&self) {
        self.failure_log
            .write_what_is_due(&self.core, &self.bindings);
    }

    /// An event-loop iteration ends.
    pub(super) fn end_iteration(&self) {
        self.authorizations.forget();
    }

    /// Tells the core what workers reported.
    pub(super) fn take_completions(&self) {
        let mut completions = Vec::new();
        self.completions.take(&mut completions);
        self.core.tell(&mut completions);
    }

    /// Tells the keepers of prefetch queues what they have to know.
    pub(super) fn send_control_messages(&self) {
        while let Some(message) = self.core.update(Delivery::next_control_message) {
            let (ControlMessage::Drop { consumer, .. }
            | ControlMessage::Recall { consumer, .. }
            | ControlMessage::Window { consumer, .. }
            | ControlMessage::Moved { consumer, .. }
            | ControlMessage::SlotsReleased { consumer, .. }) = message;
            match (self.bindings.executor(consumer), message) {
                (Some(executor), ControlMessage::Moved { sub, .. }) => {
                    let place = self.core.inspect(|delivery| delivery.stream_of(sub));
                    if let Some((db, stream)) = place
                        && let Some(binding) = self.binding(consumer, db)
                    {
                        executor.relocate(sub, &stream, &binding.credentials);
                    }
                }
                (Some(executor), message) => {
                    executor.carry_out(&message);
                    if let ControlMessage::Recall { .. } = message {
                        self.take_completions();
                    }
                }
                // Without code nothing waits beside it.
                (None, ControlMessage::Recall { sub, .. }) => self.core.on(Event::Recalled {
                    sub,
                    started: EntryId::ZERO,
                    back: Vec::new(),
                }),
                (None, _) => {}
            }
        }
    }
}
