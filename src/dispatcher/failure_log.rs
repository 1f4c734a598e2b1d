//! Lines of the log about entries that callbacks of stream consumers fail at.
//!
//! An error may come with every entry, with another text each time. So a consumer's first failure is
//! written within a second, and then its last one every ten seconds, with how many there were meanwhile.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use slotmap::SecondaryMap;

use gears_core::delivery::{ConsumerKey, Delivery, OnFailure, error_text};
use gears_core::quoted;

use super::bindings::Bindings;
use super::delivery_core::DeliveryCore;
use super::stream_access::ConsumerName;

/// How often all consumers are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The time between two lines about the same consumer.
const PAUSE: Duration = Duration::from_secs(10);
/// Lines that are written at once; further consumers come with the next look.
const AT_ONCE: usize = 100;

/// What the log says of a consumer.
#[derive(Clone, Copy, Debug)]
struct Said {
    /// Of how many failures.
    failures: u64,
    at: Instant,
}

/// What the log says of failures. Used by the main thread only.
#[derive(Default)]
pub(super) struct FailureLog {
    said: RefCell<SecondaryMap<ConsumerKey, Said>>,
    looked: Cell<Option<Instant>>,
}

impl FailureLog {
    /// Writes what is due. Cheap enough for every tick.
    pub(super) fn write_what_is_due(&self, core: &DeliveryCore, bindings: &Bindings) {
        let now = Instant::now();
        let looked = self.looked.get();
        if looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
            return;
        }
        self.looked.set(Some(now));
        let mut said = self.said.borrow_mut();
        let mut lines = 0;
        bindings.for_each_name(|consumer, name| {
            if lines == AT_ONCE {
                return;
            }
            let Some(failures) = core.inspect(|delivery| delivery.failures(consumer)) else {
                return;
            };
            let before = said.get(consumer).copied();
            let tell = |more| core.update(|delivery| line(delivery, consumer, name, more));
            if let Some(line) = due(before, failures, now).and_then(tell) {
                lines += 1;
                said.insert(consumer, Said { failures, at: now });
                log::warn!("{line}");
            }
        });
    }
}

/// How many failures there were beside the last one, since the line before; `None` while no line is due.
fn due(before: Option<Said>, failures: u64, now: Instant) -> Option<u64> {
    let said = before.map_or(0, |before| before.failures);
    // Fewer than before: the counters began anew.
    let new = failures.checked_sub(said).unwrap_or(failures);
    let waits = before.is_some_and(|before| now.duration_since(before.at) < PAUSE);
    (new > 0 && !waits).then(|| new - 1)
}

/// The line about the last failure. None where something else went wrong since: what is blocked has a line
/// of its own, and the failure is counted with the next one.
fn line(
    delivery: &mut Delivery,
    consumer: ConsumerKey,
    name: &ConsumerName,
    more: u64,
) -> Option<String> {
    let overview = delivery.overview(consumer)?;
    let errors = overview.errors?;
    let error = overview.totals.last_error.as_deref()?;
    let (message, stack) = (error_text::message(error), error_text::stack(error));
    let place = stack.and_then(|stack| stack.split('|').next());
    let place = place.map_or_else(String::new, |place| format!(" {place}"));
    let policy = overview.spec.policy.as_ref();
    let aborts = policy.is_some_and(|policy| policy.on_failure == OnFailure::Abort);
    let stops = if aborts && overview.aborted.is_some() {
        ", and stops until RG.CONSUMER RESUME"
    } else {
        ""
    };
    let more = if more > 0 {
        format!(" ({more} more)")
    } else {
        String::new()
    };
    let id = errors.last_id?;
    Some(format!(
        "consumer {} failed at entry {id} of stream {}{stops}: {message}{place}{more}",
        quoted(format!("{}/{}", name.library, name.consumer).as_bytes()),
        quoted(&errors.last_stream),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_due_at_once_and_the_others_ten_seconds_after_the_line_before() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let before = |failures| {
            Some(Said {
                failures,
                at: start,
            })
        };
        assert_eq!(due(None, 0, start), None);
        assert_eq!(due(None, 1, start), Some(0));
        assert_eq!(due(None, 7, start), Some(6));
        assert_eq!(due(before(7), 9, at(9)), None);
        assert_eq!(due(before(7), 9, at(10)), Some(1));
        assert_eq!(due(before(7), 7, at(10)), None);
    }

    #[test]
    fn counters_that_began_anew_are_counted_from_there() {
        let start = Instant::now();
        let before = Some(Said {
            failures: 7,
            at: start,
        });
        assert_eq!(due(before, 2, start + PAUSE), Some(1));
        assert_eq!(due(before, 0, start + PAUSE), None);
    }
}
