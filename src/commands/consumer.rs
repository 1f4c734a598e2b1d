//! `RG.CONSUMER`: looking at one stream consumer, and ordering it about.
//!
//! What is ordered is committed at once, behind the command, as how things are then.

use std::sync::Arc;

use crate::app::App;
use crate::dispatcher::ConsumerName;
use crate::server::Context;
use gears_core::delivery::{
    ConsumerKey, Delivery, DeliveryState, EntryId, KeyRef, Percentiles, Refusal, State, Stats,
    StreamView,
};
use gears_v8::ports::Reply;

use super::stats::{self, Counters, PERCENTILES};
use super::{READ_ONLY, wrong_arity};

/// Entries of a lag that are counted.
const LAG_MAX: usize = 10_000;
/// Dead letters that are redelivered at once, where it is not said how many.
const REDRIVE: usize = 100;
const REDRIVE_MAX: usize = 10_000;

const HELP: &[&str] = &[
    "RG.CONSUMER <subcommand> [<arg> [value] ...]. Subcommands are:",
    "PAUSE <library> <consumer> [STREAM <key>]",
    "    Hand nothing more to the consumer, of one stream or of all. What runs ends.",
    "RESUME <library> <consumer> [STREAM <key>]",
    "    Go on after a pause, or after a failure that stopped it.",
    "SEEK <library> <consumer> STREAM <key> <id|earliest|latest>",
    "    Go on with that entry of the stream, or the next behind.",
    "RETRY <library> <consumer> STREAM <key>",
    "    Do not wait any longer for the retry of the stream.",
    "REDRIVE <library> <consumer> STREAM <key> [COUNT <n>]",
    "    Hand the entries of the stream's dead letters to the consumer again, oldest first.",
    "INFO <library> <consumer> [STREAM <key>]",
    "    Show how it stands.",
    "HELP",
    "    Print this help.",
];

/// What a command is about.
struct Target<'a> {
    name: ConsumerName,
    consumer: ConsumerKey,
    key: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    /// Reads `library consumer [STREAM key]`; the words behind that.
    fn parse<'w>(
        app: &App,
        context: &Context,
        words: &'w [&'a [u8]],
        subcommand: &str,
    ) -> Result<(Self, &'w [&'a [u8]]), Reply> {
        let [library, consumer, rest @ ..] = words else {
            return Err(wrong_arity(subcommand));
        };
        let (key, rest) = match rest {
            [word, key, rest @ ..] if word.eq_ignore_ascii_case(b"stream") => (Some(*key), rest),
            [word] if word.eq_ignore_ascii_case(b"stream") => return Err(wrong_arity(subcommand)),
            rest => (None, rest),
        };
        let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let registry = app.libraries.all();
        let known = std::str::from_utf8(library).ok();
        let Some((library, known)) = known.and_then(|name| registry.get_key_value(name)) else {
            return Err(Reply::error(format!(
                "ERR no such library '{}'",
                shown(library)
            )));
        };
        let found = std::str::from_utf8(consumer).ok();
        let Some((consumer, found)) = found.and_then(|name| known.consumers.get_key_value(name))
        else {
            return Err(Reply::error(format!(
                "ERR library '{library}' has no stream consumer '{}'",
                shown(consumer)
            )));
        };
        let target = Self {
            name: ConsumerName {
                library: library.as_str().into(),
                consumer: consumer.as_str().into(),
            },
            consumer: found.key,
            key,
        };
        if let Some(key) = target.key_ref(context)
            && !target.knows(app, context, key)
        {
            return Err(Reply::error(format!(
                "ERR consumer '{consumer}' knows no stream '{}'",
                shown(key.name)
            )));
        }
        Ok((target, rest))
    }

    fn key_ref(&self, context: &Context) -> Option<KeyRef<'a>> {
        let db = context.db();
        self.key.map(|name| KeyRef { db, name })
    }

    /// Whether the consumer knows the stream, perhaps from now on.
    fn knows(&self, app: &App, context: &Context, key: KeyRef<'_>) -> bool {
        let knows = || {
            app.dispatcher
                .inspect(|delivery| delivery.knows(self.consumer, key))
        };
        if knows() {
            return true;
        }
        if context.is_stream(key.name) {
            app.found(context, key);
        }
        knows()
    }
}

/// Carries out an order about a consumer, or one of its streams, and commits what changed.
fn order<'a>(
    app: &App,
    context: &Context,
    words: &[&'a [u8]],
    subcommand: &str,
    work: impl FnOnce(&Target<'a>, &[&'a [u8]]) -> Result<Reply, Reply>,
) -> Reply {
    if !context.state().is_primary {
        return Reply::error(READ_ONLY);
    }
    app.dispatcher.catch_up();
    let done = Target::parse(app, context, words, subcommand)
        .and_then(|(target, rest)| work(&target, rest));
    let db = context.db();
    app.dispatcher.commit(context);
    // It is the client's, so it is there.
    context.select(db);
    app.dispatcher.wake();
    done.unwrap_or_else(|error| error)
}

