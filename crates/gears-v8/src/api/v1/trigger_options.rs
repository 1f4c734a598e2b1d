//! The options of a key-space trigger: the fourth argument of `register_notifications_consumer`.

use gears_core::delivery::Mode;
use gears_core::triggers::{KeyType, TriggerSpec};

use crate::api::v1::arguments::{OptionsOf, Value, mode_of, plain_object};
use crate::api::v1::loading::Extras;

const OF: OptionsOf = OptionsOf("register_notifications_consumer");

/// The options of a trigger, checked.
pub(crate) struct TriggerOptions<'s> {
    pub(crate) spec: TriggerSpec,
    /// What to call in the middle of the command.
    pub(crate) on_fired: Option<v8::Local<'s, v8::Function>>,
    pub(crate) extras: Extras<'s>,
}

/// Reads the options, for a trigger of that prefix.
pub(crate) fn parse<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    value: Value<'s>,
    prefix: &[u8],
    mode: Mode,
) -> Result<TriggerOptions<'s>, String> {
    let mut options = TriggerOptions {
        spec: TriggerSpec::new(prefix, mode),
        on_fired: None,
        extras: Extras::default(),
    };
    if value.is_undefined() {
        return Ok(options);
    }
    let Some(object) = plain_object(value) else {
        return Err(
            "Fourth argument to 'register_notifications_consumer' must be an object".into(),
        );
    };
    for (name, value) in OF.properties(scope, object)? {
        read(scope, &name, value, &mut options)?;
    }
    Ok(options)
}

fn read<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    name: &str,
    value: Value<'s>,
    options: &mut TriggerOptions<'s>,
) -> Result<(), String> {
    let spec = &mut options.spec;
    match name {
        "exact" => spec.exact = OF.boolean(name, value)?,
        "read_value" => spec.read_value = OF.boolean(name, value)?,
        "timeout" => spec.timeout_ms = OF.timeout(name, value)?,
        "event_types" => {
            let names = OF.strings(scope, name, value)?;
            spec.event_types = Some(names.into_iter().map(String::into_boxed_str).collect());
        }
        "key_types" => {
            let types = OF.strings(scope, name, value)?.into_iter().map(|name| {
                let known = KeyType::NAMES.iter().find(|(known, _)| *known == name);
                known.map(|(_, kind)| *kind)
            });
            let types: Option<Vec<_>> = types.collect();
            spec.key_types = Some(types.ok_or_else(unknown_type)?.into());
        }
        "on_trigger_fired" => match (mode_of(value), v8::Local::<v8::Function>::try_from(value)) {
            (Some(Mode::Sync), Ok(function)) => options.on_fired = Some(function),
            (Some(Mode::Async), _) => {
                return Err(format!("{ON_FIRED} must be a function that is not async"));
            }
            _ => return Err(format!("{ON_FIRED} must be a function")),
        },
        _ if options.extras.read(scope, OF, name, value)? => {}
        _ => return Err(OF.unknown(name)),
    }
    Ok(())
}

const ON_FIRED: &str = "'on_trigger_fired' argument to 'register_notifications_consumer'";

fn unknown_type() -> String {
    let names: Vec<_> = KeyType::NAMES.iter().map(|(name, _)| *name).collect();
    OF.wrong("key_types", &format!("an array of {}", names.join(", ")))
}
