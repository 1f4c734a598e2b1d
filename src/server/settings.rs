//! Settings: module configs (`redisgears_2.<name>` in CONFIG and in the configuration file) and,
//! with the same names, arguments of the module, which win over the file.

use std::ffi::{CString, c_char, c_int, c_longlong, c_void};
use std::ptr::from_ref;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use redis_module::raw::{self, RedisModuleString};

use super::api;
use super::constants::{ERR, OK};
use super::context::Context;
use gears_core::triggers::BacklogLimits;
use gears_v8::ports::Limits;

/// One setting. The value of a choice is its place in the list.
struct Setting {
    name: &'static str,
    default: i64,
    kind: Kind,
    flags: u32,
    value: AtomicI64,
}

/// What values a setting takes.
#[derive(Clone, Copy)]
enum Kind {
    Number { min: i64, max: i64 },
    Choice(&'static [&'static str]),
}

impl Setting {
    const fn new(name: &'static str, default: i64, kind: Kind, flags: u32) -> Self {
        Self {
            name,
            default,
            kind,
            flags,
            value: AtomicI64::new(default),
        }
    }

    fn get(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }

    fn is_on(&self) -> bool {
        self.get() != 0
    }

    fn set(&self, value: i64) -> Result<(), String> {
        let (min, max) = match self.kind {
            Kind::Number { min, max } => (min, max),
            Kind::Choice(names) => (0, i64::try_from(names.len()).unwrap_or(0) - 1),
        };
        if (min..=max).contains(&value) {
            self.value.store(value, Ordering::Relaxed);
            Ok(())
        } else {
            Err(format!(
                "argument must be between {min} and {max} inclusive"
            ))
        }
    }

    /// The value as users write it.
    fn text(&self) -> String {
        let value = self.get();
        match self.kind {
            Kind::Number { .. } => value.to_string(),
            Kind::Choice(names) => usize::try_from(value)
                .ok()
                .and_then(|at| names.get(at))
                .map_or_else(String::new, |name| (*name).to_owned()),
        }
    }

    /// The value that a text stands for.
    fn parse(&self, text: &str) -> Result<i64, String> {
        match self.kind {
            Kind::Number { .. } => {
                parse(text, self.flags).ok_or_else(|| format!("'{text}' is not a number"))
            }
            Kind::Choice(names) => names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(text))
                .and_then(|at| i64::try_from(at).ok())
                .ok_or_else(|| {
                    format!(
                        "Unknown configuration value '{text}', options are {}",
                        names.join(", ")
                    )
                }),
        }
    }

    fn is_fixed(&self) -> bool {
        self.flags & raw::REDISMODULE_CONFIG_IMMUTABLE != 0
    }
}

const MEGABYTE: i64 = 1 << 20;
const MILLISECONDS: Kind = Kind::Number {
    min: 100,
    max: 1_000_000_000,
};
const NO_OR_YES: Kind = Kind::Choice(&["no", "yes"]);

static EXECUTION_THREADS: Setting = Setting::new(
    "execution-threads",
    1,
    Kind::Number { min: 1, max: 32 },
    raw::REDISMODULE_CONFIG_IMMUTABLE,
);
static LOCK_REDIS_TIMEOUT: Setting = Setting::new(
    "lock-redis-timeout",
    500,
    MILLISECONDS,
    raw::REDISMODULE_CONFIG_DEFAULT,
);
static DB_LOADING_LOCK_REDIS_TIMEOUT: Setting = Setting::new(
    "db-loading-lock-redis-timeout",
    30_000,
    MILLISECONDS,
    raw::REDISMODULE_CONFIG_DEFAULT,
);
static BACKGROUND_TIMEOUT: Setting = Setting::new(
    "background-timeout",
    5000,
    MILLISECONDS,
    raw::REDISMODULE_CONFIG_DEFAULT,
);
static LIBRARY_MAXMEMORY: Setting = Setting::new(
    "library-maxmemory",
    1024 * MEGABYTE,
    Kind::Number {
        min: 16 * MEGABYTE,
        max: 2048 * MEGABYTE,
    },
    raw::REDISMODULE_CONFIG_IMMUTABLE | raw::REDISMODULE_CONFIG_MEMORY,
);
static V8_MAXMEMORY: Setting = Setting::new(
    "v8-maxmemory",
    2048 * MEGABYTE,
    Kind::Number {
        min: 50 * MEGABYTE,
        max: 1024 * 1024 * MEGABYTE,
    },
    raw::REDISMODULE_CONFIG_MEMORY,
);
static FATAL_FAILURE_POLICY: Setting = Setting::new(
    "library-fatal-failure-policy",
    0,
    Kind::Choice(&["abort", "kill"]),
    raw::REDISMODULE_CONFIG_DEFAULT,
);
static ERROR_VERBOSITY: Setting = Setting::new(
    "error-verbosity",
    1,
    Kind::Number { min: 1, max: 2 },
    raw::REDISMODULE_CONFIG_DEFAULT,
);
static ENABLE_DEBUG_COMMAND: Setting = Setting::new(
    "enable-debug-command",
    0,
    NO_OR_YES,
    raw::REDISMODULE_CONFIG_IMMUTABLE,
);

