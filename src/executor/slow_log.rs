//! Calls of callbacks that took long, for users to read; and for how long callbacks held the server
//! up, for the server's own latency monitor.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use gears_core::delivery::EntryId;
use gears_core::quoted;

use super::callbacks::CallbackKind;

/// Bytes of a key that are kept.
const KEY_MAX: usize = 128;
/// Bytes of a stack that are kept.
const STACK_MAX: usize = 2048;

/// What is kept, as the settings say.
#[derive(Debug, Default)]
pub(crate) struct SlowLogLimits {
    /// Milliseconds from which on a call is slow; negative: none is.
    pub(crate) threshold_ms: AtomicI64,
    /// How many are kept.
    pub(crate) max_len: AtomicUsize,
}

/// A call that took long.
#[derive(Clone, Debug)]
pub(crate) struct SlowCall {
    /// Its number, the first being 0.
    pub(crate) id: u64,
    /// When it ended, Unix milliseconds.
    pub(crate) time_ms: u64,
    /// From its beginning to its end.
    pub(crate) took: Duration,
    /// The library.
    pub(crate) library: Arc<str>,
    /// What was called.
    pub(crate) kind: CallbackKind,
    /// Its name; none of a load.
    pub(crate) callback: Option<Arc<str>>,
    /// The stream, or the key of the event.
    pub(crate) key: Option<Box<[u8]>>,
    /// The entry, or the first of several.
    pub(crate) entry_id: Option<EntryId>,
    /// Where it was when it failed or was ended, a frame a line.
    pub(crate) stack: Option<String>,
}

/// What a call was about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallSubject<'a> {
    /// The stream, or the key of the event.
    pub(crate) key: Option<&'a [u8]>,
    /// The entry, or the first of several.
    pub(crate) entry_id: Option<EntryId>,
}

#[derive(Default)]
struct Kept {
    /// The newest first.
    calls: VecDeque<Arc<SlowCall>>,
    next_id: u64,
}

/// The slow calls of all libraries. Used by any thread.
pub(crate) struct SlowLog {
    limits: Arc<SlowLogLimits>,
    began: Instant,
    kept: Mutex<Kept>,
    /// The longest time that a callback held the server up since it was asked for, in microseconds.
    longest_held_us: AtomicU64,
}

impl SlowLog {
    pub(crate) fn new(limits: Arc<SlowLogLimits>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            began: Instant::now(),
            kept: Mutex::default(),
            longest_held_us: AtomicU64::new(0),
        })
    }

    /// Milliseconds of a clock that does not go back.
    pub(crate) fn time_ms(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.began).as_millis();
        u64::try_from(passed).unwrap_or(u64::MAX)
    }

    /// Whether a call that took so long is slow.
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        let threshold = self.limits.threshold_ms.load(Ordering::Relaxed);
        u128::try_from(threshold).is_ok_and(|threshold| took.as_millis() >= threshold)
    }

    /// Keeps a call that was slow, and has just ended; and has the log say so.
    pub(super) fn note(
        &self,
        called: (&Arc<str>, CallbackKind, Option<&Arc<str>>),
        took: Duration,
        subject: CallSubject<'_>,
        stack: Option<&str>,
    ) {
        self.warn(called);
        let (library, kind, callback) = called;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis();
        let most = self.limits.max_len.load(Ordering::Relaxed);
        let mut kept = self.kept.lock();
        let call = SlowCall {
            id: kept.next_id,
            time_ms: u64::try_from(now).unwrap_or(u64::MAX),
            took,
            library: Arc::clone(library),
            kind,
            callback: callback.map(Arc::clone),
            key: subject.key.map(|key| key[..key.len().min(KEY_MAX)].into()),
            entry_id: subject.entry_id,
            stack: stack.filter(|stack| !stack.is_empty()).map(cut),
        };
        kept.next_id += 1;
        kept.calls.push_front(Arc::new(call));
        kept.calls.truncate(most);
    }

    /// Says which callback is slow, and not how slow: so the log sums up what comes again and again.
    fn warn(&self, (library, kind, callback): (&Arc<str>, CallbackKind, Option<&Arc<str>>)) {
        let threshold = self.limits.threshold_ms.load(Ordering::Relaxed);
        let name = match callback {
            Some(callback) => format!("{library}/{callback}"),
            None => library.to_string(),
        };
        let (kind, name) = (kind.name(), quoted(name.as_bytes()));
        log::warn!("slow: {kind} {name} took {threshold} ms or longer, see RG.SLOWLOG");
    }

    /// A library's top level ran, while the server waited.
    pub(crate) fn note_load(&self, library: &str, took: Duration, stack: Option<&str>) {
        self.note_held(took);
        if self.is_slow(took) {
            let load = (&library.into(), CallbackKind::Load, None);
            self.note(load, took, CallSubject::default(), stack);
        }
    }

    /// The newest calls, the newest first.
    pub(crate) fn newest(&self, count: usize) -> Vec<Arc<SlowCall>> {
        let mut kept = self.kept.lock();
        kept.calls
            .truncate(self.limits.max_len.load(Ordering::Relaxed));
        kept.calls.iter().take(count).map(Arc::clone).collect()
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        let most = self.limits.max_len.load(Ordering::Relaxed);
        self.kept.lock().calls.len().min(most)
    }

    /// Forgets all. Numbers go on.
    pub(crate) fn clear(&self) {
        self.kept.lock().calls.clear();
    }

    // --- the server's latency monitor -------------------------------------------------------------

    /// A callback held the server up for so long.
    pub(super) fn note_held(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // Mostly there is nothing to do.
        if us >= 1000 {
            self.longest_held_us.fetch_max(us, Ordering::Relaxed);
        }
    }

    /// The longest time in whole milliseconds that a callback held the server up since the last time
    /// that this was asked; `None` where it was less than one.
    pub(crate) fn take_longest_held(&self) -> Option<u64> {
        if self.longest_held_us.load(Ordering::Relaxed) == 0 {
            return None;
        }
        Some(self.longest_held_us.swap(0, Ordering::Relaxed) / 1000)
    }
}