fn nothing_more(rest: &[&[u8]]) -> Result<(), Reply> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Reply::error("ERR syntax error"))
    }
}

/// The stream that an order has to name.
fn stream<'a>(
    target: &Target<'a>,
    context: &Context,
    rest: &[&[u8]],
    subcommand: &str,
) -> Result<KeyRef<'a>, Reply> {
    target.key_ref(context).ok_or_else(|| match rest {
        [_, _, ..] => Reply::error("ERR syntax error"),
        _ => wrong_arity(subcommand),
    })
}

pub(super) fn pause(app: &App, context: &Context, words: &[&[u8]]) -> Reply {
    order(app, context, words, "rg.consumer|pause", |target, rest| {
        nothing_more(rest)?;
        let key = target.key_ref(context);
        app.dispatcher
            .update(|delivery| delivery.pause(target.consumer, key));
        Ok(Reply::OK)
    })
}

pub(super) fn resume(app: &App, context: &Context, words: &[&[u8]]) -> Reply {
    order(app, context, words, "rg.consumer|resume", |target, rest| {
        nothing_more(rest)?;
        let key = target.key_ref(context);
        app.dispatcher
            .update(|delivery| delivery.go_on(target.consumer, key));
        Ok(Reply::OK)
    })
}

pub(super) fn retry(app: &App, context: &Context, words: &[&[u8]]) -> Reply {
    order(app, context, words, "rg.consumer|retry", |target, rest| {
        let key = stream(target, context, rest, "rg.consumer|retry")?;
        nothing_more(rest)?;
        app.dispatcher
            .update(|delivery| delivery.retry_now(target.consumer, key));
        Ok(Reply::OK)
    })
}

pub(super) fn seek(app: &App, context: &Context, words: &[&[u8]]) -> Reply {
    order(app, context, words, "rg.consumer|seek", |target, rest| {
        let key = stream(target, context, rest, "rg.consumer|seek")?;
        let place = match rest {
            [place] => *place,
            [] => return Err(wrong_arity("rg.consumer|seek")),
            _ => return Err(Reply::error("ERR syntax error")),
        };
        let position = if place.eq_ignore_ascii_case(b"earliest") {
            EntryId::ZERO
        } else if place.eq_ignore_ascii_case(b"latest") {
            context.last_id(key.name).unwrap_or(EntryId::ZERO)
        } else {
            let id = std::str::from_utf8(place)
                .ok()
                .and_then(EntryId::parse_part);
            let id = id.ok_or_else(|| {
                let shown = String::from_utf8_lossy(place);
                Reply::error(format!("ERR invalid stream ID '{shown}'"))
            })?;
            id.before()
        };
        app.dispatcher
            .update(|delivery| delivery.seek(target.consumer, key, position));
        Ok(Reply::OK)
    })
}

pub(super) fn redrive(app: &App, context: &Context, words: &[&[u8]]) -> Reply {
    order(
        app,
        context,
        words,
        "rg.consumer|redrive",
        |target, rest| {
            let key = stream(target, context, rest, "rg.consumer|redrive")?;
            let most = match rest {
                [] => REDRIVE,
                [word, count] if word.eq_ignore_ascii_case(b"count") => {
                    let count = std::str::from_utf8(count)
                        .ok()
                        .and_then(|text| text.parse().ok());
                    count
                        .filter(|count| (1..=REDRIVE_MAX).contains(count))
                        .ok_or_else(|| {
                            Reply::error(format!("ERR COUNT must be between 1 and {REDRIVE_MAX}"))
                        })?
                }
                _ => return Err(Reply::error("ERR syntax error")),
            };
            let consumer = target.consumer;
            let to = app.dispatcher.inspect(|delivery| {
                let policy = delivery.spec(consumer)?.policy.as_ref()?;
                policy.dead_letter.as_ref().map(Arc::clone)
            });
            let to = to.ok_or_else(|| {
                let name = &target.name.consumer;
                Reply::error(format!("ERR consumer '{name}' has no dead letter stream"))
            })?;
            let is_new = |dead_letter| {
                let look = |delivery: &Delivery| delivery.is_redriven(consumer, key, dead_letter);
                !app.dispatcher.inspect(look)
            };
            let dead_letters = context.dead_letters(&to, &target.name, key.name, most, &is_new);
            let count = app
                .dispatcher
                .update(|delivery| delivery.redrive(consumer, key, dead_letters));
            Ok(Reply::count(count))
        },
    )
}

pub(super) fn help(_app: &App, _context: &Context, _words: &[&[u8]]) -> Reply {
    Reply::Array(HELP.iter().map(|line| Reply::text(*line)).collect())
}

// --- INFO -------------------------------------------------------------------------------------------