static TRIGGER_QUEUE_LENGTH: Setting = Setting::new(
    "trigger-queue-length",
    100_000,
    Kind::Number {
        min: 1,
        max: 100_000_000,
    },
    raw::REDISMODULE_CONFIG_DEFAULT,
);
static TRIGGER_QUEUE_MEMORY: Setting = Setting::new(
    "trigger-queue-memory",
    64 * MEGABYTE,
    Kind::Number {
        min: 64 << 10,
        max: 1024 * 1024 * MEGABYTE,
    },
    raw::REDISMODULE_CONFIG_MEMORY,
);

static MAX_EXECUTIONS: Setting = Setting::new(
    "max-executions",
    1000,
    Kind::Number {
        min: 0,
        max: 1_000_000,
    },
    raw::REDISMODULE_CONFIG_DEFAULT,
);

static ALL: [&Setting; 12] = [
    &EXECUTION_THREADS,
    &LOCK_REDIS_TIMEOUT,
    &DB_LOADING_LOCK_REDIS_TIMEOUT,
    &BACKGROUND_TIMEOUT,
    &LIBRARY_MAXMEMORY,
    &V8_MAXMEMORY,
    &FATAL_FAILURE_POLICY,
    &ERROR_VERBOSITY,
    &ENABLE_DEBUG_COMMAND,
    &TRIGGER_QUEUE_LENGTH,
    &TRIGGER_QUEUE_MEMORY,
    &MAX_EXECUTIONS,
];

/// Whether `RG.FUNCTION DEBUG` is for use.
pub(crate) fn debug_is_enabled() -> bool {
    ENABLE_DEBUG_COMMAND.is_on()
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
    let value = setting.parse(text).map_err(|error| match setting.kind {
        Kind::Number { .. } => format!("Failed parsing value '{text}' as a number."),
        Kind::Choice(_) => error,
    })?;
    match setting.kind {
        Kind::Number { min, .. } if value < min => Err(format!(
            "Value '{text}' is less then minimum value allowed '{min}'"
        )),
        Kind::Number { max, .. } if value > max => Err(format!(
            "Value '{text}' is greater then maximum value allowed '{max}'"
        )),
        _ => setting.set(value),
    }
}

/// The settings, as the other rooms use them. Changes show in what is shared.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Worker threads.
    pub(crate) threads: usize,
    /// Bounds for scripts.
    pub(crate) limits: Arc<Limits>,
    /// How much of an error is told.
    pub(crate) verbosity: Arc<AtomicU8>,
    /// Runs over the data set that are kept when they have ended.
    pub(crate) executions: Arc<AtomicUsize>,
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
            executions: Arc::default(),
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
        self.executions.store(amount(&MAX_EXECUTIONS), order);
    }
}

/// Registers the configs, and takes their values from the configuration file.
///
/// # Errors
/// With the name of what the server refuses.
pub(crate) fn register(context: &Context) -> Result<(), &'static str> {
    for setting in ALL {
        if register_one(context, setting) != OK {
            return Err(setting.name);
        }
    }
    // SAFETY: the context is live, all configs are registered.
    let loaded = unsafe { api!(RedisModule_LoadConfigs)(context.as_ptr()) };
    if loaded == OK {
        Ok(())
    } else {
        Err("the values of the configuration file")
    }
}

fn register_one(context: &Context, setting: &'static Setting) -> c_int {
    let name = CString::new(setting.name).unwrap_or_default();
    let data = from_ref(setting).cast_mut().cast();
    let default = c_int::try_from(setting.default).unwrap_or(0);
    // SAFETY: the context is live; the callbacks get the setting as their data, which is static;
    // the server copies the names.
    unsafe {
        match setting.kind {
            Kind::Number { min, max } => api!(RedisModule_RegisterNumericConfig)(
                context.as_ptr(),
                name.as_ptr(),
                setting.default,
                setting.flags,
                min,
                max,
                Some(get_number),
                Some(set_number),
                None,
                data,
            ),
            Kind::Choice(["no", "yes"]) => api!(RedisModule_RegisterBoolConfig)(
                context.as_ptr(),
                name.as_ptr(),
                default,
                setting.flags,
                Some(get_choice),
                Some(set_choice),
                None,
                data,
            ),
            Kind::Choice(names) => {
                let texts: Vec<_> = names
                    .iter()
                    .map(|name| CString::new(*name).unwrap_or_default())
                    .collect();
                let mut pointers: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
                let values: Vec<c_int> = (0..).take(names.len()).collect();
                api!(RedisModule_RegisterEnumConfig)(
                    context.as_ptr(),
                    name.as_ptr(),
                    default,
                    setting.flags,
                    pointers.as_mut_ptr(),
                    values.as_ptr(),
                    c_int::try_from(names.len()).unwrap_or(0),
                    Some(get_choice),
                    Some(set_choice),
                    None,
                    data,
                )
            }
        }
    }
}

