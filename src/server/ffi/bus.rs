//! The cluster bus: small messages from node to node, which may be lost; and where nodes find each other.
//!
//! The server finds who hears a message by the module's name and the message's type, and the name
//! counts as none unless it has nine characters: other modules' messages of the same type come here
//! too. A receiver is never taken back: the server may use it after that.

use std::ffi::{CStr, c_char, c_int, c_uchar};
use std::ptr;

use gears_core::cluster::NodeId;
use redis_module::raw::RedisModuleCtx;

use super::constants::OK;
use super::context::Context;
use super::{api, guard};

/// The type of this module's messages: one that no other module is known to use.
const TYPE: u8 = 0xa7;

/// Bytes of a node's name.
const NODE: usize = 40;

/// Bytes that the server writes of an address, at most, and some more.
const ADDRESS: usize = 64;

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

/// A node's name as the server takes it: some look for its end.
fn name_of(node: NodeId) -> [u8; NODE + 1] {
    let mut name = [0; NODE + 1];
    name[..NODE].copy_from_slice(node.as_bytes());
    name
}

impl Context {
    /// The address and port by which other nodes know a node. The server's table may have others, for clients.
    pub(crate) fn place_of(&self, node: NodeId) -> Option<(String, u16)> {
        let name = name_of(node);
        let mut address = [0_u8; ADDRESS];
        let mut port: c_int = 0;
        // SAFETY: the context is live, the name ends with NUL; the server writes an address, of less than 50 bytes with
        // its end, and a port, and nothing where there is null.
        let found = unsafe {
            api!(RedisModule_GetClusterNodeInfo)(
                self.as_ptr(),
                name.as_ptr().cast(),
                address.as_mut_ptr().cast(),
                ptr::null_mut(),
                &raw mut port,
                ptr::null_mut(),
            )
        };
        if found != OK {
            return None;
        }
        let address = CStr::from_bytes_until_nul(&address).ok()?.to_str().ok()?;
        let port = u16::try_from(port).ok()?;
        (!address.is_empty() && port > 0).then(|| (address.to_owned(), port))
    }

    /// Sends a message to a node; false where the server knows no such node, or has no link to it.
    pub(crate) fn send_on_bus(&self, to: NodeId, bytes: &[u8]) -> bool {
        let Ok(length) = u32::try_from(bytes.len()) else {
            return false;
        };
        let name = name_of(to);
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
