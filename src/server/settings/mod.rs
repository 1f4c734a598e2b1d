//! Settings: module configs (`redisgears_2.<name>` in CONFIG and in the configuration file) and,
//! with the same names, arguments of the module, which win over the file.

mod arguments;
mod list;
mod setting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use gears_core::triggers::BacklogLimits;
use gears_v8::ports::Limits;

use super::context::Context;
use super::ffi::config;
use crate::cluster::ClusterLimits;
use crate::executor::{KeptRuns, SlowLogLimits};
use list::{
    ALL, BACKGROUND_TIMEOUT, CLUSTER_MESSAGE_SIZE, CLUSTER_QUEUE_MEMORY, CLUSTER_RECEIVE_MEMORY,
    DB_LOADING_LOCK_REDIS_TIMEOUT, DELETE_WITH_PROGRESS, ENABLE_DEBUG_COMMAND, ERROR_VERBOSITY,
    EXECUTION_MEMORY, EXECUTION_THREADS, FATAL_FAILURE_POLICY, LIBRARY_MAXMEMORY, LIBRARY_VERSIONS,
    LOCK_REDIS_TIMEOUT, MAX_EXECUTIONS, MAX_EXECUTIONS_MEMORY, REMOTE_TASK_DEFAULT_TIMEOUT,
    REMOTE_TASK_MAX_SIZE, SCRIPT_LOG_PREFIX, SLOWLOG_MAX_LEN, SLOWLOG_THRESHOLD, STALLED_AFTER,
    TRIGGER_QUEUE_LENGTH, TRIGGER_QUEUE_MEMORY, V8_MAXMEMORY,
};
use setting::{Setting, SettingValues};

pub(crate) use arguments::{apply_arguments, python_folder, v8_flags};

/// The settings, as the rest of the module uses them. Changes show in what is shared.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Worker threads.
    pub(crate) threads: usize,
    /// Bounds for scripts.
    pub(crate) limits: Arc<Limits>,
    /// How much of an error is told.
    pub(crate) verbosity: Arc<AtomicU8>,
    /// What is kept of runs over the data set that have ended.
    pub(crate) kept_runs: Arc<KeptRuns>,
    /// Which slow calls are kept.
    pub(crate) slow_log: Arc<SlowLogLimits>,
    /// Bytes that the arguments of a call of a remote function, or its result, may have.
    pub(crate) remote_bytes: Arc<AtomicUsize>,
    /// Bytes that records of an execution over all shards may take between two stages.
    pub(crate) execution_bytes: Arc<AtomicUsize>,
}

impl Settings {
    /// The settings as they are now.
    pub(crate) fn new() -> Self {
        let settings = Self {
            threads: usize::try_from(EXECUTION_THREADS.get()).unwrap_or(1),
            limits: Arc::new(Limits {
                locked_ms: AtomicU64::new(0),
                restoring_ms: AtomicU64::new(0),
                unlocked_ms: AtomicU64::new(0),
                memory: AtomicUsize::new(0),
                total_memory: AtomicUsize::new(0),
                never_kills: AtomicBool::new(false),
            }),
            verbosity: Arc::new(AtomicU8::new(1)),
            kept_runs: Arc::default(),
            slow_log: Arc::default(),
            remote_bytes: Arc::default(),
            execution_bytes: Arc::default(),
        };
        settings.refresh();
        settings
    }

    /// How much may wait for each trigger.
    #[expect(clippy::unused_self, reason = "settings are one set")]
    pub(crate) fn trigger_bounds(&self) -> BacklogLimits {
        let amount = |setting: &Setting| usize::try_from(setting.get()).unwrap_or(usize::MAX);
        BacklogLimits {
            length: amount(&TRIGGER_QUEUE_LENGTH),
            bytes: amount(&TRIGGER_QUEUE_MEMORY),
        }
    }

    /// How much there may be of what goes from node to node.
    #[expect(clippy::unused_self, reason = "settings are one set")]
    pub(crate) fn cluster_limits(&self) -> ClusterLimits {
        let amount = |setting: &Setting| usize::try_from(setting.get()).unwrap_or(usize::MAX);
        ClusterLimits {
            sending: gears_core::cluster::Limits {
                message: amount(&CLUSTER_MESSAGE_SIZE),
                queue: amount(&CLUSTER_QUEUE_MEMORY),
            },
            receiving: amount(&CLUSTER_RECEIVE_MEMORY),
        }
    }

