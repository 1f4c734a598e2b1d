//! `RG.CONSUMER INFO`: the state and the figures of a consumer, or of one of its streams.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    ANY_STREAM, CATEGORIES, NamedConsumer, STREAM_AT, STREAM_KEYWORD, nothing_more, stream_entry,
};
use crate::app::App;
use crate::commands::{COMMAND, subcommand, text};
use crate::executor::{CallbackFigures, CallbackKind};
use crate::server::{Command, Context, Keys};
use crate::stats::{self, Counters, PERCENTILES};
use gears_core::delivery::{
    ConsumerKey, Delivery, DeliveryState, EntryId, Percentiles, Refusal, State, StreamView,
};
use gears_v8::ports::Reply;

/// At most this many entries of a lag are counted.
const LAG_MAX: usize = 10_000;
/// Streams that are looked at for a backlog, for how long, and entries that are passed in them: what
/// is left is looked at the next time.
const STREAMS_MAX: usize = 256;
const PATIENCE: Duration = Duration::from_millis(1);
const PASSED_MAX: usize = 10_000;

pub(super) const INFO: Command = Command {
    name: "info",
    entry: stream_entry!(subcommand, info),
    flags: "deny-script getkeys-api no-mandatory-keys",
    categories: CATEGORIES,
    keys: Keys::Read(STREAM_KEYWORD, STREAM_AT),
    summary: "Shows how it stands with a stream consumer",
    complexity: "O(1); with STREAM O(N) where N is the number of entries it is behind",
    args: &[text("library"), text("consumer"), ANY_STREAM],
    help: &[
        "INFO <library> <consumer> [STREAM <key>]",
        "    Show how it stands.",
    ],
    ..COMMAND
};

fn info(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    app.dispatcher.catch_up();
    let parsed = NamedConsumer::parse(app, context, arguments, "rg.consumer|info");
    let parsed = parsed.and_then(|(target, rest)| nothing_more(rest).map(|()| target));
    let target = match parsed {
        Ok(target) => target,
        Err(error) => return error,
    };
    let registry = app.libraries.all();
    let library = registry.get(&*target.name.library);
    let runs = library.is_some_and(|library| library.executor().is_some());
    let now_ms = app.dispatcher.time();
    let Some(key) = target.key_ref(context) else {
        let figures = library.map_or_else(CallbackFigures::default, |library| {
            stats::figures_of(library, CallbackKind::Consumer, &target.name.consumer)
        });
        count_backlog(app, context, target.consumer);
        return app
            .dispatcher
            .update(|delivery| of_consumer(&target, delivery, runs, &figures, now_ms));
    };
    let read = app
        .dispatcher
        .inspect(|delivery| Some(delivery.stream(target.consumer, key)?.read()));
    let Some(read) = read else {
        return Reply::Null;
    };
    // Looking may find the key expired, and the subscription gone with it.
    let unread = context.peek_behind(key.name, read, LAG_MAX);
    app.dispatcher.inspect(|delivery| {
        delivery.stream(target.consumer, key).map_or_else(
            || target.unknown(key),
            |stream| {
                let of_all = delivery.consumer_state_of(target.consumer);
                of_stream(&stream, unread, now_ms, &of_all, delivery.refusal())
            },
        )
    })
}

/// Counts entries that nobody has counted. See [`Delivery::uncounted`].
fn count_backlog(app: &App, context: &Context, consumer: ConsumerKey) {
    let ask = |delivery: &mut Delivery| delivery.uncounted(consumer, STREAMS_MAX);
    let requests = app.dispatcher.update(ask);
    let db = context.db();
    let mut budget = PASSED_MAX;
    let end = Instant::now() + PATIENCE;
    for (place, request) in requests.iter().enumerate() {
        if place > 0 && Instant::now() >= end {
            break;
        }
        if !context.select(request.db) {
            continue;
        }
        // Looking may find the key expired, and the subscription gone with it.
        let found = context.count_behind(&request.name, request.after, &mut budget);
        app.dispatcher
            .update(|delivery| delivery.counted(request, found));
    }
    // The client's own.
    context.select(db);
}

fn of_consumer(
    target: &NamedConsumer<'_>,
    delivery: &mut Delivery,
    runs: bool,
    figures: &CallbackFigures,
    now_ms: u64,
) -> Reply {
    let redriven = stats::redriven_count(delivery, target.consumer);
    let refusal = delivery.refusal().map(|refusal| Arc::clone(&refusal.error));
    let Some(overview) = delivery.overview(target.consumer) else {
        return Reply::Null;
    };
    let (spec, totals) = (overview.spec, overview.totals);
    let error = overview.aborted.clone().or(refusal);
    let state = if runs {
        stats::state(overview.state)
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
        ("error", stats::error(error.as_deref())),
        ("streams", Reply::count(overview.streams)),
        ("processed", Reply::count(totals.finished)),
        ("in_flight", Reply::count(overview.in_flight)),
    ];
    fields.extend(Counters::of(totals).fields());
    let times = stats::times(&overview.times.summary(now_ms));
    fields.extend(times.map(|(name, figure)| (name, figure.reply())));
    fields.extend(stats::figures(figures));
    fields.extend(stats::errors(&overview));
    fields.push(("reason", stats::error(overview.reason.as_deref())));
    fields.push(("blocked_streams", Reply::count(overview.blocked_streams)));
    fields.push(("redriven", Reply::count(redriven)));
    let backlog = stats::backlog(overview.backlog, now_ms);
    fields.extend(backlog.map(|(name, figure)| (name, figure.reply())));
    Reply::record(fields)
}

fn of_stream(
    stream: &StreamView<'_>,
    (first, behind): (Option<EntryId>, usize),
    now_ms: u64,
    of_all: &DeliveryState,
    refusal: Option<&Refusal>,
) -> Reply {
    let stats = &stream.stats;
    let state = match of_all.state(now_ms) {
        State::Running => stream.state,
        state => state,
    };
    let until_ms = stream.delivery_state().until_ms.max(of_all.until_ms);
    let delivery_state = stream.delivery_state();
    let mut pending = stream.in_flight();
    let in_flight = pending.len();
    pending.extend(stream.redeliveries());
    pending.sort_unstable();
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
    let mut fields = vec![
        ("name", Reply::Bulk(stream.name.to_vec())),
        ("state", stats::state(state)),
        ("error", stats::error(error.map(|error| &**error))),
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
    fields.extend(times(&stream.percentiles()));
    let last_error = stream.last_error().map(|error| &**error);
    fields.push(("last_error", stats::error(last_error)));
    fields.push(("last_error_stack", stats::stack(last_error)));
    let reason = match state {
        State::Blocked => stream.blocked(),
        State::Refused => refusal.map(|refusal| Arc::clone(&refusal.error)),
        _ => None,
    };
    fields.push(("reason", stats::error(reason.as_deref())));
    Reply::record(fields)
}

fn times(percentiles: &Percentiles) -> impl Iterator<Item = (&'static str, Reply)> {
    let times = stats::percentiles(percentiles);
    PERCENTILES.into_iter().zip(times.map(Reply::Double))
}
