//! How it stands with consumers and their streams, in numbers and words: what LIST, RG.CONSUMER
//! INFO and the server's INFO have in common.

use crate::library::Registry;
use crate::server::Field;
use gears_core::delivery::{
    Backoff, Condition, ConsumerKey, ConsumerSpec, Delivery, EntryId, OnFailure, Percentiles,
    Policy, Scope, Start, State, Stats, StreamView,
};
use gears_v8::ports::Reply;

/// The sum over the streams of a consumer.
pub(super) struct Sum {
    pub(super) state: State,
    pub(super) streams: usize,
    pub(super) processed: u64,
    pub(super) in_flight: usize,
    pub(super) counters: Counters,
    pub(super) percentiles: Percentiles,
}

/// What is counted beside what LIST always shows.
#[derive(Clone, Copy, Default)]
pub(super) struct Counters {
    attempts: u64,
    failures: u64,
    given_up: u64,
    dead_letters: u64,
    filtered: u64,
}

impl Counters {
    pub(super) fn of(stats: &Stats) -> Self {
        Self {
            attempts: stats.attempts,
            failures: stats.failures,
            given_up: stats.given_up,
            dead_letters: stats.dead_letters,
            filtered: stats.filtered,
        }
    }

    fn add(&mut self, other: Self) {
        self.attempts += other.attempts;
        self.failures += other.failures;
        self.given_up += other.given_up;
        self.dead_letters += other.dead_letters;
        self.filtered += other.filtered;
    }

    pub(super) fn named(self) -> [(&'static str, u64); 5] {
        [
            ("attempts", self.attempts),
            ("failures", self.failures),
            ("given_up", self.given_up),
            ("dead_letters", self.dead_letters),
            ("filtered", self.filtered),
        ]
    }

    pub(super) fn fields(self) -> impl Iterator<Item = (&'static str, Reply)> {
        let named = self.named().into_iter();
        named.map(|(name, number)| (name, Reply::count(number)))
    }
}

/// The names of the four percentiles, which begin in the order of [`percentiles`].
pub(super) const PERCENTILES: [&str; 4] = [
    "lag_ms_p50",
    "lag_ms_p99",
    "processing_ms_p50",
    "processing_ms_p99",
];

pub(super) fn percentiles(found: &Percentiles) -> [f64; 4] {
    let [lag_50, lag_99] = found.lag_ms;
    let [processing_50, processing_99] = found.processing_ms;
    [lag_50, lag_99, processing_50, processing_99]
}

pub(super) fn sum(consumer: ConsumerKey, delivery: &Delivery) -> Sum {
    let mut sum = Sum {
        state: delivery.state_of(consumer),
        streams: delivery.stream_count(consumer),
        processed: 0,
        in_flight: 0,
        counters: Counters::default(),
        percentiles: Stats::percentiles(delivery.streams_of(consumer).map(|one| one.stats)),
    };
    for stream in delivery.streams_of(consumer) {
        sum.processed += stream.stats.finished;
        sum.in_flight += stream.in_flight().len();
        sum.counters.add(Counters::of(stream.stats));
    }
    sum
}

/// A line for each consumer in the server's INFO.
pub(crate) fn of_consumers(registry: &Registry, delivery: &Delivery) -> Vec<Field> {
    let mut fields = Vec::new();
    for (library, one) in registry {
        for (name, consumer) in &one.consumers {
            let sum = sum(consumer.key, delivery);
            let mut numbers = vec![
                ("streams", sum.streams as u64),
                ("processed", sum.processed),
                ("in_flight", sum.in_flight as u64),
            ];
            numbers.extend(sum.counters.named());
            let times = PERCENTILES.into_iter().zip(percentiles(&sum.percentiles));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "times are not negative, and below a year"
            )]
            numbers.extend(times.map(|(name, ms)| (name, ms.round() as u64)));
            let state = match sum.state {
                State::Running => 0,
                State::Waiting => 1,
                State::Paused => 2,
                State::Aborted => 3,
                State::Refused => 4,
            };
            numbers.push(("state", state));
            fields.push(Field::Numbers(
                format!("consumer_{library}_{name}"),
                numbers,
            ));
        }
    }
    fields
}