fn cut(stack: &str) -> String {
    let mut end = stack.len().min(STACK_MAX);
    while !stack.is_char_boundary(end) {
        end -= 1;
    }
    stack[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(threshold_ms: i64, max_len: usize) -> Arc<SlowLog> {
        SlowLog::new(Arc::new(SlowLogLimits {
            threshold_ms: AtomicI64::new(threshold_ms),
            max_len: AtomicUsize::new(max_len),
        }))
    }

    fn note(log: &SlowLog, key: &[u8], stack: &str) {
        let name: Arc<str> = "f".into();
        let subject = CallSubject {
            key: Some(key),
            entry_id: None,
        };
        let called = (&"lib".into(), CallbackKind::Trigger, Some(&name));
        log.note(called, Duration::from_millis(5), subject, Some(stack));
    }

    #[test]
    fn the_newest_come_first_and_the_oldest_go() {
        let log = log(0, 2);
        for key in ["a", "b", "c"] {
            note(&log, key.as_bytes(), "");
        }
        let ids = |count| -> Vec<_> { log.newest(count).iter().map(|one| one.id).collect() };
        assert_eq!((ids(10), ids(1), log.len()), (vec![2, 1], vec![2], 2));
        log.limits.max_len.store(1, Ordering::Relaxed);
        assert_eq!((log.len(), ids(10)), (1, vec![2]));
        log.clear();
        note(&log, b"d", "");
        assert_eq!(ids(10), [3]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_breaks_no_character() {
        let log = log(0, 1);
        note(&log, &[7; 1000], &"\u{fc}".repeat(5000));
        let call = &log.newest(1)[0];
        assert_eq!(call.key.as_ref().map(|key| key.len()), Some(KEY_MAX));
        assert_eq!(call.stack.as_ref().map(String::len), Some(STACK_MAX));
    }

    #[test]
    fn a_call_is_slow_from_the_threshold_on_and_never_where_it_is_off() {
        let took = Duration::from_millis(5);
        let slow = |threshold| log(threshold, 1).is_slow(took);
        assert_eq!([0, 5, 6, -1].map(slow), [true, true, false, false]);
    }

    #[test]
    fn the_longest_time_is_told_once_and_what_is_short_never() {
        let log = log(0, 1);
        log.note_held(Duration::from_micros(999));
        assert_eq!(log.take_longest_held(), None);
        for ms in [3, 7, 5] {
            log.note_held(Duration::from_millis(ms));
        }
        assert_eq!(log.take_longest_held(), Some(7));
        assert_eq!(log.take_longest_held(), None);
    }
}
