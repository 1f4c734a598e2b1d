//! What went wrong, as replies show it: the message, and where it was on its own.

use gears_core::delivery::error_text;
use gears_v8::ports::Reply;

/// The message; `None` in words where nothing went wrong.
pub(crate) fn error(text: Option<&str>) -> Reply {
    Reply::text(text.map_or("None", error_text::message))
}

/// The frames of the script that failed; `None` in words where they are not known.
pub(crate) fn stack(text: Option<&str>) -> Reply {
    Reply::text(text.and_then(error_text::stack).unwrap_or("None"))
}

/// The same as a field of a reply whose fields are fixed: it comes last, and only where there is one.
pub(crate) fn stack_if_any(text: Option<&str>) -> Option<(&'static str, Reply)> {
    let stack = text.and_then(error_text::stack)?;
    Some(("last_error_stack", Reply::text(stack)))
}
