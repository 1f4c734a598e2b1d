//! Calls of callbacks, while the isolate is entered.
//!
//! What records of one session have in common is made once: the callback, the stream's name, and
//! field names as long as they repeat from record to record, as they mostly do.

use crate::engine::{Call, CallbackId, Outcome, ScriptError, Session, Settled};
use smallvec::SmallVec;

use super::callback::callback;
use super::memory::Bounds;
use super::text;

callback!(fulfilled_entry => on_fulfilled);
callback!(rejected_entry => on_rejected);

/// Tasks of V8 run at once; the rest waits for the next time.
const TASKS_PER_PUMP: usize = 16;
/// Places of a record whose field names are kept from record to record.
const FIELDS_KEPT: usize = 64;
/// Length in bytes of a field name that is kept.
const FIELD_BYTES_KEPT: usize = 64;
/// New field names that are kept in one session.
const NEW_FIELDS_KEPT: usize = 1024;
/// Fields and values that are given as arguments; more are given as one array.
const PARTS_AS_ARGUMENTS: usize = 1000;
/// Arguments of `invoke` before the parts.
const FIXED_ARGUMENTS: usize = 6;

/// What there is to call.
pub(super) struct Callbacks {
    /// Builds the record and calls a function with it; see the bootstrap.
    pub(super) invoke: v8::Global<v8::Function>,
    /// What the library registered, by [`CallbackId`].
    pub(super) functions: Vec<v8::Global<v8::Function>>,
}

/// Promises that were settled and not asked for yet. Lives in the isolate's slot.
#[derive(Default)]
pub(super) struct SettledSlot(Vec<Settled>);

/// See the module's description.
pub(super) struct V8Session<'a, 's, 'i> {
    scope: &'a mut v8::PinScope<'s, 'i>,
    callbacks: &'a Callbacks,
    bounds: &'a Bounds,
    invoke: v8::Local<'s, v8::Function>,
    callback: Option<(CallbackId, v8::Local<'s, v8::Function>)>,
    stream: Option<StreamName<'s>>,
    fields: Vec<Field<'s>>,
    /// How often a field name was new in this session.
    new_fields: usize,
}

struct StreamName<'s> {
    bytes: Vec<u8>,
    text: v8::Local<'s, v8::Value>,
    raw: v8::Local<'s, v8::Value>,
}

/// A field's name at one place of the records.
struct Field<'s> {
    bytes: SmallVec<[u8; 32]>,
    text: v8::Local<'s, v8::Value>,
}

impl<'a, 's, 'i> V8Session<'a, 's, 'i> {
    pub(super) fn new(
        scope: &'a mut v8::PinScope<'s, 'i>,
        callbacks: &'a Callbacks,
        bounds: &'a Bounds,
    ) -> Self {
        let invoke = v8::Local::new(scope, &callbacks.invoke);
        Self {
            scope,
            callbacks,
            bounds,
            invoke,
            callback: None,
            stream: None,
            fields: Vec::new(),
            new_fields: 0,
        }
    }

    /// Runs V8's own tasks that have to run on a thread that holds the isolate. They may run
    /// code of the script, such as the callback of a `FinalizationRegistry`, so each is watched.
    pub(super) fn pump(&mut self) {
        let platform = v8::V8::get_current_platform();
        for _ in 0..TASKS_PER_PUMP {
            self.bounds.watch.start();
            let ran = v8::Platform::pump_message_loop(&platform, self.scope, false);
            self.scope.perform_microtask_checkpoint();
            if let Some(error) = self.bounds.end_run(self.scope) {
                log::warn!("a task behind a script's back was ended: {error}");
            }
            if !ran {
                break;
            }
        }
    }

