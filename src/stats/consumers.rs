//! Figures and states of consumers and their streams.

use super::errors::{error, stack};
use super::figure::Figure;
use crate::library::Registry;
use crate::server::InfoField;
use gears_core::delivery::{
    Backlog, ConsumerErrors, ConsumerKey, Delivery, EntryId, Overview, Percentiles, State, Stats,
    StreamView, TimesSummary, error_text,
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

/// Names of the percentiles of a stream, in the order of [`percentiles`].
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

/// How long the entries of a consumer took over the last minutes.
pub(crate) fn times(found: &TimesSummary) -> [(&'static str, Figure); 6] {
    let TimesSummary { processing, lag } = found;
    [
        ("lag_ms_p50", lag.p50_ms),
        ("lag_ms_p99", lag.p99_ms),
        ("lag_ms_max", lag.max_ms),
        ("processing_ms_p50", processing.p50_ms),
        ("processing_ms_p99", processing.p99_ms),
        ("processing_ms_max", processing.max_ms),
    ]
    .map(|(name, ms)| (name, Figure::Milliseconds(ms)))
}

/// How much a consumer has not done.
pub(crate) fn backlog(backlog: Backlog, now_ms: u64) -> [(&'static str, Figure); 3] {
    let age = backlog.oldest_ms.map_or(0, |ms| now_ms.saturating_sub(ms));
    [
        ("backlog_entries", backlog.entries),
        ("backlog_exact", backlog.is_exact.into()),
        ("oldest_pending_ms", age),
    ]
    .map(|(name, number)| (name, Figure::Number(number)))
}

/// Fields of what went wrong last for a consumer, and of how often what did.
pub(crate) fn errors(overview: &Overview<'_>) -> [(&'static str, Reply); 6] {
    let last_error = overview.totals.last_error.as_deref();
    let errors = overview.errors;
    let none = || Reply::text("None");
    let stream = errors.map(|errors| Reply::Bulk(errors.last_stream.to_vec()));
    let classes = errors
        .into_iter()
        .flat_map(|errors| errors.classes.iter())
        .map(|(class, count)| (Reply::text(class), Reply::count(count)));
    [
        ("last_error", error(last_error)),
        ("last_error_stack", stack(last_error)),
        (
            "last_error_time",
            Reply::count(errors.map_or(0, |errors| errors.last_ms)),
        ),
        ("last_error_id", Reply::text(last_error_id(errors))),
        ("last_error_stream", stream.unwrap_or_else(none)),
        ("error_classes", Reply::Map(classes.collect())),
    ]
}

fn last_error_id(errors: Option<&ConsumerErrors>) -> String {
    let id = errors.and_then(|errors| errors.last_id);
    id.map_or_else(|| "None".to_owned(), |id| id.to_string())
}

/// The same as texts of a line of INFO.
fn errors_as_text(overview: &Overview<'_>) -> [(&'static str, String); 4] {
    let last_error = overview.totals.last_error.as_deref();
    let last_error = last_error.map_or("None", error_text::message);
    let errors = overview.errors;
    let last_ms = errors.map_or(0, |errors| errors.last_ms);
    let classes: Vec<_> = errors
        .into_iter()
        .flat_map(|errors| errors.classes.iter())
        .map(|(class, count)| format!("{}:{count}", on_a_line(class).replace('|', "_")))
        .collect();
    let classes = if classes.is_empty() {
        "None".to_owned()
    } else {
        classes.join("|")
    };
    [
        ("last_error", on_a_line(last_error)),
        ("last_error_time", last_ms.to_string()),
        ("last_error_id", last_error_id(errors)),
        ("error_classes", classes),
    ]
}

/// One line per consumer, for INFO.
pub(super) fn of_consumers(
    registry: &Registry,
    delivery: &mut Delivery,
    now_ms: u64,
) -> Vec<InfoField> {
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
            let number = |(name, number): (&'static str, u64)| (name, number.to_string());
            let mut texts: Vec<_> = numbers.into_iter().map(number).collect();
            let times = times(&overview.times.summary(now_ms)).into_iter();
            texts.extend(times.map(|(name, figure)| (name, figure.text())));
            texts.push(("state", state_word(overview.state).to_owned()));
            texts.extend(redriven.into_iter().map(number));
            texts.push(("blocked_streams", overview.blocked_streams.to_string()));
            let reason = overview
                .reason
                .as_deref()
                .map_or("None", error_text::message);
            texts.push(("reason", on_a_line(reason)));
            texts.extend(errors_as_text(&overview));
            let backlog = backlog(overview.backlog, now_ms).into_iter();
            texts.extend(backlog.map(|(name, figure)| (name, figure.text())));
            fields.push(InfoField::Texts(
                format!("consumer_{library}_{name}"),
                texts,
            ));
        }
    }
    fields
}

/// Characters of a text in a line of INFO.
const SHOWN: usize = 200;

/// A text as a value of a line of INFO, which has room for no line break, `,` or `=`; and not for all
/// of a long one.
fn on_a_line(text: &str) -> String {
    let text = text.chars().take(SHOWN);
    let is_bad = |one: char| one.is_control() || ",=".contains(one);
    text.map(|one| if is_bad(one) { '_' } else { one })
        .collect()
}

/// What becomes of dead letters that were redriven.
fn redriven(delivery: &mut Delivery, consumer: ConsumerKey) -> [(&'static str, u64); 5] {
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
        ("redriven", ok + failed),
    ]
}

/// How many dead letters of a consumer were redriven, and are done or given up again.
pub(crate) fn redriven_count(delivery: &mut Delivery, consumer: ConsumerKey) -> u64 {
    let view = delivery.redrives(consumer);
    view.map_or(0, |view| view.done.ok + view.done.failed)
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
