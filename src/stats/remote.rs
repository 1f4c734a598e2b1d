//! Remote functions in INFO: calls that are on their way, and those that run here.

use super::callbacks::{figures_as_text, figures_of};
use crate::executor::CallbackKind;
use crate::library::Registry;
use crate::remote::RemoteFigures;
use crate::server::InfoField;

/// Totals, and a line for each remote function.
pub(super) fn of_remote_functions(registry: &Registry, all: &RemoteFigures) -> Vec<InfoField> {
    let number = |name, number: usize| InfoField::Number(name, number as u64);
    let here = all.here;
    let mut fields = vec![
        number("remote_calls", all.calls),
        number("remote_calls_bytes", all.arguments),
        number("remote_calls_here", here.running),
        number("remote_calls_here_bytes", here.arguments),
        number("remote_calls_known", here.known),
        number("remote_results_bytes", here.results),
        number("remote_messages_waiting", all.unsent),
        number("remote_returned_bytes", all.returned),
    ];
    for (library, one) in registry {
        for name in one.remote_functions.keys() {
            let figures = figures_of(one, CallbackKind::Remote, name);
            let texts = figures_as_text(&figures).collect();
            let name = format!("remote_function_{library}_{name}");
            fields.push(InfoField::Texts(name, texts));
        }
    }
    fields
}
