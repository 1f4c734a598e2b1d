//! The options of a stream consumer: the sixth argument of `register_stream_consumer`.
//!
//! What is wrong is named, and so is what would do nothing: an option that is silently without
//! effect is found out when it is too late.

use std::sync::Arc;

use gears_core::delivery::{Backoff, Condition, EntryId, Filter, OnFailure, Policy, Scope, Start};

use crate::api::v1::arguments::{
    BYTES_MAX, OptionsOf, PROPERTIES_MAX, Value, bytes_of, plain_object, short_string,
};
use crate::api::v1::loading::Extras;

const BATCH_MAX: f64 = 10_000.0;
const ATTEMPTS_MAX: f64 = 1_000_000.0;
/// The longest time to wait: a day, in milliseconds.
const MS_MAX: f64 = 24.0 * 3_600_000.0;
/// The longest age: a year.
const AGE_MAX: f64 = 366.0 * MS_MAX;
const FACTOR_MAX: f64 = 100.0;
/// What `backoff.max` is by default: an hour.
const BACKOFF_MAX_MS: u64 = 3_600_000;
/// Conditions of one filter, and how deep they are nested.
const CONDITIONS_MAX: usize = PROPERTIES_MAX;
const DEPTH_MAX: usize = 16;

/// The options of a stream consumer, checked.
#[derive(Default)]
pub(crate) struct ConsumerOptions<'s> {
    pub(crate) start: Start,
    pub(crate) exact: bool,
    pub(crate) policy: Option<Arc<Policy>>,
    pub(crate) extras: Extras<'s>,
}

const OF: OptionsOf = OptionsOf("register_stream_consumer");

/// Reads the options.
pub(crate) fn parse<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    value: Value<'s>,
) -> Result<ConsumerOptions<'s>, String> {
    if value.is_undefined() {
        return Ok(ConsumerOptions::default());
    }
    let Some(object) = plain_object(value) else {
        return Err("Sixth argument to 'register_stream_consumer' must be an object".into());
    };
    let mut options = ConsumerOptions::default();
    let mut policy = Policy::default();
    let mut named = Vec::new();
    for (name, value) in OF.properties(scope, object)? {
        read(scope, &name, value, &mut options, &mut policy)?;
        named.push(name);
    }
    check_together(&named, &policy)?;
    if policy != Policy::default() || named.iter().any(|name| !is_placing(name)) {
        options.policy = Some(Arc::new(policy));
    }
    Ok(options)
}

/// Options that say which entries are wanted, and leave how they are dispatched as it is.
fn is_placing(name: &str) -> bool {
    matches!(name, "start" | "exact" | "on_registered" | "description")
}

fn read<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    name: &str,
    value: Value<'s>,
    options: &mut ConsumerOptions<'s>,
    policy: &mut Policy,
) -> Result<(), String> {
    let wrong = |what: &str| OF.wrong(name, what);
    match name {
        "batch" => policy.batch = Some(OF.whole(name, value, (1.0, BATCH_MAX), "")?),
        "duration" => policy.duration_ms = milliseconds(name, value)?,
        "on_failure" => {
            policy.on_failure = match short_string(scope, value).as_deref() {
                Some("continue") => OnFailure::Continue,
                Some("retry") => OnFailure::Retry,
                Some("abort") => OnFailure::Abort,
                _ => return Err(wrong("'continue', 'retry' or 'abort'")),
            }
        }
        "retry_interval" => policy.backoff = Backoff::every(milliseconds(name, value)?),
        "backoff" => policy.backoff = backoff(scope, value)?,
        "max_attempts" => {
            let most = OF.whole(name, value, (1.0, ATTEMPTS_MAX), "")?;
            policy.max_attempts = u32::try_from(most).ok();
        }
        "max_age" => {
            let most = OF.whole(name, value, (0.0, AGE_MAX), "")?;
            policy.max_age_ms = Some(most as u64);
        }
        "dead_letter" => policy.dead_letter = Some(named(scope, name, value)?),
        "bisect" => policy.bisect = OF.boolean(name, value)?,
        "scope" => {
            policy.scope = match short_string(scope, value).as_deref() {
                Some("stream") => Scope::Stream,
                Some("consumer") => Scope::Consumer,
                _ => return Err(wrong("'stream' or 'consumer'")),
            }
        }
        "start" => {
            options.start = match short_string(scope, value).as_deref() {
                Some("earliest") => Start::Earliest,
                Some("latest") => Start::Latest,
                Some(id) => Start::At(EntryId::parse(id).ok_or_else(|| wrong(START))?),
                None => return Err(wrong(START)),
            }
        }
        "timeout" => policy.timeout_ms = OF.timeout(name, value)?,
        "order_by" => policy.order_by = Some(named(scope, name, value)?),
        "filter" => policy.filter = Some(filter(scope, value)?),
        "exact" => options.exact = OF.boolean(name, value)?,
        _ if options.extras.read(scope, OF, name, value)? => {}
        _ => return Err(OF.unknown(name)),
    }
    Ok(())
}

const START: &str = "'earliest', 'latest' or the ID of an entry";

/// Checks that the options make sense together.
fn check_together(named: &[String], policy: &Policy) -> Result<(), String> {
    let has = |name: &str| named.iter().any(|one| one == name);
    let needs = |name: &str, what: &str| {
        Err(format!(
            "Option '{name}' of 'register_stream_consumer' needs {what}"
        ))
    };
    if has("retry_interval") && has("backoff") {
        return Err("Options 'retry_interval' and 'backoff' of 'register_stream_consumer' exclude each other".into());
    }
    for name in ["duration", "bisect"] {
        if has(name) && !has("batch") {
            return needs(name, "'batch'");
        }
    }
    let of_retries = [
        "retry_interval",
        "backoff",
        "max_attempts",
        "max_age",
        "bisect",
    ];
    for name in of_retries {
        if has(name) && policy.on_failure != OnFailure::Retry {
            return needs(name, "'on_failure' to be 'retry'");
        }
    }
    if has("scope") && policy.on_failure == OnFailure::Continue {
        return needs("scope", "'on_failure' to be 'retry' or 'abort'");
    }
    Ok(())
}

