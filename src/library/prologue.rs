//! The first line of a library: `#!js name=lib`.

use thiserror::Error;

/// What the first line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prologue<'a> {
    /// The engine the library is written for.
    pub engine: &'a str,
    /// The library's name.
    pub name: &'a str,
}

/// What is wrong with the first line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum PrologueError {
    /// The code does not begin with `#!`.
    #[error("could not find #! syntax")]
    NoShebang,
    /// Nothing follows the engine.
    #[error("Failed find 'name' property")]
    NoName,
    /// What follows the engine is not `property=value`.
    #[error("could not extract property value")]
    NoValue,
    /// Another property than `name`.
    #[error("unknown property '{0}'")]
    UnknownProperty(String),
}

impl<'a> Prologue<'a> {
    /// Reads the first line of `code`; what follows the name on that line is ignored.
    ///
    /// # Errors
    /// Where the line is not of the form `#!<engine> name=<library>`.
    pub(crate) fn parse(code: &'a str) -> Result<Self, PrologueError> {
        let line = code.lines().next().unwrap_or_default();
        let line = line.strip_prefix("#!").ok_or(PrologueError::NoShebang)?;
        let mut fields = line.split_ascii_whitespace();
        let engine = fields.next().unwrap_or_default();
        let property = fields.next().ok_or(PrologueError::NoName)?;
        let (key, name) = property.split_once('=').ok_or(PrologueError::NoValue)?;
        if !key.eq_ignore_ascii_case("name") {
            return Err(PrologueError::UnknownProperty(key.to_owned()));
        }
        if name.is_empty() {
            return Err(PrologueError::NoValue);
        }
        Ok(Self { engine, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_gives_engine_and_name() {
        let expected = Ok(Prologue {
            engine: "js",
            name: "lib",
        });
        assert_eq!(Prologue::parse("#!js name=lib"), expected);
        assert_eq!(
            Prologue::parse("#!js  NAME=lib more words\r\ncode"),
            expected
        );
    }

    #[test]
    fn each_way_to_get_it_wrong_has_its_own_error() {
        for (code, error) in [
            ("", "could not find #! syntax"),
            ("redis.log('x')", "could not find #! syntax"),
            ("\n#!js name=lib", "could not find #! syntax"),
            ("#!js", "Failed find 'name' property"),
            ("#!js\nname=lib", "Failed find 'name' property"),
            ("#!js lib", "could not extract property value"),
            ("#!js name=", "could not extract property value"),
            ("#!js title=lib", "unknown property 'title'"),
        ] {
            assert_eq!(
                Prologue::parse(code).unwrap_err().to_string(),
                error,
                "{code:?}"
            );
        }
    }
}
