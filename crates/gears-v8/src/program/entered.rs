//! A program that is entered, and what its calls have in common.
//!
//! What records of one session share is made once: the callback, the client, the stream's name, and
//! field names as long as they repeat from record to record, as they usually do.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use smallvec::SmallVec;

use crate::api::v1::credentials;
use crate::limits::isolate_limits::IsolateLimits;
use crate::ports::{CallbackId, Credentials};
use crate::runtime::continuation;
use crate::runtime::helpers::Helpers;
use crate::runtime::text;

/// Length in bytes of a field name that is kept.
const FIELD_BYTES_KEPT: usize = 64;
/// New field names that are kept in one session.
const NEW_FIELDS_KEPT: usize = 1024;
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
    stream: Option<StreamName<'s>>,
    fields: Vec<Field<'s>>,
    /// The event told of last.
    pub(super) event: Option<(String, v8::Local<'s, v8::Value>)>,
    /// How often a field name was new in this session.
    new_fields: usize,
    /// Whether V8 may have left something to be done.
    pub(super) ran: &'a AtomicBool,
}

struct StreamName<'s> {
    bytes: Vec<u8>,
    text: v8::Local<'s, v8::Value>,
    raw: v8::Local<'s, v8::Value>,
}

struct AsyncClient<'s> {
    credentials: Arc<Credentials>,
    client: v8::Local<'s, v8::Value>,
    /// See [`continuation`].
    data: v8::Local<'s, v8::Value>,
}

/// A field's name at one place of the records.
struct Field<'s> {
    bytes: SmallVec<[u8; 32]>,
    text: v8::Local<'s, v8::Value>,
}

impl<'a, 's, 'i> V8Session<'a, 's, 'i> {
    pub(crate) fn new(
        scope: &'a mut v8::PinScope<'s, 'i>,
        helpers: &'a Helpers,
        functions: &'a [v8::Global<v8::Function>],
        isolate_limits: &'a IsolateLimits,
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
            stream: None,
            fields: Vec::new(),
            event: None,
            new_fields: 0,
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

    /// The client an async callback gets; `undefined` for a sync one. What the run carries over
    /// every `await` begins with it.
    pub(crate) fn client(
        &mut self,
        credentials: Option<&Arc<Credentials>>,
    ) -> Option<v8::Local<'s, v8::Value>> {
        let Some(credentials) = credentials else {
            continuation::clear(self.scope);
            return Some(v8::undefined(self.scope).into());
        };
        let known = self.client.as_ref();
        if known.is_none_or(|known| !Arc::ptr_eq(&known.credentials, credentials)) {
            self.client = Some(AsyncClient {
                credentials: Arc::clone(credentials),
                client: self.make_client(credentials)?,
                data: continuation::data_of(self.scope, credentials),
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

    /// A stream's name as text, and packed for its raw view.
    pub(super) fn stream_name(
        &mut self,
        bytes: &[u8],
    ) -> Option<(v8::Local<'s, v8::Value>, v8::Local<'s, v8::Value>)> {
        if self
            .stream
            .as_ref()
            .is_none_or(|known| known.bytes != bytes)
        {
            // Packed like a part of a record, for `stream_name_raw`.
            let mut packed = u32::try_from(bytes.len()).ok()?.to_le_bytes().to_vec();
            packed.extend_from_slice(bytes);
            self.stream = Some(StreamName {
                bytes: bytes.to_vec(),
                text: self.part(bytes),
                raw: one_byte(self.scope, &packed)?,
            });
        }
        self.stream.as_ref().map(|name| (name.text, name.raw))
    }

    /// The name of the field at this place, if it is worth keeping.
    pub(super) fn field(&mut self, place: usize, bytes: &[u8]) -> Option<v8::Local<'s, v8::Value>> {
        if let Some(field) = self.fields.get(place)
            && field.bytes.as_slice() == bytes
        {
            return Some(field.text);
        }
        // What is kept lives as long as the session: neither large names nor ever new ones.
        if bytes.len() > FIELD_BYTES_KEPT || self.new_fields >= NEW_FIELDS_KEPT {
            return None;
        }
        self.new_fields += 1;
        let field = Field {
            bytes: SmallVec::from_slice(bytes),
            text: self.part(bytes),
        };
        let text = field.text;
        if place < self.fields.len() {
            self.fields[place] = field;
        } else if place == self.fields.len() {
            self.fields.push(field);
        }
        Some(text)
    }

    fn part(&self, bytes: &[u8]) -> v8::Local<'s, v8::Value> {
        part(self.scope, bytes)
    }
}

/// Bytes as a one-byte string, each a character.
pub(crate) fn one_byte<'s>(
    scope: &v8::PinScope<'s, '_, ()>,
    bytes: &[u8],
) -> Option<v8::Local<'s, v8::Value>> {
    v8::String::new_from_one_byte(scope, bytes, v8::NewStringType::Normal).map(Into::into)
}

/// A field or a value as text; null where it is not UTF-8.
pub(crate) fn part<'s>(scope: &v8::PinScope<'s, '_, ()>, bytes: &[u8]) -> v8::Local<'s, v8::Value> {
    match text::from_bytes(scope, bytes, v8::NewStringType::Normal) {
        Some(text) => text.into(),
        None => v8::null(scope).into(),
    }
}
