//! The first line of a library: `#!js name=lib`. Where a script has none, one is added, by which it is
//! known when it is restored: `#!js name=lib script {}`. The braces hold what its command said of it.

use serde_json::{Value, json};
use thiserror::Error;

/// What the first line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prologue<'a> {
    /// The engine the library is written for.
    pub engine: &'a str,
    /// The library's name.
    pub name: &'a str,
    /// The JSON text that follows, if the line was added to a script that had none.
    pub script: Option<&'a str>,
}

/// What a command says of a script that it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScriptSession {
    /// What it is for.
    pub description: Option<String>,
    /// Packages that it needs.
    pub requirements: Vec<String>,
}

impl ScriptSession {
    /// The first line of a script that has none.
    pub(crate) fn first_line(&self, engine: &str, name: &str) -> String {
        let said = json!({"description": self.description, "requirements": self.requirements});
        format!("#!{engine} name={name} {SCRIPT}{said}")
    }

    /// Reads what [`ScriptSession::first_line`] wrote.
    pub(crate) fn of(prologue: &Prologue<'_>) -> Self {
        let said = prologue
            .script
            .and_then(|text| serde_json::from_str(text).ok());
        let said: Value = said.unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            description: text(&said["description"]),
            requirements: said["requirements"]
                .as_array()
                .map_or(Vec::new(), |all| all.iter().filter_map(text).collect()),
        }
    }
}

/// What precedes the JSON text in a line that was added.
const SCRIPT: &str = "script ";

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
    /// Reads the first line of `code`; what else follows the name on that line is ignored.
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
        let behind = line.split_once(property).map_or("", |(_, behind)| behind);
        let script = behind.trim().strip_prefix(SCRIPT);
        let script = script.filter(|text| text.starts_with('{') && text.ends_with('}'));
        Ok(Self {
            engine,
            name,
            script,
        })
    }

    /// The library's own text: without the first line, if that was added.
    pub(crate) fn own_text(&self, code: &'a str) -> &'a str {
        match code.split_once('\n') {
            Some((_, own)) if self.script.is_some() => own,
            _ => code,
        }
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
            script: None,
        });
        assert_eq!(Prologue::parse("#!js name=lib"), expected);
        assert_eq!(
            Prologue::parse("#!js  NAME=lib more words\r\ncode"),
            expected
        );
    }

    #[test]
    fn a_line_that_was_added_is_no_part_of_the_script() {
        let session = ScriptSession {
            description: Some("what it is for: {}\n\"".into()),
            requirements: vec!["json".into()],
        };
        let code = format!("{}\nfirst\nsecond", session.first_line("py", "lib"));
        let prologue = Prologue::parse(&code).expect("a first line");
        assert_eq!((prologue.engine, prologue.name), ("py", "lib"));
        assert_eq!(prologue.own_text(&code), "first\nsecond");
        assert_eq!(ScriptSession::of(&prologue), session);
        for own in ["#!js name=lib\ncode", "#!js name=lib script\ncode"] {
            let prologue = Prologue::parse(own).expect("a first line");
            assert_eq!(prologue.own_text(own), own);
            assert_eq!(ScriptSession::of(&prologue), ScriptSession::default());
        }
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
