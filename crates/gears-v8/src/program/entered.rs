//! A program that is entered, and what its calls have in common.
//!
//! What records of one session share is made once: the callback and the client. Names that they have
//! in common outlive the session: see [`KeptNames`].

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::api::v1::credentials;
use crate::limits::isolate_limits::IsolateLimits;
use crate::ports::{CallbackId, Credentials};
use crate::program::names::KeptNames;
use crate::runtime::continuation;
use crate::runtime::helpers::Helpers;

/// Values that are given as arguments; more are given as one array.
pub(super) const PARTS_AS_ARGUMENTS: usize = 1000;

/// A program that is entered; see the module's description.
pub(crate) struct V8Session<'a, 's, 'i> {
    pub(crate) scope: &'a mut v8::PinScope<'s, 'i>,
    functions: &'a [v8::Global<v8::Function>],
    pub(crate) isolate_limits: &'a IsolateLimits,
    pub(crate) helpers: &'a Helpers,
    /// The helper of the same name, once it is needed.
    call_consumer: Option<v8::Local<'s, v8::Function>>,
    callback: Option<(CallbackId, v8::Local<'s, v8::Function>)>,
    /// The async client made last.
    client: Option<AsyncClient<'s>>,
    pub(super) names: &'a mut KeptNames,
    /// Whether V8 may have left something to be done.
    pub(super) ran: &'a AtomicBool,
}

struct AsyncClient<'s> {
    credentials: Arc<Credentials>,
    callback: CallbackId,
    client: v8::Local<'s, v8::Value>,
    /// See [`continuation`].
    data: v8::Local<'s, v8::Value>,
}

impl<'a, 's, 'i> V8Session<'a, 's, 'i> {
    pub(crate) fn new(
        scope: &'a mut v8::PinScope<'s, 'i>,
        helpers: &'a Helpers,
        functions: &'a [v8::Global<v8::Function>],
        isolate_limits: &'a IsolateLimits,
        names: &'a mut KeptNames,
        ran: &'a AtomicBool,
    ) -> Self {
        Self {
            scope,
            functions,
            isolate_limits,
            helpers,
            call_consumer: None,
            callback: None,
            client: None,
            names,
            ran,
        }
    }

    pub(super) fn call_consumer(&mut self) -> v8::Local<'s, v8::Function> {
        *self
            .call_consumer
            .get_or_insert_with(|| v8::Local::new(self.scope, &self.helpers.call_consumer))
    }

    pub(crate) fn callback(&mut self, id: CallbackId) -> Option<v8::Local<'s, v8::Function>> {
        match self.callback {
            Some((known, callback)) if known == id => Some(callback),
            _ => {
                let callback = self.functions.get(id.0 as usize)?;
                let callback = v8::Local::new(self.scope, callback);
                self.callback = Some((id, callback));
                Some(callback)
            }
        }
    }

    /// The client that an async callback gets; `undefined` for a sync one. What the run carries over
    /// every `await` begins with it.
    pub(crate) fn client(
        &mut self,
        callback: CallbackId,
        credentials: Option<&Arc<Credentials>>,
    ) -> Option<v8::Local<'s, v8::Value>> {
        let Some(credentials) = credentials else {
            let data = continuation::data_of_callback(self.scope, callback);
            self.scope.set_continuation_preserved_embedder_data(data);
            return Some(v8::undefined(self.scope).into());
        };
        let is_known = |known: &AsyncClient<'_>| {
            Arc::ptr_eq(&known.credentials, credentials) && known.callback == callback
        };
        if !self.client.as_ref().is_some_and(is_known) {
            self.client = Some(AsyncClient {
                credentials: Arc::clone(credentials),
                callback,
                client: self.make_client(credentials)?,
                data: continuation::data_of(self.scope, credentials, Some(callback)),
            });
        }
        let known = self.client.as_ref()?;
        self.scope
            .set_continuation_preserved_embedder_data(known.data);
        Some(known.client)
    }

    fn make_client(&mut self, credentials: &Credentials) -> Option<v8::Local<'s, v8::Value>> {
        let parts = credentials::parts(self.scope, credentials).map(|(_, value)| value);
        let make = v8::Local::new(self.scope, &self.helpers.make_async_client);
        let nothing = v8::undefined(self.scope).into();
        make.call(self.scope, nothing, &parts)
    }
}
