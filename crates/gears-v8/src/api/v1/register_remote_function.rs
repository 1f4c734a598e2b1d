//! `redis.register_remote_function`.

use gears_core::delivery::Mode;

use crate::api::v1::arguments::{ArgumentsOf, OptionsOf, mode_of, plain_object};
use crate::api::v1::function_options::parse_flags;
use crate::api::v1::register_function::{Kind, keep};
use crate::ports::{CallbackId, Flags, Function, RunAs};

const OF: ArgumentsOf = ArgumentsOf("register_remote_function");
const OPTIONS: OptionsOf = OptionsOf("register_remote_function");
const KIND: Kind = Kind {
    of: OF,
    one: "Remote function",
    many: "remote functions",
    most: 1000,
    registered: |registrations| &mut registrations.remote_functions,
};

/// `redis.register_remote_function(name, callback [, options])`
pub(crate) fn register_remote_function(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    _result: v8::ReturnValue<v8::Value>,
) {
    let function = parse(scope, args);
    keep(scope, args, function, &KIND);
}

fn parse(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
) -> Result<Function, String> {
    if !(2..=3).contains(&args.length()) {
        return Err("Wrong number of arguments to 'register_remote_function' function".into());
    }
    let name = OF.name(scope, args.get(0), "function")?;
    // By no name at all a stage of `GearsBuilder` is called, see `STAGE`.
    if name.is_empty() {
        return Err("A remote function must have a name".into());
    }
    match mode_of(args.get(1)) {
        None => return Err(OF.wrong("Second", "a function")),
        Some(Mode::Sync) => return Err("Remote function must be async".into()),
        Some(Mode::Async) => {}
    }
    let mut flags = Flags::default();
    if args.length() == 3 && !args.get(2).is_undefined() {
        let options = plain_object(args.get(2));
        let options = options.ok_or_else(|| OF.wrong("Third", "an object of options"))?;
        for (name, value) in OPTIONS.properties(scope, options)? {
            match name.as_str() {
                "flags" => {
                    let names = v8::Local::<v8::Array>::try_from(value);
                    let names = names.map_err(|_| OPTIONS.wrong("flags", "an array of flags"))?;
                    flags = parse_flags(scope, names)?;
                }
                _ => return Err(OPTIONS.unknown(&name)),
            }
        }
    }
    if flags.contains(Flags::RAW_ARGUMENTS) {
        return Err("A remote function cannot have the flag 'raw-arguments': it gets the values that its caller gave".into());
    }
    Ok(Function {
        name,
        flags,
        callback: CallbackId(0),
        mode: Mode::Async,
        timeout_ms: None,
        run_as: RunAs::Caller,
    })
}
