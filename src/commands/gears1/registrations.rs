//! `RG.DUMPREGISTRATIONS`, `RG.UNREGISTER`, `RG.PAUSEREGISTRATIONS`, ...: stream consumers and
//! key-space triggers of all libraries, seen as the first `RedisGears` showed its registrations.
//!
//! Registrations have IDs there. Here an ID is the shard's name and a hash of the names: it is the same after a restart,
//! and is stored nowhere. A registration is on all shards, so that the ID of one means the same on the others.

use crate::app::App;
use crate::dispatcher::TriggerView;
use crate::library::Registry;
use crate::server::{Arg, Command, Context, audit};
use crate::stats::{event_types, key_types, mode_name};
use gears_core::cluster::NodeId;
use gears_core::delivery::{
    ConsumerKey, ConsumerSpec, Delivery, Mode, OnFailure, State, error_text,
};
use gears_core::quoted;
use gears_core::triggers::TriggerKey;
use gears_v8::ports::{Metadata, Registered, Reply};

use super::{GEARS1, READS};
use crate::commands::{READ_ONLY, command, entry, text, token, wrong_arity};

pub(super) static COMMANDS: [Command; 5] = [
    Command {
        name: "rg.dumpregistrations",
        entry: entry!(command, dump_all),
        categories: READS,
        summary: "Lists stream consumers and key-space triggers as registrations",
        arity: 1,
        ..GEARS1
    },
    Command {
        name: "rg.unregister",
        entry: entry!(command, unregister),
        flags: "deny-script may-replicate",
        summary: "Takes a registration away",
        arity: -2,
        args: &[text("id"), token("abortpending", "ABORTPENDING")],
        ..GEARS1
    },
    Command {
        name: "rg.pauseregistrations",
        entry: entry!(command, pause),
        flags: "deny-script may-replicate",
        summary: "Pauses registrations of streams",
        arity: -2,
        args: IDS,
        ..GEARS1
    },
    Command {
        name: "rg.unpauseregistrations",
        entry: entry!(command, unpause),
        flags: "deny-script may-replicate",
        summary: "Has registrations of streams go on",
        arity: -2,
        args: IDS,
        ..GEARS1
    },
    Command {
        name: "rg.clearregistrationsstats",
        entry: entry!(command, clear_stats),
        summary: "Has all registrations count anew",
        arity: 1,
        ..GEARS1
    },
];

const IDS: &[Arg] = &[Arg {
    multiple: true,
    ..text("id")
}];

/// One registration.
struct Registration<'a> {
    id: String,
    library: &'a str,
    name: &'a str,
    metadata: Option<&'a Metadata>,
    what: What,
}

impl Registration<'_> {
    /// Whether that ID is its own, on this shard or on another one.
    fn is_called(&self, id: &[u8]) -> bool {
        hash_in(id).is_some_and(|hash| hash_in(self.id.as_bytes()) == Some(hash))
    }
}

/// What a registration is.
#[derive(Clone, Copy)]
enum What {
    Consumer(ConsumerKey),
    Trigger(TriggerKey),
}

fn all<'a>(shard: &'a str, registry: &'a Registry) -> impl Iterator<Item = Registration<'a>> {
    registry.iter().flat_map(move |(library, one)| {
        let consumers = one
            .consumers
            .iter()
            .map(move |(name, consumer)| Registration {
                id: id_of(shard, "stream", library, name),
                library,
                name,
                metadata: Some(&consumer.metadata),
                what: What::Consumer(consumer.key),
            });
        let triggers = one.triggers.iter().map(move |(name, key)| Registration {
            id: id_of(shard, "key", library, name),
            library,
            name,
            metadata: None,
            what: What::Trigger(*key),
        });
        consumers.chain(triggers)
    })
}

/// The FNV-1a hash of the names, separated by a byte that occurs in no name.
fn id_of(shard: &str, kind: &str, library: &str, name: &str) -> String {
    let bytes = [kind, library, name].map(str::as_bytes).join(&0xff);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{shard}-{hash}")
}

