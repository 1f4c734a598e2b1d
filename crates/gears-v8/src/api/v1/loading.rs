//! What a library registers while its top level runs.
//!
//! Registering is possible then, and only then: [`Loading`] in the isolate's slot is the place
//! where registrations collect, and it is gone afterwards. Nothing that is live changes here; the
//! library is swapped in when all of it is known to be good.

use std::sync::Arc;

use gears_core::delivery::Mode;

use crate::api::v1::arguments::{NAME_MAX, OptionsOf, Value};
use crate::ports::{CallbackId, Hook, Metadata, Registered, Registrations};

/// What the library registered so far. Lives in the isolate's slot while it is being loaded.
#[derive(Default)]
pub(crate) struct Loading {
    pub(crate) registrations: Registrations,
    pub(crate) callbacks: Vec<v8::Global<v8::Function>>,
    /// What they are registered as, in the same order; empty for one that has no name.
    pub(crate) names: Vec<Box<str>>,
    /// What the next registration says of itself, beside its options.
    pub(crate) metadata: Option<Metadata>,
    /// Whether the top level is a script to be run once.
    pub(crate) one_shot: bool,
}

impl Loading {
    /// Keeps a callback of what is registered under that name.
    pub(crate) fn keep(&mut self, name: &str, callback: v8::Global<v8::Function>) -> CallbackId {
        self.callbacks.push(callback);
        self.names.push(name.into());
        CallbackId(u32::try_from(self.callbacks.len() - 1).unwrap_or(u32::MAX))
    }

    /// Takes what goes with a registration beside what it is.
    pub(crate) fn note(&mut self, of: Registered, extras: KeptExtras) -> Metadata {
        if let Some((callback, mode)) = extras.on_registered {
            let callback = self.keep(of.name(), callback);
            self.registrations.hooks.push(Hook { of, callback, mode });
        }
        let mut metadata = self.metadata.take().unwrap_or_default();
        metadata.description = extras.description.or(metadata.description);
        metadata
    }
}

/// Options that every kind of registration has.
#[derive(Default)]
pub(crate) struct Extras<'s> {
    description: Option<Arc<str>>,
    on_registered: Option<(v8::Local<'s, v8::Function>, Mode)>,
}

/// The same, to be kept.
pub(crate) struct KeptExtras {
    description: Option<Arc<str>>,
    on_registered: Option<(v8::Global<v8::Function>, Mode)>,
}

impl<'s> Extras<'s> {
    /// Reads an option; false where it is none of these.
    pub(crate) fn read(
        &mut self,
        scope: &mut v8::PinScope<'s, '_>,
        of: OptionsOf,
        name: &str,
        value: Value<'s>,
    ) -> Result<bool, String> {
        match name {
            "description" => {
                self.description = Some(of.text(scope, name, value, NAME_MAX)?.into());
            }
            "on_registered" => self.on_registered = Some(of.function(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The same, for [`Loading::note`].
    pub(crate) fn keep(self, scope: &mut v8::PinScope) -> KeptExtras {
        KeptExtras {
            description: self.description,
            on_registered: self
                .on_registered
                .map(|(callback, mode)| (v8::Global::new(scope, callback), mode)),
        }
    }
}
