//! Whether the server refuses what clients write: too few replicas, a dump or an append-only file
//! that cannot be written, a cluster that is down, no memory.
//!
//! The server says it of no one by itself, but it says it to each command of a script's that may
//! write. So a command of ours that may write is asked for and changes nothing. Servers that can
//! (7.2 and later) only try it, and do not even run it.

use std::ffi::CStr;
use std::sync::OnceLock;

use crate::replication;
use gears_core::delivery::Refusal;

use super::context::Context;
use super::ffi::call::{CallOptions, call_options};
use super::ffi::context::used_memory_ratio;
use super::hooks::HOOKS;
use super::ownership::ELSEWHERE;
use super::suppress_triggers::SuppressTriggers;

/// How far a server that makes room by eviction may be beyond its limit before that counts as
/// refusal. It evicts only when a client's command comes, so between two of them it is mostly a
/// little beyond.
const EVICTING: f32 = 1.05;

/// What the command itself says on a thread of ours, where it is not only tried.
const LET_THROUGH: &str = super::main_thread::NOT_HERE;

/// What is said where the server says it of no key.
const DOWN: &str = "CLUSTERDOWN The cluster is down";

/// The options of the call: with others' effects (`!`), errors are replies (`E`), as in a script (`S`),
/// only tried (`D`).
const TRY: CallOptions = call_options!("!ESD");
const RUN: CallOptions = call_options!("!ES");

impl Context {
    /// Why the server refuses what clients write, if it does.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let of_all = self.refusal_of_all().map(|error| Refusal {
            error: error.into(),
            may_trim: false,
        });
        of_all.or_else(|| {
            self.is_full().then(|| Refusal {
                error: "OOM command not allowed when used memory > 'maxmemory'.".into(),
                may_trim: true,
            })
        })
    }

    /// Why it refuses all of it, also what would give memory back.
    fn refusal_of_all(&self) -> Option<String> {
        let own = HOOKS.get().and_then(|hooks| hooks.own_key());
        // Which slots it has is not known yet, or it has none.
        if own.is_none() && self.is_in_cluster() && self.is_cluster_down() {
            return Some(DOWN.to_owned());
        }
        let said = self.ask(if can_try(self) { TRY } else { RUN }, own)?;
        if said.contains(ELSEWHERE) {
            // The slot has just gone, or is nobody's.
            return self.is_cluster_down().then(|| DOWN.to_owned());
        }
        // That the key has another type says nothing about writes.
        let says_nothing = said.ends_with(LET_THROUGH) || said.starts_with("WRONGTYPE ");
        (!says_nothing).then_some(said)
    }

    /// Whether writes that need memory are refused.
    pub(crate) fn is_full(&self) -> bool {
        // It is asked for every entry, and the context's flags say no more of it.
        let used = used_memory_ratio();
        if used <= 1.0 {
            return false;
        }
        let policy = || self.call_for_texts(c"CONFIG", &[b"GET", b"maxmemory-policy"]);
        used > EVICTING || policy().get(1).is_none_or(|policy| policy == "noeviction")
    }

    /// Asks for the command that changes nothing, in a cluster with a key of the server's own; the server's error.
    fn ask(&self, options: CallOptions, own: Option<[u8; 2]>) -> Option<String> {
        // Whether a cluster is down is only said of keys, and of those alone whose slot is somebody's. No
        // entry has that ID.
        let (command, first, second): (&CStr, &[u8], &[u8]) = match &own {
            Some(key) => (c"xdel", key, b"0-0"),
            None => (replication::COMMAND, replication::WRITES.as_bytes(), b""),
        };
        let _suppressed = SuppressTriggers::begin();
        let reply = self.call(command, options, &[first, second])?;
        let text = reply.text().filter(|_| reply.is_error())?;
        let text = String::from_utf8_lossy(text);
        Some(text.trim_start_matches('-').trim_end().to_owned())
    }
}

/// Whether the server can try a command: others know no such option, and give no reply at all.
fn can_try(context: &Context) -> bool {
    // There is no such command.
    const OPTIONS: CallOptions = call_options!("ED");
    static CAN_TRY: OnceLock<bool> = OnceLock::new();
    *CAN_TRY.get_or_init(|| context.call(c"_rg_none", OPTIONS, &[]).is_some())
}
