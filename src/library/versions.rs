//! The versions of a library: which number a text has, and what tells it from others.

use std::time::{SystemTime, UNIX_EPOCH};

use gears_core::digest::TextDigest;
use gears_core::snapshot::History;

use super::load::{LoadRequest, SourceKind};
use super::registry::Library;

/// What a text is known by, in hexadecimal.
#[must_use]
pub(crate) fn digest(code: &str) -> String {
    TextDigest::of(code).to_string()
}

/// The time now, in Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_millis();
    u64::try_from(now).unwrap_or(u64::MAX)
}

/// The history of the library that a request loads in the place of `old`.
pub(super) fn history(request: &LoadRequest<'_>, old: Option<&Library>) -> History {
    if let SourceKind::Restored { history, .. } = request.kind {
        return history.clone();
    }
    let now = now_ms();
    match old {
        None => History::first(now, request.caller),
        Some(old) if old.code == request.code => old.history.again(now, request.caller),
        Some(old) => {
            let was = (&*old.code, &*old.user);
            old.history.then(was, now, request.caller, request.versions)
        }
    }
}
