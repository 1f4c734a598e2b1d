//! A reply that is put together while its client waits, a part at a time.

use std::ffi::c_long;

use gears_v8::ports::Reply;
use redis_module::raw::RedisModuleCtx;

use super::blocked::BlockedHandle;
use super::context::Context;
use super::{api, reply};

/// What `RedisModule_ReplyWithArray` takes for a length that is told later.
const LENGTH_COMES_LATER: c_long = -1;

/// The parts so far. The server keeps them, as the client will get them, until the client waits no
/// more. Used by the main thread only.
#[derive(Debug)]
pub(crate) struct ReplyParts {
    context: *mut RedisModuleCtx,
    /// Lists whose lengths are still to be told.
    open: usize,
}

impl ReplyParts {
    /// The parts for a client that waits.
    pub(crate) fn new(client: &BlockedHandle) -> Self {
        // SAFETY: the client waits; the context is freed before it does no more.
        let context = unsafe { api!(RedisModule_GetThreadSafeContext)(client.as_ptr()) };
        Self { context, open: 0 }
    }

    /// A part that is known as a whole.
    pub(crate) fn send(&mut self, part: &Reply) {
        reply::send(part, &Context::from_raw(self.context));
    }

    /// An array whose elements come next.
    pub(crate) fn begin_array(&mut self, length: usize) {
        // SAFETY: the context is live until this is dropped. So below.
        unsafe { api!(RedisModule_ReplyWithArray)(self.context, reply::length(length)) };
    }

    /// A map whose names and values come next.
    pub(crate) fn begin_map(&mut self, length: usize) {
        // SAFETY: see above.
        unsafe { api!(RedisModule_ReplyWithMap)(self.context, reply::length(length)) };
    }

    /// An array whose length is told by [`ReplyParts::end_list`].
    pub(crate) fn begin_list(&mut self) {
        self.open += 1;
        // SAFETY: see above.
        unsafe { api!(RedisModule_ReplyWithArray)(self.context, LENGTH_COMES_LATER) };
    }

    /// The end of the list that was begun last and has not ended.
    pub(crate) fn end_list(&mut self, length: usize) {
        self.open -= 1;
        // SAFETY: see above; there is such a list.
        unsafe { api!(RedisModule_ReplySetArrayLength)(self.context, reply::length(length)) };
    }
}

impl Drop for ReplyParts {
    fn drop(&mut self) {
        // Of a client that has left: the server wants each to have an end.
        while self.open > 0 {
            self.end_list(0);
        }
        // SAFETY: the context is this one's own.
        unsafe { api!(RedisModule_FreeThreadSafeContext)(self.context) };
    }
}
