//! `GearsBuilder` and what belongs to it, for libraries that use it.
//!
//! The globals are there for every library, but made when the first of them is touched: see
//! `gears.js`, which is JavaScript on top of what follows here.

mod shards;

use crate::ports::{Metadata, Reply, Scheduled};
use gears_core::delivery::Mode;

use crate::api::v1::arguments;
use crate::api::v1::client;
use crate::api::v1::loading::Loading;
use crate::api::v1::registration;
use crate::convert::reply;
use crate::runtime::callback::callback;
use crate::runtime::continuation;
use crate::runtime::run;
use crate::runtime::text::{self, OrThrown, Thrown};

/// What makes the builder, how its records flow, and the other parts, in the order in which the builder is given them.
const BUILDER: &str = include_str!("../../js/gears.js");
const FLOW: &str = include_str!("../../js/gears_flow.js");
const PARTS: [&str; 4] = [
    include_str!("../../js/gears_readers.js"),
    include_str!("../../js/gears_shards.js"),
    include_str!("../../js/gears_cluster.js"),
    include_str!("../../js/gears_functions.js"),
];
/// Characters of a description, and of a plan.
const TEXT_MAX: usize = 64 * 1024;

callback!(make_entry => make);
callback!(label_entry => metadata);
callback!(is_loading_entry => is_loading);
callback!(schedule_entry => schedule);
callback!(begin_entry => execution_begin);
callback!(is_aborted_entry => execution_is_aborted);
callback!(end_entry => execution_end);

/// `make([dialect])`: the globals as properties of an object. `dialect(processing)` gives what is special in a
/// language other than JavaScript.
pub(crate) fn maker<'s>(
    scope: &mut v8::PinScope<'s, '_>,
) -> Result<v8::Local<'s, v8::Function>, Thrown> {
    v8::Function::new(scope, make_entry).or_thrown()
}

fn make<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    // Where it throws, so does who touched the global.
    if let Ok(globals) = build(scope, args.get(0)) {
        result.set(globals);
    }
}

fn build<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    dialect: v8::Local<'s, v8::Value>,
) -> Result<v8::Local<'s, v8::Value>, Thrown> {
    let native = native(scope)?.into();
    let nothing: v8::Local<v8::Value> = v8::undefined(scope).into();
    let flow = evaluate(scope, FLOW)?
        .call(scope, nothing, &[])
        .or_thrown()?;
    let dialect = match v8::Local::<v8::Function>::try_from(dialect) {
        Ok(dialect) => dialect.call(scope, nothing, &[flow]).or_thrown()?,
        Err(_) => nothing,
    };
    let mut given = vec![native, flow, dialect];
    for part in PARTS {
        given.push(evaluate(scope, part)?.into());
    }
    evaluate(scope, BUILDER)?
        .call(scope, nothing, &given)
        .or_thrown()
}

fn evaluate<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    source: &str,
) -> Result<v8::Local<'s, v8::Function>, Thrown> {
    let source = v8::String::new(scope, source).or_thrown()?;
    let script = text::compile(scope, "<redisgears>", source)?;
    v8::Local::<v8::Function>::try_from(script.run(scope).or_thrown()?)
        .ok()
        .or_thrown()
}

