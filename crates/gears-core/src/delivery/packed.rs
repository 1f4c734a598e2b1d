//! A subscription at rest, in little memory: what it has no more than others at rest is left out,
//! and numbers take the bytes that they need.

use std::sync::Arc;

use super::cursor::Cursor;
use super::feed::{Feed, FeedAtRest};
use super::id::EntryId;
use super::rare::Rare;
use super::stats::Stats;
use super::subscription::{Lists, Phase, Subscription, Tail};
use super::tally::Tally;
use super::{ConsumerKey, StreamKey};

/// Bytes that one takes. Those of nearly all fit in; others stay as they are.
const BYTES: usize = 39;

/// What it has, each a bit; the most usual ones first.
mod has {
    pub(super) const COUNTED: u64 = 1;
    pub(super) const BATCHES: u64 = 1 << 1;
    pub(super) const EXACT_COUNT: u64 = 1 << 2;
    pub(super) const DRAINING: u64 = 1 << 3;
    pub(super) const UNREAD: u64 = 1 << 4;
    pub(super) const OTHER_ATTEMPTS: u64 = 1 << 5;
    pub(super) const FAILED: u64 = 1 << 6;
    pub(super) const FAILING: u64 = 1 << 7;
    pub(super) const ERROR: u64 = 1 << 8;
    pub(super) const MISSED_COMMIT: u64 = 1 << 9;
    pub(super) const MORE: u64 = 1 << 10;
}

/// A subscription at rest, but for its consumer, its stream and the text of its last error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed([u8; BYTES]);

impl Packed {
    /// Packs a subscription; `None` where it is not at rest, is in a list, or does not fit.
    pub(super) fn new(sub: &Subscription) -> Option<Self> {
        // A field that is added has to be thought of here.
        let Subscription {
            consumer: _,
            stream: _,
            discovered,
            cursor,
            tail,
            delivery_state,
            feed,
            on_old_code,
            timer_ms,
            uncommitted_slots,
            phase,
            lists,
            missed_commit,
            tally,
        } = sub;
        let is_at_rest = *phase == Phase::Running
            && *timer_ms == 0
            && *uncommitted_slots == 0
            && lists.is_in_none()
            && delivery_state.is_none()
            && on_old_code.is_none();
        if !is_at_rest {
            return None;
        }
        let read = cursor.at_rest()?;
        let feed = feed.at_rest(read)?;
        let (stats, latency_us) = (tally.stats(), tally.latency_us().unwrap_or(0));
        let failed = [
            stats.failures,
            stats.given_up,
            stats.dead_letters,
            stats.filtered,
        ];
        let has_failed = failed != [0; 4];
        let is_counted = stats.finished > 0 || latency_us > 0;
        let has_others = stats.attempts != stats.finished;
        let flags = [
            (is_counted, has::COUNTED),
            (feed.is_batched, has::BATCHES),
            (feed.is_count_exact, has::EXACT_COUNT),
            (feed.is_draining, has::DRAINING),
            (
                tail.has_unread || !tail.is_counted || tail.unread_new > 0,
                has::UNREAD,
            ),
            (has_others, has::OTHER_ATTEMPTS),
            (has_failed, has::FAILED),
            (stats.failing, has::FAILING),
            (stats.last_error.is_some(), has::ERROR),
            (*missed_commit, has::MISSED_COMMIT),
            (tail.more != 0, has::MORE),
        ];
        let flags = flags.iter().filter(|(is_set, _)| *is_set);
        let flags = flags.fold(0, |flags, (_, bit)| flags | bit);
        let mut writer = Writer {
            bytes: [0; BYTES],
            at: 0,
        };
        writer.put(&[flags, *discovered, read.ms, read.seq])?;
        if is_counted {
            writer.put(&[
                stats.finished,
                stats.total_processed_ms,
                stats.total_lag_ms,
                stats.last_processed_ms,
                stats.last_lag_ms,
                latency_us,
            ])?;
        }
        if flags & has::UNREAD > 0 {
            let unread_new = tail.unread_new.checked_mul(4)?;
            let is_uncounted = u64::from(!tail.is_counted) << 1;
            writer.put(&[unread_new | is_uncounted | u64::from(tail.has_unread)])?;
        }
        if flags & has::MORE > 0 {
            let sign = u64::from(tail.more < 0);
            writer.put(&[(u64::from(tail.more.unsigned_abs()) << 1) | sign])?;
        }
        if has_others {
            writer.put(&[stats.attempts])?;
        }
        if has_failed {
            writer.put(&failed)?;
        }
        Some(Self(writer.bytes))
    }

