//! Names and values as lines of the log show them.

use std::fmt::Display;

/// How much of a name is shown, in characters.
const NAME: usize = 200;

/// Bytes of a name or value as a line shows them: within `'`, what is no text and what would end it
/// escaped, and not too much of it.
#[must_use]
pub fn quoted(bytes: &[u8]) -> impl Display + use<> {
    let mut shown = String::from("'");
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.chars();
    for character in rest.by_ref().take(NAME) {
        match character {
            '\'' | '\\' => shown.extend(['\\', character]),
            _ => shown.push(character),
        }
    }
    let more = rest.next().is_some();
    shown.push_str(if more { "...'" } else { "'" });
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_quotes_and_is_cut_off() {
        let text = |bytes: &[u8]| quoted(bytes).to_string();
        assert_eq!(text(b"a'b\\"), r"'a\'b\\'");
        assert_eq!(text(b"\xff"), "'\u{fffd}'");
        let long = "ä".repeat(NAME);
        assert_eq!(text(long.as_bytes()), format!("'{long}'"));
        assert_eq!(text(format!("{long}ä").as_bytes()), format!("'{long}...'"));
    }
}
