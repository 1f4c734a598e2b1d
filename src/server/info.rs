//! Sections of INFO.

use super::context::Context;
use super::ffi::info_reply::{self, InfoReply, InfoSource};
use super::hooks::HOOKS;

/// A section of INFO.
pub(crate) struct InfoSection {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its fields.
    pub(crate) fields: Vec<InfoField>,
}

/// A field of a section.
pub(crate) enum InfoField {
    /// A number.
    Number(&'static str, u64),
    /// Several numbers under a name that a user chose.
    Numbers(String, Vec<(&'static str, u64)>),
    /// Several texts under a name that a user chose: numbers with a fraction, and words. They break no
    /// line, and hold none of `,=`.
    Texts(String, Vec<(&'static str, String)>),
}

/// Has the server ask [`super::Hooks::info`].
///
/// # Errors
/// With the name of what the server refuses.
pub(crate) fn register(context: &Context) -> Result<(), &'static str> {
    info_reply::register::<Sections>(context)
        .then_some(())
        .ok_or("INFO")
}

/// Those of the module.
struct Sections;

impl InfoSource for Sections {
    fn write(reply: &InfoReply) {
        let Some(hooks) = HOOKS.get() else {
            return;
        };
        for section in hooks.info() {
            if reply.section(section.name) {
                section.fields.iter().for_each(|field| add(reply, field));
            }
        }
    }
}

fn add(reply: &InfoReply, field: &InfoField) {
    match field {
        InfoField::Number(name, number) => reply.number(name, *number),
        InfoField::Numbers(name, numbers) => reply.numbers(&plain(name), numbers),
        InfoField::Texts(name, texts) => reply.texts(&plain(name), texts),
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
