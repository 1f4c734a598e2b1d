//! Sections of INFO.

use std::ffi::c_int;

use redis_module::raw::RedisModuleInfoCtx;

use super::constants::OK;
use super::context::Context;
use super::execution_unit::c_text;
use super::hooks::HOOKS;
use super::{api, guard};

/// A section of INFO.
pub(crate) struct Section {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its fields.
    pub(crate) fields: Vec<Field>,
}

/// A field of a section.
pub(crate) enum Field {
    /// A number.
    Number(&'static str, u64),
    /// Several numbers under a name that a user chose.
    Numbers(String, Vec<(&'static str, u64)>),
}

/// Has the server ask [`super::Hooks::info`].
///
/// # Errors
/// With the name of what the server refuses.
pub(crate) fn register(context: &Context) -> Result<(), &'static str> {
    // SAFETY: the context is live, the callback has the form the server asks for.
    let registered = unsafe { api!(RedisModule_RegisterInfoFunc)(context.as_ptr(), Some(show)) };
    if registered == OK {
        Ok(())
    } else {
        Err("INFO")
    }
}

unsafe extern "C" fn show(info: *mut RedisModuleInfoCtx, for_crash_report: c_int) {
    if for_crash_report != 0 {
        // The process is broken: nothing of ours is touched.
        return;
    }
    guard::run("INFO", || {
        let Some(hooks) = HOOKS.get() else {
            return;
        };
        for section in hooks.info() {
            let name = c_text(section.name);
            // SAFETY: the server's object lives as long as this call; the texts are copied.
            let wanted = unsafe { api!(RedisModule_InfoAddSection)(info, name.as_ptr()) };
            if wanted == OK {
                section.fields.iter().for_each(|field| add(info, field));
            }
        }
    });
}

fn add(info: *mut RedisModuleInfoCtx, field: &Field) {
    let add_number = |name: &str, number: u64| {
        let name = c_text(name);
        // SAFETY: as above.
        unsafe { api!(RedisModule_InfoAddFieldULongLong)(info, name.as_ptr(), number) };
    };
    match field {
        Field::Number(name, number) => add_number(name, *number),
        Field::Numbers(name, numbers) => {
            let name = c_text(&plain(name));
            // SAFETY: as above.
            unsafe { api!(RedisModule_InfoBeginDictField)(info, name.as_ptr()) };
            for (name, number) in numbers {
                add_number(name, *number);
            }
            // SAFETY: as above.
            unsafe { api!(RedisModule_InfoEndDictField)(info) };
        }
    }
}

/// A name that breaks no line of INFO.
fn plain(name: &str) -> String {
    let plain = |one: char| {
        if one.is_ascii_alphanumeric() || "-_.".contains(one) {
            one
        } else {
            '_'
        }
    };
    name.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users_break_no_line() {
        assert_eq!(plain("library_a:b=1\r\n#x"), "library_a_b_1___x");
    }
}
