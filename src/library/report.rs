//! What a load makes another than it was, or would: as its client is told.

use std::collections::BTreeMap;

use gears_core::quoted;
use gears_core::snapshot::{History, Unregistered};
use gears_v8::ports::{Function, Registrations, Reply, RunAs};

use super::kept::{KeptProgress, has_progress};
use super::load::LoadRequest;
use super::registry::{Library, LibraryStatus};
use crate::dispatcher::Dispatcher;

/// The names of one kind of registrations.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    added: Vec<String>,
    removed: Vec<String>,
    /// Those that ask for something else than before.
    changed: Vec<String>,
    kept: Vec<String>,
}

impl Names {
    /// Of what was there and what is there now. `is_same` says whether one of both asks for what it
    /// asked for before.
    fn of<'a, K, N: 'a>(
        old: Option<&BTreeMap<String, K>>,
        new: impl Iterator<Item = (&'a str, &'a N)>,
        is_same: impl Fn(&K, &N) -> bool,
    ) -> Self {
        let mut names = Self::default();
        let mut gone: BTreeMap<&str, &K> = old
            .into_iter()
            .flatten()
            .map(|(name, known)| (name.as_str(), known))
            .collect();
        for (name, new) in new {
            let to = match gone.remove(name) {
                None => &mut names.added,
                Some(known) if is_same(known, new) => &mut names.kept,
                Some(_) => &mut names.changed,
            };
            to.push(name.to_owned());
        }
        names.removed = gone.into_keys().map(str::to_owned).collect();
        for list in [&mut names.added, &mut names.changed, &mut names.kept] {
            list.sort_unstable();
        }
        names
    }

    fn is_unchanged(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn reply(&self) -> Reply {
        Reply::record(vec![
            ("added", texts(&self.added)),
            ("removed", texts(&self.removed)),
            ("changed", texts(&self.changed)),
            ("kept", texts(&self.kept)),
        ])
    }
}

fn texts(all: &[String]) -> Reply {
    Reply::Array(all.iter().map(|one| Reply::text(one.as_str())).collect())
}

/// What a load makes another than it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    library: String,
    engine: String,
    /// Whether there was a library of that name.
    is_upgrade: bool,
    /// Whether text, engine, owner, configuration and registrations are what they were.
    is_same: bool,
    version: u64,
    digest: String,
    /// When it was loaded; none where it was only looked at.
    loaded_ms: Option<u64>,
    owner: String,
    owner_before: Option<String>,
    configuration: &'static str,
    functions: Names,
    remote_functions: Names,
    stream_consumers: Names,
    triggers: Names,
    /// Consumers that go, and have read something.
    loses_progress: Vec<String>,
    warnings: Vec<String>,
}

impl Report {
    /// Compares a library that was staged with the one it replaces.
    pub(super) fn of(
        (name, engine): (&str, &str),
        old: Option<&Library>,
        request: &LoadRequest<'_>,
        new: &Registrations,
        (dispatcher, kept): (&Dispatcher, Option<&KeptProgress>),
        (history, digest): (&History, &str),
    ) -> Self {
        let functions = Names::of(
            old.map(|old| &old.functions),
            new.functions.iter().map(|one| (&*one.name, one)),
            |old, new| {
                let asks = |one: &Function| (one.flags, one.timeout_ms, one.run_as);
                asks(old) == asks(new)
            },
        );
        let remote_functions = Names::of(
            old.map(|old| &old.remote_functions),
            new.remote_functions.iter().map(|one| (&*one.name, one)),
            |old, new| old.flags == new.flags,
        );
        let stream_consumers = Names::of(
            old.map(|old| &old.consumers),
            new.stream_consumers.iter().map(|one| (&*one.name, one)),
            |old, new| dispatcher.inspect(|delivery| delivery.spec(old.key) == Some(&new.spec)),
        );
        let triggers = Names::of(
            old.map(|old| &old.triggers),
            new.triggers.iter().map(|one| (&*one.name, one)),
            |old, new| {
                let view = dispatcher.triggers.view(*old);
                view.is_some_and(|view| view.spec == new.spec)
            },
        );
        let goes = |name: &&String| {
            let consumer = old.and_then(|old| old.consumers.get(*name));
            consumer.is_some_and(|consumer| has_progress(dispatcher, consumer.key))
        };
        let loses_progress = stream_consumers.removed.iter().filter(goes);
        let mut loses_progress: Vec<String> = loses_progress.cloned().collect();
        let mut warnings = old.map_or_else(Vec::new, warnings);
        let as_owner = new.functions.iter().filter(|new| {
            let before = old.and_then(|old| old.functions.get(&new.name));
            new.run_as == RunAs::Owner && before.is_none_or(|old| old.run_as != RunAs::Owner)
        });
        warnings.extend(as_owner.map(|function| {
            let (name, owner) = (quoted(function.name.as_bytes()), request.user);
            format!("the function {name} acts as the owner '{owner}', whoever calls it")
        }));
        for (name, consumer) in kept.into_iter().flat_map(|kept| &kept.consumers) {
            if new.stream_consumers.iter().any(|new| new.name == *name) {
                let name = quoted(name.as_bytes());
                warnings.push(format!(
                    "the consumer {name} goes on from the progress that was kept when the library was deleted"
                ));
            } else if has_progress(dispatcher, consumer.key) {
                loses_progress.push(name.clone());
            }
        }
        let configuration = match (old.and_then(|old| old.config.as_deref()), request.config) {
            (None, None) => "none",
            (None, Some(_)) => "set",
            (Some(old), Some(new)) if old == new => "kept",
            (Some(_), _) => "changed",
        };
        let owner_before = old.map(|old| old.user.to_string());
        let is_same = old.is_some_and(|old| old.code == request.code && old.engine == engine)
            && owner_before.as_deref() == Some(request.user)
            && matches!(configuration, "kept" | "none")
            && [&functions, &remote_functions, &stream_consumers, &triggers]
                .into_iter()
                .all(Names::is_unchanged);
        Self {
            library: name.to_owned(),
            engine: engine.to_owned(),
            is_upgrade: old.is_some(),
            is_same,
            version: history.version,
            digest: digest.to_owned(),
            loaded_ms: (!request.is_check).then_some(history.loaded_ms),
            owner: request.user.to_owned(),
            owner_before,
            configuration,
            functions,
            remote_functions,
            stream_consumers,
            triggers,
            loses_progress,
            warnings,
        }
    }

