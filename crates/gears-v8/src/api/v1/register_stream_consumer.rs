//! `redis.register_stream_consumer`.

use gears_core::delivery::{ConsumerSpec, would_get_letters};

use crate::api::v1::arguments::{self, ArgumentsOf};
use crate::api::v1::consumer_options;
use crate::api::v1::loading::{Extras, Loading};
use crate::ports::{CallbackId, Metadata, Registered, StreamConsumer};
use crate::runtime::text;

/// The largest window: its entries are held in memory.
const WINDOW_MAX: f64 = 1_000_000.0;
/// Stream consumers of one library: each one that matches a stream costs it a little.
const CONSUMERS_MAX: usize = 1000;

const OF: ArgumentsOf = ArgumentsOf("register_stream_consumer");

/// `redis.register_stream_consumer(name, prefix, window, trim, callback [, options])`
pub(crate) fn register_stream_consumer<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    _result: v8::ReturnValue<'s, v8::Value>,
) {
    let (consumer, extras) = match parse_stream_consumer(scope, args) {
        Ok(parsed) => parsed,
        Err(message) => return text::throw_type_error(scope, &message),
    };
    let Ok(callback) = v8::Local::<v8::Function>::try_from(args.get(4)) else {
        return;
    };
    let callback = v8::Global::new(scope, callback);
    let extras = extras.keep(scope);
    let Some(loading) = scope.get_slot_mut::<Loading>() else {
        return text::throw(scope, "Called 'register_stream_consumer' out of context");
    };
    let registered = &loading.registrations.stream_consumers;
    if registered.len() >= CONSUMERS_MAX {
        return text::throw(
            scope,
            &format!("A library can register at most {CONSUMERS_MAX} stream consumers"),
        );
    }
    if registered.iter().any(|other| other.name == consumer.name) {
        return text::throw(scope, "Stream registration already exists");
    }
    let callback = loading.keep(&consumer.name, callback);
    let metadata = loading.note(Registered::Consumer(consumer.name.clone()), extras);
    let consumer = StreamConsumer {
        callback,
        metadata,
        ..consumer
    };
    loading.registrations.stream_consumers.push(consumer);
}

fn parse_stream_consumer<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
) -> Result<(StreamConsumer, Extras<'s>), String> {
    if !(5..=6).contains(&args.length()) {
        return Err("Wrong number of arguments to 'register_stream_consumer' function".into());
    }
    let name = OF.name(scope, args.get(0), "consumer")?;
    let prefix = OF.prefix(scope, args.get(1), "a String")?;
    let window = match arguments::whole_number_of(args.get(2)) {
        Some(window) if (1.0..=WINDOW_MAX).contains(&window) => window,
        Some(_) => return Err(OF.wrong("Third", &format!("between 1 and {WINDOW_MAX}"))),
        None => return Err(OF.wrong("Third", "a long representing the window size")),
    };
    if !args.get(3).is_boolean() {
        return Err(OF.wrong("Fourth", "a boolean representing the trim option"));
    }
    let mode = OF.mode("Fifth", args.get(4))?;
    let options = consumer_options::parse(scope, args.get(5))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above"
    )]
    let window = window as usize;
    let spec = ConsumerSpec {
        exact: options.exact,
        start: options.start,
        policy: options.policy,
        ..ConsumerSpec::new(&prefix, window, args.get(3).is_true(), mode)
    };
    let letters = spec.policy.as_ref().and_then(|one| one.dead_letter.clone());
    if letters.is_some_and(|letters| would_get_letters(&spec, &letters)) {
        return Err("Option 'dead_letter' of 'register_stream_consumer' must not name a stream that the consumer itself would get".into());
    }
    let consumer = StreamConsumer {
        name,
        spec,
        callback: CallbackId(0),
        metadata: Metadata::default(),
    };
    Ok((consumer, options.extras))
}
