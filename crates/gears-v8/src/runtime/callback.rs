//! Functions that scripts call.
//!
//! V8 calls them through C: a panic in one must not get there. [`callback!`] makes the function
//! that V8 calls of one that may panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::limits::allocations;
use crate::runtime::text;

/// `callback!(entry => function)`: `entry` has the form V8's binding asks for, `function` is
/// `fn(&mut PinScope, &FunctionCallbackArguments, ReturnValue<Value>)`.
macro_rules! callback {
    ($entry:ident => $function:path) => {
        fn $entry<'s>(
            scope: &mut v8::PinScope<'s, '_>,
            args: v8::FunctionCallbackArguments<'s>,
            result: v8::ReturnValue<'s, v8::Value>,
        ) {
            $crate::runtime::callback::guarded(scope, |scope| $function(scope, &args, result));
        }
    };
}
pub(crate) use callback;

/// Runs `work`; a panic becomes an exception in the script.
pub(crate) fn guarded<'s, 'i>(
    scope: &mut v8::PinScope<'s, 'i>,
    work: impl FnOnce(&mut v8::PinScope<'s, 'i>),
) {
    let done = catch_unwind(AssertUnwindSafe(|| {
        allocations::unbounded(|| work(&mut *scope));
    }));
    if done.is_err() {
        log::error!("internal error in a function that a script called");
        text::throw(scope, "internal error of the module");
    }
}