    /// The number of the text.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// It is loaded, at that Unix time in milliseconds.
    pub(crate) fn set_loaded(&mut self, at_ms: u64) {
        self.loaded_ms = Some(at_ms);
    }

    /// As the reply of a command.
    pub(crate) fn reply(&self) -> Reply {
        let action = match (self.is_upgrade, self.is_same) {
            (false, _) => "load",
            (true, false) => "upgrade",
            (true, true) => "none",
        };
        let before = self.owner_before.as_deref();
        Reply::record(vec![
            ("library", Reply::text(self.library.as_str())),
            ("engine", Reply::text(self.engine.as_str())),
            ("action", Reply::text(action)),
            ("version", Reply::count(self.version)),
            ("digest", Reply::text(self.digest.as_str())),
            (
                "loaded_at",
                self.loaded_ms.map_or(Reply::Null, Reply::count),
            ),
            ("owner", Reply::text(self.owner.as_str())),
            ("owner_before", before.map_or(Reply::Null, Reply::text)),
            ("configuration", Reply::text(self.configuration)),
            ("functions", self.functions.reply()),
            ("remote_functions", self.remote_functions.reply()),
            ("stream_consumers", self.stream_consumers.reply()),
            ("triggers", self.triggers.reply()),
            ("loses_progress", texts(&self.loses_progress)),
            ("warnings", texts(&self.warnings)),
        ])
    }
}

/// What is to be known of a library before it is replaced.
fn warnings(old: &Library) -> Vec<String> {
    let mut warnings = Vec::new();
    if let LibraryStatus::Quarantined { error } = &old.status {
        warnings.push(format!("the library is in quarantine: {error}"));
    }
    for gone in &old.unregistered {
        let (what, name) = match gone {
            Unregistered::Consumer(name) => ("consumer", name),
            Unregistered::Trigger(name) => ("trigger", name),
        };
        let name = quoted(name.as_bytes());
        warnings.push(format!(
            "the {what} {name} was taken away by RG.UNREGISTER: it comes back if the code registers it"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_by_whether_they_came_went_or_ask_for_something_else() {
        let old: BTreeMap<String, u8> = [("a", 1), ("b", 2), ("c", 3)]
            .map(|(name, asks)| (name.to_owned(), asks))
            .into();
        let new = [("d", 4), ("c", 30), ("b", 2)];
        let new = new.iter().map(|(name, asks)| (*name, asks));
        let names = Names::of(Some(&old), new, |old, new| old == new);
        let expected = Names {
            added: vec!["d".into()],
            removed: vec!["a".into()],
            changed: vec!["c".into()],
            kept: vec!["b".into()],
        };
        assert_eq!(names, expected);
        assert!(!names.is_unchanged());
    }
}
