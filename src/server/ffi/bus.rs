//! The cluster bus: small messages from node to node, which may be lost.
//!
//! The server finds who hears a message by the module's name and the message's type, and the name
//! counts as none unless it has nine characters: other modules' messages of the same type come here
//! too. A receiver is never taken back: the server may use it after that.

use std::ffi::{c_char, c_uchar};

use gears_core::cluster::NodeId;
use redis_module::raw::RedisModuleCtx;

use super::constants::OK;
use super::context::Context;
use super::{api, guard};

/// The type of this module's messages: one that no other module is known to use.
const TYPE: u8 = 0xa7;

/// Bytes of a node's name.
const NODE: usize = 40;

/// What hears of messages, on the main thread, at any time: in the middle of a script, and while a data
/// set is loaded.
pub(crate) trait BusListener {
    /// A node of the cluster sent a message to this one.
    fn on_message(from: NodeId, bytes: &[u8]);
}

/// Has messages told to `L`. To be called once.
pub(crate) fn listen<L: BusListener>(context: &Context) {
    // SAFETY: the context is live, the callback has the form the server asks for.
    unsafe {
        api!(RedisModule_RegisterClusterMessageReceiver)(context.as_ptr(), TYPE, Some(hear::<L>));
    }
}

unsafe extern "C" fn hear<L: BusListener>(
    _context: *mut RedisModuleCtx,
    sender: *const c_char,
    _type: u8,
    payload: *const c_uchar,
    length: u32,
) {
    guard::run("a message of the cluster bus", || {
        if sender.is_null() || payload.is_null() {
            return;
        }
        // SAFETY: a node's name has that many bytes, without a NUL behind them on some servers; and
        // the server gives as many bytes of the message as it says.
        let (sender, bytes) = unsafe {
            let length = usize::try_from(length).unwrap_or(0);
            (
                std::slice::from_raw_parts(sender.cast::<u8>(), NODE),
                std::slice::from_raw_parts(payload, length),
            )
        };
        if let Some(from) = NodeId::parse(sender) {
            L::on_message(from, bytes);
        }
    });
}

impl Context {
    /// Sends a message to a node; false where the server knows no such node, or has no link to it.
    pub(crate) fn send_on_bus(&self, to: NodeId, bytes: &[u8]) -> bool {
        let Ok(length) = u32::try_from(bytes.len()) else {
            return false;
        };
        // Some servers look for its end.
        let mut name = [0_u8; NODE + 1];
        name[..NODE].copy_from_slice(to.as_bytes());
        // SAFETY: the context is live, the name ends with NUL; the server copies both.
        let sent = unsafe {
            api!(RedisModule_SendClusterMessage)(
                self.as_ptr(),
                name.as_ptr().cast(),
                TYPE,
                bytes.as_ptr().cast(),
                length,
            )
        };
        sent == OK
    }
}