/// What the JavaScript is made of.
pub(crate) fn native<'s>(
    scope: &mut v8::PinScope<'s, '_>,
) -> Result<v8::Local<'s, v8::Object>, Thrown> {
    let helpers = run::helpers(scope).or_thrown()?;
    let global = scope.get_current_context().global(scope);
    let key = text::short(scope, "redis");
    let redis = v8::Local::<v8::Object>::try_from(global.get(scope, key.into()).or_thrown()?).ok();
    let native = v8::Object::new(scope);
    for name in ["config", "log"] {
        let key = text::short(scope, name);
        let value = match redis {
            Some(redis) => redis.get(scope, key.into()).or_thrown()?,
            None => v8::undefined(scope).into(),
        };
        let name = if name == "log" { "redis_log" } else { name };
        let key = text::short(scope, name);
        native
            .create_data_property(scope, key.into(), value)
            .or_thrown()?;
    }
    let own = [
        ("label", v8::Function::new(scope, label_entry).or_thrown()?),
        (
            "is_loading",
            v8::Function::new(scope, is_loading_entry).or_thrown()?,
        ),
        (
            "schedule",
            v8::Function::new(scope, schedule_entry).or_thrown()?,
        ),
        (
            "execution_begin",
            v8::Function::new(scope, begin_entry).or_thrown()?,
        ),
        (
            "execution_is_aborted",
            v8::Function::new(scope, is_aborted_entry).or_thrown()?,
        ),
        (
            "execution_end",
            v8::Function::new(scope, end_entry).or_thrown()?,
        ),
        ("execute", v8::Local::new(scope, &helpers.execute)),
        ("atomic", v8::Local::new(scope, &helpers.atomic)),
        ("is_locked", v8::Local::new(scope, &helpers.is_locked)),
        ("is_async_function", client::async_function_test(scope)?),
    ];
    let own = own.into_iter().chain(shards::functions(scope)?);
    for (name, function) in registration::functions(scope)?.into_iter().chain(own) {
        let key = text::short(scope, name);
        native
            .create_data_property(scope, key.into(), function.into())
            .or_thrown()?;
    }
    Ok(native)
}

/// `metadata(description, mode)`: what the next registration says of itself.
fn metadata(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let string = |at| {
        let string = v8::Local::<v8::String>::try_from(args.get(at)).ok()?;
        Some(text::to_rust(scope, string, TEXT_MAX).into())
    };
    let metadata = Metadata {
        description: string(0),
        mode: string(1),
    };
    if let Some(loading) = scope.get_slot_mut::<Loading>() {
        loading.metadata = Some(metadata);
    }
}

/// `is_loading()`: whether the library's top level runs.
fn is_loading(
    scope: &mut v8::PinScope,
    _args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    result.set_bool(scope.get_slot::<Loading>().is_some());
}

/// `schedule(run, plan)`: has an async function called when the top level has run.
fn schedule(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let (Some(Mode::Async), Ok(function)) = (
        arguments::mode_of(args.get(0)),
        v8::Local::<v8::Function>::try_from(args.get(0)),
    ) else {
        return text::throw_type_error(scope, "Only an async function can be scheduled");
    };
    let plan = plan_of(scope, args.get(1));
    let function = v8::Global::new(scope, function);
    let Some(loading) = scope
        .get_slot_mut::<Loading>()
        .filter(|loading| loading.one_shot)
    else {
        return text::throw(
            scope,
            "'run' can only be used in an async function, or at the top level of RG.JSEXECUTE",
        );
    };
    let callback = loading.keep("", function);
    loading.registrations.scheduled = Some(Scheduled { callback, plan });
}

fn plan_of(scope: &mut v8::PinScope, plan: v8::Local<v8::Value>) -> String {
    let plan = v8::Local::<v8::String>::try_from(plan).ok();
    plan.map_or_else(String::new, |plan| text::to_rust(scope, plan, TEXT_MAX))
}

/// `execution_begin(plan)`: the ID of an execution that has started, in the name of the code at hand.
fn execution_begin(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    let plan = plan_of(scope, args.get(0));
    let user = continuation::credentials(scope).map(|credentials| credentials.user);
    if let Some(id) = run::begin_execution(scope, &plan, user.as_deref()) {
        result.set(text::short(scope, &id).into());
    }
}

fn id_of(scope: &mut v8::PinScope, args: &v8::FunctionCallbackArguments) -> String {
    plan_of(scope, args.get(0))
}

/// `execution_is_aborted(id)`
fn execution_is_aborted(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    let id = id_of(scope, args);
    let aborted = run::executions(scope).is_some_and(|executions| executions.is_aborted(&id));
    result.set_bool(aborted);
}

/// `execution_end(id, results, errors)`
fn execution_end(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let id = id_of(scope, args);
    let bytes = run::isolate_limits(scope).map_or(0, |isolate_limits| isolate_limits.memory);
    let outcome = v8::Array::new_with_elements(scope, &[args.get(1), args.get(2)]);
    let outcome = match reply::of_value(scope, outcome.into(), bytes) {
        Ok(outcome) => outcome,
        Err(error) => Reply::Array(vec![
            Reply::Array(Vec::new()),
            Reply::Array(vec![Reply::text(error.message)]),
        ]),
    };
    run::end_execution(scope, &id, outcome);
}
