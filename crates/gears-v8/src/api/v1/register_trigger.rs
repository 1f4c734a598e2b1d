//! `redis.register_notifications_consumer`.

use crate::api::v1::arguments::ArgumentsOf;
use crate::api::v1::loading::Loading;
use crate::api::v1::trigger_options::{self, TriggerOptions};
use crate::ports::{CallbackId, KeySpaceTrigger, Metadata, Registered};
use crate::runtime::text;

/// Triggers of one library: each one costs every event a little.
const TRIGGERS_MAX: usize = 1000;

const OF: ArgumentsOf = ArgumentsOf("register_notifications_consumer");

/// `redis.register_notifications_consumer(name, prefix, callback [, options])`
pub(crate) fn register_trigger<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    _result: v8::ReturnValue<'s, v8::Value>,
) {
    let (trigger, options) = match parse_trigger(scope, args) {
        Ok(parsed) => parsed,
        Err(message) => return text::throw_type_error(scope, &message),
    };
    let Ok(callback) = v8::Local::<v8::Function>::try_from(args.get(2)) else {
        return;
    };
    let callback = v8::Global::new(scope, callback);
    let on_fired = options
        .on_fired
        .map(|function| v8::Global::new(scope, function));
    let extras = options.extras.keep(scope);
    let Some(loading) = scope.get_slot_mut::<Loading>() else {
        return text::throw(
            scope,
            "Called 'register_notifications_consumer' out of context",
        );
    };
    let registered = &loading.registrations.triggers;
    if registered.len() >= TRIGGERS_MAX {
        return text::throw(
            scope,
            &format!("A library can register at most {TRIGGERS_MAX} notification consumers"),
        );
    }
    if registered.iter().any(|other| other.name == trigger.name) {
        return text::throw(scope, "Notification consumer already exists");
    }
    let callback = loading.keep(&trigger.name, callback);
    let on_fired = on_fired.map(|function| loading.keep(&trigger.name, function));
    let metadata = loading.note(Registered::Trigger(trigger.name.clone()), extras);
    let mut trigger = KeySpaceTrigger {
        callback,
        on_fired,
        metadata,
        ..trigger
    };
    // Libraries for the original's first version did not hear of misses.
    trigger.spec.misses = trigger.metadata.mode.is_none();
    loading.registrations.triggers.push(trigger);
}

fn parse_trigger<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
) -> Result<(KeySpaceTrigger, TriggerOptions<'s>), String> {
    if !(3..=4).contains(&args.length()) {
        return Err(
            "Wrong number of arguments to 'register_notifications_consumer' function".into(),
        );
    }
    let name = OF.name(scope, args.get(0), "consumer")?;
    let prefix = OF.prefix(scope, args.get(1), "a string")?;
    let mode = OF.mode("Third", args.get(2))?;
    let options = trigger_options::parse(scope, args.get(3), &prefix, mode)?;
    let trigger = KeySpaceTrigger {
        name,
        spec: options.spec.clone(),
        callback: CallbackId(0),
        on_fired: None,
        metadata: Metadata::default(),
    };
    Ok((trigger, options))
}
