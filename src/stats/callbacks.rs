//! Figures of callbacks: how often they were called, how long that took, and what of it held the
//! server up.

use super::figure::Figure;
use crate::executor::{CallbackFigures, CallbackKind};
use crate::library::{Library, Registry};
use crate::server::InfoField;
use gears_v8::ports::Reply;

fn named(figures: &CallbackFigures) -> [(&'static str, Figure); 8] {
    let durations = figures.durations;
    [
        ("calls", Figure::Number(figures.calls)),
        ("errors", Figure::Number(figures.errors)),
        ("running", Figure::Number(figures.running)),
        ("duration_ms_p50", Figure::Milliseconds(durations.p50_ms)),
        ("duration_ms_p99", Figure::Milliseconds(durations.p99_ms)),
        ("duration_ms_max", Figure::Milliseconds(durations.max_ms)),
        ("locked_ms", Figure::Milliseconds(figures.locked_ms)),
        ("bytes", Figure::Number(figures.bytes)),
    ]
}

/// The figures of a callback; those of one that was never called where the library does not run.
pub(crate) fn figures_of(library: &Library, kind: CallbackKind, name: &str) -> CallbackFigures {
    let callbacks = library.executor().map(|executor| executor.callbacks());
    let callback = callbacks.and_then(|callbacks| callbacks.find(kind, name));
    callback.map_or_else(CallbackFigures::default, |callback| callback.figures())
}

/// Figures as fields of a reply.
pub(crate) fn figures(figures: &CallbackFigures) -> impl Iterator<Item = (&'static str, Reply)> {
    let named = named(figures).into_iter();
    named.map(|(name, figure)| (name, figure.reply()))
}

/// The same as texts of a line of INFO.
pub(super) fn figures_as_text(
    figures: &CallbackFigures,
) -> impl Iterator<Item = (&'static str, String)> {
    let named = named(figures).into_iter();
    named.map(|(name, figure)| (name, figure.text()))
}

/// The word for whether a function or trigger is paused.
pub(super) fn running_or_paused_word(is_paused: bool) -> &'static str {
    if is_paused { "paused" } else { "running" }
}

/// The same as a field of a reply.
pub(crate) fn running_or_paused(is_paused: bool) -> Reply {
    Reply::text(running_or_paused_word(is_paused))
}

/// One line per function, for INFO.
pub(super) fn of_functions(registry: &Registry) -> Vec<InfoField> {
    let mut fields = Vec::new();
    for (library, one) in registry {
        for name in one.functions.keys() {
            let figures = figures_of(one, CallbackKind::Function, name);
            let state = running_or_paused_word(one.is_paused_function(name)).to_owned();
            let texts = figures_as_text(&figures).chain([("state", state)]);
            fields.push(InfoField::Texts(
                format!("function_{library}_{name}"),
                texts.collect(),
            ));
        }
    }
    fields
}
