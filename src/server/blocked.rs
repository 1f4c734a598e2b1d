//! Clients that wait for the result of a function.
//!
//! A waiting client is answered from any thread, once; if nobody answers it, dropping it does. One
//! that leaves is told of, so that nothing is kept for it.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;

use crate::executor::Responder;
use gears_v8::ports::Reply;

use super::context::{Context, NoWait};
use super::ffi::blocked::{BlockedClientListener, BlockedHandle, BlockedId};
use super::ffi::redis_locked::RedisLocked;
pub(crate) use super::ffi::reply_parts::ReplyParts;

const NO_RESULT: &str = "Err the call ended without a result";

/// What is done when a client leaves.
type OnGone = Box<dyn FnOnce()>;

/// A client that waits: whether it has left, and what to do when it does.
type WaitingClient = (Arc<AtomicBool>, OnGone);

static WAITING: RedisLocked<RefCell<HashMap<BlockedId, WaitingClient>>> = RedisLocked::new();

fn forget(id: BlockedId) -> Option<WaitingClient> {
    WAITING.get()?.borrow_mut().remove(&id)
}

/// Keeps the list.
struct BlockedClients;

impl BlockedClientListener for BlockedClients {
    fn on_disconnect(id: BlockedId) {
        if let Some((gone, on_gone)) = forget(id) {
            gone.store(true, Ordering::Relaxed);
            on_gone();
        }
    }

    fn on_end(id: BlockedId) {
        forget(id);
    }
}

/// A client that waits.
pub(crate) struct BlockedClient {
    handle: BlockedHandle,
    gone: Arc<AtomicBool>,
}

impl BlockedClient {
    /// Has the client of the command wait. The command must not answer then. `on_gone` is called
    /// on the main thread if the client leaves first. There is no time limit: the function has its
    /// own.
    ///
    /// # Errors
    /// Why the client cannot wait. Then the command answers.
    pub(crate) fn new(context: &Context, on_gone: OnGone) -> Result<Self, NoWait> {
        context.may_wait()?;
        if WAITING.get().is_none() {
            WAITING.set(RefCell::default());
        }
        let handle = BlockedHandle::block::<BlockedClients>(context).ok_or(NoWait::Refused)?;
        let gone = Arc::new(AtomicBool::new(false));
        if let Some(waiting) = WAITING.get() {
            let client = (Arc::clone(&gone), on_gone);
            waiting.borrow_mut().insert(handle.id(), client);
        }
        Ok(Self { handle, gone })
    }
}

/// The answer to a client that waits, put together a part at a time.
pub(crate) struct PartedAnswer {
    /// Before the client: it ends before that waits no more.
    parts: ReplyParts,
    client: BlockedClient,
}

impl PartedAnswer {
    /// Has the client of the command wait. The command must not answer then.
    ///
    /// # Errors
    /// Why the client cannot wait. Then the command answers.
    pub(crate) fn new(context: &Context) -> Result<Self, NoWait> {
        let client = BlockedClient::new(context, Box::new(|| {}))?;
        let parts = ReplyParts::new(&client.handle);
        Ok(Self { parts, client })
    }

    /// Whether the client has left.
    pub(crate) fn is_gone(&self) -> bool {
        self.client.is_gone()
    }

    /// What comes next of the answer.
    pub(crate) fn parts(&mut self) -> &mut ReplyParts {
        &mut self.parts
    }

    /// The answer is complete.
    pub(crate) fn end(self) {
        let Self { parts, mut client } = self;
        drop(parts);
        client.handle.unblock_answered();
    }
}

impl Responder for BlockedClient {
    fn answer(mut self: Box<Self>, reply: Reply) {
        self.handle.unblock(reply);
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

impl Drop for BlockedClient {
    fn drop(&mut self) {
        self.handle.unblock(Reply::error(NO_RESULT));
    }
}
