//! Calls of triggers, while the isolate is entered: an event of a key as a value of JavaScript.

use smallvec::SmallVec;

use crate::ports::{Outcome, Reply, RetainedValue, ScriptError, TriggerEventCall};

use crate::program::entered::{PARTS_AS_ARGUMENTS, V8Session};
use crate::program::names::KeptNames;
use crate::program::outcome::{Token, Wants, perform};
use crate::runtime::run;
use crate::runtime::text::{self, one_byte, part};

/// Arguments of `call_trigger`.
type TriggerArguments<'s> = SmallVec<[v8::Local<'s, v8::Value>; 16]>;

fn too_large() -> Outcome {
    Outcome::Failed(ScriptError::new(
        "the key and its value do not fit into the library's memory",
    ))
}

/// What outlives a call: the callback and its client.
type Lasting<'s> = [v8::Local<'s, v8::Value>; 2];

impl<'s> V8Session<'_, 's, '_> {
    pub(super) fn call_trigger_watched(&mut self, call: &TriggerEventCall<'_>) -> Outcome {
        let token = Token {
            number: call.token,
            wants: Wants::Nothing,
        };
        let lasting = match self.lasting(call) {
            Ok(lasting) => lasting,
            Err(outcome) => return outcome,
        };
        let helpers = self.helpers;
        v8::scope!(let scope, &mut *self.scope);
        let retained = call.retained.and_then(|retained| retained.0.downcast_ref());
        if let Some(data) = retained {
            let data: &v8::Global<v8::Object> = data;
            let call_with = v8::Local::new(scope, &helpers.call_with);
            let data = v8::Local::new(scope, data).into();
            return perform(scope, call_with, &[lasting[0], lasting[1], data], &token, 0);
        }
        let Some(arguments) = arguments(scope, self.names, call, lasting) else {
            return too_large();
        };
        let call_trigger = v8::Local::new(scope, &helpers.call_trigger);
        perform(scope, call_trigger, &arguments, &token, 0)
    }

    /// `retained` gets the data as the function left it.
    pub(super) fn run_pre_hook_watched(
        &mut self,
        call: &TriggerEventCall<'_>,
        retained: &mut Option<RetainedValue>,
    ) -> Outcome {
        let lasting = match self.lasting(call) {
            Ok(lasting) => lasting,
            Err(outcome) => return outcome,
        };
        let helpers = self.helpers;
        v8::scope!(let scope, &mut *self.scope);
        let Some(arguments) = arguments(scope, self.names, call, lasting) else {
            return too_large();
        };
        let call_pre_hook = v8::Local::new(scope, &helpers.call_pre_hook);
        v8::tc_scope!(let scope, scope);
        let nothing = v8::undefined(scope).into();
        let data = call_pre_hook.call(scope, nothing, &arguments);
        let thrown = match (data, scope.exception()) {
            (None, Some(exception)) => Some(text::describe(scope, exception)),
            _ => None,
        };
        run::run_continuations(scope);
        if let Some(data) = data.and_then(|data| v8::Local::<v8::Object>::try_from(data).ok()) {
            *retained = Some(RetainedValue(Box::new(v8::Global::new(scope, data))));
            return Outcome::Done(Reply::Null);
        }
        Outcome::Failed(
            thrown.unwrap_or_else(|| ScriptError::new("the function did not run to its end")),
        )
    }

    fn lasting(&mut self, call: &TriggerEventCall<'_>) -> Result<Lasting<'s>, Outcome> {
        let value = call.value.map_or(0, |value| value.packed().len());
        // Three copies at worst: packed, and as text of two bytes a character.
        if value.saturating_add(call.key.len()) > self.isolate_limits.memory / 4 {
            return Err(too_large());
        }
        let Some(callback) = self.callback(call.callback) else {
            return Err(Outcome::Failed(ScriptError::new("the callback is gone")));
        };
        let client = self
            .client(call.callback, call.background)
            .ok_or_else(too_large)?;
        Ok([callback.into(), client])
    }
}

/// The arguments of `call_trigger`; `None` where they do not fit into the library's memory.
fn arguments<'s>(
    scope: &v8::PinScope<'s, '_>,
    names: &mut KeptNames,
    call: &TriggerEventCall<'_>,
    lasting: Lasting<'s>,
) -> Option<TriggerArguments<'s>> {
    let mut arguments = TriggerArguments::from_slice(&lasting);
    arguments.push(names.event(scope, call.event)?);
    let (key, key_raw) = names.name(scope, call.key)?;
    arguments.push(key);
    arguments.push(key_raw);
    if let Some(value) = call.value {
        arguments.push(text::short(scope, value.kind.name()).into());
        arguments.push(one_byte(scope, value.packed())?);
        let parts: Vec<v8::Local<v8::Value>> =
            value.parts().map(|bytes| part(scope, bytes)).collect();
        if parts.len() > PARTS_AS_ARGUMENTS {
            arguments.push(v8::Array::new_with_elements(scope, &parts).into());
        } else {
            arguments.extend_from_slice(&parts);
        }
    }
    Some(arguments)
}
