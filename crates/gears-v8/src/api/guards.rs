//! Built-in functions that end the process when they are given too much, or take memory that
//! nobody counts.
//!
//! A few of V8's built-ins make one internal array of as many elements as they are given, and
//! abort where that is more than such an array can hold. Before a library is compiled, these are
//! wrapped: beyond a bound far below that they throw a `RangeError`. See `guards.js`.
//!
//! Others look for no interrupt while they go through a list or a text, however long that is. What
//! takes long is done by code that V8 interrupts. See `guards_time.js`.
//!
//! The memory of resizable buffers and of WebAssembly V8 maps by itself, past the allocator that
//! counts; so there are none.

use crate::runtime::callback::callback;
use crate::runtime::text::{self, OrThrown, Thrown};

callback!(is_proxy_entry => is_proxy);

/// Characters of code that `eval` and `Function` take.
const CODE_MAX: usize = 1 << 21;

const SIZE: &str = include_str!("../js/guards.js");
const TIME: &str = include_str!("../js/guards_time.js");

/// Wraps them in the context that is entered.
pub(crate) fn install(scope: &mut v8::PinScope) -> Result<(), Thrown> {
    let is_proxy = v8::Function::new(scope, is_proxy_entry).or_thrown()?;
    let nothing = v8::undefined(scope).into();
    for source in [SIZE, TIME] {
        let source = text::short(scope, source);
        let script = text::compile(scope, "<redisgears>", source)?;
        let guard = v8::Local::<v8::Function>::try_from(script.run(scope).or_thrown()?)
            .ok()
            .or_thrown()?;
        guard.call(scope, nothing, &[is_proxy.into()]).or_thrown()?;
    }
    Ok(())
}

/// Bounds the code that `eval` and `Function` make of texts: V8 compiles it in one go, at about 0.4
/// seconds for each million characters.
pub(crate) fn bound_code_of_texts(scope: &mut v8::PinScope) {
    // So that V8 asks.
    scope
        .get_current_context()
        .set_allow_generation_from_strings(false);
    scope.set_modify_code_generation_from_strings_callback(admit_code);
}

fn admit_code<'s>(
    _scope: &mut v8::PinScope<'s, '_>,
    source: v8::Local<'s, v8::Value>,
    _is_code_like: bool,
) -> v8::ModifyCodeGenerationFromStringsResult<'s> {
    // What is no text `eval` gives back as it is.
    let text = v8::Local::<v8::String>::try_from(source);
    v8::ModifyCodeGenerationFromStringsResult {
        codegen_allowed: text.map_or(true, |text| text.length() <= CODE_MAX),
        modified_source: None,
    }
}

/// `is_proxy(value)`: JavaScript itself cannot tell.
fn is_proxy(
    _scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
    mut result: v8::ReturnValue<v8::Value>,
) {
    result.set_bool(args.get(0).is_proxy());
}
