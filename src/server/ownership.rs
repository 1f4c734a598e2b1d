//! Whether a key is this server's, where it is one of a cluster, and what is said of those that are not.
//!
//! The server is asked for each key: it alone knows of slots that are on their way to it or from it.
//! A slot that is being imported is not its own before the import ends, although keys of it may be
//! there and written to. Where the server does not know the question, its table of the cluster answers.

use redis_module::RedisString;

use gears_core::cluster::{Whereabouts, slot_of};
use gears_core::quoted;

use super::context::Context;
use super::ffi::call::{CallOptions, call_options};
use super::hooks::HOOKS;
use super::suppress_triggers::SuppressTriggers;

/// What the server says of a key that another one of its cluster has, and of keys of several slots.
pub(super) const ELSEWHERE: &str = "non local key";

/// What the server says of any key while slots of its cluster are not served.
const DOWN: &str = "while the cluster is down";

/// What the server says of a command that it does not have.
const UNKNOWN: &str = "unknown command";

/// What helps a script.
const RUN_ON_KEY: &str = "have run_on_key call a remote function";

/// As every call (`!`); errors are replies (`E`).
const OPTIONS: CallOptions = call_options!("!E");

/// Who serves the slot of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotOwner {
    /// This server.
    Myself,
    /// Not this server.
    Another,
    /// Nobody now: the cluster is down.
    Nobody,
}

impl Context {
    /// Who serves the key's slot.
    pub(crate) fn slot_owner_of(&self, key: &[u8]) -> SlotOwner {
        if !self.is_in_cluster() {
            return SlotOwner::Myself;
        }
        // That the key is not there is nobody's miss.
        let _suppressed = SuppressTriggers::begin();
        // Not in the context at hand: a client may be let into a slot that is being imported
        // (ASKING), and what is called in its command too.
        let Some(reply) = Self::detached().call(c"EXISTS", OPTIONS, &[key]) else {
            return owner_by_table(key);
        };
        match reply.text().filter(|_| reply.is_error()) {
            None => SlotOwner::Myself,
            // The command has another name.
            Some(error) if contains(error, UNKNOWN) => owner_by_table(key),
            Some(error) => owner_as_said(error),
        }
    }

    /// Whether the server has the key's slot, as far as anybody has: where the cluster is down, that shows with
    /// the first command.
    pub(crate) fn has_slot_of(&self, key: &[u8]) -> bool {
        self.slot_owner_of(key) != SlotOwner::Another
    }

    /// Makes sure that the server has the key's slot.
    ///
    /// # Errors
    /// With where the slot is.
    pub(crate) fn demand_slot_of(&self, key: &[u8]) -> Result<(), String> {
        if self.has_slot_of(key) {
            return Ok(());
        }
        Err(elsewhere(key))
    }
}

/// What is said of a key whose slot this server does not serve.
fn elsewhere(key: &[u8]) -> String {
    let slot = slot_of(key);
    format!(
        "ERR slot {slot} of the key {} {}",
        on_line(key),
        whereabouts(slot)
    )
}

/// Where a slot is, as the table of the cluster has it.
fn whereabouts(slot: u16) -> Whereabouts {
    let hooks = HOOKS.get();
    hooks.map_or(Whereabouts::Unknown, |hooks| hooks.whereabouts(slot))
}

/// A key as an error shows it: a line break would end that before its end.
fn on_line(key: &[u8]) -> String {
    quoted(key).to_string().replace(['\r', '\n'], " ")
}

fn is_elsewhere(error: &[u8]) -> bool {
    owner_as_said(error) == SlotOwner::Another
}

/// Who has a key's slot, where a command with it ended with this error.
fn owner_as_said(error: &[u8]) -> SlotOwner {
    if contains(error, ELSEWHERE) {
        SlotOwner::Another
    } else if contains(error, DOWN) {
        SlotOwner::Nobody
    } else {
        SlotOwner::Myself
    }
}

/// Who has it by the table of the cluster, which may be older than the last change.
fn owner_by_table(key: &[u8]) -> SlotOwner {
    match whereabouts(slot_of(key)) {
        Whereabouts::At(_) => SlotOwner::Another,
        Whereabouts::LeavingFor(_) | Whereabouts::Unknown => SlotOwner::Myself,
    }
}

fn contains(error: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(error).contains(text)
}

/// What a script is told instead of an error of the server's, if that is about where the keys of its
/// command are. `words` gives the command.
pub(super) fn reply(
    context: &Context,
    reply: &[u8],
    words: impl FnOnce() -> Vec<RedisString>,
) -> Option<Vec<u8>> {
    if !is_elsewhere(reply) {
        return None;
    }
    let words = words();
    let places = context.key_places(&words).into_iter();
    let mut keys = places.filter_map(|place| Some(words.get(place)?.as_slice()));
    let first = keys.next()?;
    let other = keys.find(|key| slot_of(key) != slot_of(first));
    let text = match other {
        Some(other) => across(words.first()?.as_slice(), first, other),
        None => format!("{}: {RUN_ON_KEY} there", elsewhere(first)),
    };
    Some(format!("-{text}\r\n").into_bytes())
}

/// What is said of a command whose keys are in several slots.
fn across(command: &[u8], one: &[u8], other: &[u8]) -> String {
    let shown = |key| format!("{} in {}", on_line(key), slot_of(key));
    format!(
        "CROSSSLOT the keys of {} are in different slots, {} and {}: give them one {{tag}}, or {RUN_ON_KEY} for each",
        on_line(&command.to_ascii_lowercase()),
        shown(one),
        shown(other)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_several_slots_are_named_on_one_line() {
        assert_eq!(
            across(b"MGET", b"foo", b"b\r\nr"),
            format!(
                "CROSSSLOT the keys of 'mget' are in different slots, 'foo' in 12182 and 'b  r' in {}: \
                 give them one {{tag}}, or have run_on_key call a remote function for each",
                slot_of(b"b\r\nr")
            )
        );
    }

    #[test]
    fn only_what_the_server_says_of_places_is_about_them() {
        let said = b"-ERR Attempted to access a non local key in a cluster node\r\n";
        assert!(is_elsewhere(said));
        assert!(!is_elsewhere(b"-ERR no such key\r\n"));
        let down = b"-ERR Can not execute a command 'exists' while the cluster is down\r\n";
        assert_eq!(owner_as_said(down), SlotOwner::Nobody);
    }
}