// --- values -----------------------------------------------------------------------------------------

fn milliseconds(name: &str, value: Value) -> Result<u64, String> {
    let ms = OF.whole(name, value, (0.0, MS_MAX), ", in milliseconds")?;
    Ok(ms as u64)
}

/// The name of a field or of a key.
fn named(scope: &mut v8::PinScope, name: &str, value: Value) -> Result<Arc<[u8]>, String> {
    let bytes = bytes_of(scope, value).filter(|bytes| (1..=BYTES_MAX).contains(&bytes.len()));
    match bytes {
        Some(bytes) => Ok(bytes.into()),
        None => Err(OF.wrong(
            name,
            &format!("a String or ArrayBuffer of at most {BYTES_MAX} bytes that is not empty"),
        )),
    }
}

fn backoff(scope: &mut v8::PinScope, value: Value) -> Result<Backoff, String> {
    let Some(object) = plain_object(value) else {
        return Err(OF.wrong("backoff", "an object"));
    };
    let mut initial = None;
    let mut backoff = Backoff {
        initial_ms: 0,
        factor: 2.0,
        max_ms: BACKOFF_MAX_MS,
        jitter: 0.0,
    };
    for (name, value) in OF.properties(scope, object)? {
        let full = format!("backoff.{name}");
        let number = v8::Local::<v8::Number>::try_from(value).map(|number| number.value());
        let within = |least: f64, most: f64| {
            number
                .ok()
                .filter(|number| (least..=most).contains(number))
                .ok_or_else(|| OF.wrong(&full, &format!("a number between {least} and {most}")))
        };
        match name.as_str() {
            "initial" => initial = Some(milliseconds(&full, value)?),
            "max" => backoff.max_ms = milliseconds(&full, value)?,
            "factor" => backoff.factor = within(1.0, FACTOR_MAX)?,
            "jitter" => backoff.jitter = within(0.0, 1.0)?,
            _ => {
                return Err(OF.unknown(&full));
            }
        }
    }
    backoff.initial_ms = initial.ok_or_else(|| OF.wrong("backoff", "an object with 'initial'"))?;
    Ok(backoff)
}

// --- filters ----------------------------------------------------------------------------------------

const CONDITION: &str = "a String, an ArrayBuffer, an array of conditions, or an object with one of 'prefix', 'exists' and 'not'";

fn filter(scope: &mut v8::PinScope, value: Value) -> Result<Filter, String> {
    let fields = plain_object(value)
        .filter(|object| !is_bytes((*object).into()))
        .ok_or_else(|| OF.wrong("filter", "an object of conditions"))?;
    let mut filter = Filter::default();
    let mut left = CONDITIONS_MAX;
    for (name, value) in OF.properties(scope, fields)? {
        let full = format!("filter.{name}");
        let condition = condition(scope, &full, value, &mut left, 0)?;
        filter.fields.push((name.into_bytes(), condition));
    }
    if filter.fields.is_empty() {
        return Err(OF.wrong("filter", "an object of at least one condition"));
    }
    Ok(filter)
}

fn is_bytes(value: Value) -> bool {
    value.is_array_buffer() || value.is_array_buffer_view()
}

fn condition(
    scope: &mut v8::PinScope,
    name: &str,
    value: Value,
    left: &mut usize,
    depth: usize,
) -> Result<Condition, String> {
    *left = left
        .checked_sub(1)
        .filter(|_| depth < DEPTH_MAX)
        .ok_or_else(|| {
            OF.wrong(
                "filter",
                &format!("of at most {CONDITIONS_MAX} conditions, nested at most {DEPTH_MAX} deep"),
            )
        })?;
    if let Some(bytes) = comparable(scope, value) {
        return Ok(Condition::Equals(bytes));
    }
    if let Ok(conditions) = v8::Local::<v8::Array>::try_from(value) {
        let mut any = Vec::new();
        for at in 0..conditions.length() {
            let one = conditions
                .get_index(scope, at)
                .ok_or_else(|| OF.wrong(name, CONDITION))?;
            any.push(condition(scope, name, one, left, depth + 1)?);
        }
        return Ok(Condition::Any(any));
    }
    let object = plain_object(value).ok_or_else(|| OF.wrong(name, CONDITION))?;
    let found = OF.properties(scope, object)?;
    let [(kind, value)] = found.as_slice() else {
        return Err(OF.wrong(name, CONDITION));
    };
    let full = format!("{name}.{kind}");
    match kind.as_str() {
        "prefix" => comparable(scope, *value)
            .map(Condition::Prefix)
            .ok_or_else(|| OF.wrong(&full, "a String or ArrayBuffer")),
        "exists" => Ok(Condition::Exists(OF.boolean(&full, *value)?)),
        "not" => {
            let inner = condition(scope, &full, *value, left, depth + 1)?;
            Ok(Condition::Not(Box::new(inner)))
        }
        _ => Err(OF.wrong(name, CONDITION)),
    }
}

/// Bytes to compare a value with.
fn comparable(scope: &mut v8::PinScope, value: Value) -> Option<Vec<u8>> {
    bytes_of(scope, value).filter(|bytes| bytes.len() <= BYTES_MAX)
}