pub(super) fn info(app: &App, context: &Context, words: &[&[u8]]) -> Reply {
    app.dispatcher.catch_up();
    let parsed = Target::parse(app, context, words, "rg.consumer|info");
    let parsed = parsed.and_then(|(target, rest)| nothing_more(rest).map(|()| target));
    let target = match parsed {
        Ok(target) => target,
        Err(error) => return error,
    };
    let registry = app.libraries.all();
    let runs = registry
        .get(&*target.name.library)
        .is_some_and(|library| library.executor().is_some());
    app.dispatcher
        .inspect(|delivery| match target.key_ref(context) {
            None => of_consumer(&target, delivery, runs),
            Some(key) => {
                let mut streams = delivery.streams_of(target.consumer);
                let stream = streams.find(|one| (one.db, one.name) == (key.db, key.name));
                stream.map_or(Reply::Null, |stream| {
                    let now_ms = app.dispatcher.time();
                    let of_all = delivery.consumer_state_of(target.consumer);
                    of_stream(&stream, context, now_ms, &of_all, delivery.refusal())
                })
            }
        })
}

fn of_consumer(target: &Target<'_>, delivery: &Delivery, runs: bool) -> Reply {
    let Some(spec) = delivery.spec(target.consumer) else {
        return Reply::Null;
    };
    let sum = stats::sum(target.consumer, delivery);
    let error = delivery
        .consumer_state_of(target.consumer)
        .aborted
        .or_else(|| {
            let mut streams = delivery.streams_of(target.consumer);
            streams.find_map(|stream| stream.delivery_state().aborted.clone())
        });
    let error = error.or_else(|| Some(Arc::clone(&delivery.refusal()?.error)));
    let state = if runs {
        stats::state(sum.state)
    } else {
        Reply::text("quarantined")
    };
    let mut fields = vec![
        ("name", Reply::text(&*target.name.consumer)),
        ("library", Reply::text(&*target.name.library)),
        ("prefix", Reply::Bulk(spec.prefix.to_vec())),
        ("window", Reply::count(spec.window)),
        (
            "trim",
            Reply::text(if spec.trim { "enabled" } else { "disabled" }),
        ),
        ("options", stats::options(spec)),
        ("state", state),
        ("error", Reply::text(error.as_deref().unwrap_or("None"))),
        ("streams", Reply::count(sum.streams)),
        ("processed", Reply::count(sum.processed)),
        ("in_flight", Reply::count(sum.in_flight)),
    ];
    fields.extend(sum.counters.fields());
    fields.extend(times(&sum.percentiles));
    Reply::record(fields)
}

fn of_stream(
    stream: &StreamView<'_>,
    context: &Context,
    now_ms: u64,
    of_all: &DeliveryState,
    refusal: Option<&Refusal>,
) -> Reply {
    let stats = stream.stats;
    let state = match of_all.state(now_ms) {
        State::Running => stream.state,
        held => held,
    };
    let until_ms = stream.delivery_state().until_ms.max(of_all.until_ms);
    let delivery_state = stream.delivery_state();
    let mut pending = stream.in_flight();
    let in_flight = pending.len();
    pending.extend(stream.redeliveries());
    pending.sort_unstable();
    let (first, behind) = context.look_behind(stream.name, stream.read(), LAG_MAX);
    let oldest = stream.oldest().or(first);
    let lag_entries = stream.unacknowledged().saturating_add(behind).min(LAG_MAX);
    let lag_ms = oldest.map_or(0, |oldest| now_ms.saturating_sub(oldest.ms));
    let tried = stream.checkpoint().delivery_state.tried;
    let attempts = pending.iter().map(|id| {
        let at = tried.binary_search_by_key(id, |(id, _)| *id);
        Reply::count(at.map_or(0, |at| tried[at].1.attempts))
    });
    let attempts = Reply::Array(attempts.collect());
    let error = delivery_state.aborted.as_ref().or(of_all.aborted.as_ref());
    let error = error.or(refusal.map(|refusal| &refusal.error));
    let error = error.map_or("None", |error| error);
    let mut fields = vec![
        ("name", Reply::Bulk(stream.name.to_vec())),
        ("state", stats::state(state)),
        ("error", Reply::text(error)),
        ("retry_in_ms", Reply::count(until_ms.saturating_sub(now_ms))),
        ("position", stats::position(stream)),
        ("pending", stats::ids(pending)),
        ("attempts_of_pending", attempts),
        ("lag_entries", Reply::count(lag_entries)),
        ("lag_ms", Reply::count(lag_ms)),
        ("processed", Reply::count(stats.finished)),
        ("in_flight", Reply::count(in_flight)),
    ];
    fields.extend(Counters::of(stats).fields());
    fields.extend(times(&Stats::percentiles([stats].into_iter())));
    let last_error = stream.last_error().map_or("None", |error| error);
    fields.push(("last_error", Reply::text(last_error)));
    Reply::record(fields)
}

fn times(percentiles: &Percentiles) -> impl Iterator<Item = (&'static str, Reply)> {
    let times = stats::percentiles(percentiles);
    PERCENTILES.into_iter().zip(times.map(Reply::Double))
}
