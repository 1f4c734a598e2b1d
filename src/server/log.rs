//! The server's log. `log::info!` and its friends end up here, from any thread.
//!
//! The server cuts a line off after about 1000 bytes, so longer messages go on in further lines.
//! Control characters are shown escaped: a message cannot forge a line of its own.

use std::ffi::CString;
use std::sync::atomic::{AtomicPtr, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};
use redis_module::raw::RedisModuleCtx;

use super::{Context, api};

/// Bytes of a message per line.
const LINE: usize = 1000;

/// See [`detached`]; null while the module is not loaded.
static DETACHED: AtomicPtr<RedisModuleCtx> = AtomicPtr::new(std::ptr::null_mut());

struct ServerLog;

/// Sends the log of all rooms to the server.
pub(crate) fn install(context: &Context) {
    // SAFETY: the context is live; the new one is kept until the module goes.
    let detached = unsafe { api!(RedisModule_GetDetachedThreadSafeContext)(context.as_ptr()) };
    DETACHED.store(detached, Ordering::Release);
    // The default one would write a backtrace, with an allocator that need not be the server's.
    std::panic::set_hook(Box::new(|panic| log::error!("internal error: {panic}")));
    if log::set_logger(&ServerLog).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

/// Ends the log, and what [`detached`] gave.
pub(super) fn remove() {
    let detached = DETACHED.swap(std::ptr::null_mut(), Ordering::AcqRel);
    if !detached.is_null() {
        // SAFETY: nobody has it any more: the module goes, and its threads have nothing to do.
        unsafe { api!(RedisModule_FreeThreadSafeContext)(detached) };
    }
}

/// A context that is never freed while the module is loaded, of no client: for logging from any
/// thread, and for commands under the server's lock.
pub(super) fn detached() -> *mut RedisModuleCtx {
    DETACHED.load(Ordering::Acquire)
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
        let context = detached();
        if context.is_null() {
            return;
        }
        for line in lines(&text) {
            // Escaping left no NUL.
            let line = CString::new(line).unwrap_or_default();
            // SAFETY: logging with this context is allowed from any thread; the format takes one
            // C string.
            unsafe {
                api!(RedisModule_Log)(context, level.as_ptr(), c"%s".as_ptr(), line.as_ptr());
            }
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