    /// The subscription that was packed. Of its last error, if it had one, the text is asked for.
    pub(super) fn unpack(
        &self,
        consumer: ConsumerKey,
        stream: StreamKey,
        error: impl FnOnce() -> Option<Arc<str>>,
    ) -> Subscription {
        let mut bytes = &self.0[..];
        let mut get = || take(&mut bytes);
        let flags = get();
        let is = |bit: u64| flags & bit > 0;
        let (discovered, read) = (get(), EntryId::new(get(), get()));
        let mut stats = Stats::default();
        let mut latency_us = 0;
        if is(has::COUNTED) {
            stats.finished = get();
            stats.total_processed_ms = get();
            stats.total_lag_ms = get();
            stats.last_processed_ms = get();
            stats.last_lag_ms = get();
            latency_us = get();
        }
        let tail = if is(has::UNREAD) { get() } else { 0 };
        let more = if is(has::MORE) { get() } else { 0 };
        let (more, is_less) = (i64::try_from(more >> 1).unwrap_or(0), more & 1 > 0);
        let more = i32::try_from(if is_less { -more } else { more });
        stats.attempts = if is(has::OTHER_ATTEMPTS) {
            get()
        } else {
            stats.finished
        };
        if is(has::FAILED) {
            stats.failures = get();
            stats.given_up = get();
            stats.dead_letters = get();
            stats.filtered = get();
        }
        stats.failing = is(has::FAILING);
        if is(has::ERROR) {
            stats.last_error = error();
        }
        Subscription {
            consumer,
            stream,
            discovered,
            cursor: Cursor::of_rest(read),
            tail: Tail {
                has_unread: tail & 1 > 0,
                is_counted: tail & 2 == 0,
                more: more.unwrap_or(0),
                unread_new: tail >> 2,
            },
            delivery_state: Rare::default(),
            feed: Feed::of_rest(FeedAtRest {
                is_batched: is(has::BATCHES),
                is_count_exact: is(has::EXACT_COUNT),
                is_draining: is(has::DRAINING),
            }),
            on_old_code: Rare::default(),
            timer_ms: 0,
            uncommitted_slots: 0,
            phase: Phase::Running,
            lists: Lists::default(),
            missed_commit: is(has::MISSED_COMMIT),
            tally: Tally::of(stats, latency_us),
        }
    }
}

struct Writer {
    bytes: [u8; BYTES],
    at: usize,
}

impl Writer {
    /// Writes numbers, seven bits to a byte, the lowest first; `None` where they do not fit.
    fn put(&mut self, numbers: &[u64]) -> Option<()> {
        for number in numbers {
            let mut rest = *number;
            loop {
                let byte = self.bytes.get_mut(self.at)?;
                self.at += 1;
                *byte = (rest & 0x7f) as u8;
                rest >>= 7;
                if rest == 0 {
                    break;
                }
                *byte |= 0x80;
            }
        }
        Some(())
    }
}

/// Reads a number.
fn take(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use slotmap::Key;

    use super::*;
    use crate::delivery::checkpoint::Checkpoint;
    use crate::delivery::{ConsumerSpec, Mode, Policy};

    fn rested(position: EntryId, is_batched: bool) -> Subscription {
        let mut spec = ConsumerSpec::new(b"s", 1, false, Mode::Async);
        if is_batched {
            spec.policy = Some(Arc::new(Policy::default()));
        }
        let mut sub = Subscription::new(ConsumerKey::null(), StreamKey(0), 1, &spec);
        let checkpoint = Checkpoint {
            position,
            ..Checkpoint::default()
        };
        sub.resume(&checkpoint, 0);
        sub
    }

    fn again(sub: &Subscription) -> Option<Subscription> {
        let error = sub.tally.last_error().cloned();
        let packed = Packed::new(sub)?;
        Some(packed.unpack(sub.consumer, sub.stream, || error))
    }

    proptest! {
        #[test]
        fn what_is_unpacked_is_what_was_packed(
            (ms, seq, place) in (0..u64::from(u32::MAX) << 10, 0..100u64, 1..1u64 << 32),
            entries in prop::collection::vec((0..1u64 << 42, 0..1u64 << 20, any::<bool>()), 0..9),
            (filtered, unread_new) in (0..100u64, 0..100u64),
            [is_batched, is_exact, drains, has_unread, is_counted, missed] in any::<[bool; 6]>(),
            more in prop_oneof![Just(0), any::<i32>()],
        ) {
            let mut sub = rested(EntryId::new(ms, seq), is_batched);
            sub.discovered = place;
            sub.tail = Tail { has_unread, is_counted, more, unread_new };
            sub.missed_commit = missed;
            if let Feed::Batched(batched) = &mut sub.feed {
                batched.is_count_exact = is_exact;
                batched.batcher.waiting_mut().draining = drains;
            }
            for (at, took, failed) in entries {
                let error = failed.then(|| Arc::from("boom"));
                sub.tally.note_call(failed);
                let took = Duration::from_micros(took);
                sub.tally.note_finished(EntryId::ZERO, took, at, error);
            }
            sub.tally.note_filtered(filtered);
            // One that takes too much room stays as it is.
            if let Some(again) = again(&sub) {
                let shown = |sub: &Subscription| {
                    let counted = (sub.tally.stats(), sub.tally.latency_us());
                    let rest = (sub.discovered, sub.tail, &sub.feed, sub.missed_commit);
                    format!("{:?} {counted:?} {rest:?}", sub.cursor)
                };
                prop_assert_eq!(shown(&again), shown(&sub));
            }
        }
    }

    #[test]
    fn years_of_entries_fit_in() {
        let mut sub = rested(EntryId::new(1 << 41, 1 << 13), false);
        sub.discovered = 1 << 34;
        let stats = Stats {
            finished: 1 << 34,
            attempts: 1 << 34,
            total_processed_ms: 1 << 41,
            total_lag_ms: 1 << 41,
            last_processed_ms: 1 << 13,
            last_lag_ms: 1 << 13,
            ..Stats::default()
        };
        sub.tally = Tally::of(stats, 1 << 20);
        assert!(Packed::new(&sub).is_some());
    }

    #[test]
    fn what_is_not_at_rest_is_not_packed() {
        let sub = || rested(EntryId::new(1, 1), false);
        assert!(Packed::new(&sub()).is_some());
        let mut paused = sub();
        paused.delivery_state.paused = true;
        let mut reading = sub();
        reading.cursor.note_read(&[(EntryId::new(2, 1), 10)]);
        let mut timed = sub();
        timed.timer_ms = 1;
        for sub in [paused, reading, timed] {
            assert!(Packed::new(&sub).is_none(), "{sub:?}");
        }
    }
}
