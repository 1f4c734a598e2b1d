//! The options of a function: the third argument of `register_function`, where that is no array of
//! flags.

use crate::api::v1::arguments::{Object, OptionsOf, Value, short_string};
use crate::api::v1::register_function::parse_flags;
use crate::ports::{Flags, RunAs};

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
