//! What `GearsBuilder` needs of a cluster: calls of other shards, who has which slot, and records as bytes.
//!
//! How an execution goes over the shards is in `gears_shards.js`.

use crate::api::v1::arguments::{Value, bytes_of};
use crate::api::v1::loading::Loading;
use crate::api::v1::remote::clone_arguments;
use crate::convert::clone;
use crate::ports::{Credentials, Database, Flags, RemotePlace, STAGE};
use crate::runtime::callback::callback;
use crate::runtime::continuation;
use crate::runtime::helpers::filled_buffer;
use crate::runtime::run::{self, StartedRemoteCall};
use crate::runtime::text::{self, OrThrown, Thrown};

callback!(is_in_cluster_entry => is_in_cluster);
callback!(execution_bytes_entry => execution_bytes);
callback!(digest_entry => digest);
callback!(slot_of_entry => slot_of);
callback!(pack_entry => pack);
callback!(unpack_entry => unpack);
callback!(table_entry => table);
callback!(ask_entry => ask);
callback!(on_stage_entry => on_stage);
callback!(note_shards_entry => note_shards);
callback!(note_plan_entry => note_plan);

/// Milliseconds that a stage on another shard has: as long as it takes. It ends before where the shard fails.
const NO_TIMEOUT_MS: u32 = u32::MAX;

/// The functions, by the names that `gears_cluster.js` has for them.
///
/// # Errors
/// Where the library has no memory for them.
pub(super) fn functions<'s>(
    scope: &mut v8::PinScope<'s, '_>,
) -> Result<[(&'static str, v8::Local<'s, v8::Function>); 11], Thrown> {
    Ok([
        (
            "is_in_cluster",
            v8::Function::new(scope, is_in_cluster_entry).or_thrown()?,
        ),
        (
            "execution_bytes",
            v8::Function::new(scope, execution_bytes_entry).or_thrown()?,
        ),
        (
            "digest",
            v8::Function::new(scope, digest_entry).or_thrown()?,
        ),
        (
            "slot_of",
            v8::Function::new(scope, slot_of_entry).or_thrown()?,
        ),
        ("pack", v8::Function::new(scope, pack_entry).or_thrown()?),
        (
            "unpack",
            v8::Function::new(scope, unpack_entry).or_thrown()?,
        ),
        ("table", v8::Function::new(scope, table_entry).or_thrown()?),
        ("ask", v8::Function::new(scope, ask_entry).or_thrown()?),
        (
            "execution_shards",
            v8::Function::new(scope, note_shards_entry).or_thrown()?,
        ),
        (
            "execution_plan",
            v8::Function::new(scope, note_plan_entry).or_thrown()?,
        ),
        (
            "on_stage",
            v8::Function::new(scope, on_stage_entry).or_thrown()?,
        ),
    ])
}

/// `is_in_cluster()`: whether there are other shards at all.
fn is_in_cluster(
    scope: &mut v8::PinScope,
    _args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    let remotes = run::remotes(scope);
    result.set_bool(remotes.is_some_and(|remotes| remotes.is_in_cluster()));
}

/// `execution_bytes()`: bytes that records may take between two stages.
fn execution_bytes(
    scope: &mut v8::PinScope,
    _args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    #[expect(clippy::cast_precision_loss, reason = "far fewer bytes than 2^53")]
    let bytes = run::remotes(scope).map_or(0.0, |remotes| remotes.execution_bytes() as f64);
    result.set_double(bytes);
}

/// `digest()`: what the library's text is known by.
fn digest(
    scope: &mut v8::PinScope,
    _args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    let digest = run::digest(scope);
    result.set(text::short(scope, &format!("{digest:016x}")).into());
}

/// `slot_of(key)`: the slot of a text, or of bytes.
fn slot_of(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    let key = bytes_of(scope, args.get(0)).unwrap_or_default();
    result.set_uint32(gears_core::cluster::slot_of(&key).into());
}

/// `pack(value)`: a clone of it, as bytes.
fn pack<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    let most = run::remotes(scope).map_or(0, |remotes| remotes.max_bytes());
    let Some(helpers) = run::helpers(scope) else {
        return;
    };
    let allocate = v8::Local::new(scope, &helpers.allocate);
    // Where it throws, so does who called.
    let packed = clone::write(scope, args.get(0), most)
        .map_err(|why| why.throw(scope))
        .and_then(|bytes| filled_buffer(scope, allocate, &bytes));
    if let Ok(packed) = packed {
        result.set(packed);
    }
}

/// `unpack(bytes)`: the value that was packed.
fn unpack<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    let bytes = bytes_of(scope, args.get(0)).unwrap_or_default();
    if let Ok(value) = clone::read(scope, &bytes) {
        result.set(value);
    }
}

/// `table(resolve, reject)`: the cluster's table, as the server has it now.
fn table<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    _result: v8::ReturnValue<'s, v8::Value>,
) {
    let nobody = Credentials {
        user: "".into(),
        db: Database::Number(0),
        flags: Flags::NO_WRITES,
    };
    begin(
        scope,
        [args.get(0), args.get(1)],
        RemotePlace::Table,
        nobody,
        Vec::new(),
    );
}

/// `ask(shard, execution, resolve, reject, ...what its stage is given)`: has a stage run there, in the name of the
/// code at hand.
fn ask<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    _result: v8::ReturnValue<'s, v8::Value>,
) {
    let Some(credentials) = continuation::credentials(scope) else {
        return text::throw(
            scope,
            "Other shards can only be asked in the name of a user",
        );
    };
    let shard = args.get(0).to_rust_string_lossy(scope);
    let execution = args.get(1).to_rust_string_lossy(scope);
    let digest = run::digest(scope);
    // Where it throws, so does who called.
    let given: Vec<_> = (4..args.length()).map(|at| args.get(at)).collect();
    let arguments = clone_arguments(scope, &given).map_err(|why| why.throw(scope));
    let Ok(arguments) = arguments else {
        return;
    };
    begin(
        scope,
        [args.get(2), args.get(3)],
        RemotePlace::Shard {
            shard,
            execution,
            digest,
        },
        credentials,
        arguments,
    );
}

fn begin<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    settlers: [Value<'s>; 2],
    place: RemotePlace,
    credentials: Credentials,
    arguments: Vec<u8>,
) {
    run::begin_remote_call(
        scope,
        settlers,
        StartedRemoteCall {
            function: STAGE.to_owned(),
            place,
            credentials,
            arguments,
            timeout_ms: Some(NO_TIMEOUT_MS),
        },
    );
}

/// `execution_shards(id, shards)`: what each shard has done for an execution so far.
fn note_shards(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let [id, shards] = [0, 1].map(|at| args.get(at).to_rust_string_lossy(scope));
    if let Some(executions) = run::executions(scope) {
        executions.note_shards(&id, &shards);
    }
}

/// `execution_plan(id, plan)`: what an execution does that began on another shard.
fn note_plan(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let id = args.get(0).to_rust_string_lossy(scope);
    let plan = super::plan_of(scope, args.get(1));
    if let Some(executions) = run::executions(scope) {
        executions.note_plan(&id, &plan);
    }
}

/// `on_stage(run)`: what runs a stage for another shard, while the library is loaded.
fn on_stage(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let Ok(function) = v8::Local::<v8::Function>::try_from(args.get(0)) else {
        return;
    };
    let function = v8::Global::new(scope, function);
    if let Some(loading) = scope.get_slot_mut::<Loading>() {
        loading.registrations.stage = Some(loading.keep("", function));
    }
}
