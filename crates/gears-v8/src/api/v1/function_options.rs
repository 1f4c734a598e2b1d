//! The options of a function: the third argument of `register_function`, where that is no array of
//! flags.

use crate::api::v1::arguments::{NAME_MAX, Object, OptionsOf, Value, short_string};
use crate::ports::{Flags, RunAs};
use crate::runtime::run;
use crate::runtime::text;

const OF: OptionsOf = OptionsOf("register_function");

/// The options of a function, checked.
#[derive(Default)]
pub(crate) struct FunctionOptions {
    pub(crate) flags: Flags,
    pub(crate) timeout_ms: Option<u32>,
    pub(crate) run_as: RunAs,
}

/// Reads the options.
pub(crate) fn parse(scope: &mut v8::PinScope, object: Object) -> Result<FunctionOptions, String> {
    let mut options = FunctionOptions::default();
    for (name, value) in OF.properties(scope, object)? {
        read(scope, &name, value, &mut options)?;
    }
    Ok(options)
}

fn read(
    scope: &mut v8::PinScope,
    name: &str,
    value: Value,
    options: &mut FunctionOptions,
) -> Result<(), String> {
    match name {
        "flags" => {
            let flags = v8::Local::<v8::Array>::try_from(value)
                .map_err(|_| OF.wrong(name, "an array of functions flags"))?;
            options.flags = parse_flags(scope, flags)?;
        }
        "timeout" => options.timeout_ms = OF.timeout(name, value)?,
        "run_as" => {
            let given = short_string(scope, value);
            let mut known = RunAs::NAMES.iter();
            let known = known.find(|(known, _)| given.as_deref() == Some(*known));
            let (_, run_as) = known.ok_or_else(|| OF.wrong(name, "'caller' or 'owner'"))?;
            options.run_as = *run_as;
        }
        _ => return Err(OF.unknown(name)),
    }
    Ok(())
}

/// Flags by what scripts call them.
pub(crate) fn parse_flags(
    scope: &mut v8::PinScope,
    names: v8::Local<v8::Array>,
) -> Result<Flags, String> {
    let mut flags = Flags::default();
    for at in 0..names.length() {
        if run::is_ending(scope) {
            return Err("Failed parsing function flags".into());
        }
        let name = names
            .get_index(scope, at)
            .and_then(|name| v8::Local::<v8::String>::try_from(name).ok())
            .ok_or("Failed parsing function flags, wrong type of string value")?;
        let name = text::to_rust(scope, name, NAME_MAX);
        let known = Flags::NAMES.iter().find(|(known, _)| *known == name);
        let (_, flag) = known.ok_or_else(|| {
            format!("Failed parsing function flags, Unknown flag '{name}' was given")
        })?;
        flags |= *flag;
    }
    Ok(flags)
}
