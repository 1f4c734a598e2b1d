//! The server's log. `log::info!` and its friends end up here, from any thread.
//!
//! The server cuts a line off after about 1000 bytes, so longer messages go on in further lines.
//! Control characters are shown escaped: a message cannot forge a line of its own.

use std::ffi::CString;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::context::Context;
use super::ffi::context::free_detached;
use super::ffi::log::write_line;

/// Bytes of a message per line.
const LINE: usize = 1000;

struct ServerLog;

/// Sends the log of all rooms to the server.
pub(crate) fn install(context: &Context) {
    context.detach();
    // The default one would write a backtrace, with an allocator that need not be the server's.
    std::panic::set_hook(Box::new(|panic| log::error!("internal error: {panic}")));
    if log::set_logger(&ServerLog).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

/// Ends the log, with the detached context.
pub(super) fn remove() {
    free_detached();
}

impl Log for ServerLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Error | Level::Warn => c"warning",
            Level::Info => c"notice",
            Level::Debug => c"verbose",
            Level::Trace => c"debug",
        };
        let text = escape(&record.args().to_string());
        for line in lines(&text) {
            // Escaping left no NUL.
            write_line(level, &CString::new(line).unwrap_or_default());
        }
    }

    fn flush(&self) {}
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push('\t'),
            _ if character.is_control() => escaped.extend(character.escape_unicode()),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Cuts a text into lines, between characters. An empty text is one empty line.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut end = text.len().min(LINE);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (line, more) = text.split_at(end);
        rest = (!more.is_empty()).then_some(more);
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_nothing_is_lost() {
        let text = "ä".repeat(1200);
        let parts: Vec<_> = lines(&text).collect();
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| part.len() <= LINE));
        assert_eq!(parts.concat(), text);
        assert_eq!(lines("").collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn a_message_cannot_begin_a_line_of_its_own() {
        assert_eq!(escape("a\nb\r\0\u{1b}"), "a\\nb\\r\\u{0}\\u{1b}");
    }
}
