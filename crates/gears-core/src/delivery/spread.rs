//! How the times of entries are spread, of those of a consumer's streams that finished entries last.
//! The other streams have given theirs back: it takes a kilobyte or two.

use hashbrown::HashMap;

use super::SubscriptionKey;
use super::id::EntryId;
use crate::histogram::Histogram;

/// Streams of one consumer that have percentiles of their own.
const RECENT_MAX: usize = 128;

/// Times that a part of the entries stays below: the median, and that of 99 in 100.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// Milliseconds from dispatch to finish.
    pub processing_ms: [f64; 2],
    /// Milliseconds from the entry's ID to its finish.
    pub lag_ms: [f64; 2],
}

/// How times are spread.
#[derive(Clone, Debug, Default)]
pub(super) struct Spread {
    /// From dispatch to finish.
    processing: Histogram,
    /// From the entry's ID to its finish.
    lag: Histogram,
}

impl Spread {
    #[inline]
    pub(super) fn note(&mut self, took_us: u64, lag_ms: u64) {
        self.processing.record(took_us);
        self.lag.record(lag_ms.saturating_mul(1000));
    }

    fn clear(&mut self) {
        self.processing.clear();
        self.lag.clear();
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        let parts = |histogram: &Histogram| {
            let seen = histogram.view();
            [50, 99].map(|part| seen.percentile_ms(part))
        };
        Percentiles {
            processing_ms: parts(&self.processing),
            lag_ms: parts(&self.lag),
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
    pub(super) fn note(&mut self, sub: SubscriptionKey, id: EntryId, took_us: u64, now_ms: u64) {
        let at = self.place(sub);
        let place = &mut self.places[at];
        place.is_used = true;
        place.spread.note(took_us, now_ms.saturating_sub(id.ms));
    }

    /// The place of a stream, which gets one if it has none.
    fn place(&mut self, sub: SubscriptionKey) -> usize {
        if let Some(at) = self.at.get(&sub) {
            return *at;
        }
        let at = if self.places.len() < RECENT_MAX {
            let spread = Spread::default();
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
        at
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
            recent.note(sub, EntryId::new(1, 0), 8000, 9);
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
