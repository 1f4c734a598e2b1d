//! Settings: module configs (`redisgears_2.<name>` in CONFIG and in the configuration file) and,
//! with the same names, arguments of the module, which win over the file.

use std::ffi::{CString, c_char, c_int, c_longlong, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use redis_module::raw::{self, RedisModuleString};

use super::api;
use super::constants::{ERR, OK};
use super::context::Context;
use crate::engine::Limits;

/// One setting.
struct Setting {
    name: &'static str,
    default: i64,
    min: i64,
    max: i64,
    flags: u32,
    value: AtomicI64,
}

impl Setting {
    const fn new(name: &'static str, default: i64, min: i64, max: i64, flags: u32) -> Self {
        Self {
            name,
            default,
            min,
            max,
            flags,
            value: AtomicI64::new(default),
        }
    }

    fn get(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }

    fn set(&self, value: i64) -> Result<(), String> {
        if (self.min..=self.max).contains(&value) {
            self.value.store(value, Ordering::Relaxed);
            Ok(())
        } else {
            Err(format!(
                "argument must be between {} and {} inclusive",
                self.min, self.max
            ))
        }
    }
}

const MEGABYTE: i64 = 1 << 20;

static EXECUTION_THREADS: Setting = Setting::new(
    "execution-threads",
    1,
    1,
    32,
    raw::REDISMODULE_CONFIG_IMMUTABLE,
);
static LOCK_REDIS_TIMEOUT: Setting = Setting::new(
    "lock-redis-timeout",
    500,
    100,
    1_000_000_000,
    raw::REDISMODULE_CONFIG_DEFAULT,
);
static LIBRARY_MAXMEMORY: Setting = Setting::new(
    "library-maxmemory",
    1024 * MEGABYTE,
    16 * MEGABYTE,
    2048 * MEGABYTE,
    raw::REDISMODULE_CONFIG_IMMUTABLE | raw::REDISMODULE_CONFIG_MEMORY,
);
static ERROR_VERBOSITY: Setting =
    Setting::new("error-verbosity", 1, 1, 2, raw::REDISMODULE_CONFIG_DEFAULT);

static ALL: [&Setting; 4] = [
    &EXECUTION_THREADS,
    &LOCK_REDIS_TIMEOUT,
    &LIBRARY_MAXMEMORY,
    &ERROR_VERBOSITY,
];

/// The settings, as the other rooms use them. Changes show in what is shared.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Worker threads.
    pub(crate) threads: usize,
    /// Bounds for scripts.
    pub(crate) limits: Arc<Limits>,
    /// How much of an error is told.
    pub(crate) verbosity: Arc<AtomicU8>,
}

impl Settings {
    /// The settings as they are now.
    pub(crate) fn new() -> Self {
        let settings = Self {
            threads: usize::try_from(EXECUTION_THREADS.get()).unwrap_or(1),
            limits: Arc::new(Limits {
                run_ms: AtomicU64::new(0),
                memory: AtomicUsize::new(0),
            }),
            verbosity: Arc::new(AtomicU8::new(1)),
        };
        settings.refresh();
        settings
    }

    /// Takes over what was changed since. Cheap enough for every turn of the event loop.
    pub(crate) fn refresh(&self) {
        self.limits
            .run_ms
            .store(LOCK_REDIS_TIMEOUT.get().unsigned_abs(), Ordering::Relaxed);
        let memory = usize::try_from(LIBRARY_MAXMEMORY.get()).unwrap_or(usize::MAX);
        self.limits.memory.store(memory, Ordering::Relaxed);
        let verbosity = u8::try_from(ERROR_VERBOSITY.get()).unwrap_or(1);
        self.verbosity.store(verbosity, Ordering::Relaxed);
    }
}

/// Registers the configs, and takes their values from the configuration file.
///
/// # Errors
/// With the name of what the server refuses.
pub(crate) fn register(context: &Context) -> Result<(), &'static str> {
    for setting in ALL {
        let name = CString::new(setting.name).unwrap_or_default();
        // SAFETY: the context is live; the callbacks get the setting as their data, which is
        // static.
        let registered = unsafe {
            api!(RedisModule_RegisterNumericConfig)(
                context.as_ptr(),
                name.as_ptr(),
                setting.default,
                setting.flags,
                setting.min,
                setting.max,
                Some(get),
                Some(set),
                None,
                std::ptr::from_ref(setting).cast_mut().cast(),
            )
        };
        if registered != OK {
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

unsafe extern "C" fn get(_name: *const c_char, data: *mut c_void) -> c_longlong {
    // SAFETY: `register` gave a static setting.
    unsafe { &*data.cast::<Setting>() }.get()
}

unsafe extern "C" fn set(
    _name: *const c_char,
    value: c_longlong,
    data: *mut c_void,
    _error: *mut *mut RedisModuleString,
) -> c_int {
    // SAFETY: `register` gave a static setting.
    match unsafe { &*data.cast::<Setting>() }.set(value) {
        Ok(()) => OK,
        // The server checks the range before and has the better message.
        Err(_) => ERR,
    }
}

/// Applies the module's arguments: names and values in turn.
///
/// # Errors
/// With a message where one is not known, has no value or a wrong one.
pub(crate) fn apply_arguments(arguments: &[&[u8]]) -> Result<(), String> {
    for pair in arguments.chunks(2) {
        let name = String::from_utf8_lossy(pair[0]);
        let [_, value] = pair else {
            return Err(format!("Module argument '{name}' has no value"));
        };
        let setting = ALL
            .iter()
            .find(|setting| setting.name.eq_ignore_ascii_case(&name))
            .ok_or_else(|| format!("Unknown module argument '{name}'"))?;
        let value = String::from_utf8_lossy(value);
        let number = parse(&value, setting.flags)
            .ok_or_else(|| format!("Module argument '{name}': '{value}' is not a number"))?;
        setting
            .set(number)
            .map_err(|error| format!("Module argument '{name}': {error}"))?;
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
    }
}