pub(super) fn state(state: State) -> Reply {
    Reply::text(match state {
        State::Running => "running",
        State::Waiting => "waiting",
        State::Paused => "paused",
        State::Aborted => "aborted",
        State::Refused => "refused",
    })
}

pub(super) fn position(stream: &StreamView<'_>) -> Reply {
    match stream.position() {
        EntryId::ZERO => Reply::text("None"),
        id => Reply::text(id.to_string()),
    }
}

pub(super) fn ids(ids: Vec<EntryId>) -> Reply {
    let texts = ids.into_iter().map(|id| Reply::text(id.to_string()));
    Reply::Array(texts.collect())
}

// --- options ----------------------------------------------------------------------------------------

/// Whether a consumer was registered with options.
pub(super) fn has_options(spec: &ConsumerSpec) -> bool {
    spec.policy.is_some() || spec.exact || spec.start != Start::Earliest
}

/// The options that differ from what holds without them.
pub(super) fn options(spec: &ConsumerSpec) -> Reply {
    let mut fields = Vec::new();
    if let Some(policy) = &spec.policy {
        of_policy(policy, &mut fields);
    }
    match spec.start {
        Start::Earliest => {}
        Start::Latest => fields.push(("start", Reply::text("latest"))),
        Start::At(id) => fields.push(("start", Reply::text(id.to_string()))),
    }
    if spec.exact {
        fields.push(("exact", Reply::Bool(true)));
    }
    Reply::record(fields)
}

fn of_policy(policy: &Policy, fields: &mut Vec<(&'static str, Reply)>) {
    if let Some(batch) = policy.batch {
        fields.push(("batch", Reply::count(batch)));
    }
    if policy.duration_ms > 0 {
        fields.push(("duration", Reply::count(policy.duration_ms)));
    }
    match policy.on_failure {
        OnFailure::Continue => {}
        OnFailure::Retry => fields.push(("on_failure", Reply::text("retry"))),
        OnFailure::Abort => fields.push(("on_failure", Reply::text("abort"))),
    }
    if policy.on_failure == OnFailure::Retry {
        of_retries(policy, fields);
    }
    if let Some(to) = &policy.dead_letter {
        fields.push(("dead_letter", Reply::Bulk(to.to_vec())));
    }
    if policy.scope == Scope::Consumer {
        fields.push(("scope", Reply::text("consumer")));
    }
    if let Some(field) = &policy.order_by {
        fields.push(("order_by", Reply::Bulk(field.to_vec())));
    }
    if let Some(filter) = &policy.filter {
        let of_fields = filter.fields.iter();
        let conditions =
            of_fields.map(|(name, condition)| (Reply::Bulk(name.clone()), of_condition(condition)));
        fields.push(("filter", Reply::Map(conditions.collect())));
    }
}

fn of_retries(policy: &Policy, fields: &mut Vec<(&'static str, Reply)>) {
    let backoff = policy.backoff;
    if backoff.factor > 1.0 || backoff.jitter > 0.0 || backoff.max_ms != backoff.initial_ms {
        let backoff = Reply::record(vec![
            ("initial", Reply::count(backoff.initial_ms)),
            ("factor", Reply::Double(backoff.factor)),
            ("max", Reply::count(backoff.max_ms)),
            ("jitter", Reply::Double(backoff.jitter)),
        ]);
        fields.push(("backoff", backoff));
    } else if backoff != Backoff::default() {
        fields.push(("retry_interval", Reply::count(backoff.initial_ms)));
    }
    if let Some(most) = policy.max_attempts {
        fields.push(("max_attempts", Reply::count(most)));
    }
    if let Some(most) = policy.max_age_ms {
        fields.push(("max_age", Reply::count(most)));
    }
    if policy.bisect {
        fields.push(("bisect", Reply::Bool(true)));
    }
}

fn of_condition(condition: &Condition) -> Reply {
    match condition {
        Condition::Equals(value) => Reply::Bulk(value.clone()),
        Condition::Prefix(value) => Reply::record(vec![("prefix", Reply::Bulk(value.clone()))]),
        Condition::Exists(wanted) => Reply::record(vec![("exists", Reply::Bool(*wanted))]),
        Condition::Any(any) => Reply::Array(any.iter().map(of_condition).collect()),
        Condition::Not(inner) => Reply::record(vec![("not", of_condition(inner))]),
    }
}
