//! Whether a key is this server's, where it is one of a cluster.
//!
//! The server is asked for each key: it alone knows of slots that are on their way to it or from it.
//! A slot that is being imported is not its own before the import ends, although keys of it may be
//! there and written to.

use super::context::Context;
use super::ffi::call::{CallOptions, call_options};
use super::suppress_triggers::SuppressTriggers;

/// What the server says of a key that another one of its cluster has.
pub(super) const ELSEWHERE: &str = "non local key";

/// As every call (`!`); errors are replies (`E`).
const OPTIONS: CallOptions = call_options!("!E");

impl Context {
    /// Whether the server has the key's slot. Where the cluster is down, nobody has it for
    /// certain, and that shows with the first command.
    pub(crate) fn has_slot_of(&self, key: &[u8]) -> bool {
        if !self.is_in_cluster() {
            return true;
        }
        // That the key is not there is nobody's miss.
        let _suppressed = SuppressTriggers::begin();
        // Not in the context at hand: a client may be let into a slot that is being imported
        // (ASKING), and what is called in its command too.
        let Some(reply) = Self::detached().call(c"EXISTS", OPTIONS, &[key]) else {
            return true;
        };
        let error = reply.text().filter(|_| reply.is_error());
        error.is_none_or(|text| !String::from_utf8_lossy(text).contains(ELSEWHERE))
    }
}