    /// How long a callback of a consumer may take before that counts as blocked, if it ever does.
    #[expect(clippy::unused_self, reason = "settings are one set")]
    pub(crate) fn stalled_after(&self) -> Option<Duration> {
        let seconds = STALLED_AFTER.get().unsigned_abs();
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// Texts of a library that are kept, the one it has included.
    #[expect(clippy::unused_self, reason = "settings are one set")]
    pub(crate) fn library_versions(&self) -> usize {
        usize::try_from(LIBRARY_VERSIONS.get()).unwrap_or(1)
    }

    /// Whether a library whose consumers have read something is deleted only by who says so.
    #[expect(clippy::unused_self, reason = "settings are one set")]
    pub(crate) fn refuses_to_lose_progress(&self) -> bool {
        DELETE_WITH_PROGRESS.is_on()
    }

    /// Milliseconds that calls of remote functions have, where their callers do not say.
    #[expect(clippy::unused_self, reason = "settings are one set")]
    pub(crate) fn remote_timeout_ms(&self) -> u64 {
        REMOTE_TASK_DEFAULT_TIMEOUT.get().unsigned_abs()
    }

    /// Takes over what was changed since. Cheap enough for every tick of the event loop.
    pub(crate) fn refresh(&self) {
        let limits = &self.limits;
        let milliseconds = |setting: &Setting| setting.get().unsigned_abs();
        let amount = |setting: &Setting| usize::try_from(setting.get()).unwrap_or(usize::MAX);
        let order = Ordering::Relaxed;
        limits
            .locked_ms
            .store(milliseconds(&LOCK_REDIS_TIMEOUT), order);
        let restoring = milliseconds(&DB_LOADING_LOCK_REDIS_TIMEOUT);
        limits
            .restoring_ms
            .store(restoring.max(milliseconds(&LOCK_REDIS_TIMEOUT)), order);
        limits
            .unlocked_ms
            .store(milliseconds(&BACKGROUND_TIMEOUT), order);
        limits.memory.store(amount(&LIBRARY_MAXMEMORY), order);
        limits.total_memory.store(amount(&V8_MAXMEMORY), order);
        limits
            .never_kills
            .store(FATAL_FAILURE_POLICY.is_on(), order);
        let verbosity = u8::try_from(ERROR_VERBOSITY.get()).unwrap_or(1);
        self.verbosity.store(verbosity, Ordering::Relaxed);
        self.kept_runs.most.store(amount(&MAX_EXECUTIONS), order);
        let bytes = amount(&MAX_EXECUTIONS_MEMORY);
        self.kept_runs.bytes.store(bytes, order);
        self.remote_bytes
            .store(amount(&REMOTE_TASK_MAX_SIZE), order);
        self.execution_bytes.store(amount(&EXECUTION_MEMORY), order);
        let slow_log = &self.slow_log;
        slow_log.threshold_ms.store(SLOWLOG_THRESHOLD.get(), order);
        slow_log.max_len.store(amount(&SLOWLOG_MAX_LEN), order);
    }
}

/// Whether `RG.FUNCTION DEBUG` is for use.
pub(crate) fn debug_is_enabled() -> bool {
    ENABLE_DEBUG_COMMAND.is_on()
}

/// Whether lines that scripts log begin with the names of library and callback.
pub(super) fn names_scripts_in_log() -> bool {
    SCRIPT_LOG_PREFIX.is_on()
}

fn find(name: &str) -> Result<&'static Setting, String> {
    ALL.into_iter()
        .find(|setting| setting.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| format!("No such configuration {name}"))
}

/// The value of a setting, as users write it.
///
/// # Errors
/// Where there is none of that name.
pub(crate) fn read(name: &str) -> Result<String, String> {
    find(name).map(Setting::text)
}

/// Changes a setting while the server runs.
///
/// # Errors
/// Where there is none of that name, or it cannot be changed, or not to that.
pub(crate) fn change(name: &str, text: &str) -> Result<(), String> {
    let setting = find(name)?;
    if setting.is_fixed() {
        return Err(format!(
            "Configuration {name} can not be changed at runtime"
        ));
    }
    let value = setting.parse(text).map_err(|error| match setting.values {
        SettingValues::Number { .. } => format!("Failed parsing value '{text}' as a number."),
        SettingValues::Choice(_) => error,
    })?;
    match setting.values {
        SettingValues::Number { min, .. } if value < min => Err(format!(
            "Value '{text}' is less then minimum value allowed '{min}'"
        )),
        SettingValues::Number { max, .. } if value > max => Err(format!(
            "Value '{text}' is greater then maximum value allowed '{max}'"
        )),
        _ => setting.set(value),
    }
}

/// Registers the configs, and takes their values from the configuration file.
///
/// # Errors
/// With the name of what the server refuses.
pub(crate) fn register(context: &Context) -> Result<(), &'static str> {
    for setting in ALL {
        if !setting.register(context) {
            return Err(setting.name);
        }
    }
    config::load(context)
        .then_some(())
        .ok_or("the values of the configuration file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_is_no_and_yes_is_yes() {
        assert_eq!(ENABLE_DEBUG_COMMAND.parse("no"), Ok(0));
        assert_eq!(ENABLE_DEBUG_COMMAND.parse("YES"), Ok(1));
        assert_eq!(FATAL_FAILURE_POLICY.parse("kill"), Ok(1));
        assert_eq!(read("library-fatal-failure-policy"), Ok("abort".into()));
    }

    #[test]
    fn what_cannot_be_changed_says_why() {
        let wrong = |name, value| change(name, value).unwrap_err();
        assert_eq!(wrong("nothing", "1"), "No such configuration nothing");
        assert!(wrong("execution-threads", "2").contains("can not be changed at runtime"));
        assert!(wrong("lock-redis-timeout", "x").contains("Failed parsing value 'x'"));
        assert!(wrong("lock-redis-timeout", "99").contains("minimum value allowed '100'"));
        assert!(wrong("lock-redis-timeout", "1000000001").contains("maximum value allowed"));
        assert!(wrong("library-fatal-failure-policy", "x").contains("options are abort, kill"));
    }
}
