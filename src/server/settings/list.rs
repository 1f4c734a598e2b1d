//! All settings there are.

use super::setting::{Setting, SettingValues};
use crate::server::ffi::config::{CONFIG_DEFAULT, CONFIG_FIXED, CONFIG_MEMORY};

const MEGABYTE: i64 = 1 << 20;
const MILLISECONDS: SettingValues = SettingValues::Number {
    min: 100,
    max: 1_000_000_000,
};
/// A message's size is told in 32 bits.
const CLUSTER_MEMORY: SettingValues = SettingValues::Number {
    min: MEGABYTE,
    max: 1024 * MEGABYTE,
};
const NO_OR_YES: SettingValues = SettingValues::Choice(&["no", "yes"]);

pub(super) static EXECUTION_THREADS: Setting = Setting::new(
    "execution-threads",
    1,
    SettingValues::Number { min: 1, max: 32 },
    CONFIG_FIXED,
);
pub(super) static LOCK_REDIS_TIMEOUT: Setting =
    Setting::new("lock-redis-timeout", 500, MILLISECONDS, CONFIG_DEFAULT);
pub(super) static DB_LOADING_LOCK_REDIS_TIMEOUT: Setting = Setting::new(
    "db-loading-lock-redis-timeout",
    30_000,
    MILLISECONDS,
    CONFIG_DEFAULT,
);
pub(super) static BACKGROUND_TIMEOUT: Setting =
    Setting::new("background-timeout", 5000, MILLISECONDS, CONFIG_DEFAULT);
pub(super) static LIBRARY_MAXMEMORY: Setting = Setting::new(
    "library-maxmemory",
    1024 * MEGABYTE,
    SettingValues::Number {
        min: 16 * MEGABYTE,
        max: 2048 * MEGABYTE,
    },
    CONFIG_FIXED | CONFIG_MEMORY,
);
pub(super) static V8_MAXMEMORY: Setting = Setting::new(
    "v8-maxmemory",
    2048 * MEGABYTE,
    SettingValues::Number {
        min: 50 * MEGABYTE,
        max: 1024 * 1024 * MEGABYTE,
    },
    CONFIG_MEMORY,
);
pub(super) static FATAL_FAILURE_POLICY: Setting = Setting::new(
    "library-fatal-failure-policy",
    0,
    SettingValues::Choice(&["abort", "kill"]),
    CONFIG_DEFAULT,
);
pub(super) static ERROR_VERBOSITY: Setting = Setting::new(
    "error-verbosity",
    1,
    SettingValues::Number { min: 1, max: 2 },
    CONFIG_DEFAULT,
);
pub(super) static SCRIPT_LOG_PREFIX: Setting =
    Setting::new("script-log-prefix", 1, NO_OR_YES, CONFIG_DEFAULT);
pub(super) static ENABLE_DEBUG_COMMAND: Setting =
    Setting::new("enable-debug-command", 0, NO_OR_YES, CONFIG_FIXED);

pub(super) static TRIGGER_QUEUE_LENGTH: Setting = Setting::new(
    "trigger-queue-length",
    100_000,
    SettingValues::Number {
        min: 1,
        max: 100_000_000,
    },
    CONFIG_DEFAULT,
);
pub(super) static TRIGGER_QUEUE_MEMORY: Setting = Setting::new(
    "trigger-queue-memory",
    64 * MEGABYTE,
    SettingValues::Number {
        min: 64 << 10,
        max: 1024 * 1024 * MEGABYTE,
    },
    CONFIG_MEMORY,
);

pub(super) static MAX_EXECUTIONS: Setting = Setting::new(
    "max-executions",
    1000,
    SettingValues::Number {
        min: 0,
        max: 1_000_000,
    },
    CONFIG_DEFAULT,
);
pub(super) static MAX_EXECUTIONS_MEMORY: Setting = Setting::new(
    "max-executions-memory",
    64 * MEGABYTE,
    SettingValues::Number {
        min: 0,
        max: 1024 * 1024 * MEGABYTE,
    },
    CONFIG_MEMORY,
);

