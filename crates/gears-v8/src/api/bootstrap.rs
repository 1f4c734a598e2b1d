//! The JavaScript side of the engine, and how it is reached. See `bootstrap.js`.
//!
//! The raw views of a record are made on demand, from the packed bytes of the record, which ride
//! along as a one-byte string: bytes that belong to the garbage collector like every other value,
//! so that a record may outlive its callback. They are accessors of the class and do not
//! enumerate, so `JSON.stringify` prints the three properties of the record and nothing else.

use gears_core::delivery::Parts;

use crate::api::gears1;
use crate::api::v1::client;
use crate::runtime::callback::callback;
use crate::runtime::helpers::{Helpers, filled_buffer};
use crate::runtime::run;
use crate::runtime::text::{self, OrThrown, Thrown};

callback!(unpack_entry => unpack);
callback!(note_timer_entry => note_timer);

const SOURCE: &str = include_str!("../js/bootstrap.js");

/// Runs the bootstrap in the context that is entered.
pub(crate) fn install(scope: &mut v8::PinScope) -> Result<(), Thrown> {
    let source = text::short(scope, SOURCE);
    let script = text::compile(scope, "<redisgears>", source)?;
    let maker = v8::Local::<v8::Function>::try_from(script.run(scope).or_thrown()?)
        .ok()
        .or_thrown()?;
    let native = v8::Object::new(scope);
    let unpack = v8::Function::new(scope, unpack_entry).or_thrown()?;
    let functions = client::functions(scope)?;
    let note_timer = v8::Function::new(scope, note_timer_entry).or_thrown()?;
    for (name, function) in functions.into_iter().chain([
        ("unpack", unpack),
        ("note_timer", note_timer),
        ("make_gears", gears1::maker(scope)?),
    ]) {
        let key = text::short(scope, name);
        native
            .create_data_property(scope, key.into(), function.into())
            .or_thrown()?;
    }
    let ok = v8::Symbol::new(scope, None);
    let key = text::short(scope, "ok");
    native
        .create_data_property(scope, key.into(), ok.into())
        .or_thrown()?;
    let nothing = v8::undefined(scope).into();
    let made = maker.call(scope, nothing, &[native.into()]).or_thrown()?;
    let made = v8::Local::<v8::Object>::try_from(made).ok().or_thrown()?;
    let helper = |name: &str| {
        let key = text::short(scope, name);
        let function =
            v8::Local::<v8::Function>::try_from(made.get(scope, key.into()).or_thrown()?)
                .ok()
                .or_thrown()?;
        Ok::<_, Thrown>(v8::Global::new(scope, function))
    };
    let name = |name: &[u8]| {
        let name = text::from_bytes(scope, name, v8::NewStringType::Internalized).or_thrown()?;
        Ok::<_, Thrown>(v8::Global::new(scope, name))
    };
    let small = [0, 1].map(|number| v8::BigInt::new_from_i64(scope, number));
    let helpers = Helpers {
        ok: v8::Global::new(scope, ok),
        small: small.map(|number| v8::Global::new(scope, number)),
        reply_type: name(b"__reply_type")?,
        status: name(b"status")?,
        call_consumer: helper("call_consumer")?,
        call_batch: helper("call_batch")?,
        call_trigger: helper("call_trigger")?,
        call_with: helper("call_with")?,
        call_pre_hook: helper("call_pre_hook")?,
        call_function: helper("call_function")?,
        run_task: helper("run_task")?,
        make_async_client: helper("make_async_client")?,
        make_error: helper("make_error")?,
        make_remote_error: helper("make_remote_error")?,
        cause_of: helper("cause_of")?,
        restore_error: helper("restore_error")?,
        tag: helper("tag")?,
        allocate: helper("allocate")?,
        close: helper("close")?,
        is_locked: helper("is_locked")?,
        execute: helper("execute")?,
        atomic: helper("atomic")?,
    };
    run::set_helpers(scope, helpers);
    Ok(())
}

/// `note_timer(begins)`: a promise that V8 settles at a time is pending now, or no more.
fn note_timer(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    run::note_timer(scope, args.get(0).is_true());
}

/// `unpack(packed)`: the parts of a packed record as `ArrayBuffer`s.
fn unpack<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    let (Ok(packed), Some(helpers)) = (
        v8::Local::<v8::String>::try_from(args.get(0)),
        run::helpers(scope),
    ) else {
        return;
    };
    let allocate = v8::Local::new(scope, &helpers.allocate);
    let mut bytes = vec![0u8; packed.length()];
    packed.write_one_byte_v2(scope, 0, &mut bytes, v8::WriteFlags::empty());
    let mut buffers: Vec<v8::Local<v8::Value>> = Vec::new();
    for part in Parts::of(&bytes) {
        // Where it throws, so does the caller.
        let Ok(buffer) = filled_buffer(scope, allocate, part) else {
            return;
        };
        buffers.push(buffer);
    }
    result.set(v8::Array::new_with_elements(scope, &buffers).into());
}
