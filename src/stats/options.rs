//! A consumer's options as replies show them: only those that differ from the defaults.

use gears_core::delivery::{Backoff, Condition, ConsumerSpec, OnFailure, Policy, Scope, Start};
use gears_v8::ports::Reply;

/// Whether a consumer was registered with options.
pub(crate) fn has_options(spec: &ConsumerSpec) -> bool {
    spec.policy.is_some() || spec.exact || spec.start != Start::Earliest
}

/// The options that differ from the defaults.
pub(crate) fn options(spec: &ConsumerSpec) -> Reply {
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
    if let Some(most) = policy.timeout_ms {
        fields.push(("timeout", Reply::count(most)));
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
