//! Calls of functions: their arguments as values of JavaScript.

use crate::ports::{Invocation, Outcome, ScriptError};
use crate::program::entered::V8Session;
use crate::program::outcome::{Token, Wants, perform};
use crate::runtime::helpers::filled_buffer;
use crate::runtime::text;

/// Arguments that a function may get: V8 takes no more in one call.
const ARGUMENTS_MAX: usize = 60_000;
/// Arguments that are given one by one; more are given as one array.
const ONE_BY_ONE: usize = 3;
/// Arguments of `call_function` before those of the function.
const FIXED_ARGUMENTS: usize = 3;

impl V8Session<'_, '_, '_> {
    pub(super) fn invoke_watched(&mut self, invocation: &Invocation<'_>) -> Outcome {
        let failed = |message: &str| Outcome::Failed(ScriptError::new(message));
        let all = invocation.arguments;
        let bytes: usize = all.iter().map(|argument| argument.len()).sum();
        if bytes > self.isolate_limits.memory / 4 || all.len() > ARGUMENTS_MAX {
            return failed("The arguments do not fit into the library's memory");
        }
        let Some(callback) = self.callback(invocation.callback) else {
            return failed("the function is gone");
        };
        let Some(client) = self.client(invocation.callback, invocation.background) else {
            return failed("The library has no memory left");
        };
        let helpers = self.helpers;
        let memory = self.isolate_limits.memory;
        v8::scope!(let scope, &mut *self.scope);
        let call_function = v8::Local::new(scope, &helpers.call_function);
        let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let nothing: v8::Local<v8::Value> = v8::undefined(scope).into();
        let mut arguments: [v8::Local<v8::Value>; FIXED_ARGUMENTS + ONE_BY_ONE] = [
            callback.into(),
            client,
            v8::Integer::new_from_unsigned(scope, count).into(),
            nothing,
            nothing,
            nothing,
        ];
        let as_array = all.len() > ONE_BY_ONE;
        let mut values: Vec<v8::Local<v8::Value>> = Vec::new();
        if as_array {
            values.reserve_exact(all.len() + 1);
            // The first keeps the client's place.
            values.push(client);
        }
        for (at, argument) in all.iter().enumerate() {
            let argument = if invocation.raw {
                let allocate = v8::Local::new(scope, &helpers.allocate);
                v8::tc_scope!(let scope, scope);
                filled_buffer(scope, allocate, argument).ok()
            } else {
                text::from_bytes(scope, argument, v8::NewStringType::Normal).map(Into::into)
            };
            let Some(argument) = argument else {
                return failed(if invocation.raw {
                    "The arguments do not fit into the library's memory"
                } else {
                    "Can not convert argument to string"
                });
            };
            if as_array {
                values.push(argument);
            } else {
                arguments[FIXED_ARGUMENTS + at] = argument;
            }
        }
        if as_array {
            arguments[FIXED_ARGUMENTS] = v8::Array::new_with_elements(scope, &values).into();
        }
        let token = Token {
            number: invocation.token,
            wants: Wants::Reply,
        };
        perform(scope, call_function, &arguments, &token, memory)
    }
}
