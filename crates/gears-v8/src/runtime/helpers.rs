//! The functions of the JavaScript side, `bootstrap.js`, that the engine calls.

use crate::runtime::text::{OrThrown, Thrown};

/// The functions of the bootstrap, for the engine to call.
#[derive(Clone)]
pub(crate) struct Helpers {
    /// `call_consumer(callback, client, ms, seq, text, name, packed, parts, value)`
    pub(crate) call_consumer: v8::Global<v8::Function>,
    /// `call_batch(callback, client, text, name, many)`
    pub(crate) call_batch: v8::Global<v8::Function>,
    /// `call_trigger(callback, client, event, text, key, type, packed, ...parts)`
    pub(crate) call_trigger: v8::Global<v8::Function>,
    /// `call_with(callback, client, data)`
    pub(crate) call_with: v8::Global<v8::Function>,
    /// `call_pre_hook(...)`, as `call_trigger`: gives the data.
    pub(crate) call_pre_hook: v8::Global<v8::Function>,
    /// `call_function(callback, client, count, ...arguments)`
    pub(crate) call_function: v8::Global<v8::Function>,
    /// `run_task(task)`
    pub(crate) run_task: v8::Global<v8::Function>,
    /// `make_async_client(user, db, flags)`
    pub(crate) make_async_client: v8::Global<v8::Function>,
    /// `make_error(text)`: a Redis error.
    pub(crate) make_error: v8::Global<v8::Function>,
    /// `make_remote_error(text, code, may_have_run, shard, stack, cause)`
    pub(crate) make_remote_error: v8::Global<v8::Function>,
    /// `cause_of(thrown)`: what such an error says, as a plain object; nothing of any other.
    pub(crate) cause_of: v8::Global<v8::Function>,
    /// `restore_error(error, text)`: a cloned error with the name it had.
    pub(crate) restore_error: v8::Global<v8::Function>,
    /// `tag(value, type, format)`: the value with what kind of reply it was.
    pub(crate) tag: v8::Global<v8::Function>,
    /// `"__reply_type"`, the property that holds it.
    pub(crate) reply_type: v8::Global<v8::String>,
    /// `"status"`, what it holds most often.
    pub(crate) status: v8::Global<v8::String>,
    /// `ok`: what the bootstrap is given, and gives, for the reply `+OK`.
    pub(crate) ok: v8::Global<v8::Symbol>,
    /// 0 and 1, which many commands reply.
    pub(crate) small: [v8::Global<v8::BigInt>; 2],
    /// `allocate(length)`: an `ArrayBuffer`.
    pub(crate) allocate: v8::Global<v8::Function>,
    /// `close()`: no client is open any more.
    pub(crate) close: v8::Global<v8::Function>,
    /// `is_locked()`: whether one is.
    pub(crate) is_locked: v8::Global<v8::Function>,
    /// `execute(command)`: a command, with the client of the code at hand.
    pub(crate) execute: v8::Global<v8::Function>,
    /// `atomic(work)`: with the server's lock held.
    pub(crate) atomic: v8::Global<v8::Function>,
}

/// A buffer with these bytes.
pub(crate) fn filled_buffer<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    allocate: v8::Local<v8::Function>,
    bytes: &[u8],
) -> Result<v8::Local<'s, v8::Value>, Thrown> {
    let nothing = v8::undefined(scope).into();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a string's length is far below 2^53"
    )]
    let length = v8::Number::new(scope, bytes.len() as f64).into();
    let value = allocate.call(scope, nothing, &[length]).or_thrown()?;
    let buffer = v8::Local::<v8::ArrayBuffer>::try_from(value)
        .ok()
        .or_thrown()?;
    if let Some(data) = buffer.data()
        && buffer.byte_length() == bytes.len()
    {
        // SAFETY: the buffer was made for this very length, nothing else refers to it yet, and
        // it cannot overlap a vector of ours.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast().as_ptr(), bytes.len());
        }
    }
    Ok(value)
}
