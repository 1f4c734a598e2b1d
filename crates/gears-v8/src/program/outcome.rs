//! Calls into a library, what comes of them at once, and of the promises that they leave.

use crate::ports::{Outcome, RemoteErrorCode, Reply, ScriptError, SettledPromise};

use crate::api::v1::batch_result;
use crate::convert::{clone, reply};
use crate::program::remote;
use crate::runtime::callback::callback;
use crate::runtime::run;
use crate::runtime::text::{self, Thrown};

callback!(fulfilled_entry => on_fulfilled);
callback!(rejected_entry => on_rejected);

/// What a call's pending promise is known by.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    pub(crate) number: u64,
    pub(crate) wants: Wants,
}

/// What is read of a call's result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Nothing,
    Reply,
    BatchResult,
    /// For another isolate.
    Clone,
}

impl Wants {
    const ALL: [Self; 4] = [Self::Nothing, Self::Reply, Self::BatchResult, Self::Clone];

    /// What a result says; a reply is read up to so many bytes.
    fn result(
        self,
        scope: &mut v8::PinScope,
        value: v8::Local<v8::Value>,
        bytes: usize,
    ) -> Outcome {
        match self {
            Self::Nothing => Outcome::Done(Reply::Null),
            Self::BatchResult => batch_result::of_result(scope, value),
            Self::Clone => match cloned(scope, value) {
                Ok(bytes) => Outcome::Done(Reply::Bulk(bytes)),
                Err(error) => Outcome::Failed(ScriptError {
                    remote_code: Some(RemoteErrorCode::NoResult),
                    ..error
                }),
            },
            Self::Reply => match reply::of_value(scope, value, bytes) {
                Ok(reply) => Outcome::Done(reply),
                Err(error) => Outcome::Failed(error),
            },
        }
    }

    /// What an exception says.
    fn error(self, scope: &mut v8::PinScope, thrown: v8::Local<v8::Value>) -> ScriptError {
        match self {
            Self::BatchResult => batch_result::of_error(scope, thrown),
            Self::Clone => for_another_isolate(scope, thrown),
            Self::Nothing | Self::Reply => text::describe(scope, thrown),
        }
    }
}

/// What was thrown, for the isolate that called. An error about a further call says there no more that
/// *this* call was not sent, or whatever else its code says: so it goes along as the cause of one that
/// says that this one has thrown.
fn for_another_isolate(scope: &mut v8::PinScope, thrown: v8::Local<v8::Value>) -> ScriptError {
    let cause = remote::cause(scope, thrown);
    let bytes = match cause {
        Some(cause) => cloned(scope, cause),
        None => cloned(scope, thrown),
    };
    let is_itself = cause.is_none() && bytes.is_ok();
    ScriptError {
        thrown: bytes.ok().map(Into::into),
        remote_code: (!is_itself).then_some(RemoteErrorCode::Thrown),
        ..text::describe(scope, thrown)
    }
}

/// A value for another isolate.
fn cloned(scope: &mut v8::PinScope, value: v8::Local<v8::Value>) -> Result<Vec<u8>, ScriptError> {
    let most = run::remotes(scope).map_or(0, |remotes| remotes.max_bytes());
    v8::tc_scope!(let scope, scope);
    clone::write(scope, value, most).map_err(|why| {
        let Thrown = why.throw(scope);
        match scope.exception() {
            Some(exception) => text::describe(scope, exception),
            None => ScriptError::new("ERR the result cannot be cloned"),
        }
    })
}

/// Calls into the library, lets follow what it left to be done at once, and looks what came of it.
/// A result is read up to so many bytes.
pub(crate) fn perform(
    scope: &mut v8::PinScope,
    function: v8::Local<v8::Function>,
    arguments: &[v8::Local<v8::Value>],
    token: &Token,
    result_bytes: usize,
) -> Outcome {
    v8::tc_scope!(let scope, scope);
    let nothing = v8::undefined(scope).into();
    let Some(returned) = function.call(scope, nothing, arguments) else {
        let thrown = scope.exception();
        let error = thrown.map(|exception| token.wants.error(scope, exception));
        run::run_continuations(scope);
        return Outcome::Failed(
            error.unwrap_or_else(|| ScriptError::new("the callback did not run to its end")),
        );
    };
    run::run_continuations(scope);
    let Ok(promise) = v8::Local::<v8::Promise>::try_from(returned) else {
        return token.wants.result(scope, returned, result_bytes);
    };
    match promise.state() {
        v8::PromiseState::Fulfilled => {
            let value = promise.result(scope);
            token.wants.result(scope, value, result_bytes)
        }
        v8::PromiseState::Rejected => {
            promise.mark_as_handled();
            let reason = promise.result(scope);
            Outcome::Failed(token.wants.error(scope, reason))
        }
        v8::PromiseState::Pending => match follow(scope, promise, token) {
            Some(()) => Outcome::Pending,
            None => Outcome::Failed(ScriptError::new(
                "the callback's promise cannot be followed",
            )),
        },
    }
}

/// Has the settling of a promise noted under `token`.
fn follow(scope: &mut v8::PinScope, promise: v8::Local<v8::Promise>, token: &Token) -> Option<()> {
    let words = [token.number, token.wants as u64];
    let token: v8::Local<v8::Value> = v8::BigInt::new_from_words(scope, false, &words)?.into();
    let fulfilled = v8::Function::builder(fulfilled_entry)
        .data(token)
        .build(scope)?;
    let rejected = v8::Function::builder(rejected_entry)
        .data(token)
        .build(scope)?;
    promise.then2(scope, fulfilled, rejected).map(|_| ())
}

fn token_of(args: &v8::FunctionCallbackArguments) -> Option<Token> {
    let token = v8::Local::<v8::BigInt>::try_from(args.data()).ok()?;
    let mut words = [0; 2];
    token.to_words_array(&mut words);
    Some(Token {
        number: words[0],
        wants: *Wants::ALL.get(usize::try_from(words[1]).ok()?)?,
    })
}

fn on_fulfilled(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let Some(token) = token_of(args) else {
        return;
    };
    let bytes = match token.wants {
        Wants::Reply => {
            run::isolate_limits(scope).map_or(0, |isolate_limits| isolate_limits.memory)
        }
        Wants::Nothing | Wants::BatchResult | Wants::Clone => 0,
    };
    let outcome = token.wants.result(scope, args.get(0), bytes);
    let token = token.number;
    run::note_settled(scope, SettledPromise { token, outcome });
}

fn on_rejected(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let Some(token) = token_of(args) else {
        return;
    };
    let outcome = Outcome::Failed(token.wants.error(scope, args.get(0)));
    let token = token.number;
    run::note_settled(scope, SettledPromise { token, outcome });
}
