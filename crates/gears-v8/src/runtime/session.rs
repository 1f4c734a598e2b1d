//! Calls of callbacks, while the isolate is entered.
//!
//! What records of one session have in common is made once: the callback, the stream's name, and
//! field names as long as they repeat from record to record, as they mostly do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;

use crate::ports::{
    BatchCall, Call, CallbackId, Credentials, Invocation, Notification, Outcome, RetainedValue,
    RunResults, ScriptError, Server, Session,
};

use crate::api::client;
use crate::convert::text;
use crate::limits::isolate_limits::IsolateLimits;
use crate::runtime::bootstrap::{Helpers, filled_buffer};
use crate::runtime::continuation;
use crate::runtime::outcome::{Token, Wants, perform};
use crate::runtime::run;

/// Tasks of V8 run at once; the rest waits for the next time.
const TASKS_PER_PUMP: usize = 16;
/// Places of a record whose field names are kept from record to record.
const FIELDS_KEPT: usize = 64;
/// Length in bytes of a field name that is kept.
const FIELD_BYTES_KEPT: usize = 64;
/// New field names that are kept in one session.
const NEW_FIELDS_KEPT: usize = 1024;
/// Values that are given as arguments; more are given as one array.
pub(crate) const PARTS_AS_ARGUMENTS: usize = 1000;
/// Arguments that a function may get: V8 takes no more in one call.
const ARGUMENTS_MAX: usize = 60_000;
/// Arguments of `call_consumer` before the parts.
const FIXED_ARGUMENTS: usize = 7;

