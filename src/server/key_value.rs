//! What a key holds, read in the middle of a command: without a mark on it, and without a command
//! where the API has another way.

use gears_core::triggers::{KeyType, KeyValue};

use super::context::Context;
use super::ffi::call::CallOptions;
use super::ffi::key::OpenKey;
use super::ffi::string::StringRef;

/// The key's type.
pub(super) fn type_of(context: &Context, name: StringRef<'_>) -> KeyType {
    context
        .open_for_reading(name)
        .map_or(KeyType::Empty, |key| key.key_type())
}

/// The key's type and value; `None` where the value has more bytes than `most`.
pub(super) fn value_of(context: &Context, name: StringRef<'_>, most: usize) -> Option<KeyValue> {
    let Some(key) = context.open_for_reading(name) else {
        return Some(KeyValue::new(KeyType::Empty));
    };
    let mut reading = ValueReading {
        value: KeyValue::new(key.key_type()),
        most,
        failed: false,
    };
    match reading.value.kind {
        KeyType::String => {
            drop(key);
            reading.read_string(context, name);
        }
        KeyType::List => key.list_elements(&mut |element| reading.push(element)),
        KeyType::Hash | KeyType::Set => reading.scan(&key),
        KeyType::SortedSet => key.sorted_members(&mut |member, score| {
            reading.push(member) && reading.push(text_of(score).as_bytes())
        }),
        KeyType::Empty | KeyType::Stream | KeyType::Module => {}
    }
    (!reading.failed).then_some(reading.value)
}

/// A value that is being read.
struct ValueReading {
    value: KeyValue,
    most: usize,
    failed: bool,
}

impl ValueReading {
    /// Whether there is room for more.
    fn push(&mut self, part: &[u8]) -> bool {
        if self.value.packed().len().saturating_add(part.len()) > self.most {
            self.failed = true;
        }
        if !self.failed {
            self.value.push(part);
        }
        !self.failed
    }

    /// By a command: the API's own way would change how the server keeps the string.
    fn read_string(&mut self, context: &Context, name: StringRef<'_>) {
        let reply = context.call(c"GET", CallOptions::REPLICATED, &[name.bytes()]);
        if let Some(text) = reply.as_ref().and_then(|reply| reply.text()) {
            self.push(text);
        }
    }

    fn scan(&mut self, key: &OpenKey) {
        if !key.scan(&mut |part| self.push(part)) {
            self.failed = true;
        }
    }
}

/// A score as scripts read it.
fn text_of(score: f64) -> String {
    if score.is_infinite() {
        let sign = if score < 0.0 { "-" } else { "" };
        return format!("{sign}Infinity");
    }
    score.to_string()
}
