//! Clients that are kept waiting.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use gears_v8::ports::Reply;
use redis_module::raw::{RedisModuleBlockedClient, RedisModuleCtx, RedisModuleString};

use super::constants::OK;
use super::context::Context;
use super::{api, guard, reply};

/// Whether the command that runs has its client wait. Used by the main thread only.
static COMMAND_WAITS: AtomicBool = AtomicBool::new(false);

/// Runs a command; says whether its client waits now, and so may not be answered by the command.
pub(crate) fn notes_waiting(command: impl FnOnce()) -> bool {
    // A command may run within another one.
    let outer = COMMAND_WAITS.load(Ordering::Relaxed);
    COMMAND_WAITS.store(false, Ordering::Relaxed);
    command();
    let waits = COMMAND_WAITS.load(Ordering::Relaxed);
    COMMAND_WAITS.store(outer, Ordering::Relaxed);
    waits
}

/// A waiting client, as long as it waits.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) struct BlockedId(usize);

/// What hears of clients that wait, on the main thread.
pub(crate) trait BlockedClientListener {
    /// One has left.
    fn on_disconnect(id: BlockedId);

    /// One has its answer, or has none coming.
    fn on_end(id: BlockedId);
}

/// The right to answer a client that waits. It has to be used, once.
#[derive(Debug)]
pub(crate) struct BlockedHandle(*mut RedisModuleBlockedClient);

// SAFETY: the handle is only ever given back to the server, by a function that may be called from
// any thread.
unsafe impl Send for BlockedHandle {}

/// What an answer carries to the main thread.
struct PendingReply {
    /// None where the server has it already.
    reply: Option<Reply>,
    id: BlockedId,
}

impl BlockedHandle {
    /// Has the client of a command wait, without a time limit; `None` where the server lets no such
    /// client wait.
    pub(crate) fn block<L: BlockedClientListener>(context: &Context) -> Option<Self> {
        // SAFETY: the context is that of a command; the callbacks have the forms the server asks
        // for.
        unsafe {
            let handle = api!(RedisModule_BlockClient)(
                context.as_ptr(),
                Some(send_answer),
                None,
                Some(free_answer::<L>),
                0,
            );
            if handle.is_null() {
                return None;
            }
            COMMAND_WAITS.store(true, Ordering::Relaxed);
            api!(RedisModule_SetDisconnectCallback)(handle, Some(on_disconnect::<L>));
            Some(Self(handle))
        }
    }

    /// Which client it is.
    pub(crate) fn id(&self) -> BlockedId {
        BlockedId(self.0 as usize)
    }

    /// Answers the client; from any thread. Only the first answer counts for anything.
    pub(crate) fn unblock(&mut self, reply: Reply) {
        self.end(Some(reply));
    }

    /// The client has got its answer in parts, and waits no more.
    pub(crate) fn unblock_answered(&mut self) {
        self.end(None);
    }

    pub(super) fn as_ptr(&self) -> *mut RedisModuleBlockedClient {
        self.0
    }

    fn end(&mut self, reply: Option<Reply>) {
        let handle = std::mem::replace(&mut self.0, std::ptr::null_mut());
        if handle.is_null() {
            return;
        }
        let id = BlockedId(handle as usize);
        let answer = Box::into_raw(Box::new(PendingReply { reply, id }));
        // SAFETY: the handle is given back once; the server gives the answer to `send_answer`, if
        // the client is still there, and then to `free_answer`.
        unsafe { api!(RedisModule_UnblockClient)(handle, answer.cast()) };
    }
}

unsafe extern "C" fn send_answer(
    context: *mut RedisModuleCtx,
    _argv: *mut *mut RedisModuleString,
    _argc: c_int,
) -> c_int {
    guard::run("an answer", || {
        // SAFETY: the server calls this with what `unblock` gave, which lives until `free_answer`.
        let answer = unsafe {
            api!(RedisModule_GetBlockedClientPrivateData)(context)
                .cast::<PendingReply>()
                .as_ref()
        };
        if let Some(reply) = answer.and_then(|answer| answer.reply.as_ref()) {
            reply::send(reply, &Context::from_raw(context));
        }
    });
    OK
}

unsafe extern "C" fn free_answer<L: BlockedClientListener>(
    _context: *mut RedisModuleCtx,
    answer: *mut c_void,
) {
    guard::run("the end of an answer", || {
        if !answer.is_null() {
            // SAFETY: made by `unblock`, freed once.
            let answer = unsafe { Box::from_raw(answer.cast::<PendingReply>()) };
            L::on_end(answer.id);
        }
    });
}

unsafe extern "C" fn on_disconnect<L: BlockedClientListener>(
    _context: *mut RedisModuleCtx,
    handle: *mut RedisModuleBlockedClient,
) {
    guard::run("a client's leaving", || {
        L::on_disconnect(BlockedId(handle as usize));
    });
}
