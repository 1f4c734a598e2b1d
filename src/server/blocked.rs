//! Clients that wait for the result of a function.
//!
//! A waiting client is answered from any thread, once; if nobody answers it, dropping it does. One
//! that leaves is told of, so that nothing is kept for it.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use redis_module::raw::{RedisModuleBlockedClient, RedisModuleCtx, RedisModuleString};

use crate::executor::Responder;
use gears_v8::ports::Reply;

use super::constants::OK;
use super::context::{Context, NoWait};
use super::{RedisLocked, api, guard, reply};

const NO_RESULT: &str = "Err the call ended without a result";

/// What is done when a client leaves.
type OnGone = Box<dyn FnOnce()>;

/// A client that waits: whether it has left, and what to do when it does.
type Waiting = (Arc<AtomicBool>, OnGone);

/// Clients that wait, by handle.
static WAITING: RedisLocked<RefCell<HashMap<usize, Waiting>>> = RedisLocked::new();

/// A client that waits.
pub(crate) struct BlockedClient {
    handle: *mut RedisModuleBlockedClient,
    gone: Arc<AtomicBool>,
    answered: bool,
}

// SAFETY: the handle is only ever given back to the server, by a function that may be called from
// any thread.
unsafe impl Send for BlockedClient {}

impl BlockedClient {
    /// Has the client of the command wait. The command must not answer then. `on_gone` is called
    /// on the main thread if the client leaves first.
    ///
    /// # Errors
    /// Why the client cannot wait. Then the command answers.
    pub(crate) fn new(context: &Context, on_gone: OnGone) -> Result<Self, NoWait> {
        context.may_wait()?;
        if WAITING.get().is_none() {
            WAITING.set(RefCell::default());
        }
        // SAFETY: the context is that of a command; the callbacks have the forms the server asks
        // for. No time limit: the function has its own.
        let handle = unsafe {
            let handle = api!(RedisModule_BlockClient)(
                context.as_ptr(),
                Some(send_answer),
                None,
                Some(free_answer),
                0,
            );
            if handle.is_null() {
                return Err(NoWait::Refused);
            }
            api!(RedisModule_SetDisconnectCallback)(handle, Some(on_disconnect));
            handle
        };
        let gone = Arc::new(AtomicBool::new(false));
        if let Some(waiting) = WAITING.get() {
            let entry = (Arc::clone(&gone), on_gone);
            waiting.borrow_mut().insert(handle as usize, entry);
        }
        Ok(Self {
            handle,
            gone,
            answered: false,
        })
    }

    fn unblock(&mut self, reply: Reply) {
        self.answered = true;
        let answer = Box::new(Answer {
            reply,
            handle: self.handle as usize,
        });
        // SAFETY: the handle is given back once; the server gives the answer to `send_answer`, if
        // the client is still there, and then to `free_answer`.
        unsafe { api!(RedisModule_UnblockClient)(self.handle, Box::into_raw(answer).cast()) };
    }
}

impl Responder for BlockedClient {
    fn answer(mut self: Box<Self>, reply: Reply) {
        self.unblock(reply);
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

impl Drop for BlockedClient {
    fn drop(&mut self) {
        if !self.answered {
            self.unblock(Reply::error(NO_RESULT));
        }
    }
}

struct Answer {
    reply: Reply,
    handle: usize,
}

fn forget(handle: usize) -> Option<Waiting> {
    WAITING.get()?.borrow_mut().remove(&handle)
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
                .cast::<Answer>()
                .as_ref()
        };
        let nothing = Reply::error(NO_RESULT);
        let reply = answer.map_or(&nothing, |answer| &answer.reply);
        reply::send(reply, &Context::from_raw(context));
    });
    OK
}

unsafe extern "C" fn free_answer(_context: *mut RedisModuleCtx, answer: *mut c_void) {
    guard::run("the end of an answer", || {
        // SAFETY: made by `unblock`, freed once.
        let answer = unsafe { Box::from_raw(answer.cast::<Answer>()) };
        forget(answer.handle);
    });
}

unsafe extern "C" fn on_disconnect(
    _context: *mut RedisModuleCtx,
    handle: *mut RedisModuleBlockedClient,
) {
    guard::run("a client's leaving", || {
        if let Some((gone, on_gone)) = forget(handle as usize) {
            gone.store(true, Ordering::Relaxed);
            on_gone();
        }
    });
}