    fn callback(&mut self, id: CallbackId) -> Option<v8::Local<'s, v8::Function>> {
        match self.callback {
            Some((known, callback)) if known == id => Some(callback),
            _ => {
                let callback = self.callbacks.functions.get(id.0 as usize)?;
                let callback = v8::Local::new(self.scope, callback);
                self.callback = Some((id, callback));
                Some(callback)
            }
        }
    }

    fn stream_name(
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
    fn field(&mut self, place: usize, bytes: &[u8]) -> Option<v8::Local<'s, v8::Value>> {
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

    fn call_watched(&mut self, call: &Call<'_>) -> Outcome {
        let too_large = || {
            Outcome::Failed(ScriptError::new(
                "the entry does not fit into the library's memory",
            ))
        };
        // Three copies at worst: packed, and as text of two bytes a character.
        if call.record.packed().len().saturating_add(call.stream.len()) > self.bounds.memory / 4 {
            return too_large();
        }
        let Some(callback) = self.callback(call.callback) else {
            return Outcome::Failed(ScriptError::new("the callback is gone"));
        };
        let Some((name, name_raw)) = self.stream_name(call.stream) else {
            return too_large();
        };
        // Before the inner scope is opened: field names outlive it.
        let mut fields: SmallVec<[_; 8]> = SmallVec::new();
        let names = call.record.parts().step_by(2).take(FIELDS_KEPT);
        for (place, bytes) in names.enumerate() {
            fields.push(self.field(place, bytes));
        }
        let invoke = self.invoke;
        v8::scope!(let scope, &mut *self.scope);
        v8::tc_scope!(let scope, scope);
        let Some(packed) = one_byte(scope, call.record.packed()) else {
            return too_large();
        };
        let mut arguments: SmallVec<[v8::Local<v8::Value>; FIXED_ARGUMENTS + 16]> =
            SmallVec::from_slice(&[
                callback.into(),
                v8::BigInt::new_from_u64(scope, call.record.id.ms).into(),
                v8::BigInt::new_from_u64(scope, call.record.id.seq).into(),
                name,
                name_raw,
                packed,
            ]);
        let mut parts: SmallVec<[v8::Local<v8::Value>; 16]> = SmallVec::new();
        for (at, bytes) in call.record.parts().enumerate() {
            let known = fields.get(at / 2).copied().flatten();
            parts.push(match known {
                Some(name) if at % 2 == 0 => name,
                _ => part(scope, bytes),
            });
        }
        if parts.len() > PARTS_AS_ARGUMENTS {
            arguments.push(v8::Array::new_with_elements(scope, &parts).into());
        } else {
            arguments.extend_from_slice(&parts);
        }
        let nothing = v8::undefined(scope).into();
        let returned = invoke.call(scope, nothing, &arguments);
        scope.perform_microtask_checkpoint();
        let Some(returned) = returned else {
            return Outcome::Failed(match scope.exception() {
                Some(exception) => text::describe(scope, exception),
                None => ScriptError::new("the callback did not run to its end"),
            });
        };
        let Ok(promise) = v8::Local::<v8::Promise>::try_from(returned) else {
            return Outcome::Done;
        };
        match promise.state() {
            v8::PromiseState::Fulfilled => Outcome::Done,
            v8::PromiseState::Rejected => {
                promise.mark_as_handled();
                let reason = promise.result(scope);
                Outcome::Failed(text::describe(scope, reason))
            }
            v8::PromiseState::Pending => match follow(scope, promise, call.token) {
                Some(()) => Outcome::Pending,
                None => Outcome::Failed(ScriptError::new(
                    "the callback's promise cannot be followed",
                )),
            },
        }
    }
}

impl Session for V8Session<'_, '_, '_> {
    fn call(&mut self, call: &Call<'_>) -> Outcome {
        self.bounds.watch.start();
        let outcome = self.call_watched(call);
        match self.bounds.end_run(self.scope) {
            None => outcome,
            Some(error) => Outcome::Killed(error),
        }
    }

    fn take_settled(&mut self, settled: &mut Vec<Settled>) {
        if let Some(slot) = self.scope.get_slot_mut::<SettledSlot>()
            && !slot.0.is_empty()
        {
            settled.append(&mut slot.0);
        }
    }
}

/// Bytes as a one-byte string, each a character.
fn one_byte<'s>(
    scope: &v8::PinScope<'s, '_, ()>,
    bytes: &[u8],
) -> Option<v8::Local<'s, v8::Value>> {
    v8::String::new_from_one_byte(scope, bytes, v8::NewStringType::Normal).map(Into::into)
}

/// A field or a value as text; null where it is not UTF-8.
fn part<'s>(scope: &v8::PinScope<'s, '_, ()>, bytes: &[u8]) -> v8::Local<'s, v8::Value> {
    match text::from_bytes(scope, bytes, v8::NewStringType::Normal) {
        Some(text) => text.into(),
        None => v8::null(scope).into(),
    }
}

/// Has the settling of a promise noted under `token`.
fn follow(scope: &mut v8::PinScope, promise: v8::Local<v8::Promise>, token: u64) -> Option<()> {
    let token: v8::Local<v8::Value> = v8::BigInt::new_from_u64(scope, token).into();
    let fulfilled = v8::Function::builder(fulfilled_entry)
        .data(token)
        .build(scope)?;
    let rejected = v8::Function::builder(rejected_entry)
        .data(token)
        .build(scope)?;
    promise.then2(scope, fulfilled, rejected).map(|_| ())
}

fn on_fulfilled(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    note_settled(scope, args, Ok(()));
}

fn on_rejected(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let error = text::describe(scope, args.get(0));
    note_settled(scope, args, Err(error));
}

fn note_settled(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    result: Result<(), ScriptError>,
) {
    if let Ok(token) = v8::Local::<v8::BigInt>::try_from(args.data())
        && let Some(slot) = scope.get_slot_mut::<SettledSlot>()
    {
        let (token, _) = token.u64_value();
        slot.0.push(Settled { token, result });
    }
}
