//! How the times of entries are spread: of a consumer as a whole, and of those of its streams that
//! finished entries last. The other streams have given theirs back: it takes a kilobyte or two.

use std::time::Duration;

use hashbrown::HashMap;
use hdrhistogram::Histogram;

use super::SubscriptionKey;
use super::id::EntryId;

/// Streams of one consumer that have percentiles of their own.
const RECENT_MAX: usize = 128;

/// The longest time that is told from longer ones: a year, in milliseconds as in microseconds.
const LONGEST: u64 = 366 * 24 * 3_600_000;

/// Times that a part of the entries stays below: the median, and that of 99 in 100.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// Milliseconds from dispatch to finish.
    pub processing_ms: [f64; 2],
    /// Milliseconds from the entry's ID to its finish.
    pub lag_ms: [f64; 2],
}

/// How times are spread. Each is kept to a sixteenth.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    /// Microseconds from dispatch to finish.
    processing_us: Histogram<u32>,
    /// Milliseconds from the entry's ID to its finish.
    lag_ms: Histogram<u32>,
}

impl Spread {
    pub(super) fn new() -> Option<Self> {
        let histogram = || {
            let mut histogram = Histogram::new(1).ok()?;
            histogram.auto(true);
            Some(histogram)
        };
        Some(Self {
            processing_us: histogram()?,
            lag_ms: histogram()?,
        })
    }

    pub(super) fn note(&mut self, took: Duration, lag_ms: u64) {
        let processing_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // What it cannot hold is left out of a picture, no more.
        let _ = self.processing_us.record(processing_us.min(LONGEST));
        let _ = self.lag_ms.record(lag_ms.min(LONGEST));
    }

    fn clear(&mut self) {
        self.processing_us.reset();
        self.lag_ms.reset();
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        let parts = |histogram: &Histogram<u32>, unit: f64| {
            #[expect(clippy::cast_precision_loss, reason = "times for people to read")]
            [0.5, 0.99].map(|part| histogram.value_at_quantile(part) as f64 / unit)
        };
        Percentiles {
            processing_ms: parts(&self.processing_us, 1000.0),
            lag_ms: parts(&self.lag_ms, 1.0),
        }
    }
}

/// A place for the times of one stream.
#[derive(Debug)]
struct Place {
    sub: SubscriptionKey,
    spread: Spread,
    /// Whether it finished an entry since it was last looked at for its place.
    is_used: bool,
}

/// How the times of a consumer's streams are spread that finished entries last. Another stream
/// takes the place of one that did nothing for as long as all others were looked at.
#[derive(Debug, Default)]
pub(super) struct RecentSpreads {
    places: Vec<Place>,
    at: HashMap<SubscriptionKey, usize>,
    /// The place that is looked at next.
    hand: usize,
}

impl RecentSpreads {
    /// A stream finished an entry.
    pub(super) fn note(&mut self, sub: SubscriptionKey, id: EntryId, took: Duration, now_ms: u64) {
        if let Some(at) = self.place(sub) {
            let place = &mut self.places[at];
            place.is_used = true;
            place.spread.note(took, now_ms.saturating_sub(id.ms));
        }
    }

    /// The place of a stream, which gets one if it has none.
    fn place(&mut self, sub: SubscriptionKey) -> Option<usize> {
        if let Some(at) = self.at.get(&sub) {
            return Some(*at);
        }
        let at = if self.places.len() < RECENT_MAX {
            let spread = Spread::new()?;
            self.places.push(Place {
                sub,
                spread,
                is_used: false,
            });
            self.places.len() - 1
        } else {
            while std::mem::take(&mut self.places[self.hand].is_used) {
                self.hand = (self.hand + 1) % RECENT_MAX;
            }
            let at = self.hand;
            self.hand = (at + 1) % RECENT_MAX;
            let place = &mut self.places[at];
            self.at.remove(&place.sub);
            place.sub = sub;
            place.spread.clear();
            at
        };
        self.at.insert(sub, at);
        Some(at)
    }

    /// Those of a stream, if it has any.
    pub(super) fn get(&self, sub: SubscriptionKey) -> Option<&Spread> {
        self.at.get(&sub).map(|at| &self.places[*at].spread)
    }

    /// A stream has another key from now on.
    pub(super) fn rename(&mut self, old: SubscriptionKey, new: SubscriptionKey) {
        if let Some(at) = self.at.remove(&old) {
            self.places[at].sub = new;
            self.at.insert(new, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn streams_that_finished_entries_last_have_spreads_and_one_that_goes_on_keeps_its_own() {
        let mut map: SlotMap<SubscriptionKey, ()> = SlotMap::with_key();
        let keys: Vec<_> = (0..3 * RECENT_MAX).map(|_| map.insert(())).collect();
        let mut recent = RecentSpreads::default();
        let note = |recent: &mut RecentSpreads, sub| {
            recent.note(sub, EntryId::new(1, 0), Duration::from_millis(8), 9);
        };
        for key in &keys {
            note(&mut recent, *key);
            note(&mut recent, keys[0]);
        }
        assert!(recent.get(keys[0]).is_some());
        assert!(recent.get(keys[1]).is_none());
        assert_eq!(recent.at.len(), RECENT_MAX);
        let last = recent.get(keys[keys.len() - 1]).map(Spread::percentiles);
        let [median, _] = last.expect("it was the last").processing_ms;
        assert!((median - 8.0).abs() <= 0.5, "{median}");
        recent.rename(keys[0], keys[1]);
        assert!(recent.get(keys[0]).is_none() && recent.get(keys[1]).is_some());
    }
}