/// The hash of an ID; nothing where that is none.
fn hash_in(id: &[u8]) -> Option<&[u8]> {
    let end = id.iter().position(|byte| *byte == b'-')?;
    NodeId::parse(&id[..end]).map(|_| &id[end + 1..])
}

// --- DUMPREGISTRATIONS ---------------------------------------------------------------------------

fn dump_all(app: &App, context: &Context, _arguments: &[&[u8]]) -> Reply {
    app.dispatcher.catch_up();
    let (registry, shard) = (app.libraries.all(), context.shard_id());
    let described = all(&shard, &registry).filter_map(|one| describe(app, &one));
    Reply::Array(described.collect())
}

/// The IDs of a library's registrations.
pub(super) fn ids_of(shard: &str, registry: &Registry, library: &str) -> Vec<Reply> {
    let of_it = all(shard, registry).filter(|one| one.library == library);
    of_it.map(|one| Reply::text(one.id)).collect()
}

/// The same, with all there is to say of them.
pub(super) fn describe_those_of(
    app: &App,
    shard: &str,
    registry: &Registry,
    library: &str,
) -> Vec<Reply> {
    let of_it = all(shard, registry).filter(|one| one.library == library);
    of_it.filter_map(|one| describe(app, &one)).collect()
}

fn describe(app: &App, one: &Registration<'_>) -> Option<Reply> {
    let described = |metadata: &Metadata| {
        let text = metadata.description.as_deref();
        text.map_or(Reply::Null, Reply::text)
    };
    let (reader, description, data) = match one.what {
        What::Consumer(key) => {
            let metadata = one.metadata?;
            let data = app
                .dispatcher
                .update(|delivery| of_consumer(key, metadata, delivery))?;
            ("StreamReader", described(metadata), data)
        }
        What::Trigger(key) => {
            let view = app.dispatcher.triggers.view(key)?;
            ("KeysReader", described(&view.metadata), of_trigger(&view))
        }
    };
    Some(Reply::record(vec![
        ("id", Reply::text(one.id.as_str())),
        ("reader", Reply::text(reader)),
        ("desc", description),
        ("RegistrationData", data),
        ("PD", Reply::text(format!("{}.{}", one.library, one.name))),
    ]))
}

fn mode(metadata: &Metadata, mode: Mode) -> Reply {
    Reply::text(metadata.mode.as_deref().unwrap_or(mode_name(mode)))
}

fn wanted(prefix: &[u8], exact: bool) -> Reply {
    let mut wanted = prefix.to_vec();
    if !exact {
        wanted.push(b'*');
    }
    Reply::Bulk(wanted)
}

fn of_consumer(key: ConsumerKey, metadata: &Metadata, delivery: &mut Delivery) -> Option<Reply> {
    let overview = delivery.overview(key)?;
    let (spec, totals) = (overview.spec, overview.totals);
    let in_flight = overview.in_flight as u64;
    let last_error = totals.last_error.as_deref().map(error_text::message);
    let last_error = last_error.filter(|_| overview.is_failing);
    Some(Reply::record(vec![
        ("mode", mode(metadata, spec.mode)),
        ("numTriggered", Reply::count(totals.attempts + in_flight)),
        (
            "numSuccess",
            Reply::count(totals.attempts - totals.failures),
        ),
        ("numFailures", Reply::count(totals.failures)),
        ("numAborted", Reply::count(0u64)),
        ("lastRunDurationMS", Reply::count(totals.last_processed_ms)),
        (
            "totalRunDurationMS",
            Reply::count(totals.total_processed_ms),
        ),
        (
            "avgRunDurationMS",
            Reply::Double(totals.average(totals.total_processed_ms)),
        ),
        ("lastEstimatedLagMS", Reply::count(totals.last_lag_ms)),
        (
            "avgEstimatedLagMS",
            Reply::Double(totals.average(totals.total_lag_ms)),
        ),
        ("lastError", last_error.map_or(Reply::Null, Reply::text)),
        ("args", args_of(spec)),
        ("status", Reply::text(status(overview.state))),
    ]))
}

