//! Values of scripts, as arguments of commands.

use super::bytes::{Detached, append_bytes, append_text, byte_length, utf8_length};
use crate::ports::Arguments;

/// Bytes of one argument of a command, as the server has it for clients.
const ARGUMENT_MAX: usize = 512 << 20;

/// Why a value is no argument of a command.
pub(crate) enum NotAnArgument {
    /// It is of another type.
    Type,
    /// It is larger than the server takes.
    Size,
    /// With those before it, it is larger than the library's memory.
    Memory,
    /// It was an `ArrayBuffer` whose bytes went elsewhere.
    Detached,
    /// An exception is pending.
    Thrown,
}

/// Adds a value as an argument of a command: text as UTF-8, bytes as they are, numbers and booleans as
/// `String()` gives them.
pub(crate) fn push_argument(
    scope: &mut v8::PinScope,
    arguments: &mut Arguments,
    value: v8::Local<v8::Value>,
    memory: usize,
) -> Result<(), NotAnArgument> {
    let string = if let Ok(string) = v8::Local::<v8::String>::try_from(value) {
        // Most are short, and of bytes that are UTF-8 as they are: copied without a detour.
        let view = v8::ValueView::new(scope, string);
        if let v8::ValueViewData::OneByte(text) = view.data()
            && text.is_ascii()
        {
            check_size(text.len(), arguments, memory)?;
            arguments.push(text);
            return Ok(());
        }
        drop(view);
        string
    } else if let Some(length) = byte_length(scope, value) {
        let length = length.map_err(|Detached| NotAnArgument::Detached)?;
        check_size(length, arguments, memory)?;
        arguments.push_with(|bytes| append_bytes(value, length, bytes));
        return Ok(());
    } else if value.is_number()
        || value.is_big_int()
        || value.is_boolean()
        || value.is_string_object()
    {
        value.to_string(scope).ok_or(NotAnArgument::Thrown)?
    } else {
        return Err(NotAnArgument::Type);
    };
    check_size(utf8_length(scope, string), arguments, memory)?;
    arguments.push_with(|bytes| append_text(scope, string, bytes));
    Ok(())
}

/// Before anything is copied.
fn check_size(length: usize, arguments: &Arguments, memory: usize) -> Result<(), NotAnArgument> {
    if length > ARGUMENT_MAX {
        Err(NotAnArgument::Size)
    } else if arguments.bytes().saturating_add(length) > memory {
        Err(NotAnArgument::Memory)
    } else {
        Ok(())
    }
}
