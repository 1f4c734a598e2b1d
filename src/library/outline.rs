//! What the log says of a load: how the library differs from the one of its name before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use gears_core::quoted;
use gears_v8::ports::{Engine, Function, Registrations, RunAs};

use super::load::LoadRequest;
use super::registry::Library;

/// What a load makes another than it was; of a library of which there was none before, what it has.
pub(super) fn describe(
    old: Option<&Library>,
    engine: &dyn Engine,
    request: &LoadRequest<'_>,
    new: &Registrations,
) -> String {
    match old {
        Some(old) => difference(old, engine, request, new),
        None => contents(engine, request, new),
    }
}

fn contents(engine: &dyn Engine, request: &LoadRequest<'_>, new: &Registrations) -> String {
    let mut text = format!("engine {}, {} bytes", engine.name(), request.code.len());
    let counts = [
        ("function", new.functions.len()),
        ("remote function", new.remote_functions.len()),
        ("stream consumer", new.stream_consumers.len()),
        ("trigger", new.triggers.len()),
    ];
    for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        let ending = if count == 1 { "" } else { "s" };
        let _ = write!(text, ", {count} {what}{ending}");
    }
    let as_owner = new.functions.iter().filter(|one| acts_as_owner(one));
    let as_owner = as_owner.map(|one| &*one.name);
    names(
        &mut text,
        "functions as owner",
        std::iter::empty(),
        as_owner,
    );
    if request.config.is_some() {
        text.push_str(", with a configuration");
    }
    text
}

/// Whether a function has its owner's rights, whoever calls it: who reads the log wants to know.
fn acts_as_owner(function: &Function) -> bool {
    function.run_as == RunAs::Owner
}

fn difference(
    old: &Library,
    engine: &dyn Engine,
    request: &LoadRequest<'_>,
    new: &Registrations,
) -> String {
    let is_same = old.code == request.code;
    let mut text = String::from(if is_same {
        "the same code"
    } else {
        "other code"
    });
    if old.engine != engine.name() {
        let _ = write!(text, ", engine {} instead of {}", engine.name(), old.engine);
    }
    let functions = new.functions.iter().map(|one| &*one.name);
    names(&mut text, "functions", keys(&old.functions), functions);
    let remote = new.remote_functions.iter().map(|one| &*one.name);
    names(
        &mut text,
        "remote functions",
        keys(&old.remote_functions),
        remote,
    );
    let old_as_owner = old.functions.values().filter(|one| acts_as_owner(one));
    let old_as_owner = old_as_owner.map(|one| &*one.name);
    let as_owner = new.functions.iter().filter(|one| acts_as_owner(one));
    let as_owner = as_owner.map(|one| &*one.name);
    names(&mut text, "functions as owner", old_as_owner, as_owner);
    let consumers = new.stream_consumers.iter().map(|one| &*one.name);
    names(
        &mut text,
        "stream consumers",
        keys(&old.consumers),
        consumers,
    );
    let triggers = new.triggers.iter().map(|one| &*one.name);
    names(&mut text, "triggers", keys(&old.triggers), triggers);
    match (old.config.as_deref(), request.config) {
        (None, Some(_)) => text.push_str(", with a configuration now"),
        (Some(_), None) => text.push_str(", without its configuration now"),
        (Some(old), Some(new)) if old != new => text.push_str(", another configuration"),
        _ => {}
    }
    if *old.user != *request.user {
        let _ = write!(text, ", owner '{}' instead of '{}'", request.user, old.user);
    }
    if old.executor().is_none() {
        text.push_str(", out of quarantine");
    }
    text
}

/// The names of what there is.
fn keys<T>(all: &BTreeMap<String, T>) -> impl Iterator<Item = &str> {
    all.keys().map(String::as_str)
}

/// Names that a line shows; of the others it says how many there are.
const NAMES: usize = 20;

/// Which names are there now and were not before (`+`), and the other way round (`-`).
fn names<'a>(
    text: &mut String,
    what: &str,
    old: impl Iterator<Item = &'a str>,
    new: impl Iterator<Item = &'a str>,
) {
    let new: BTreeSet<&str> = new.collect();
    let old: BTreeSet<&str> = old.collect();
    let added = new.difference(&old).map(|name| ('+', name));
    let changes: Vec<_> = added
        .chain(old.difference(&new).map(|name| ('-', name)))
        .collect();
    if changes.is_empty() {
        return;
    }
    let _ = write!(text, ", {what}");
    for (sign, name) in changes.iter().take(NAMES) {
        let _ = write!(text, " {sign}{}", quoted(name.as_bytes()));
    }
    if changes.len() > NAMES {
        let _ = write!(text, " and {} more", changes.len() - NAMES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(old: &[&str], new: &[&str]) -> String {
        let mut text = String::new();
        let (old, new) = (old.iter().copied(), new.iter().copied());
        names(&mut text, "functions", old, new);
        text
    }

    #[test]
    fn names_that_came_and_went_are_told_and_the_others_are_not() {
        assert_eq!(told(&["a", "b"], &["b", "c'"]), r", functions +'c\'' -'a'");
        assert_eq!(told(&["a"], &["a"]), "");
    }

    #[test]
    fn of_many_names_only_some_are_told() {
        let many: Vec<_> = (0..30).map(|name| name.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let text = told(&[], &many);
        assert_eq!(text.matches('+').count(), NAMES);
        assert!(text.ends_with(" and 10 more"), "{text}");
    }
}