fn set(data: *mut c_void, value: i64) -> c_int {
    // SAFETY: `register_one` gave a static setting.
    match unsafe { &*data.cast::<Setting>() }.set(value) {
        Ok(()) => OK,
        // The server checks the range before and has the better message.
        Err(_) => ERR,
    }
}

unsafe extern "C" fn get_number(_name: *const c_char, data: *mut c_void) -> c_longlong {
    // SAFETY: as in `set`.
    unsafe { &*data.cast::<Setting>() }.get()
}

unsafe extern "C" fn set_number(
    _name: *const c_char,
    value: c_longlong,
    data: *mut c_void,
    _error: *mut *mut RedisModuleString,
) -> c_int {
    set(data, value)
}

unsafe extern "C" fn get_choice(_name: *const c_char, data: *mut c_void) -> c_int {
    // SAFETY: as in `set`.
    let value = unsafe { &*data.cast::<Setting>() }.get();
    c_int::try_from(value).unwrap_or(0)
}

unsafe extern "C" fn set_choice(
    _name: *const c_char,
    value: c_int,
    data: *mut c_void,
    _error: *mut *mut RedisModuleString,
) -> c_int {
    set(data, value.into())
}

/// The module argument that gives V8 flags, separated by commas and without their dashes, which a
/// server takes for options of its own. For tests: with some of them V8 does what it should not.
const V8_FLAGS: &str = "v8-flags";
static GIVEN_V8_FLAGS: OnceLock<String> = OnceLock::new();

/// Flags for V8 that were given as a module argument.
pub(crate) fn v8_flags() -> &'static str {
    GIVEN_V8_FLAGS.get().map_or("", String::as_str)
}

/// Applies the module's arguments: names and values in turn.
///
/// # Errors
/// With a message where one is not known, has no value or a wrong one.
pub(crate) fn apply_arguments(arguments: &[&[u8]]) -> Result<(), String> {
    let mut flags = None;
    for pair in arguments.chunks(2) {
        let name = String::from_utf8_lossy(pair[0]);
        let [_, value] = pair else {
            return Err(format!("Module argument '{name}' has no value"));
        };
        let value = String::from_utf8_lossy(value);
        if name.eq_ignore_ascii_case(V8_FLAGS) {
            let words = value
                .split([',', ' ', '\0'])
                .filter(|flag| !flag.is_empty());
            let words: Vec<_> = words.map(|flag| format!("--{flag}")).collect();
            flags = Some(words.join(" "));
            continue;
        }
        let setting = ALL
            .iter()
            .find(|setting| setting.name.eq_ignore_ascii_case(&name))
            .ok_or_else(|| format!("Unknown module argument '{name}'"))?;
        let number = setting
            .parse(&value)
            .map_err(|error| format!("Module argument '{name}': {error}"))?;
        setting
            .set(number)
            .map_err(|error| format!("Module argument '{name}': {error}"))?;
    }
    if let Some(flags) = flags {
        if !debug_is_enabled() {
            return Err(format!(
                "Module argument '{V8_FLAGS}' is for tests, and taken with enable-debug-command yes"
            ));
        }
        // The module is loaded once.
        let _ = GIVEN_V8_FLAGS.set(flags);
    }
    Ok(())
}

/// A whole number; for amounts of memory with a unit, as the server understands them.
fn parse(text: &str, flags: u32) -> Option<i64> {
    if flags & raw::REDISMODULE_CONFIG_MEMORY == 0 {
        return text.parse().ok();
    }
    let digits = text.trim_end_matches(|one: char| one.is_ascii_alphabetic());
    let unit: i64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1024,
        "m" => 1_000_000,
        "mb" => MEGABYTE,
        "g" => 1_000_000_000,
        "gb" => 1024 * MEGABYTE,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_have_the_units_of_the_server() {
        let memory = raw::REDISMODULE_CONFIG_MEMORY;
        assert_eq!(parse("16mb", memory), Some(16 << 20));
        assert_eq!(parse("1G", memory), Some(1_000_000_000));
        assert_eq!(parse("12", memory), Some(12));
        assert_eq!(parse("mb", memory), None);
        assert_eq!(parse("9223372036854775807gb", memory), None);
        assert_eq!(parse("16mb", 0), None);
    }

    #[test]
    fn wrong_arguments_are_named() {
        let wrong = |arguments: &[&[u8]]| apply_arguments(arguments).unwrap_err();
        assert!(wrong(&[b"execution-threads"]).contains("'execution-threads' has no value"));
        assert!(wrong(&[b"threads", b"1"]).contains("Unknown module argument 'threads'"));
        assert!(wrong(&[b"execution-threads", b"x"]).contains("'x' is not a number"));
        assert!(wrong(&[b"execution-threads", b"33"]).contains("between 1 and 32"));
        assert!(wrong(&[b"\xff", b"1"]).contains("Unknown"));
        assert!(wrong(&[b"enable-debug-command", b"maybe"]).contains("options are no, yes"));
        assert!(wrong(&[b"v8-flags", b"single-threaded"]).contains("enable-debug-command yes"));
    }

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
