//! Calls of remote functions, on both ends: the function is called for another isolate, and promises
//! of calls that were made here are settled.

use std::time::{Duration, Instant};

use crate::api::v1::remote::{note, read_thrown, remote_error};
use crate::ports::{
    Outcome, RemoteError, RemoteErrorCode, RemoteInvocation, RemoteReturn, Reply, Returns,
    ScriptError, Server, ShardOutcome,
};
use crate::program::entered::V8Session;
use crate::program::outcome::{Token, Wants, perform};
use crate::runtime::continuation;
use crate::runtime::run;
use crate::runtime::text::{self, Thrown};

/// Promises are settled for so long in one session, or up to a large result; the others come with the next.
const SETTLING: Duration = Duration::from_millis(1);
/// So many between two looks at the clock.
const AT_ONCE: usize = 16;
/// Arguments that a function may get: V8 takes no more in one call.
const ARGUMENTS_MAX: u32 = 60_000;
/// Arguments that are given one by one; more are given as one array.
const ONE_BY_ONE: u32 = 3;

impl V8Session<'_, '_, '_> {
    pub(super) fn call_remote_watched(&mut self, call: &RemoteInvocation<'_>) -> Outcome {
        let failed = |message: &str| {
            Outcome::Failed(ScriptError {
                remote_code: Some(RemoteErrorCode::NotSent),
                ..ScriptError::new(message)
            })
        };
        if call.arguments.len() > self.isolate_limits.memory / 4 {
            return failed("ERR the arguments do not fit into the library's memory");
        }
        let Some(callback) = self.callback(call.callback) else {
            return failed("ERR the remote function is gone");
        };
        let Some(client) = self.client(call.callback, Some(call.credentials)) else {
            return failed("ERR the library has no memory left");
        };
        let helpers = self.helpers;
        v8::scope!(let scope, &mut *self.scope);
        let given = read_list(scope, call.arguments);
        let Some(given) = given.filter(|given| given.length() <= ARGUMENTS_MAX) else {
            return failed("ERR the arguments of the remote function cannot be read");
        };
        let count = given.length();
        let mut arguments: Vec<v8::Local<v8::Value>> = vec![
            callback.into(),
            client,
            v8::Integer::new_from_unsigned(scope, count).into(),
        ];
        let mut values: Vec<v8::Local<v8::Value>> = Vec::new();
        for at in 0..count {
            let Some(value) = given.get_index(scope, at) else {
                return failed("ERR the arguments of the remote function cannot be read");
            };
            values.push(value);
        }
        if count > ONE_BY_ONE {
            // The first keeps the client's place.
            values.insert(0, client);
            arguments.push(v8::Array::new_with_elements(scope, &values).into());
        } else {
            arguments.append(&mut values);
        }
        let call_function = v8::Local::new(scope, &helpers.call_function);
        let token = Token {
            number: call.token,
            wants: Wants::Clone,
        };
        perform(scope, call_function, &arguments, &token, 0)
    }

    /// Settles promises of calls that were made here; gives why a continuation was ended from outside.
    pub(super) fn settle_remote_calls(
        &mut self,
        server: &dyn Server,
        which: Returns,
    ) -> Option<ScriptError> {
        let returns = run::returns(self.scope)?;
        if !returns.has_some() {
            return None;
        }
        let mut killed = None;
        let end = Instant::now() + SETTLING;
        let mut has_time = true;
        while has_time {
            let some = returns.take(AT_ONCE, which);
            has_time = some.len() == AT_ONCE && Instant::now() < end;
            for one in some {
                // Of a run that was ended what is pending is void.
                let Some(settlers) = run::end_remote_call(self.scope, one.number) else {
                    continue;
                };
                let outcome = self.watched(Some(server), |session| session.settle(&one, settlers));
                killed = outcome.killed().or(killed);
            }
        }
        if returns.has_some() {
            returns.wake();
        }
        killed
    }

    fn settle(&mut self, came: &RemoteReturn, settlers: [v8::Global<v8::Function>; 2]) -> Outcome {
        let (helpers, memory) = (self.helpers, self.isolate_limits.memory);
        v8::scope!(let scope, &mut *self.scope);
        continuation::clear(scope);
        let sizes = came.outcomes.iter().map(ShardOutcome::bytes);
        let is_too_large = sizes.sum::<usize>() > memory / 4;
        v8::tc_scope!(let scope, scope);
        let [resolve, reject] = settlers.map(|settler| v8::Local::new(scope, settler));
        let settled = (|| {
            if is_too_large {
                let text = "ERR the results do not fit into the library's memory";
                return Ok((reject, no_result(scope, helpers, "", text)?));
            }
            if came.of_all_shards {
                return Ok((resolve, lists(scope, helpers, &came.outcomes)?));
            }
            let Some(one) = came.outcomes.first() else {
                let text = "ERR nothing came of the call";
                return Ok((reject, no_result(scope, helpers, "", text)?));
            };
            match value_of(scope, helpers, one) {
                Ok(value) => Ok((resolve, value)),
                Err(Some(error)) => Ok((reject, error)),
                Err(None) => Err(Thrown),
            }
        })();
        let (settle, value) = settled.unwrap_or_else(|Thrown| {
            let thrown = scope.exception();
            let error = thrown.unwrap_or_else(|| v8::undefined(scope).into());
            (reject, error)
        });
        scope.reset();
        let nothing = v8::undefined(scope).into();
        settle.call(scope, nothing, &[value]);
        run::run_continuations(scope);
        Outcome::Done(Reply::Null)
    }
}