fn args_of(spec: &ConsumerSpec) -> Reply {
    let policy = spec.policy.as_ref();
    let on_failure = match policy.map_or(OnFailure::Continue, |policy| policy.on_failure) {
        OnFailure::Continue => "continue",
        OnFailure::Retry => "retry",
        OnFailure::Abort => "abort",
    };
    let seconds = policy.map_or(1, |policy| policy.backoff.initial_ms / 1000);
    Reply::record(vec![
        (
            "batchSize",
            Reply::count(policy.and_then(|policy| policy.batch).unwrap_or(1)),
        ),
        (
            "durationMS",
            Reply::count(policy.map_or(0, |policy| policy.duration_ms)),
        ),
        ("stream", wanted(&spec.prefix, spec.exact)),
        ("trimStream", Reply::count(u64::from(spec.trim))),
        ("onFailedPolicy", Reply::text(on_failure)),
        ("retryInterval", Reply::count(seconds)),
    ])
}

fn status(state: State) -> &'static str {
    match state {
        State::Running => "OK",
        State::Waiting => "WAITING_FOR_RETRY_ON_FAILURE",
        State::Paused => "PAUSED",
        State::Aborted => "ABORTED",
        State::Refused => "WRITES_REFUSED",
        State::Blocked => "BLOCKED",
    }
}

fn of_trigger(view: &TriggerView) -> Reply {
    let (spec, stats) = (&view.spec, &view.stats);
    let error = stats.last_error.as_deref().map(error_text::message);
    let error = error.filter(|_| stats.failing || stats.dropped > 0);
    Reply::record(vec![
        ("mode", mode(&view.metadata, spec.mode)),
        ("numTriggered", Reply::count(stats.triggered)),
        ("numSuccess", Reply::count(stats.finished - stats.failed)),
        ("numFailures", Reply::count(stats.failed)),
        ("numAborted", Reply::count(stats.dropped)),
        ("lastRunDurationMS", Reply::count(stats.last_ms)),
        ("totalRunDurationMS", Reply::count(stats.total_ms)),
        ("avgRunDurationMS", Reply::Double(stats.average_ms())),
        ("lastError", error.map_or(Reply::Null, Reply::text)),
        (
            "args",
            Reply::record(vec![
                ("regex", wanted(&spec.prefix, spec.exact)),
                ("eventTypes", event_types(spec)),
                ("keyTypes", key_types(spec)),
                ("hookCommands", Reply::Null),
            ]),
        ),
    ])
}

// --- changes -------------------------------------------------------------------------------------

/// Finds registrations by their IDs, with the names of library and consumer or trigger; an error if
/// one of them is unknown.
fn find(app: &App, context: &Context, ids: &[&[u8]]) -> Result<Vec<(What, String)>, Reply> {
    let (registry, shard) = (app.libraries.all(), context.shard_id());
    ids.iter()
        .map(|id| {
            let mut known = all(&shard, &registry);
            let found = known.find(|one| one.is_called(id));
            let found = found.map(|one| (one.what, format!("{}/{}", one.library, one.name)));
            found.ok_or_else(|| {
                let id = String::from_utf8_lossy(id);
                Reply::error(format!("ERR execution {id} is not registered"))
            })
        })
        .collect()
}

fn pause(app: &App, context: &Context, ids: &[&[u8]]) -> Reply {
    change(
        app,
        context,
        ids,
        ("rg.pauseregistrations", "PAUSE"),
        |delivery, key| {
            delivery.pause(key, None);
        },
    )
}

fn unpause(app: &App, context: &Context, ids: &[&[u8]]) -> Reply {
    change(
        app,
        context,
        ids,
        ("rg.unpauseregistrations", "RESUME"),
        |delivery, key| {
            delivery.resume(key, None);
        },
    )
}

