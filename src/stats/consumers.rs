//! Figures and states of consumers and their streams.

use crate::library::Registry;
use crate::server::InfoField;
use gears_core::delivery::{
    ConsumerKey, Delivery, EntryId, Percentiles, State, Stats, StreamView, error_text,
};
use gears_v8::ports::Reply;

/// Counters that LIST shows only for consumers with options.
#[derive(Clone, Copy)]
pub(crate) struct Counters {
    attempts: u64,
    failures: u64,
    given_up: u64,
    dead_letters: u64,
    filtered: u64,
}

impl Counters {
    pub(crate) fn of(stats: &Stats) -> Self {
        Self {
            attempts: stats.attempts,
            failures: stats.failures,
            given_up: stats.given_up,
            dead_letters: stats.dead_letters,
            filtered: stats.filtered,
        }
    }

    pub(crate) fn named(self) -> [(&'static str, u64); 5] {
        [
            ("attempts", self.attempts),
            ("failures", self.failures),
            ("given_up", self.given_up),
            ("dead_letters", self.dead_letters),
            ("filtered", self.filtered),
        ]
    }

    pub(crate) fn fields(self) -> impl Iterator<Item = (&'static str, Reply)> {
        let named = self.named().into_iter();
        named.map(|(name, number)| (name, Reply::count(number)))
    }
}

/// Names of the percentiles, in the order of [`percentiles`].
pub(crate) const PERCENTILES: [&str; 4] = [
    "lag_ms_p50",
    "lag_ms_p99",
    "processing_ms_p50",
    "processing_ms_p99",
];

pub(crate) fn percentiles(found: &Percentiles) -> [f64; 4] {
    let [lag_50, lag_99] = found.lag_ms;
    let [processing_50, processing_99] = found.processing_ms;
    [lag_50, lag_99, processing_50, processing_99]
}

/// One line per consumer, for INFO.
pub(super) fn of_consumers(registry: &Registry, delivery: &mut Delivery) -> Vec<InfoField> {
    let mut fields = Vec::new();
    for (library, one) in registry {
        for (name, consumer) in &one.consumers {
            let redriven = redriven(delivery, consumer.key);
            let Some(overview) = delivery.overview(consumer.key) else {
                continue;
            };
            let totals = overview.totals;
            let mut numbers = vec![
                ("streams", overview.streams as u64),
                ("processed", totals.finished),
                ("in_flight", overview.in_flight as u64),
            ];
            numbers.extend(Counters::of(totals).named());
            let times = PERCENTILES
                .into_iter()
                .zip(percentiles(&totals.percentiles()));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "times are not negative, and below a year"
            )]
            numbers.extend(times.map(|(name, ms)| (name, ms.round() as u64)));
            let number = |(name, number): (&'static str, u64)| (name, number.to_string());
            let mut texts: Vec<_> = numbers.into_iter().map(number).collect();
            texts.push(("state", state_word(overview.state).to_owned()));
            texts.extend(redriven.into_iter().map(number));
            texts.push(("blocked_streams", overview.blocked_streams.to_string()));
            let reason = overview
                .reason
                .as_deref()
                .map_or("None", error_text::message);
            texts.push(("reason", on_a_line(reason)));
            fields.push(InfoField::Texts(
                format!("consumer_{library}_{name}"),
                texts,
            ));
        }
    }
    fields
}

/// A text as a value of a line of INFO, which has room for no line break, `,` or `=`.
fn on_a_line(text: &str) -> String {
    text.replace(|one: char| one.is_control() || ",=".contains(one), "_")
}

/// What becomes of dead letters that were redriven.
fn redriven(delivery: &mut Delivery, consumer: ConsumerKey) -> [(&'static str, u64); 4] {
    let view = delivery.redrives(consumer);
    let numbers = view.map_or([0; 4], |view| {
        let (waiting, running) = (view.waiting as u64, view.running as u64);
        [waiting, running, view.done.ok, view.done.failed]
    });
    let [waiting, running, ok, failed] = numbers;
    [
        ("redrives_waiting", waiting),
        ("redrives_running", running),
        ("redrives_ok", ok),
        ("redrives_failed", failed),
    ]
}

pub(crate) fn state(state: State) -> Reply {
    Reply::text(state_word(state))
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Waiting => "waiting",
        State::Paused => "paused",
        State::Aborted => "aborted",
        State::Refused => "refused",
        State::Blocked => "blocked",
    }
}

pub(crate) fn position(stream: &StreamView<'_>) -> Reply {
    match stream.position() {
        EntryId::ZERO => Reply::text("None"),
        id => Reply::text(id.to_string()),
    }
}

pub(crate) fn ids(ids: Vec<EntryId>) -> Reply {
    let texts = ids.into_iter().map(|id| Reply::text(id.to_string()));
    Reply::Array(texts.collect())
}