fn read_list<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    bytes: &[u8],
) -> Option<v8::Local<'s, v8::Array>> {
    let value = read_thrown(scope, bytes)?;
    v8::Local::<v8::Array>::try_from(value).ok()
}

/// The error where what came cannot be had.
fn no_result<'s>(
    scope: &v8::PinScope<'s, '_>,
    helpers: &Helpers,
    shard: &str,
    text: &str,
) -> Result<v8::Local<'s, v8::Value>, Thrown> {
    let error = RemoteError {
        text: text.to_owned(),
        code: Some(RemoteErrorCode::NoResult),
        may_have_run: true,
        ..RemoteError::default()
    };
    remote_error(scope, helpers, shard, &error, None)
}

type Helpers = crate::runtime::helpers::Helpers;

/// What came of a call on one shard: the result, or what it is rejected with; neither where V8 has
/// thrown.
fn value_of<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    helpers: &Helpers,
    one: &ShardOutcome,
) -> Result<v8::Local<'s, v8::Value>, Option<v8::Local<'s, v8::Value>>> {
    let error = match &one.outcome {
        Ok(bytes) => {
            let text = "ERR the result of the remote function cannot be read";
            return read_thrown(scope, bytes)
                .ok_or_else(|| no_result(scope, helpers, &one.shard, text).ok());
        }
        Err(error) => error,
    };
    let thrown = error.thrown.as_ref();
    let thrown = thrown.and_then(|bytes| read_thrown(scope, bytes));
    if let Some(mut value) = thrown.filter(|_| error.code.is_none()) {
        if value.is_native_error() {
            let restore = v8::Local::new(scope, &helpers.restore_error);
            let nothing = v8::undefined(scope).into();
            let text = v8::String::new(scope, &error.text).ok_or(None)?.into();
            value = restore.call(scope, nothing, &[value, text]).ok_or(None)?;
            // Of anything else each property is the script's own.
            if let Ok(object) = v8::Local::<v8::Object>::try_from(value) {
                let shard = text::short(scope, &one.shard).into();
                note(scope, object, "shard", shard).map_err(|Thrown| None)?;
            }
        }
        return Err(Some(value));
    }
    Err(remote_error(scope, helpers, &one.shard, error, thrown).ok())
}

/// What is known of an error that is one about a further call: a plain object, which can be cloned.
pub(super) fn cause<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    thrown: v8::Local<v8::Value>,
) -> Option<v8::Local<'s, v8::Value>> {
    let helpers = run::helpers(scope)?;
    v8::tc_scope!(let scope, scope);
    let cause_of = v8::Local::new(scope, &helpers.cause_of);
    let nothing = v8::undefined(scope).into();
    let cause = cause_of.call(scope, nothing, &[thrown])?;
    (!cause.is_undefined()).then_some(cause)
}

/// The results and the errors of all shards. Which shard a result is of stands beside the list.
fn lists<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    helpers: &Helpers,
    outcomes: &[ShardOutcome],
) -> Result<v8::Local<'s, v8::Value>, Thrown> {
    let (mut results, mut shards, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for one in outcomes {
        match value_of(scope, helpers, one) {
            Ok(value) => {
                results.push(value);
                shards.push(text::short(scope, &one.shard).into());
            }
            Err(Some(error)) => errors.push(error),
            Err(None) => return Err(Thrown),
        }
    }
    let [results, shards, errors] =
        [results, shards, errors].map(|list| v8::Array::new_with_elements(scope, &list));
    note(scope, results.into(), "shards", shards.into())?;
    let both = [results.into(), errors.into()];
    Ok(v8::Array::new_with_elements(scope, &both).into())
}
