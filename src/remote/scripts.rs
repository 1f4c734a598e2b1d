//! Scripts that are run once, and whose runs go over all shards: the text goes along with each stage, since no other
//! shard has it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::executor::LibraryExecutor;
use crate::library::{Libraries, LoadRequest, Prologue, SourceKind};
use gears_v8::ports::{CallbackId, digest_of};

/// For how long a script of another shard is kept after a stage of it has run here: the next one finds it loaded.
const KEPT: Duration = Duration::from_secs(10);

/// How many of those are kept at most that no stage runs of: each has memory of its own.
const IDLE_MAX: usize = 8;

/// Lives as long as a stage of a script runs; whether the stage was aborted, and may never end.
pub(super) type Running = Arc<AtomicBool>;

/// A script that was sent to this shard.
struct Own {
    executor: Weak<LibraryExecutor>,
    name: String,
    /// What its text is known by.
    digest: u64,
    code: Arc<str>,
}

impl Own {
    fn runs(&self) -> bool {
        self.executor.strong_count() > 0
    }
}

/// A script of another shard.
struct Part {
    executor: Arc<LibraryExecutor>,
    stage: CallbackId,
    used: Instant,
    running: Vec<Weak<AtomicBool>>,
}

impl Part {
    /// Another stage of it begins.
    fn begin(&mut self) -> Running {
        let begun = Running::default();
        self.running.retain(|one| one.strong_count() > 0);
        self.running.push(Arc::downgrade(&begun));
        begun
    }

    fn is_running(&self) -> bool {
        self.running.iter().any(|one| one.strong_count() > 0)
    }

    /// Whether it runs for nobody any more.
    fn is_aborted(&self) -> bool {
        let is_aborted = |one: Running| one.load(Ordering::Relaxed);
        self.is_running()
            && self
                .running
                .iter()
                .filter_map(Weak::upgrade)
                .all(is_aborted)
    }
}

/// Scripts that run here, and parts of those of other shards. Used by the main thread only.
#[derive(Default)]
pub(super) struct Scripts {
    /// Those that were sent to this shard, as long as they run.
    own: RefCell<Vec<Own>>,
    /// Those of other shards, by the users in whose name they run, and their texts.
    parts: RefCell<HashMap<(String, String), Part>>,
}

impl Scripts {
    /// Keeps the text of a script for as long as it runs.
    pub(super) fn keep(&self, name: &str, code: &str, executor: &Arc<LibraryExecutor>) {
        let mut own = self.own.borrow_mut();
        own.retain(Own::runs);
        let own_text = Prologue::parse(code).map_or(code, |prologue| prologue.own_text(code));
        own.push(Own {
            executor: Arc::downgrade(executor),
            name: name.to_owned(),
            digest: digest_of(own_text),
            code: code.into(),
        });
    }

    /// The text of the script that runs here and that has this name and text. There may be others of that name, and a
    /// library.
    pub(super) fn text(&self, name: &str, digest: u64) -> Option<String> {
        let own = self.own.borrow();
        let mut own = own.iter().filter(|one| one.runs());
        let one = own.find(|one| one.digest == digest && one.name == name)?;
        Some(one.code.to_string())
    }

    /// What runs a stage of such a script here.
    ///
    /// # Errors
    /// Why it cannot be loaded.
    pub(super) fn part(
        &self,
        libraries: &Libraries,
        code: &str,
        user: &str,
    ) -> Result<(Arc<LibraryExecutor>, CallbackId, Running), String> {
        let key = (user.to_owned(), code.to_owned());
        if let Some(part) = self.parts.borrow_mut().get_mut(&key) {
            part.used = Instant::now();
            let running = part.begin();
            return Ok((Arc::clone(&part.executor), part.stage, running));
        }
        self.make_room();
        let request = LoadRequest {
            code,
            config: None,
            upgrade: false,
            user,
            caller: user,
            versions: 1,
            kind: SourceKind::Part,
            is_check: false,
            tells_place: false,
        };
        let loaded = libraries.load_part(&request);
        let loaded = loaded.map_err(|error| error.to_string())?;
        let (executor, stage) = loaded.ok_or("the script does not use GearsBuilder here")?;
        let mut part = Part {
            executor: Arc::clone(&executor),
            stage,
            used: Instant::now(),
            running: Vec::new(),
        };
        let running = part.begin();
        self.parts.borrow_mut().insert(key, part);
        Ok((executor, stage, running))
    }

    /// Lets go of the one that was used longest ago, where as many as may be are not in use.
    fn make_room(&self) {
        let mut parts = self.parts.borrow_mut();
        let idle = parts.iter().filter(|(_, part)| !part.is_running());
        let mut idle: Vec<_> = idle.map(|(key, part)| (part.used, key.clone())).collect();
        idle.sort_unstable();
        let too_many = (idle.len() + 1).saturating_sub(IDLE_MAX);
        for (_, key) in idle.into_iter().take(too_many) {
            parts.remove(&key);
        }
    }

    /// Ends scripts of which nothing runs but stages that were aborted: those may never end by themselves.
    pub(super) fn end_aborted(&self) {
        self.parts.borrow_mut().retain(|_, part| {
            let is_aborted = part.is_aborted();
            if is_aborted {
                part.executor.shut_down(true);
            }
            !is_aborted
        });
    }

    /// Lets go of those that are of no use any more; gives the others.
    pub(super) fn look_after(&self) -> Vec<Arc<LibraryExecutor>> {
        self.end_aborted();
        let mut parts = self.parts.borrow_mut();
        if parts.is_empty() {
            return Vec::new();
        }
        parts.retain(|_, part| {
            if part.is_running() {
                part.used = Instant::now();
            }
            part.used.elapsed() < KEPT
        });
        let executors = parts.values().map(|part| Arc::clone(&part.executor));
        executors.collect()
    }
}
