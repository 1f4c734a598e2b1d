//! A consumer's streams, a page at a time.
//!
//! A stream has its place in its consumer's list from when it comes into sight until it goes,
//! whatever becomes of the others and of its name. Pages go from the last place to the first, so a
//! cursor, which is a place, leads through those streams that are there throughout once each; what
//! comes into sight meanwhile has a place behind, and is left out.

use super::super::delivery_state::State;
use super::super::{ConsumerKey, SubscriptionKey};
use super::{Delivery, StreamView};

/// Which streams of a consumer are looked at, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Those before a place, the one that was discovered last first; before 0: all.
    Before(u64),
    /// The same of those that are held up so.
    Held(State, u64),
    /// Those that are behind, the one that is furthest behind first.
    Behind,
}

/// Streams of a consumer.
#[derive(Debug)]
pub struct Page<'a> {
    /// The streams.
    pub rows: Vec<Row<'a>>,
    /// Before which place to go on; 0 where there is nothing more.
    pub next: u64,
}

/// A stream on a page.
#[derive(Debug)]
pub struct Row<'a> {
    /// The stream.
    pub stream: StreamView<'a>,
    /// Since when it is behind, Unix milliseconds: the time in the ID of the oldest entry that is
    /// not done. `None` where everything is done.
    pub behind_since_ms: Option<u64>,
}

impl Delivery {
    /// At most so many streams of a consumer that are `wanted`, looking on while `goes_on`.
    pub fn page(
        &mut self,
        key: ConsumerKey,
        choice: Choice,
        most: usize,
        wanted: impl Fn(&StreamView<'_>) -> bool,
        mut goes_on: impl FnMut() -> bool,
    ) -> Page<'_> {
        self.note_standings();
        let mut page = Page {
            rows: Vec::new(),
            next: 0,
        };
        let mut last = 0;
        for (place, sub) in self.chosen(key, choice) {
            if page.rows.len() >= most || (last > 0 && !goes_on()) {
                // Who is behind has no place that stays.
                page.next = if choice == Choice::Behind { 0 } else { last };
                break;
            }
            last = place;
            let stream = self.view(sub);
            if wanted(&stream) {
                let standings = &self.consumers[key].standings;
                page.rows.push(Row {
                    stream,
                    behind_since_ms: standings.get(sub).behind_since_ms,
                });
            }
        }
        page
    }

    /// Subscriptions and their places.
    fn chosen(
        &self,
        key: ConsumerKey,
        choice: Choice,
    ) -> Box<dyn Iterator<Item = (u64, SubscriptionKey)> + '_> {
        let Some(consumer) = self.there(key) else {
            return Box::new(std::iter::empty());
        };
        let below = |place: u64| if place == 0 { u64::MAX } else { place };
        let at = |place: u64| Some((place, self.subs.key_at(consumer.subs.get(place)?)));
        match choice {
            Choice::Before(place) => {
                let subs = consumer.subs.below(..below(place));
                Box::new(subs.map(|(place, at)| (place, self.subs.key_at(at))))
            }
            Choice::Held(state, place) => {
                let places = consumer.standings.held(state, below(place));
                let state_of = move |sub: SubscriptionKey| self.view(sub).state;
                // A pause may have ended by itself.
                let held = places.filter_map(at);
                Box::new(held.filter(move |(_, sub)| state_of(*sub) == state))
            }
            Choice::Behind => {
                let subs = consumer.standings.furthest_behind();
                Box::new(subs.map(|sub| (self.subs.at(sub).discovered, sub)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::delivery::{ConsumerSpec, Event, KeyRef, Mode};

    #[derive(Clone, Debug)]
    enum Step {
        Add(u8),
        Remove(u8),
        Page(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            any::<u8>().prop_map(Step::Add),
            any::<u8>().prop_map(Step::Remove),
            (1..5usize).prop_map(Step::Page),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn a_stream_that_is_there_throughout_is_shown_once_whatever_comes_and_goes(
            before in prop::collection::vec(any::<u8>(), 0..40),
            steps in steps(),
        ) {
            let mut core = Delivery::new(true);
            let consumer = core.add_consumer(ConsumerSpec::new(b"s", 1, false, Mode::Async));
            let name = |number: u8| format!("s{number}").into_bytes();
            let mut there = BTreeSet::new();
            for number in before {
                core.on(Event::Found(KeyRef { db: 0, name: &name(number) }));
                there.insert(name(number));
            }
            let mut shown = BTreeMap::new();
            let mut next = 0;
            let turn = |core: &mut Delivery, next: &mut u64, most, shown: &mut BTreeMap<_, u32>| {
                let page = core.page(consumer, Choice::Before(*next), most, |_| true, || true);
                for row in &page.rows {
                    *shown.entry(row.stream.name.to_vec()).or_default() += 1;
                }
                *next = page.next;
                page.next == 0
            };
            let mut is_over = false;
            for step in steps {
                match step {
                    Step::Add(number) => {
                        core.on(Event::Found(KeyRef { db: 0, name: &name(number) }));
                    }
                    Step::Remove(number) => {
                        core.on(Event::Removed(KeyRef { db: 0, name: &name(number) }));
                        there.remove(&name(number));
                    }
                    Step::Page(most) => is_over = turn(&mut core, &mut next, most, &mut shown),
                }
                if is_over {
                    break;
                }
            }
            while !is_over {
                is_over = turn(&mut core, &mut next, 3, &mut shown);
            }
            prop_assert!(shown.values().all(|count| *count == 1));
            prop_assert!(there.iter().all(|name| shown.contains_key(name)));
        }
    }

    #[test]
    fn a_look_that_takes_too_long_goes_on_at_the_next_page() {
        let mut core = Delivery::new(true);
        let consumer = core.add_consumer(ConsumerSpec::new(b"s", 1, false, Mode::Async));
        for name in [&b"s1"[..], b"s2", b"s3"] {
            core.on(Event::Found(KeyRef { db: 0, name }));
        }
        let wanted = |stream: &StreamView<'_>| stream.name == b"s1";
        let page = core.page(consumer, Choice::Before(0), 9, wanted, || false);
        assert!(page.rows.is_empty() && page.next > 0);
        let next = Choice::Before(page.next);
        let page = core.page(consumer, next, 9, wanted, || true);
        assert_eq!((page.rows.len(), page.next), (1, 0));
    }
}
