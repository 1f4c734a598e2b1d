//! Figures of key-space triggers.

use super::callbacks::{figures_as_text, figures_of, running_or_paused_word};
use crate::dispatcher::{Dispatcher, TriggerView};
use crate::executor::CallbackKind;
use crate::library::Registry;
use crate::server::InfoField;

use super::errors::{error, stack_if_any};
use gears_core::delivery::Mode;
use gears_core::triggers::{TriggerKey, TriggerSpec};
use gears_v8::ports::Reply;

/// A trigger in LIST. The first fields are those of `RedisGears` 2, with its spelling.
pub(crate) fn describe_trigger(
    name: &str,
    key: TriggerKey,
    dispatcher: &Dispatcher,
    verbosity: u8,
) -> Reply {
    let Some(view) = dispatcher.triggers.view(key).filter(|_| verbosity > 0) else {
        return Reply::text(name);
    };
    let TriggerView {
        spec,
        stats,
        waiting,
        ..
    } = view;
    let succeeded = stats.finished - stats.failed;
    let mut fields = vec![
        ("name", Reply::text(name)),
        ("num_triggered", Reply::count(stats.triggered)),
        ("num_finished", Reply::count(stats.finished)),
        ("num_success", Reply::count(succeeded)),
        ("num_failed", Reply::count(stats.failed)),
        ("last_error", error(stats.last_error.as_deref())),
        ("last_exection_time", Reply::count(stats.last_ms)),
        ("total_exection_time", Reply::count(stats.total_ms)),
        ("avg_exection_time", Reply::Double(stats.average_ms())),
        ("num_dropped", Reply::count(stats.dropped)),
        ("num_waiting", Reply::count(waiting)),
    ];
    fields.extend(stack_if_any(stats.last_error.as_deref()));
    if verbosity >= 2 {
        fields.extend([
            ("prefix", Reply::Bulk(spec.prefix.to_vec())),
            ("mode", Reply::text(mode_name(spec.mode))),
            ("event_types", event_types(&spec)),
            ("key_types", key_types(&spec)),
        ]);
    }
    Reply::record(fields)
}

pub(crate) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Sync => "sync",
        Mode::Async => "async",
    }
}

pub(crate) fn event_types(spec: &TriggerSpec) -> Reply {
    spec.event_types.as_ref().map_or(Reply::Null, |types| {
        Reply::Array(types.iter().map(|one| Reply::text(&**one)).collect())
    })
}

pub(crate) fn key_types(spec: &TriggerSpec) -> Reply {
    spec.key_types.as_ref().map_or(Reply::Null, |types| {
        Reply::Array(types.iter().map(|one| Reply::text(one.name())).collect())
    })
}

/// One line per trigger, for INFO.
pub(super) fn of_triggers(registry: &Registry, dispatcher: &Dispatcher) -> Vec<InfoField> {
    let mut fields = Vec::new();
    for (library, one) in registry {
        for (name, key) in &one.triggers {
            let Some(view) = dispatcher.triggers.view(*key) else {
                continue;
            };
            let (stats, waiting) = (view.stats, view.waiting);
            let numbers = [
                ("triggered", stats.triggered),
                ("finished", stats.finished),
                ("failed", stats.failed),
                ("dropped", stats.dropped),
                ("waiting", waiting as u64),
                ("total_ms", stats.total_ms),
            ];
            let numbers = numbers.map(|(name, number)| (name, number.to_string()));
            let figures = figures_of(one, CallbackKind::Trigger, name);
            let texts = numbers.into_iter().chain(figures_as_text(&figures));
            let state = running_or_paused_word(view.is_paused).to_owned();
            let texts = texts.chain([("state", state)]);
            fields.push(InfoField::Texts(
                format!("trigger_{library}_{name}"),
                texts.collect(),
            ));
        }
    }
    fields
}