fn change(
    app: &App,
    context: &Context,
    ids: &[&[u8]],
    (command, word): (&str, &str),
    work: impl Fn(&mut Delivery, ConsumerKey),
) -> Reply {
    if !context.state().is_primary {
        return Reply::error(READ_ONLY);
    }
    if ids.is_empty() {
        return wrong_arity(command);
    }
    let found = match find(app, context, ids) {
        Ok(found) => found,
        Err(error) => return error,
    };
    let mut keys = Vec::new();
    for (what, name) in found {
        match what {
            What::Consumer(key) => keys.push((key, name)),
            What::Trigger(_) => {
                return Reply::error("ERR Reader KeysReader does not support pause/unpause");
            }
        }
    }
    app.change_consumers(context, || {
        for (key, _) in &keys {
            app.dispatcher.update(|delivery| work(delivery, *key));
        }
    });
    for (_, name) in &keys {
        audit(
            context,
            word,
            format_args!("consumer {}", quoted(name.as_bytes())),
        );
    }
    Reply::OK
}

fn clear_stats(app: &App, _context: &Context, _arguments: &[&[u8]]) -> Reply {
    app.dispatcher.catch_up();
    let registry = app.libraries.all();
    for library in registry.values() {
        for consumer in library.consumers.values() {
            app.dispatcher
                .update(|delivery| delivery.clear_stats(consumer.key));
        }
        for trigger in library.triggers.values() {
            app.dispatcher.triggers.clear_stats(*trigger);
        }
        if let Some(executor) = library.executor() {
            executor.callbacks().clear_registrations();
        }
    }
    Reply::OK
}

/// `RG.UNREGISTER id [ABORTPENDING]`. With or without the option, what waits is dropped and what
/// runs may end.
fn unregister(app: &App, context: &Context, arguments: &[&[u8]]) -> Reply {
    if !context.state().is_primary {
        return Reply::error(READ_ONLY);
    }
    let id = match arguments {
        [id] => *id,
        [id, keyword] if keyword.eq_ignore_ascii_case(b"abortpending") => *id,
        [] => return wrong_arity("rg.unregister"),
        _ => return Reply::error("ERR syntax error"),
    };
    let shard = context.shard_id();
    let found = {
        let registry = app.libraries.all();
        let mut known = all(&shard, &registry);
        let found = known.find(|one| one.is_called(id));
        found.map(|one| {
            let name = one.name.to_owned();
            let registered = match one.what {
                What::Consumer(_) => Registered::Consumer(name),
                What::Trigger(_) => Registered::Trigger(name),
            };
            (one.library.to_owned(), registered)
        })
    };
    match found {
        Some((library, registered)) if app.unregister(context, &library, &registered) => Reply::OK,
        _ => Reply::error("ERR execution is not registered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_by_kind_library_and_name_and_do_not_change() {
        let id = |kind, library, name| id_of("0", kind, library, name);
        assert_eq!(id("stream", "lib", "a"), id("stream", "lib", "a"));
        assert_ne!(id("stream", "lib", "a"), id("key", "lib", "a"));
        assert_ne!(id("stream", "li", "ba"), id("stream", "lib", "a"));
        assert_eq!(id("stream", "lib", "gears:1"), "0-4068414624041269807");
    }

    #[test]
    fn an_id_means_the_same_on_all_shards() {
        let (here, there) = ("a".repeat(40), "b".repeat(40));
        let [mine, theirs] = [&here, &there].map(|shard| id_of(shard, "key", "lib", "a"));
        let registration = Registration {
            id: mine.clone(),
            library: "lib",
            name: "a",
            metadata: None,
            what: What::Trigger(TriggerKey::default()),
        };
        for one in [&mine, &theirs] {
            assert!(registration.is_called(one.as_bytes()), "{one}");
        }
        let other = id_of(&here, "key", "lib", "b");
        for one in [&other, "", "-", &here, &mine[41..], &mine[1..]] {
            assert!(!registration.is_called(one.as_bytes()), "{one}");
        }
    }
}
