//! Calls of stream consumers: entries as values of JavaScript.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::ports::{BatchCall, Call, CallbackId, Credentials, Outcome, ScriptError};
use crate::program::entered::V8Session;
use crate::program::names::FIELDS_KEPT;
use crate::program::outcome::{Token, Wants, perform};
use crate::runtime::text::{one_byte, part};

/// What the calls of one session have in common.
struct Common<'s> {
    callback: v8::Local<'s, v8::Value>,
    client: v8::Local<'s, v8::Value>,
}

impl<'s> V8Session<'_, 's, '_> {
    /// `Err(None)`: it does not fit into the library's memory.
    fn common(
        &mut self,
        callback: CallbackId,
        background: Option<&Arc<Credentials>>,
    ) -> Result<Common<'s>, Option<Outcome>> {
        let Some(function) = self.callback(callback) else {
            let error = ScriptError::new("the callback is gone");
            return Err(Some(Outcome::Failed(error)));
        };
        Ok(Common {
            callback: function.into(),
            client: self.client(callback, background).ok_or(None)?,
        })
    }

    pub(super) fn call_batch_watched(&mut self, call: &BatchCall<'_>) -> Outcome {
        let too_large = || {
            Outcome::Failed(ScriptError::new(
                "the entries do not fit into the library's memory",
            ))
        };
        let sizes = call.items.iter().map(|item| item.record().packed().len());
        if sizes.sum::<usize>().saturating_add(call.stream.len()) > self.isolate_limits.memory / 4 {
            return too_large();
        }
        let common = match self.common(call.callback, call.background) {
            Ok(common) => common,
            Err(None) => return too_large(),
            Err(Some(outcome)) => return outcome,
        };
        let helpers = self.helpers;
        v8::scope!(let scope, &mut *self.scope);
        let Some((name, name_raw)) = self.names.name(scope, call.stream) else {
            return too_large();
        };
        // Those of the first entry, as the others mostly have the same ones.
        let mut fields: SmallVec<[_; 8]> = SmallVec::new();
        if let Some(first) = call.items.first() {
            let names = first.record().parts().step_by(2).take(FIELDS_KEPT);
            for (place, bytes) in names.enumerate() {
                fields.push((bytes, self.names.field(scope, place, bytes)));
            }
        }
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
                let known = fields.get(at / 2).copied();
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
            wants: Wants::BatchResult,
        };
        let arguments = [common.callback, common.client, name, name_raw, many];
        perform(scope, call_batch, &arguments, &token, 0)
    }

    pub(super) fn call_watched(&mut self, call: &Call<'_>) -> Outcome {
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
        let common = match self.common(call.callback, call.background) {
            Ok(common) => common,
            Err(None) => return too_large(),
            Err(Some(outcome)) => return outcome,
        };
        let call_consumer = self.call_consumer();
        v8::scope!(let scope, &mut *self.scope);
        let Some((name, name_raw)) = self.names.name(scope, call.stream) else {
            return too_large();
        };
        let Some(packed) = one_byte(scope, call.record.packed()) else {
            return too_large();
        };
        let mut parts: SmallVec<[v8::Local<v8::Value>; 16]> = SmallVec::new();
        for (at, bytes) in call.record.parts().enumerate() {
            parts.push(if at % 2 == 0 {
                self.names.field(scope, at / 2, bytes)
            } else {
                part(scope, bytes)
            });
        }
        // A value that is no text is null, so `undefined` says that there is an array.
        let (parts, value): (v8::Local<v8::Value>, v8::Local<v8::Value>) = match parts[..] {
            [name, value] => (name, value),
            _ => (
                v8::Array::new_with_elements(scope, &parts).into(),
                v8::undefined(scope).into(),
            ),
        };
        let arguments = [
            common.callback,
            common.client,
            v8::BigInt::new_from_u64(scope, call.record.id.ms).into(),
            v8::BigInt::new_from_u64(scope, call.record.id.seq).into(),
            name,
            name_raw,
            packed,
            parts,
            value,
        ];
        let token = Token {
            number: call.token,
            wants: if call.judged {
                Wants::BatchResult
            } else {
                Wants::Nothing
            },
        };
        perform(scope, call_consumer, &arguments, &token, 0)
    }
}