pub(super) static SLOWLOG_THRESHOLD: Setting = Setting::new(
    "slowlog-threshold",
    100,
    SettingValues::Number {
        min: -1,
        max: 1_000_000_000,
    },
    CONFIG_DEFAULT,
);
pub(super) static SLOWLOG_MAX_LEN: Setting = Setting::new(
    "slowlog-max-len",
    128,
    SettingValues::Number {
        min: 0,
        max: 100_000,
    },
    CONFIG_DEFAULT,
);

pub(super) static LIBRARY_VERSIONS: Setting = Setting::new(
    "library-versions",
    5,
    SettingValues::Number { min: 1, max: 100 },
    CONFIG_DEFAULT,
);

pub(super) static DELETE_WITH_PROGRESS: Setting = Setting::new(
    "delete-with-progress",
    0,
    SettingValues::Choice(&["allow", "refuse"]),
    CONFIG_DEFAULT,
);

pub(super) static REMOTE_TASK_DEFAULT_TIMEOUT: Setting = Setting::new(
    "remote-task-default-timeout",
    500,
    SettingValues::Number {
        min: 1,
        max: 1_000_000_000,
    },
    CONFIG_DEFAULT,
);
pub(super) static REMOTE_TASK_MAX_SIZE: Setting = Setting::new(
    "remote-task-max-size",
    64 * MEGABYTE,
    SettingValues::Number {
        min: 64 << 10,
        max: 256 * MEGABYTE,
    },
    CONFIG_MEMORY,
);

pub(super) static EXECUTION_MEMORY: Setting = Setting::new(
    "execution-memory",
    256 * MEGABYTE,
    SettingValues::Number {
        min: 64 << 10,
        max: 16 * 1024 * MEGABYTE,
    },
    CONFIG_MEMORY,
);

pub(super) static CLUSTER_MESSAGE_SIZE: Setting = Setting::new(
    "cluster-message-size",
    // What a call carries at most, with names, a key, and the text of an error.
    65 * MEGABYTE,
    CLUSTER_MEMORY,
    CONFIG_MEMORY,
);
pub(super) static CLUSTER_QUEUE_MEMORY: Setting = Setting::new(
    "cluster-queue-memory",
    64 * MEGABYTE,
    CLUSTER_MEMORY,
    CONFIG_MEMORY,
);
pub(super) static CLUSTER_RECEIVE_MEMORY: Setting = Setting::new(
    "cluster-receive-memory",
    256 * MEGABYTE,
    CLUSTER_MEMORY,
    CONFIG_MEMORY,
);

pub(super) static STALLED_AFTER: Setting = Setting::new(
    "stalled-after",
    60,
    SettingValues::Number {
        min: 0,
        max: 1_000_000_000,
    },
    CONFIG_DEFAULT,
);

pub(super) static ALL: [&Setting; 25] = [
    &EXECUTION_THREADS,
    &LOCK_REDIS_TIMEOUT,
    &DB_LOADING_LOCK_REDIS_TIMEOUT,
    &BACKGROUND_TIMEOUT,
    &LIBRARY_MAXMEMORY,
    &V8_MAXMEMORY,
    &FATAL_FAILURE_POLICY,
    &ERROR_VERBOSITY,
    &SCRIPT_LOG_PREFIX,
    &ENABLE_DEBUG_COMMAND,
    &TRIGGER_QUEUE_LENGTH,
    &TRIGGER_QUEUE_MEMORY,
    &MAX_EXECUTIONS,
    &MAX_EXECUTIONS_MEMORY,
    &SLOWLOG_THRESHOLD,
    &SLOWLOG_MAX_LEN,
    &STALLED_AFTER,
    &LIBRARY_VERSIONS,
    &DELETE_WITH_PROGRESS,
    &REMOTE_TASK_DEFAULT_TIMEOUT,
    &REMOTE_TASK_MAX_SIZE,
    &EXECUTION_MEMORY,
    &CLUSTER_MESSAGE_SIZE,
    &CLUSTER_QUEUE_MEMORY,
    &CLUSTER_RECEIVE_MEMORY,
];
