//! The server's log. `log::info!` and its friends end up here, from any thread.
//!
//! The server cuts a line off after about 1000 bytes, so longer messages go on in further lines.
//! Control characters are shown escaped: a message cannot forge a line of its own.
//!
//! Lines of scripts come with the names of library and callback before them, and all of them are
//! written. Of the module's own warnings and errors, those that come again and again are written
//! once a second: see [`Throttle`].

mod throttle;

use std::cell::RefCell;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use gears_v8::ports::SCRIPT_LOG;
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

use self::throttle::{Line, Throttle};
use super::context::Context;
use super::ffi::context::free_detached;
use super::ffi::log::write_line;
use super::settings;

/// Bytes of a message per line.
const LINE: usize = 1000;

static THROTTLE: Mutex<Throttle> = Mutex::new(Throttle::new());
/// Whether the throttle may have something to say by and by.
static WAITS: AtomicBool = AtomicBool::new(false);

/// Lines of scripts that are held back at most; further ones are written.
const HELD_MAX: usize = 1000;

thread_local! {
    /// Lines of scripts on this thread, while they are held back.
    static HELD: RefCell<Option<Vec<Line>>> = const { RefCell::new(None) };
}

/// Holds back what scripts log on this thread during `work`: it is written if that fails, and nobody is to
/// see it otherwise.
///
/// # Errors
/// Those of `work`.
pub(crate) fn hold_back_scripts<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let holding = Holding;
    HELD.set(Some(Vec::new()));
    let done = work();
    if done.is_ok() {
        HELD.set(None);
    }
    drop(holding);
    done
}

/// Ends that, also where `work` panics.
struct Holding;

impl Drop for Holding {
    fn drop(&mut self) {
        let held = HELD.take();
        held.iter().flatten().for_each(write);
    }
}

/// A line of a script.
fn write_of_script(line: Line) {
    let passes = HELD.with_borrow_mut(|held| match held {
        Some(held) if held.len() < HELD_MAX => {
            held.push(line);
            None
        }
        _ => Some(line),
    });
    if let Some(line) = passes {
        write(&line);
    }
}

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
    write_what_waits();
    free_detached();
}

/// Writes how often lines came that were not written, once that is due. Cheap enough for every tick
/// of the event loop.
pub(crate) fn write_what_is_due() {
    if WAITS.load(Ordering::Relaxed) {
        let mut throttle = THROTTLE.lock();
        let lines = throttle.due(Instant::now());
        WAITS.store(!throttle.is_empty(), Ordering::Relaxed);
        drop(throttle);
        lines.iter().for_each(write);
    }
}

/// Writes that now, and takes every line for a new one from now on.
pub(crate) fn write_what_waits() {
    let lines = THROTTLE.lock().forget();
    lines.iter().for_each(write);
}

fn write(line: &Line) {
    let level = match line.level {
        Level::Error | Level::Warn => c"warning",
        Level::Info => c"notice",
        Level::Debug => c"verbose",
        Level::Trace => c"debug",
    };
    let text = escape(&line.text);
    for part in lines(&text) {
        // Escaping left no NUL.
        write_line(level, &CString::new(part).unwrap_or_default());
    }
}

impl Log for ServerLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = record.level();
        if let Some(place) = record.target().strip_prefix(SCRIPT_LOG) {
            let text = if settings::names_scripts_in_log() {
                format!("[{place}] {}", record.args())
            } else {
                record.args().to_string()
            };
            return write_of_script(Line { level, text });
        }
        let text = record.args().to_string();
        // Nobody waits for the throttle: in a child that the server forks, a lock that another
        // thread held stays taken.
        if level <= Level::Warn
            && let Some(mut throttle) = THROTTLE.try_lock()
        {
            let origin = (record.file_static(), record.line());
            let lines = throttle.admit(origin, level, text, Instant::now());
            WAITS.store(true, Ordering::Relaxed);
            drop(throttle);
            return lines.iter().for_each(write);
        }
        write(&Line { level, text });
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