/// See the module's description.
pub(crate) struct V8Session<'a, 's, 'i> {
    pub(crate) scope: &'a mut v8::PinScope<'s, 'i>,
    functions: &'a [v8::Global<v8::Function>],
    pub(crate) isolate_limits: &'a IsolateLimits,
    pub(crate) helpers: Arc<Helpers>,
    call_consumer: v8::Local<'s, v8::Function>,
    callback: Option<(CallbackId, v8::Local<'s, v8::Function>)>,
    /// The async client made last.
    client: Option<AsyncClient<'s>>,
    stream: Option<StreamName<'s>>,
    fields: Vec<Field<'s>>,
    /// The event told of last.
    pub(crate) event: Option<(String, v8::Local<'s, v8::Value>)>,
    /// How often a field name was new in this session.
    new_fields: usize,
    /// Whether V8 may have left something to be done.
    ran: &'a AtomicBool,
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
    /// `None` where the program was never built to its end.
    pub(crate) fn new(
        scope: &'a mut v8::PinScope<'s, 'i>,
        functions: &'a [v8::Global<v8::Function>],
        isolate_limits: &'a IsolateLimits,
        ran: &'a AtomicBool,
    ) -> Option<Self> {
        let helpers = run::helpers(scope)?;
        let call_consumer = v8::Local::new(scope, &helpers.call_consumer);
        Some(Self {
            scope,
            functions,
            isolate_limits,
            helpers,
            call_consumer,
            callback: None,
            client: None,
            stream: None,
            fields: Vec::new(),
            event: None,
            new_fields: 0,
            ran,
        })
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
        let parts = client::grant_parts(self.scope, credentials).map(|(_, value)| value);
        let make = v8::Local::new(self.scope, &self.helpers.make_async_client);
        let nothing = v8::undefined(self.scope).into();
        make.call(self.scope, nothing, &parts)
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

    fn call_batch_watched(&mut self, call: &BatchCall<'_>) -> Outcome {
        let too_large = || {
            Outcome::Failed(ScriptError::new(
                "the entries do not fit into the library's memory",
            ))
        };
        let sizes = call.items.iter().map(|item| item.record().packed().len());
        if sizes.sum::<usize>().saturating_add(call.stream.len()) > self.isolate_limits.memory / 4 {
            return too_large();
        }
        let Some(callback) = self.callback(call.callback) else {
            return Outcome::Failed(ScriptError::new("the callback is gone"));
        };
        let (Some((name, name_raw)), Some(client)) =
            (self.stream_name(call.stream), self.client(call.background))
        else {
            return too_large();
        };
        // Before the inner scope is opened: field names outlive it.
        let mut fields: SmallVec<[_; 8]> = SmallVec::new();
        if let Some(first) = call.items.first() {
            let names = first.record().parts().step_by(2).take(FIELDS_KEPT);
            for (place, bytes) in names.enumerate() {
                fields.push(self.field(place, bytes).map(|name| (bytes, name)));
            }
        }
        let helpers = Arc::clone(&self.helpers);
        v8::scope!(let scope, &mut *self.scope);
        let mut many: Vec<v8::Local<v8::Value>> = Vec::new();
        for item in call.items {
            let record = item.record();
            let Some(packed) = one_byte(scope, record.packed()) else {
                return too_large();
            };
            many.push(v8::BigInt::new_from_u64(scope, record.id.ms).into());
            many.push(v8::BigInt::new_from_u64(scope, record.id.seq).into());
            many.push(packed);
            let count_at = many.len();
            many.push(packed);
            for (at, bytes) in record.parts().enumerate() {
                let known = fields.get(at / 2).copied().flatten();
                many.push(match known {
                    Some((name, text)) if at % 2 == 0 && name == bytes => text,
                    _ => part(scope, bytes),
                });
            }
            let count = u32::try_from(many.len() - count_at - 1).unwrap_or(u32::MAX);
            many[count_at] = v8::Integer::new_from_unsigned(scope, count).into();
        }
        let call_batch = v8::Local::new(scope, &helpers.call_batch);
        let many = v8::Array::new_with_elements(scope, &many).into();
        let token = Token {
            number: call.token,
            wants: Wants::Verdict,
        };
        let arguments = [callback.into(), client, name, name_raw, many];
        perform(scope, call_batch, &arguments, &token, 0)
    }

    fn call_watched(&mut self, call: &Call<'_>) -> Outcome {
        let too_large = || {
            Outcome::Failed(ScriptError::new(
                "the entry does not fit into the library's memory",
            ))
        };
        // Three copies at worst: packed, and as text of two bytes a character.
        if call.record.packed().len().saturating_add(call.stream.len())
            > self.isolate_limits.memory / 4
        {
            return too_large();
        }
        let Some(callback) = self.callback(call.callback) else {
            return Outcome::Failed(ScriptError::new("the callback is gone"));
        };
        let (Some((name, name_raw)), Some(client)) =
            (self.stream_name(call.stream), self.client(call.background))
        else {
            return too_large();
        };
        // Before the inner scope is opened: field names outlive it.
        let mut fields: SmallVec<[_; 8]> = SmallVec::new();
        let names = call.record.parts().step_by(2).take(FIELDS_KEPT);
        for (place, bytes) in names.enumerate() {
            fields.push(self.field(place, bytes));
        }
        let call_consumer = self.call_consumer;
        v8::scope!(let scope, &mut *self.scope);
        let Some(packed) = one_byte(scope, call.record.packed()) else {
            return too_large();
        };
        let mut arguments: SmallVec<[v8::Local<v8::Value>; FIXED_ARGUMENTS + 16]> =
            SmallVec::from_slice(&[
                callback.into(),
                client,
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
        let token = Token {
            number: call.token,
            wants: if call.judged {
                Wants::Verdict
            } else {
                Wants::Nothing
            },
        };
        perform(scope, call_consumer, &arguments, &token, 0)
    }

    fn invoke_watched(&mut self, invocation: &Invocation<'_>) -> Outcome {
        let failed = |message: &str| Outcome::Failed(ScriptError::new(message));
        let words = invocation.arguments;
        let bytes: usize = words.iter().map(|word| word.len()).sum();
        if bytes > self.isolate_limits.memory / 4 || words.len() > ARGUMENTS_MAX {
            return failed("The arguments do not fit into the library's memory");
        }
        let Some(callback) = self.callback(invocation.callback) else {
            return failed("the function is gone");
        };
        let Some(client) = self.client(invocation.background) else {
            return failed("The library has no memory left");
        };
        let helpers = Arc::clone(&self.helpers);
        let memory = self.isolate_limits.memory;
        v8::scope!(let scope, &mut *self.scope);
        let call_function = v8::Local::new(scope, &helpers.call_function);
        let nothing: v8::Local<v8::Value> = v8::undefined(scope).into();
        // The first keeps the client's place.
        let mut given: SmallVec<[v8::Local<v8::Value>; 16]> = SmallVec::from_slice(&[nothing]);
        for word in words {
            let argument = if invocation.raw {
                let allocate = v8::Local::new(scope, &helpers.allocate);
                v8::tc_scope!(let scope, scope);
                filled_buffer(scope, allocate, word)
            } else {
                text::from_bytes(scope, word, v8::NewStringType::Normal).map(Into::into)
            };
            let Some(argument) = argument else {
                return failed(if invocation.raw {
                    "The arguments do not fit into the library's memory"
                } else {
                    "Can not convert argument to string"
                });
            };
            given.push(argument);
        }
        let mut arguments: SmallVec<[v8::Local<v8::Value>; 16]> =
            SmallVec::from_slice(&[callback.into(), client, nothing]);
        if given.len() > PARTS_AS_ARGUMENTS {
            arguments[2] = v8::Array::new_with_elements(scope, &given).into();
        } else {
            arguments.extend_from_slice(&given);
        }
        let token = Token {
            number: invocation.token,
            wants: Wants::Reply,
        };
        perform(scope, call_function, &arguments, &token, memory)
    }

    /// A watched run of `work`.
    fn watched(
        &mut self,
        server: Option<&dyn Server>,
        work: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome {
        let begun = run::begin(self.scope, self.isolate_limits, server);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let outcome = work(self);
            run::report_rejections(self.scope);
            outcome
        }));
        run::end(self.scope, self.isolate_limits, begun, result).unwrap_or_else(Outcome::Killed)
    }
}

impl Session for V8Session<'_, '_, '_> {
    fn call(&mut self, call: &Call<'_>, server: &dyn Server) -> Outcome {
        self.watched(Some(server), |session| session.call_watched(call))
    }

    fn call_batch(&mut self, call: &BatchCall<'_>, server: &dyn Server) -> Outcome {
        self.watched(Some(server), |session| session.call_batch_watched(call))
    }

    fn notify(&mut self, call: &Notification<'_>, server: &dyn Server) -> Outcome {
        self.watched(Some(server), |session| session.notify_watched(call))
    }

    fn fire(
        &mut self,
        call: &Notification<'_>,
        server: &dyn Server,
    ) -> Result<RetainedValue, Outcome> {
        let mut retained = None;
        let outcome = self.watched(Some(server), |session| {
            session.fire_watched(call, &mut retained)
        });
        match (outcome, retained) {
            (Outcome::Done(_), Some(retained)) => Ok(retained),
            (Outcome::Done(_), None) => Err(Outcome::Failed(ScriptError::new(
                "the function did not run to its end",
            ))),
            (outcome, _) => Err(outcome),
        }
    }

    fn invoke(&mut self, invocation: &Invocation<'_>, server: &dyn Server) -> Outcome {
        self.watched(Some(server), |session| session.invoke_watched(invocation))
    }

    fn run_task(&mut self, server: &dyn Server) -> Option<ScriptError> {
        let task = run::next_task_of_script(self.scope)?;
        let outcome = self.watched(Some(server), |session| {
            let helpers = Arc::clone(&session.helpers);
            v8::scope!(let scope, &mut *session.scope);
            let run_task = v8::Local::new(scope, &helpers.run_task);
            let task = v8::Local::new(scope, task).into();
            let token = Token {
                number: 0,
                wants: Wants::Nothing,
            };
            perform(scope, run_task, &[task], &token, 0)
        });
        match outcome {
            Outcome::Killed(error) => Some(error),
            _ => None,
        }
    }

    fn clear_tasks(&mut self) {
        run::clear_tasks(self.scope);
    }

    fn pump(&mut self, server: &dyn Server) -> Option<ScriptError> {
        if run::is_suspended(self.scope) {
            return None;
        }
        // Such tasks may go on with code of the script: behind an `Atomics.waitAsync`, or in a
        // `FinalizationRegistry`. So each is a run like any other.
        let platform = v8::V8::get_current_platform();
        for _ in 0..TASKS_PER_PUMP {
            let ran = run::watched(self.scope, self.isolate_limits, Some(server), |scope| {
                continuation::clear(scope);
                let ran = v8::Platform::pump_message_loop(&platform, scope, false);
                scope.perform_microtask_checkpoint();
                ran
            });
            match ran {
                Ok(true) => {}
                Ok(false) => {
                    self.ran.store(false, Ordering::Relaxed);
                    break;
                }
                Err(error) => {
                    log::warn!("a task behind a script's back was ended: {error}");
                    return Some(error);
                }
            }
        }
        None
    }

    fn leave_continuations(&mut self, leave: bool) -> bool {
        run::leave_continuations(self.scope, leave)
    }

    fn take_results(&mut self, results: &mut RunResults) {
        run::take_results(self.scope, results);
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
