//! Calls of functions: their arguments as values of JavaScript.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::ports::{Invocation, Outcome, ScriptError};
use crate::program::entered::{PARTS_AS_ARGUMENTS, V8Session};
use crate::program::outcome::{Token, Wants, perform};
use crate::runtime::helpers::filled_buffer;
use crate::runtime::text;

/// Arguments that a function may get: V8 takes no more in one call.
const ARGUMENTS_MAX: usize = 60_000;

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
        let Some(client) = self.client(invocation.background) else {
            return failed("The library has no memory left");
        };
        let helpers = Arc::clone(&self.helpers);
        let memory = self.isolate_limits.memory;
        v8::scope!(let scope, &mut *self.scope);
        let call_function = v8::Local::new(scope, &helpers.call_function);
        let nothing: v8::Local<v8::Value> = v8::undefined(scope).into();
        // The first keeps the client's place.
        let mut values: SmallVec<[v8::Local<v8::Value>; 16]> = SmallVec::from_slice(&[nothing]);
        for argument in all {
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
            values.push(argument);
        }
        let mut arguments: SmallVec<[v8::Local<v8::Value>; 16]> =
            SmallVec::from_slice(&[callback.into(), client, nothing]);
        if values.len() > PARTS_AS_ARGUMENTS {
            arguments[2] = v8::Array::new_with_elements(scope, &values).into();
        } else {
            arguments.extend_from_slice(&values);
        }
        let token = Token {
            number: invocation.token,
            wants: Wants::Reply,
        };
        perform(scope, call_function, &arguments, &token, memory)
    }
}
