//! What has to hold before a function may be called.

use std::rc::Rc;

use crate::library::{Callee, Libraries};
use crate::server::{Context, key_count};
use gears_v8::ports::Flags;

/// A call that may be made.
pub(super) struct PreparedCall<'a, 'b> {
    pub(super) callee: Rc<Callee>,
    /// Keys and arguments.
    pub(super) arguments: &'a [&'b [u8]],
}

/// Looks up what a call is about: `library function numkeys [key ...] [arg ...]`.
///
/// # Errors
/// Why the function may not be called so, or not now.
pub(super) fn prepare<'a, 'b>(
    libraries: &Libraries,
    context: &Context,
    arguments: &'a [&'b [u8]],
) -> Result<PreparedCall<'a, 'b>, String> {
    let [library, function, count, arguments @ ..] = arguments else {
        return Err("ERR wrong number of arguments for 'rg.fcall' command".into());
    };
    let key_count = key_count(count)?;
    let callee = libraries.callee(library, function)?;
    if callee.is_paused {
        return Err(format!("ERR function '{}' is paused", callee.function.name));
    }
    let flags = callee.function.flags;
    if !flags.contains(Flags::NO_WRITES) {
        let state = context.state();
        if !state.is_primary {
            return Err("Err can not run a function that might perform writes on a replica".into());
        }
        if !flags.contains(Flags::ALLOW_OOM) && state.is_out_of_memory {
            return Err("OOM can not run the function when out of memory".into());
        }
    }
    if arguments.len() < key_count {
        let given = arguments.len();
        return Err(format!(
            "Not enough arguments was given, expected at least {key_count} arguments, got {given} arguments."
        ));
    }
    Ok(PreparedCall { callee, arguments })
}
