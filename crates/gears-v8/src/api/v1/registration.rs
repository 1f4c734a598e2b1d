//! The functions by which a library registers. What they register collects in
//! [`crate::api::v1::loading`].

use crate::api::v1::register_function::register_function;
use crate::api::v1::register_remote_function::register_remote_function;
use crate::api::v1::register_stream_consumer::register_stream_consumer;
use crate::api::v1::register_trigger::register_trigger;
use crate::runtime::callback::callback;
use crate::runtime::text::{OrThrown, Thrown};

callback!(function_entry => register_function);
callback!(remote_function_entry => register_remote_function);
callback!(stream_consumer_entry => register_stream_consumer);
callback!(trigger_entry => register_trigger);

/// The functions by which a library registers, and what scripts call them.
pub(crate) fn functions<'s>(
    scope: &mut v8::PinScope<'s, '_>,
) -> Result<[(&'static str, v8::Local<'s, v8::Function>); 5], Thrown> {
    Ok([
        (
            "register_function",
            v8::Function::new(scope, function_entry).or_thrown()?,
        ),
        (
            // Libraries for later releases of the original call it for their async functions.
            "register_async_function",
            v8::Function::new(scope, function_entry).or_thrown()?,
        ),
        (
            "register_remote_function",
            v8::Function::new(scope, remote_function_entry).or_thrown()?,
        ),
        (
            "register_stream_consumer",
            v8::Function::new(scope, stream_consumer_entry).or_thrown()?,
        ),
        (
            "register_notifications_consumer",
            v8::Function::new(scope, trigger_entry).or_thrown()?,
        ),
    ])
}
